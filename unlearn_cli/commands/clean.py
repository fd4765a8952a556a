"""`unlearn-cli clean`: what interrupted and killed runs left, which may still hold what was to be forgotten."""

from pathlib import Path

from unlearn_cli import console
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError, resources
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.leftovers import Leftover


def run(folder: Path, *, remove: bool) -> Result:
    """List what was left, or remove it.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; name one that runs have written in")
    with resources(folder):
        found = leftovers.scan(folder)
        gone = leftovers.remove(found) if remove else []
    rows = [_row(one, folder, remove) for one in found]
    header = ["path", "what", "size", "age", ""]
    text = console.table("", header, rows) if rows else "nothing was left"
    return Result(
        text, {"found": [_document(one, folder) for one in found], "removed": [_name(one, folder) for one in gone]}
    )


def _name(one: Leftover, folder: Path) -> str:
    return str(one.path.relative_to(folder) if one.path.is_relative_to(folder) else one.path)


def _row(one: Leftover, folder: Path, removed: bool) -> list[str]:
    fate = one.kept_because or ("removed" if removed else "--remove removes it")
    size, age = leftovers.describe_size(one.bytes), leftovers.describe_age(one.age)
    return [_name(one, folder), one.kind, size, age, fate]


def _document(one: Leftover, folder: Path) -> dict[str, object]:
    return {
        "path": _name(one, folder),
        "kind": one.kind,
        "bytes": one.bytes,
        "age_seconds": round(one.age),
        "kept_because": one.kept_because,
    }
