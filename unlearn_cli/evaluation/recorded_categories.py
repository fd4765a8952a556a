"""The categories of columns in a checkpoint's metadata: all runs of a network must encode its inputs equally."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.data.transforms.encode import Categories
from unlearn_cli.errors import UserError

KEY = "unlearn_cli.categories"


def categories_as_lineage(categories: Categories | None) -> dict[str, str]:
    """Return the categories as an entry of a checkpoint's metadata, without the prefix of the key."""
    return {KEY.partition(".")[2]: json.dumps(categories, ensure_ascii=False)} if categories else {}


def choose_recorded_categories(checkpoints: Sequence[Path]) -> Categories | None:
    """Return the categories that the checkpoints of a run record; None if none does.

    Raises:
        UserError: they are damaged, or two checkpoints have different ones.
    """
    recorded = {path: read_categories(read_header(path).metadata, path) for path in checkpoints}
    given = [(path, categories) for path, categories in recorded.items() if categories is not None]
    for path, categories in given[1:]:
        if categories != given[0][1]:
            raise UserError(
                f"{path}: was trained with other categories of {_name_difference(categories, given[0][1])} than "
                f"{given[0][0]}, so they cannot be compared; train it again with --like"
            )
    return given[0][1] if given else None


def read_categories(metadata: Mapping[str, str], path: Path) -> Categories | None:
    """Return the categories by column in a checkpoint's metadata, or None.

    Raises:
        UserError: they are not lists of texts by columns.
    """
    if KEY not in metadata:
        return None
    try:
        stored = json.loads(metadata[KEY])
    except (json.JSONDecodeError, RecursionError):
        stored = None
    if not isinstance(stored, dict) or not all(_is_list_of_texts(names) for names in stored.values()):
        raise UserError(f"{path}: {KEY} of its metadata is damaged; expected lists of categories by columns, as JSON")
    return {column: tuple(names) for column, names in stored.items()}


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _name_difference(first: Categories, second: Categories) -> str:
    columns = [column for column in {**first, **second} if first.get(column) != second.get(column)]
    return f"column '{columns[0]}'" if columns else "columns"
