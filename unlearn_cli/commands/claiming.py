"""Holds the lock of a command's outputs, and reports saved state that other runs have left there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli import ranks
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.claims import claim_outputs


@contextmanager
def claim_output(overwrite: bool, *outputs: Path | None) -> Iterator[None]:
    """Prevent other runs from writing to these outputs; with `overwrite`, remove the state of interrupted runs.

    Raises:
        Busy: another run is writing there.
    """
    with claim_outputs(*outputs):
        yield
        for output in outputs if ranks.is_first() else ():
            if output is not None:
                leftovers.report_states(output, remove=overwrite)
