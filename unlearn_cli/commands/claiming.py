"""What every command that writes does: hold the lock of its output, and report what other runs left there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli import ranks
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.claims import claim_outputs


@contextmanager
def claim_output(overwrite: bool, *outputs: Path | None) -> Iterator[None]:
    """Let no other run write to these outputs inside; with `overwrite`, remove the state that interrupted runs left.

    Raises:
        Busy: another run is writing there.
    """
    with claim_outputs(*outputs):
        yield
        for output in outputs if ranks.is_first() else ():
            if output is not None:
                leftovers.report_states(output, remove=overwrite)
