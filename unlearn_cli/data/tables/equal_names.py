"""Columns that have the name of another column of their table: they are not used, because a name means one column."""

from collections import Counter
from collections.abc import Mapping, Sequence

EQUAL_NAMES = "columns with the name of another column, left out"


def find_equal_names(names: Sequence[str], *, ignore_case: bool = False) -> list[str]:
    """Return the names that several columns have; '' is not a name."""
    counts = Counter(name.lower() if ignore_case else name for name in names if name)
    return [name for name in dict.fromkeys(names) if counts[name.lower() if ignore_case else name] > 1]


def list_top_names(fields: Sequence[tuple[str, int | None]]) -> list[str]:
    """Return the names of columns from the names and the numbers of children of a parquet schema, its root first."""
    names: list[str] = []
    open_children = 0  # of columns with fields inside
    for name, children in fields[1:]:
        if open_children == 0:
            names.append(name)
        open_children += (children or 0) - (1 if open_children else 0)
    return names


def select_columns(reader: str, described: Mapping[str, str], stored: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return a reader without the columns of equal names, and its types by stored name.

    `described` has the types by DuckDB's names, in the order of `stored`: DuckDB adds numbers to equal names.
    """
    equal = set(find_equal_names(stored, ignore_case=True))
    pairs = [(name, own) for name, own in zip(described, stored, strict=True) if own not in equal]
    selected = ", ".join(f"{quote_name(name)} AS {quote_name(own)}" for name, own in pairs)
    return f"(SELECT {selected} FROM {reader})", {own: described[name] for name, own in pairs}


def quote_name(name: str) -> str:
    """Quote the name of a column for SQL."""
    return '"' + name.replace('"', '""') + '"'
