"""Output folders of a run that may have several processes."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import astuple
from pathlib import Path

from unlearn_cli import ranks
from unlearn_cli.runtime.processes import barrier, broadcast
from unlearn_cli.storage import atomic_files, owners


@contextmanager
def output_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a new folder as `atomic_files.output_folder` does; several processes all get the same one.

    The first process creates and renames it, and only this process may write to it.
    """
    if ranks.size() == 1:
        with atomic_files.output_folder(folder, overwrite=overwrite) as new:
            yield new
        return
    atomic_files.check_output(folder, overwrite)
    ending = owners.format_suffix(
        owners.Owner(*map(broadcast, astuple(owners.describe_current_owner()))), broadcast(secrets.randbits(32))
    )
    writing = atomic_files.new_folder(folder, replace=overwrite, ending=ending)
    with writing if ranks.is_first() else nullcontext(atomic_files.name_new_folder(folder, ending)) as new:
        barrier()  # the folder exists
        yield new
        barrier()  # no process reads from it any more
