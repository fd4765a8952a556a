"""The records of one source, independent of its format: samples on demand, labels, ids and columns. No torch."""

import math
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from operator import eq, ge, gt, le, lt, ne
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unlearn_cli.console import pluralize
from unlearn_cli.data.compared_values import check_numbers
from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.notices import Notice
from unlearn_cli.data.strings import Strings, Values
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema.image_steps import AS_STORED, ImageSteps
from unlearn_cli.schema.sources import Condition, Rows
from unlearn_cli.schema.spelling import number_of


@dataclass(frozen=True)
class StoredInput:
    """What a source must provide: samples of this shape, the shape before the manifest's transforms."""

    shape: list[int]
    images: ImageSteps = AS_STORED
    gaps: bool = False  # empty cells are allowed: a transform fills them
    scale: float | None = None  # the divisor of stored values in the manifest
    dates: Mapping[str, str] = field(default_factory=dict)  # formats of columns of dates


class Inputs(Protocol):
    """The samples of a source, read on demand."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, *input.shape): uint8 or float32, not yet scaled."""
        ...

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        """Return a digest (n,) of each stored sample, as `digest_samples` does: equal samples have equal digests."""
        ...


class DigestCache(Protocol):
    """Digests of samples that earlier runs computed."""

    def digest(self, inputs: Inputs, *, trusted: bool) -> np.ndarray:
        """Return the digest (n,) of each sample; with `trusted`, of bytes that were read in this run."""
        ...


@dataclass(frozen=True)
class Records:
    """The records of one source.

    `labels` are as stored: strings, integers or floats; of multilabel records (n, K) uint8, 1 for each label. `ids` are
    strings, or the numbers of the rows. `class_names` is set if the source lists classes, some of which may have no
    record; of multilabel records these are the names of the K labels.
    """

    name: str
    inputs: Inputs
    labels: Values
    ids: Values
    column: Callable[[str], Values]
    where: Callable[..., np.ndarray]  # of conditions, and the formats of dates by column
    class_names: list[str] | None = None
    labelled: np.ndarray | None = None  # (n,) bool: which rows have a label; None: all
    columns: tuple[str, ...] = ()  # the names that `column` accepts
    line_of: Callable[[int], int] | None = None  # the line of a stored row, if the file has lines
    notices: tuple[Notice, ...] = ()  # items that are left out or changed
    id_folder: Path | None = None  # the folder to which the ids, paths of files, are relative
    listed_features: tuple[str, ...] | None = None  # the table's columns, where the manifest does not name features
    groups: np.ndarray | None = None  # (n,) int64: person or recording of each record; None: independent records
    digests: DigestCache | None = None  # those of earlier runs, if they may be used

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """The digests (n,) of all samples, of the bytes as they are now; computing them reads all of the data.

        They decide: which records are forgotten as duplicates, and in which half of test a record is.
        """
        if self.digests is not None:
            return self.digests.digest(self.inputs, trusted=True)
        return self.inputs.fingerprints(np.arange(len(self)))

    @cached_property
    def quick_fingerprints(self) -> np.ndarray:
        """The same digests (n,), of earlier runs where files look unchanged: not trusted, but nothing is read again.

        They count and describe: copies in the report, digests of the data. Nothing that selects records to forget,
        divides test, or belongs to a deletion batch may use them.
        """
        if self.digests is None or "fingerprints" in self.__dict__:
            return self.fingerprints
        return self.digests.digest(self.inputs, trusted=False)


def from_arrays(
    name: str,
    inputs: Inputs,
    labels: Values,
    ids: Values | None = None,
    columns: Mapping[str, Values] | None = None,
) -> Records:
    """Build records whose columns lie in memory, so that conditions are evaluated on arrays."""
    ids = np.arange(len(labels)) if ids is None else ids
    named = ChainMap({"label": labels, "id": ids}, columns or {})  # type: ignore[arg-type]  # only read
    column = partial(_get_column, name, named)
    where = partial(_apply_conditions, name, column, len(labels))
    return Records(name, inputs, labels, ids, column, where, columns=tuple(columns or ()))


def from_label_sets(
    name: str, inputs: Inputs, marks: np.ndarray, ids: Values | None, columns: Mapping[str, Values]
) -> Records:
    """Build multilabel records, marks (n, K), as `from_arrays`; conditions cannot name all labels as one column."""
    records = from_arrays(name, inputs, np.arange(len(marks)), ids, columns)
    column = partial(_get_column, name, ChainMap({"id": records.ids}, columns))  # type: ignore[arg-type]  # only read
    where = partial(_apply_conditions, name, column, len(marks))
    return replace(records, labels=marks, column=column, where=where)


def keep_rows(records: Records, rows: Rows | None) -> Records:
    """Keep the rows that a source's `rows` selects; ids do not change."""
    if rows is None:
        return records
    positions = np.flatnonzero(records.where(rows.where)) if rows.where else _keep_part(len(records), rows)
    if not len(positions):
        raise UserError(f"{records.name}: 'rows' keeps none of {len(records)} records; choose other rows")
    return choose_records(records, positions)


def choose_records(records: Records, positions: np.ndarray) -> Records:
    """Return the records at these positions; ids do not change."""
    column = partial(_choose_from_column, records.column, positions)
    return replace(
        records,
        inputs=Subset(records.inputs, positions),
        labels=records.labels[positions],
        ids=records.ids[positions],
        column=column,
        where=lambda conditions, **formats: records.where(conditions, **formats)[positions],
        labelled=None if records.labelled is None else records.labelled[positions],
        groups=None if records.groups is None else records.groups[positions],
        line_of=None if records.line_of is None else partial(_line_of_choice, records.line_of, positions),
    )


def _line_of_choice(line_of: Callable[[int], int], positions: np.ndarray, row: int) -> int:
    return line_of(int(positions[row]))


def _keep_part(n: int, rows: Rows) -> np.ndarray:
    numbers = np.arange(n)
    if rows.every:
        return numbers[:: rows.every]
    if rows.not_every:
        return numbers[numbers % rows.not_every != 0]
    cut = rows.cut(n)
    return numbers[:cut] if rows.first else numbers[cut:]


@dataclass(frozen=True)
class Subset:
    """Some rows of other inputs."""

    inputs: Inputs
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.inputs.take(self.rows[rows])

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return self.inputs.fingerprints(self.rows[rows])


@dataclass(frozen=True)
class ArrayInputs:
    """Samples in one array: (N, *shape), or images as (N, H, W) or (N, H, W, C)."""

    array: np.ndarray
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: np.ndarray) -> np.ndarray:
        samples = self.array[rows]
        if samples.shape[1:] != self.shape and samples.ndim == 4:
            samples = samples.transpose(0, 3, 1, 2)
        samples = samples.reshape(len(rows), *self.shape)
        return np.ascontiguousarray(samples, dtype=np.uint8 if samples.dtype == np.uint8 else np.float32)

    def without_copy(self) -> np.ndarray | None:
        """Return all samples without a copy; None if `take` would convert or rearrange them."""
        plain = self.array.dtype in (np.uint8, np.float32) and self.array.flags.c_contiguous
        sized = self.array.shape[1:] in (self.shape, self.shape[1:])
        return self.array.reshape(len(self), *self.shape) if plain and sized and self.array.flags.writeable else None

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return digest_samples((self.array[row].tobytes() for row in rows), len(rows))


def check_samples(name: str, dtype: np.dtype, stored: tuple[int, ...], shape: list[int]) -> None:
    """Check type and shape (N, ...) of an array of samples; it need not be read yet.

    Raises:
        UserError: the array does not contain numbers, or samples have another shape than expected.
    """
    if dtype.kind not in "uif":
        raise UserError(f"{name}: samples have type {dtype}; expected numbers")
    channels_last = [*stored[2:], stored[1]] if len(stored) == 2 else [*stored[3:], *stored[1:3]]
    if list(stored[1:]) != shape and ([1, *stored[1:]] != shape and channels_last != shape):
        raise UserError(
            f"{name}: samples have shape {list(stored[1:])}, but input.shape and data.transform expect {shape}; "
            "make them agree"
        )


def make_array_inputs(name: str, array: np.ndarray, shape: list[int], *, gaps: bool = False) -> ArrayInputs:
    """Check that an array contains finite samples of the expected shape; with `gaps`, NaN is allowed.

    Raises:
        UserError: as `check_samples`, or a value is not finite.
    """
    check_samples(name, array.dtype, array.shape, shape)
    if array.dtype.kind == "f":
        largest = np.finfo(np.float32).max
        good = (array >= -largest) & (array <= largest) | (gaps & np.isnan(array))
        fine = good.reshape(len(array), math.prod(shape)).all(axis=1)
        if not fine.all():
            bad = np.flatnonzero(~fine)
            values = "NaN, infinite or too large values"
            records = pluralize(len(bad), "record has", "records have")
            advice = "; with standardise: {missing: mean} in data.transform, NaN becomes the mean"
            fillable = len(shape) == 1 and not np.isinf(array[bad]).any()
            raise UserError(
                f"{name}: {records} {values}, the first in row {bad[0]}; correct the data{advice if fillable else ''}"
            )
    return ArrayInputs(array, tuple(shape))


MOMENT = "%Y-%m-%dT%H:%M:%S.%f"  # NumPy's format of microseconds
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "in": lambda column, values: np.isin(column, np.asarray(values)),
    "not in": lambda column, values: np.isin(column, np.asarray(values), invert=True),
}


def _apply_conditions(
    name: str,
    column: Callable[[str], Values],
    n: int,
    conditions: Sequence[Condition],
    formats: Mapping[str, str] = {},
) -> np.ndarray:
    mask = np.ones(n, dtype=bool)
    for condition in conditions:
        values = column(condition.column)
        if isinstance(values, Strings) or values.dtype.kind in "USM":
            mask &= _mask_texts(name, condition, values, formats.get(condition.column))
        else:
            mask &= _mask_numbers(name, condition, values)
    return mask


def _mask_texts(name: str, condition: Condition, values: Values, pattern: str | None) -> np.ndarray:
    from unlearn_cli.data.tables.text_arrays import mask_text  # DuckDB: imported only where text is compared

    if not isinstance(values, Strings) and values.dtype.kind == "M":
        pattern = MOMENT  # '==' and 'in' compare moments, too: 2013-01-31 equals 2013-01-31T00:00
    return mask_text(name, condition, fill_unknown_moments(values), pattern)


def fill_unknown_moments(values: Values) -> Values:
    """Convert moments of an array to text, with '' for unknown ones; other values are returned unchanged."""
    if isinstance(values, Strings) or values.dtype.kind != "M":
        return values
    return np.where(np.isnat(values), "", values.astype("M8[us]").astype(str))


def _mask_numbers(name: str, condition: Condition, values: np.ndarray) -> np.ndarray:
    given = condition.value if isinstance(condition.value, list) else [condition.value]
    if values.dtype.kind not in "biuf":
        raise UserError(
            f"{name}: column '{condition.column}' contains {values.dtype} values; expected numbers, text or dates"
        )
    check_numbers(given, f"{name}: column '{condition.column}'", is_boolean=values.dtype.kind == "b")
    numbers = [number_of(value) for value in given]
    try:
        mask = _OPERATORS[condition.op](values, numbers if isinstance(condition.value, list) else numbers[0])
    except OverflowError:  # the number is too large for a column of booleans or floats
        raise UserError(f"{name}: column '{condition.column}': the number is too large; correct it") from None
    return mask & ~np.isnan(values) if values.dtype.kind == "f" else mask


def _get_column(name: str, columns: Mapping[str, Values], column: str) -> Values:
    if column not in columns:
        raise UserError(f"{name}: no column '{column}'; {did_you_mean(column, columns)}")
    return columns[column]


def _choose_from_column(column: Callable[[str], Values], positions: np.ndarray, name: str) -> Values:
    return column(name)[positions]
