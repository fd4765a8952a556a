"""Columns of dates as numbers: year, month, weekday and other parts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from unlearn_cli.data.tables.cells import NumberCells
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.data.tables.text_arrays import read_moments
from unlearn_cli.errors import UserError
from unlearn_cli.schema.table_columns import DatePart

DAY = 86_400_000_000  # microseconds


def read_date_parts(file: TableFile, column: str, parts: Sequence[DatePart], pattern: str | None) -> NumberCells:
    """Return parts of a column's dates, in UTC where they have a time zone; `pattern` is their format in the manifest.

    Raises:
        UserError: a cell is empty, or is not a date.
    """
    moments, are_dates = read_moments(file.location, column, file.text(column, gaps=True), pattern)
    if not are_dates:
        raise UserError(f"{file.location}: column '{column}' contains numbers, but date_parts needs dates; remove it")
    values = np.stack([PARTS[part](moments.astype("M8[us]")) for part in parts], axis=1).astype(np.float32)
    return NumberCells(tuple(f"{column}.{part}" for part in parts), values)


def _count_since(moments: np.ndarray, start: str, unit: str) -> np.ndarray:
    """Return how many units have passed since the start of the moment's year, month, day, hour or minute."""
    return (moments.astype(f"M8[{unit}]") - moments.astype(f"M8[{start}]").astype(f"M8[{unit}]")).astype(np.int64)


PARTS: Mapping[DatePart, Callable[[np.ndarray], np.ndarray]] = {
    "year": lambda moments: moments.astype("M8[Y]").astype(np.int64) + 1970,
    "month": lambda moments: _count_since(moments, "Y", "M") + 1,
    "day": lambda moments: _count_since(moments, "M", "D") + 1,
    "day_of_year": lambda moments: _count_since(moments, "Y", "D") + 1,
    "weekday": lambda moments: (moments.astype("M8[D]").astype(np.int64) + 3) % 7,  # 1970 began on a Thursday
    "hour": lambda moments: _count_since(moments, "D", "h"),
    "minute": lambda moments: _count_since(moments, "h", "m"),
    "second": lambda moments: _count_since(moments, "m", "s"),
    "days": lambda moments: moments.astype(np.int64) / DAY,
}
