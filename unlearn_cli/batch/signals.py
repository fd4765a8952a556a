"""Signals that stop a batch end it with exit code 75; the same command continues the work."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from unlearn_cli.errors import Interrupted

STOPPED = "stopped by a signal; the same command continues"


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `Interrupted`: finished work is in the ledger, the rest can wait.

    While a network is trained, the runtime has its own handlers, which finish the step and save its state.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(STOPPED)

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(STOPPED) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
