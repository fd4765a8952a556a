"""Reads the labels of multilabel records from a table: a column per label, or one column of lists or of cells `a|b`."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from unlearn_cli.data.strings import CHUNK
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Table

WORDS = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "true": 1, "false": 0, "yes": 1, "no": 0}  # cells, in lower case
SIGNED = {"1": 1, "-1": 0, "1.0": 1, "-1.0": 0}  # cells of columns without any 0
LISTS = "[]"  # the ending of DuckDB's names of types of lists
UNUSED_NAMES = "entries of label_names whose label no row has"
TWICE = "rows that list a label twice, which counts once"


@dataclass(frozen=True)
class LabelSets:
    """The labels of records: `marks` (n, K) uint8 is 1 for each label that a record has; `names` are the K labels."""

    marks: np.ndarray
    names: list[str]


def read_label_sets(spec: Table, file: TableFile) -> LabelSets:
    """Return the labels of all rows; without a list of columns, the names are those that occur, sorted.

    Raises:
        UserError: a cell of a column per label is neither 0 nor 1, or a cell of labels cannot be read; with the line.
    """
    renamed = {label: str(name) for label, name in spec.label_names.items()}
    if isinstance(spec.label, list):
        marks = read_marks(spec.label, file)
        return LabelSets(marks, [renamed.get(column, column) for column in spec.label])
    file.quoted(spec.label)  # refuses an unknown column
    if file.types[spec.label].endswith(LISTS):
        refuse_lists_of_others(spec.label, file)
        distinct, codes = _factorize(_fetch_lists(spec.label, file))
        listed_names = file.class_names.get(spec.label)
        read = list if listed_names is None else partial(_name_numbers, listed_names)
        parsed = [_parse(read, listed, spec.label, file, codes == number) for number, listed in enumerate(distinct)]
    else:
        cells, codes = file.text(spec.label, gaps=True).factorize()
        split = _make_splitter(spec.separator)
        parsed = [_parse(split, cell, spec.label, file, codes == number) for number, cell in enumerate(cells)]
    repeated = np.array([len(set(labels)) < len(labels) for labels in parsed], dtype=bool)
    file.counts[TWICE] = int(repeated[codes].sum())
    listed = file.class_names.get(spec.label)
    file.counts[UNUSED_NAMES] = len(renamed.keys() - set(listed or ()).union(*parsed))
    return _mark(parsed, codes, renamed, listed)


def refuse_lists_of_others(column: str, file: TableFile) -> None:
    """Refuse a column of lists whose items are lists or mappings."""
    kind = file.types[column].removesuffix(LISTS)
    if kind.endswith(LISTS) or kind.startswith(("STRUCT", "MAP", "UNION")):
        raise UserError(
            f"{file.location}: column '{column}' contains lists of {'lists' if kind.endswith(LISTS) else 'mappings'}; "
            "expected lists of labels, which are texts or integers"
        )


def read_marks(columns: Sequence[str], file: TableFile) -> np.ndarray:
    """Return the cells of one column per label (n, K) uint8: 1 and 0, or 1 and -1 if no cell of all columns is 0.

    Raises:
        UserError: a cell is neither of them; with the line.
    """
    read = {column: file.text(column, gaps=True).factorize() for column in columns}
    different = {cell.strip().lower() for cells, _ in read.values() for cell in cells}
    words = SIGNED if different <= SIGNED.keys() else WORDS
    return np.stack([_code_marks(column, *read[column], words, file) for column in columns], axis=1)


def _code_marks(
    column: str, cells: Sequence[str], codes: np.ndarray, words: Mapping[str, int], file: TableFile
) -> np.ndarray:
    """Return the marks (n,) of a column whose different cells are numbered by `codes` (n,)."""
    values = [words.get(cell.strip().lower()) for cell in cells]
    if None in values:
        wrong = np.isin(codes, [number for number, value in enumerate(values) if value is None])
        row = int(np.flatnonzero(wrong)[0])
        cell = cells[codes[row]]
        state = f"contains '{cell[:60]}'" if cell else "is empty"
        raise UserError(
            f"{file.location}: {file.describe_row(row)}: column '{column}' {state}; expected 1 or 0, true or false, or "
            "yes or no (or 1 and -1, if no cell is 0), because 'label' lists one column per label; "
            f"{int(wrong.sum())} of {len(codes)} rows differ"
        )
    return np.array(values, dtype=np.uint8)[codes]


def _fetch_lists(column: str, file: TableFile) -> Iterator[tuple[Any, ...]]:
    """Yield the lists of a column; an empty cell is an empty list."""
    result = file.query(file.quoted(column))
    while rows := result.fetchmany(CHUNK):
        yield from (tuple(listed or ()) for (listed,) in rows)


def _factorize(lists: Iterator[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], np.ndarray]:
    """Return the distinct lists, and the index (n,) of each list among them."""
    numbers: dict[tuple[Any, ...], int] = {}
    codes = [numbers.setdefault(listed, len(numbers)) for listed in lists]
    return list(numbers), np.array(codes, dtype=np.int64)


def _parse(split: Callable[[Any], list[Any]], cell: Any, column: str, file: TableFile, rows: np.ndarray) -> list[str]:
    """Return the labels of a cell; `rows` (n,) bool are the rows that have it.

    Raises:
        UserError: a label is empty, or is neither text nor an integer.
    """
    try:
        labels = [_name(label) for label in split(cell)]
    except ValueError as error:
        row = file.describe_row(int(np.flatnonzero(rows)[0]))
        raise UserError(f"{file.location}: {row}: column '{column}' {error}; fix the cell") from None
    return labels


def _name_numbers(names: Sequence[str], numbers: Sequence[Any]) -> list[str]:
    """Return the names of numbered labels, as the features of a Hugging Face data set list them."""
    unknown = [number for number in numbers if not (isinstance(number, int) and 0 <= number < len(names))]
    if unknown:
        raise ValueError(f"contains {str(unknown[0])[:60]!r}, which is not a number from 0 to {len(names) - 1}")
    return [names[int(number)] for number in numbers]


def _make_splitter(separator: str) -> Callable[[str], list[Any]]:
    """Return a function that divides the text of a cell into labels."""

    def split(cell: str) -> list[Any]:
        text = cell.strip()
        if text.startswith("[") and text.endswith("]"):
            return _parse_json(text)
        return text.split(separator) if text else []

    return split


def _parse_json(text: str) -> list[Any]:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(
            f'contains \'{text[:60]}\', which is not a JSON list; write ["a", "b"], or labels with separators'
        ) from None


def _name(label: Any) -> str:
    if isinstance(label, str) and label.strip():
        return label.strip()
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if label is None or isinstance(label, str):
        raise ValueError("contains an empty label")
    raise ValueError(f"contains {str(label)[:60]!r}, which is neither text nor an integer")


def _mark(
    parsed: Sequence[Sequence[str]], codes: np.ndarray, renamed: dict[str, str], listed: Sequence[str] | None
) -> LabelSets:
    """Return the labels of records whose cells are numbered by `codes` (n,); `listed` are names that the file lists."""
    named = [{renamed.get(label, label) for label in labels} for labels in parsed]
    of_file = dict.fromkeys(renamed.get(label, label) for label in listed or ())
    names = list(of_file) or sorted(set().union(*named))
    marks = np.array([[name in labels for name in names] for labels in named], dtype=np.uint8)
    return LabelSets(marks.reshape(len(parsed), len(names))[codes], names)
