"""Facts about the columns of a table: numbers, marks of 0 and 1, lists, images, texts, and how many cells differ."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from unlearn_cli.data.images.pillow_images import SUFFIXES
from unlearn_cli.data.tables.comparable_columns import is_number
from unlearn_cli.data.tables.label_sets import LISTS, WORDS
from unlearn_cli.data.tables.locked_connection import quote_literal
from unlearn_cli.data.tables.table_file import TableFile

WORDS_OF_TEXT = 3  # a text has at least as many words on average
SAMPLE = 1000  # rows from whose cells images and texts are recognised


@dataclass(frozen=True)
class Column:
    """Facts about a column: different cells, empty ones, and the first SAMPLE cells."""

    name: str
    is_numeric: bool
    is_whole: bool  # all numbers are integers
    is_marks: bool  # all cells are 0 or 1, yes or no, true or false
    is_list: bool
    distinct: int
    empty: int
    rows: int
    cells: Sequence[str]

    @property
    def is_image(self) -> bool:
        return bool(self.cells) and all(PurePath(cell).suffix.lower() in SUFFIXES for cell in self.cells)

    @property
    def is_text(self) -> bool:
        words = [len(cell.split()) for cell in self.cells]
        is_other = self.is_numeric or self.is_list or not words
        return not is_other and sum(words) >= WORDS_OF_TEXT * len(words)

    @property
    def is_constant(self) -> bool:
        return self.distinct <= 1


def describe_columns(file: TableFile) -> dict[str, Column]:
    """Return the facts about every column of a table, in one pass over it for each."""
    return {name: _describe_column(file, name) for name in file.types}


def _describe_column(file: TableFile, name: str) -> Column:
    cell = file.cell(name)
    text = f"({cell})::VARCHAR"
    number, marks = is_number(text), f"lower({text}) IN ({', '.join(map(quote_literal, WORDS))})"
    facts = f"count(*), count({cell}), count(DISTINCT {text}), coalesce(bool_and({number}), false)"
    whole = f"coalesce(bool_and(TRY_CAST({text} AS DOUBLE) = round(TRY_CAST({text} AS DOUBLE))), false)"
    query = f"{facts}, {whole}, coalesce(bool_and({marks}), false)"
    rows, filled, distinct, numeric, is_whole, is_marks = file.query(query).fetchall()[0]
    shown = file.query(text, reader=f"{file.reader} LIMIT {SAMPLE}").fetchall()
    cells = [value for (value,) in shown if value is not None]
    is_list, has_gaps = file.types[name].endswith(LISTS), filled < rows
    return Column(
        name,
        bool(numeric),
        bool(is_whole),
        bool(is_marks) and not has_gaps,
        is_list,
        distinct,
        rows - filled,
        rows,
        cells,
    )


def split_words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()))
