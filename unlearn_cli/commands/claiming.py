"""What every command does that writes an output: hold its lock, and say in the end what other runs left beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli import ranks
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.claims import claim_outputs


@contextmanager
def claim_output(overwrite: bool, *outputs: Path | None) -> Iterator[None]:
    """Let no other run write to the same places meanwhile; with `overwrite`, remove what interrupted ones have kept.

    Raises:
        Busy: another run is writing there.
    """
    with claim_outputs(*outputs):
        yield
        for output in outputs if ranks.is_first() else ():
            if output is not None:
                leftovers.report_states(output, remove=overwrite)
