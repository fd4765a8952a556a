"""`unlearn-cli clean`: list or remove what runs have left, which may contain, or show, forgotten records."""

from pathlib import Path

from unlearn_cli import console
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError, translate_resource_errors
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.leftovers import Leftover


def run(folder: Path, *, remove: bool) -> Result:
    """List the leftover files, or remove them.

    Raises:
        UserError: the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name a folder that runs have written to")
    with translate_resource_errors(folder):
        listed = leftovers.scan(folder)
        gone = leftovers.remove(listed) if remove else []
    rows = [_format_row(leftover, folder, remove) for leftover in listed]
    header = ["path", "kind", "size", "age", ""]
    text = console.table("", header, rows) if rows else "no leftover files"
    return Result(
        text,
        {
            "found": [_describe(leftover, folder) for leftover in listed],
            "removed": [_name(leftover, folder) for leftover in gone],
        },
    )


def _name(leftover: Leftover, folder: Path) -> str:
    return str(leftover.path.relative_to(folder) if leftover.path.is_relative_to(folder) else leftover.path)


def _format_row(leftover: Leftover, folder: Path, removed: bool) -> list[str]:
    fate = leftover.kept_because or ("removed" if removed else "--remove removes it")
    size, age = leftovers.describe_size(leftover.bytes), leftovers.describe_age(leftover.age)
    return [_name(leftover, folder), leftover.kind, size, age, fate]


def _describe(leftover: Leftover, folder: Path) -> dict[str, object]:
    return {
        "path": _name(leftover, folder),
        "kind": leftover.kind,
        "bytes": leftover.bytes,
        "age_seconds": round(leftover.age),
        "kept_because": leftover.kept_because,
    }
