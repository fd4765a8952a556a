"""Facts about the columns of a table: numbers, marks of 0 and 1, lists, images, texts, and how many cells differ."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from unlearn_cli.data.images.image_bytes import is_base64_image
from unlearn_cli.data.images.pillow_images import SUFFIXES
from unlearn_cli.data.tables.comparable_columns import TextColumn, is_number
from unlearn_cli.data.tables.label_sets import LISTS, SIGNED, WORDS
from unlearn_cli.data.tables.locked_connection import quote_literal
from unlearn_cli.data.tables.table_file import TableFile

WORDS_OF_TEXT = 3  # a text has at least as many words on average
TEXT_REPEATED = 10  # records of a text on average that show that it is the name of a category
MOST_CATEGORIES, PER_CATEGORY = 1000, 2  # of a column, and records of one on average
SAMPLE = 1000  # rows from whose cells images and texts are recognised
DATE = re.compile(r"\d.*[-/. ].*\d")  # in cells that may be dates
FEW = 20  # cells that are searched for it


@dataclass(frozen=True)
class Column:
    """Facts about a column: different cells, empty ones, and the first SAMPLE cells."""

    name: str
    is_numeric: bool
    is_whole: bool  # all numbers are integers
    is_marks: bool  # all cells are 0 or 1, -1 or 1, yes or no, true or false
    kind: str  # the type of the cells in DuckDB
    distinct: int
    empty: int
    rows: int
    cells: Sequence[str]
    date_format: str | None = None  # '' for ISO 8601; None: no dates

    @property
    def is_list(self) -> bool:
        return self.kind.endswith(LISTS)

    @property
    def is_nested(self) -> bool:
        """Whether the cells are lists or mappings."""
        return self.is_list or self.kind.startswith(("STRUCT", "MAP", "UNION"))

    @property
    def is_embedded(self) -> bool:
        """Whether the cells are bytes, or the {bytes, path} of Hugging Face: images inside the table."""
        return "BLOB" in self.kind

    @property
    def is_feature(self) -> bool:
        """Whether the cells are numbers, or true and false of a typed file, which count as 1 and 0."""
        return self.is_numeric or self.kind == "BOOLEAN"

    @property
    def is_category(self) -> bool:
        """Whether the cells are a limited number of names, each of which occurs several times."""
        is_other = self.is_feature or self.is_nested or self.is_picture or self.date_format is not None
        return not is_other and 0 < self.distinct <= min(MOST_CATEGORIES, (self.rows - self.empty) / PER_CATEGORY)

    @property
    def is_image(self) -> bool:
        return bool(self.cells) and all(PurePath(cell).suffix.lower() in SUFFIXES for cell in self.cells)

    @property
    def is_base64(self) -> bool:
        """Whether the cells are images as base64 text."""
        return bool(self.cells) and all(map(is_base64_image, self.cells[:FEW]))

    @property
    def is_picture(self) -> bool:
        """Whether the cells are images, or paths of images."""
        return self.is_embedded or self.is_image or self.is_base64

    @property
    def is_text(self) -> bool:
        words = [len(cell.split()) for cell in self.cells]
        is_other = self.is_numeric or self.is_nested or self.is_embedded or not words
        is_repeated = self.distinct * TEXT_REPEATED <= self.rows - self.empty
        return not is_other and not is_repeated and sum(words) >= WORDS_OF_TEXT * len(words)

    @property
    def is_constant(self) -> bool:
        return self.distinct <= 1


def describe_columns(file: TableFile) -> dict[str, Column]:
    """Return the facts about every column of a table, in one pass over it for each."""
    return {name: _describe_column(file, name) for name in file.types}


def _describe_column(file: TableFile, name: str) -> Column:
    cell = file.cell(name)
    if "BLOB" in file.types[name]:
        return _describe_bytes(file, name)
    if file.types[name] in ("DOUBLE", "FLOAT"):  # NaN is an empty cell
        cell = f"nullif({cell}, 'nan')"
    text = f"({cell})::VARCHAR"
    number, marks, signed = is_number(text), _is_among(text, WORDS), _is_among(text, SIGNED)
    are_numbers = f"coalesce(bool_and({number}) FILTER (WHERE {cell} IS NOT NULL), false)"
    facts = f"count(*), count({cell}), count(DISTINCT {text}), {are_numbers}"
    whole = f"coalesce(bool_and(TRY_CAST({text} AS DOUBLE) = round(TRY_CAST({text} AS DOUBLE))), false)"
    query = f"{facts}, {whole}, coalesce(bool_and({marks}) OR bool_and({signed}), false)"
    rows, filled, distinct, numeric, is_whole, is_marks = file.query(query).fetchall()[0]
    shown = file.query(text, reader=f"{file.reader} LIMIT {SAMPLE}").fetchall()
    column = Column(
        name,
        is_numeric=bool(numeric) and (file.layout is not None or not file.types[name].startswith("VARCHAR")),
        is_whole=bool(is_whole),
        is_marks=bool(is_marks) and filled == rows,
        kind=file.types[name],
        distinct=distinct,
        empty=rows - filled,
        rows=rows,
        cells=[value for (value,) in shown if value is not None],
    )
    return replace(column, date_format=_find_date_format(file, column))


def _is_among(text: str, words: Iterable[str]) -> str:
    return f"lower({text}) IN ({', '.join(map(quote_literal, words))})"


def _describe_bytes(file: TableFile, name: str) -> Column:
    """Return the facts about a column of bytes, which are not compared."""
    rows, filled = file.query(f"count(*), count({file.cell(name)})").fetchall()[0]
    return Column(
        name,
        is_numeric=False,
        is_whole=False,
        is_marks=False,
        kind=file.types[name],
        distinct=filled,
        empty=rows - filled,
        rows=rows,
        cells=[],
    )


def _find_date_format(file: TableFile, column: Column) -> str | None:
    """Return the format of a column of dates without empty cells: '' for ISO 8601; None for other columns."""
    if column.kind.startswith(("DATE", "TIMESTAMP")):
        return None if column.empty else ""
    looks_so = all(DATE.search(cell) for cell in column.cells[:FEW])
    if column.is_numeric or column.empty or not column.cells or not looks_so or not column.kind.startswith("VARCHAR"):
        return None
    comparable = file.comparable(column.name)
    assert isinstance(comparable, TextColumn)
    other, with_zone, without = comparable.moment_facts
    if other is None:
        return None if with_zone and without else ""
    return next(iter(comparable.find_formats(other)), None)


def split_words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()))
