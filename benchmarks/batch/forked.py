"""Processes forked from one that has imported everything, so that hundreds of runs of the tool are affordable."""

import gc
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

from unlearn_cli.batch.ledger import fault

BROKEN = 99  # the exit code of a child that raised what the command line does not turn into one of its own


@dataclass(frozen=True)
class Child:
    """A child process, and the lines that it tells while it works."""

    pid: int
    lines: TextIO

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Return the exit code; -9 of one that was killed."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def steps(self) -> Iterator[tuple[float, str]]:
        """Return the named steps of a batch run as they are reached, each with the time on the monotonic clock."""
        for line in self.lines:
            moment, _, name = line.strip().partition(" ")
            yield float(moment), name


def fork(work: Callable[[], int], *, gate: tuple[int, int] | None = None) -> Child:
    """Do something in a child process, in a session of its own.

    `gate`: a pipe (reading, writing); the child begins when the parent closes the writing end.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = BROKEN
        try:
            gc.freeze()  # garbage of the parent, such as a DuckDB connection, whose threads do not exist here
            os.setsid()
            os.close(reading)
            fault.step = _telling(writing)
            if gate is not None:
                os.close(gate[1])
                os.read(gate[0], 1)
            code = work()
        except BaseException:  # a child must never go on as a second parent
            traceback.print_exc()
        os._exit(code)
    os.close(writing)
    return Child(pid, os.fdopen(reading, encoding="ascii"))


def _telling(pipe: int) -> Callable[[str], None]:
    def tell(name: str) -> None:
        os.write(pipe, f"{time.monotonic()} {name}\n".encode("ascii"))

    return tell
