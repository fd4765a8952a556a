"""Columns for conditions: the SQL of their cells, and facts about all cells of a column."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unlearn_cli.errors import UserError

ISO = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
ZONE = r".*:.*(Z|[+-]\d\d(:?\d\d)?)"
WHOLE = r"[+-]?\d{1,37}"
PADDED = r"[+-]?0\d+.*"
DAYS = (
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%d-%m-%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%Y-%m-%d",
)
FULL_YEAR, FOUR_DIGITS = "%Y", r".*\d{4}.*"
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S")
FORMATS = tuple(day + time for day in DAYS for time in TIMES)
SqlTerm = tuple[str, list[Any]]
Facts = dict[str, tuple[str | None, str | None, str | None]]
Query = Callable[[str, Sequence[Any]], tuple[Any, ...]]


@dataclass(frozen=True)
class TextColumn:
    """A column of text: the SQL of its cells (null where empty) and functions that query all of them."""

    location: str  # for messages
    name: str
    sql: str
    query: Query  # runs one SELECT over all cells: its expressions and their parameters
    compute: Query  # evaluates expressions without cells
    format: str | None = None  # of the manifest's `dates`
    private: bool = False  # messages show only the pattern of a cell
    untyped: bool = False  # in a csv: cells that look like numbers may be compared as numbers
    line_of: Callable[[str, Sequence[Any]], str] = lambda predicate, values: ""  # " (line 7)" of the first such cell

    facts: Facts = field(default_factory=dict)  # answers to earlier queries

    @property
    def label(self) -> str:
        """The column as messages name it."""
        return f"{self.location}: column '{self.name}'"

    @property
    def number_facts(self) -> tuple[str | None, str | None, str | None]:
        """The lowest cell that is not a number, that is not an integer, and that has leading zeros."""
        whole, padded = f"NOT regexp_full_match(x, '{WHOLE}')", f"regexp_full_match(x, '{PADDED}')"
        return self._query_once("number", f"NOT {is_number('x')}", whole, padded)

    @property
    def moment_facts(self) -> tuple[str | None, str | None, str | None]:
        """The lowest cell that is not an ISO 8601 date or time, that has a time zone, and that has none."""
        zoned = f"regexp_full_match(x, '{ZONE}')"
        return self._query_once("moment", f"NOT {is_moment('x')}", zoned, f"NOT {zoned}")

    def _query_once(self, fact: str, *predicates: str) -> tuple[str | None, str | None, str | None]:
        """Return the lowest cell for which each of three predicates holds; x is the cell."""
        if fact not in self.facts:
            terms = ", ".join(
                f"min({self.sql}) FILTER (WHERE {_substitute_cell(text, self.sql)})" for text in predicates
            )
            first, second, third = self.query(terms, [])
            self.facts[fact] = first, second, third
        return self.facts[fact]

    def find_formats(self, cell: str) -> list[str]:
        """Return the common date formats that fit this cell and all other cells."""
        terms = ", ".join("try_strptime(?, ?) IS NOT NULL" for _ in FORMATS)
        answers = self.compute(terms, [text for pattern in FORMATS for text in (cell, pattern)])
        likely = [pattern for pattern, fits in zip(FORMATS, answers, strict=True) if fits and has_year(cell, pattern)]
        if not likely:
            return []
        terms = ", ".join(f"bool_and({has_format(self.sql, pattern)})" for pattern in likely)
        return [pattern for pattern, fits in zip(likely, self.query(terms, [*likely]), strict=True) if fits]

    def format_cell(self, cell: str) -> str:
        """Return a cell for messages, shortened; in a private column with 9 for each digit and a for each letter."""
        return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", cell))[:60] if self.private else cell[:60]

    def convert_to_moments(self, cell: str) -> SqlTerm:
        """Return the SQL that converts a cell to a moment by the column's format.

        Raises:
            UserError: a cell does not have the format.
        """
        assert self.format is not None
        wrong = f"{self.sql} IS NOT NULL AND NOT ({has_format(self.sql, self.format)})"
        bad = self.query(f"min({self.sql}) FILTER (WHERE {wrong})", [self.format])[0]
        if bad is not None:
            at = self.line_of(wrong, [self.format])
            raise UserError(
                f"{self.label}{at}: '{self.format_cell(bad)}' does not have the format '{self.format}' of 'dates'; "
                "fix the cell or the format"
            )
        return f"CAST(try_strptime({cell}, ?) AS TIMESTAMPTZ)", [self.format]

    def convert_to_ordered(self) -> tuple[str, list[Any], bool]:
        """Return the SQL of the cells as moments (True) or numbers (False), and its parameters.

        Raises:
            UserError: a cell is empty, or the cells have no order.
        """
        empty = f"{self.sql} IS NULL"
        if self.query(f"count(*) FILTER (WHERE {empty})", [])[0]:
            raise UserError(f"{self.label}{self.line_of(empty, [])} is empty; fill it or leave the row out")
        if self.format:
            return *self.convert_to_moments(self.sql), True
        if self.number_facts[0] is None:
            return f"TRY_CAST({self.sql} AS DOUBLE)", [], False
        check_order(self)
        return f"CAST({self.sql} AS TIMESTAMPTZ)", [], True


@dataclass(frozen=True)
class TypedColumn:
    """A typed column of a jsonl or parquet file."""

    location: str
    name: str
    kind: str

    @property
    def label(self) -> str:
        """The column as messages name it."""
        return f"{self.location}: column '{self.name}'"


def check_order(column: TextColumn) -> None:
    """Refuse cells that are not ISO 8601 dates or times, all of them with a zone or all without."""
    no_moment, with_zone, without = column.moment_facts
    if no_moment is not None:
        looks = column.find_formats(no_moment)
        no_number = column.number_facts[0]
        raise _refuse_order(column, no_moment if looks or no_number is None or _is_iso(no_number) else no_number, looks)
    if with_zone and without:
        examples = f"('{column.format_cell(with_zone)}', '{column.format_cell(without)}')"
        raise UserError(f"{column.label} has cells with and without a time zone {examples}; use the same form in all")


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _refuse_order(column: TextColumn, cell: str, looks: Sequence[str]) -> UserError:
    seen = f", which looks like {' or '.join(looks[:2])}" if looks else ""
    example = looks[0] if looks else "%d-%m-%Y %H:%M"
    source = column.location.partition(":")[0]
    return UserError(
        f"{column.label} contains text such as '{column.format_cell(cell)}'{seen}; an order needs numbers or ISO 8601 "
        f'dates in every cell; for dates, give their format: {source}.dates: {{{column.name}: "{example}"}}'
    )


def has_format(sql: str, pattern: str) -> str:
    """Return the SQL predicate that text, null where empty, has a date format, which is a parameter.

    DuckDB takes 1/1/20 for a date of the year 20 by %Y; as in Python, four digits are expected.
    """
    year = f" AND regexp_full_match({sql}, '{FOUR_DIGITS}')" if FULL_YEAR in pattern else ""
    return f"{sql} IS NULL OR (try_strptime({sql}, ?) IS NOT NULL{year})"


def has_year(text: str, pattern: str) -> bool:
    """Return whether a text has a year of four digits where the format has one."""
    return FULL_YEAR not in pattern or re.fullmatch(FOUR_DIGITS, text) is not None


def is_number(sql: str) -> str:
    """Return the SQL predicate that text is a number; unlike DuckDB, it refuses 1_000."""
    return f"(TRY_CAST({sql} AS DOUBLE) IS NOT NULL AND NOT contains({sql}, '_'))"


def cast_text(cell: str, kind: str) -> str:
    """Return the SQL that converts text to numbers, null where it is not a number."""
    if kind == "DOUBLE":
        return f"CASE WHEN NOT contains({cell}, '_') THEN TRY_CAST({cell} AS DOUBLE) END"
    return f"TRY_CAST({cell} AS {kind})"


def is_moment(sql: str) -> str:
    """Return the SQL predicate that text is an ISO 8601 date, or date and time."""
    return f"(regexp_full_match({sql}, '{ISO}') AND TRY_CAST({sql} AS TIMESTAMPTZ) IS NOT NULL)"


def _substitute_cell(predicate: str, sql: str) -> str:
    return predicate.replace("(x", f"({sql}")
