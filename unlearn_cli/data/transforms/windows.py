"""Windows over rows in the order of time: a record's sample is the rows before its own row. Cut on access."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Inputs, Records, Subset, choose_records, fill_unknown_moments
from unlearn_cli.data.strings import Values, to_strings
from unlearn_cli.data.tables.comparable_columns import ISO
from unlearn_cli.errors import UserError
from unlearn_cli.schema.transform_steps import Window

CALENDAR = {"year": 1, "month": 12, "day": 32, "hour": 25, "minute": 61, "second": 62}  # factors above each maximum
STAMPS = ("timestamp", "datetime", "epoch")  # columns of numbers with these names are moments


@dataclass(frozen=True)
class WindowInputs:
    """Samples of `length` consecutive rows of other inputs."""

    inputs: Inputs
    starts: np.ndarray  # (n,): the first row of each window
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray) -> np.ndarray:
        seen = self.rows_of(rows)
        stored = self.inputs.take(seen.reshape(-1))
        return stored.reshape(*seen.shape, *stored.shape[1:])

    def rows_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers (n, length) of the rows in windows."""
        return self.starts[rows][:, None] + np.arange(self.length)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return digest_samples((), 0)
        starts = self.starts[rows]
        first = int(starts.min())
        digests = self.inputs.fingerprints(np.arange(first, int(starts.max()) + self.length))
        parts = (digests[start : start + self.length].tobytes() for start in (starts - first).tolist())
        return digest_samples(parts, len(rows))


def make_windows(records: Records, window: Window, formats: Mapping[str, str] = {}) -> Records:
    """Return the records whose window is within their series; each keeps its label, id and columns.

    Raises:
        UserError: there are too few rows, a row has no series, or the rows of a series are not in the order of time.
    """
    column, line_of = window.series, records.line_of
    series = None if column is None else number_series(records.name, column, records.column(column), line_of)
    plan = plan_windows(
        records.name, len(records), window, series, _read_times(records, window, formats), records.line_of
    )
    if window.time is None:
        _check_dates(records, plan, formats)
    if not len(plan.own):
        raise UserError(
            f"{records.name}: {len(records)} rows are too few for a window of {window.length} rows that ends "
            f"{window.ahead} rows before its record; use a shorter window"
        )
    inputs = records.inputs if series is None else Subset(records.inputs, plan.order)
    notices = make_notices(records.name, {"windows across a gap, left out": plan.across_gaps})
    return replace(
        choose_records(records, plan.own),
        inputs=WindowInputs(inputs, plan.starts, window.length),
        notices=records.notices + notices,
    )


@dataclass(frozen=True)
class WindowPlan:
    """The rows that are records (`own`, ascending), and the start of each window in `order`, the rows by series."""

    own: np.ndarray
    starts: np.ndarray
    order: np.ndarray
    inside: np.ndarray  # (n - 1,): whether order[i] and order[i + 1] are in the same series
    across_gaps: int


@dataclass(frozen=True)
class RowTimes:
    """The moments (microseconds) or numbers by which rows must ascend."""

    column: str
    values: np.ndarray
    are_moments: bool


def plan_windows(
    name: str,
    count: int,
    window: Window,
    series: np.ndarray | None,
    times: RowTimes | None,
    line_of: Callable[[int], int] | None = None,
) -> WindowPlan:
    """Cut the rows of each series into windows.

    Raises:
        UserError: the rows of a series are not in the order of time, or a gap has another unit than the times.
    """
    order = np.arange(count) if series is None else np.argsort(series, kind="stable")
    inside = np.ones(max(count - 1, 0), dtype=bool) if series is None else np.diff(series[order]) == 0
    begins = np.flatnonzero(np.concatenate([np.ones(min(count, 1), dtype=bool), ~inside]))
    rank = np.arange(count) - np.repeat(begins, np.diff(np.append(begins, count)))
    first = window.length + window.ahead - 1
    ends = np.flatnonzero((rank >= first) & ((rank - first) % window.every == 0))
    whole = np.ones(len(ends), dtype=bool)
    if times is not None:
        steps = np.diff(times.values[order])
        _refuse_disorder(name, times.column, steps, inside, order, line_of)
        if window.max_gap is not None:
            gaps = np.concatenate([[0], np.cumsum((steps > _parse_gap(name, window, times)) & inside)])
            whole = gaps[ends] == gaps[ends - first]
    ends, across_gaps = ends[whole], int((~whole).sum())
    in_order = np.argsort(order[ends], kind="stable")
    ends = ends[in_order]
    return WindowPlan(order[ends], ends - first, order, inside, across_gaps)


def number_series(name: str, column: str, values: Values, line_of: Callable[[int], int] | None = None) -> np.ndarray:
    """Return the number (n,) of each row's series.

    Raises:
        UserError: a row has no series; such rows must not be joined to one series.
    """
    names, codes = to_strings(values).factorize()
    if "" in names:
        row = int(np.flatnonzero(codes == names.index(""))[0])
        line = f" (line {line_of(row)})" if line_of else ""
        raise UserError(
            f"{name}: column '{column}', the series of windows, is empty in row {row}{line}; "
            "fill it or leave the row out"
        )
    return codes


def read_times(name: str, column: str, values: Values, formats: Mapping[str, str]) -> RowTimes:
    """Read the column of times.

    Raises:
        UserError: a cell is empty, or the cells are neither numbers nor dates.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return RowTimes(column, values, are_moments=False)
    from unlearn_cli.data.tables.text_arrays import read_moments  # imports DuckDB: only where text is read as dates

    return RowTimes(column, *read_moments(name, column, fill_unknown_moments(values), formats.get(column)))


def _read_times(records: Records, window: Window, formats: Mapping[str, str]) -> RowTimes | None:
    if window.time is None:
        return None
    return read_times(records.name, window.time, records.column(window.time), formats)


def _parse_gap(name: str, window: Window, times: RowTimes) -> float:
    gap = window.max_gap
    if isinstance(gap, str) != times.are_moments:
        expected = "a duration, such as 2h" if times.are_moments else "a number, in the column's unit"
        raise UserError(f"{name}: window.max_gap is {gap}, but column '{times.column}' needs {expected}")
    return window.gap_seconds * 1e6 if times.are_moments else float(gap or 0)


def _refuse_disorder(
    name: str,
    column: str,
    steps: np.ndarray,
    inside: np.ndarray,
    order: np.ndarray,
    line_of: Callable[[int], int] | None,
) -> None:
    wrong = np.flatnonzero(inside & ~(steps > 0))
    if not len(wrong):
        return
    later, earlier = (int(order[position]) for position in (wrong[0] + 1, wrong[0]))
    lines = f" (lines {line_of(earlier)} and {line_of(later)})" if line_of else ""
    how = "at the same time" if steps[wrong[0]] == 0 else "in the wrong order"
    raise UserError(
        f"{name}: windows need rows that ascend in time, but by column '{column}' the rows {earlier} and "
        f"{later}{lines} are {how}; sort the rows, and set the columns of time and series: "
        "window: {time: COLUMN, series: COLUMN}"
    )


def _check_dates(records: Records, plan: WindowPlan, formats: Mapping[str, str]) -> None:
    """Without a column of times, check that all columns that look like dates ascend."""
    for times in _read_date_columns(records, formats):
        steps = np.diff(times.values[plan.order])
        _refuse_disorder(records.name, times.column, steps, plan.inside, plan.order, records.line_of)


def _read_date_columns(records: Records, formats: Mapping[str, str]) -> Iterator[RowTimes]:
    for column in records.columns:
        values = records.column(column)
        if column in formats or _starts_with_date(values) or column.lower() in STAMPS:
            with suppress(UserError):  # not all of its cells are dates
                yield read_times(records.name, column, values, formats)
    yield from _read_calendar(records)


def _starts_with_date(values: Values) -> bool:
    if isinstance(values, np.ndarray) and values.dtype.kind not in "UM":
        return False
    return len(values) > 0 and re.fullmatch(ISO, to_strings(fill_unknown_moments(values)[:1]).text(0)) is not None


def _read_calendar(records: Records) -> Iterator[RowTimes]:
    """Yield the times in the columns year, month, day, hour, minute and second, if they exist."""
    named = {column.lower(): column for column in records.columns}
    present = [part for part in CALENDAR if part in named]
    if present[:2] != ["year", "month"]:
        return
    total = np.zeros(len(records))
    try:
        for part in CALENDAR:
            values = to_strings(records.column(named[part])).astype(str).astype(np.float64) if part in named else 0
            total = total * CALENDAR[part] + values
    except ValueError:  # such as names of months
        return
    yield RowTimes(" ".join(named[part] for part in present), total, are_moments=False)
