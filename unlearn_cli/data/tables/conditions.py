"""Conditions on columns as SQL, so that every format compares by the same rules.

`==`, `!=`, `in` and `not in` compare text as it is written. They compare numbers in a column that has numbers, and in a
csv, where every cell is a number without leading zeros and the manifest's value is an unquoted number. `<`, `<=`, `>`
and `>=` have an order only on numbers and on moments: every cell is a number, or every cell is an ISO 8601 date or
time, with a zone everywhere or nowhere. Columns of another type, such as TIME in parquet, have no order. A column with
a format in `dates` holds moments for all operators. An empty cell fulfils no condition.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Condition
from unlearn_cli.schema.spelling import number_of, text_of

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
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S")
FORMATS = tuple(day + time for day in DAYS for time in TIMES)
LARGEST = 10**37  # whole numbers that DuckDB compares exactly
EQUALITY = ("==", "!=", "in", "not in")
DECIMAL = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?")  # without leading zeros
SqlTerm = tuple[str, list[Any]]
Facts = dict[str, tuple[str | None, str | None, str | None]]
Ask = Callable[[str, Sequence[Any]], tuple[Any, ...]]


@dataclass(frozen=True)
class TextColumn:
    """A column of text: the SQL of its cells, null where empty, and how to ask all of them for something."""

    location: str  # for messages
    name: str
    sql: str
    ask: Ask  # the expressions of one SELECT over all cells, and their parameters
    compute: Ask  # expressions that no cell is in
    format: str | None = None  # of the manifest's `dates`
    private: bool = False  # messages show the form of a cell only
    untyped: bool = False  # of a csv: what looks like a number may be one
    line_of: Callable[[str, Sequence[Any]], str] = lambda predicate, values: ""  # " (line 7)" of the first such cell

    facts: Facts = field(default_factory=dict)  # answers to earlier queries

    @property
    def number_facts(self) -> tuple[str | None, str | None, str | None]:
        """The lowest cell that is not a number, that is not a whole number, and that has leading zeros."""
        whole, padded = f"NOT regexp_full_match(x, '{WHOLE}')", f"regexp_full_match(x, '{PADDED}')"
        return self._asked_once("number", f"NOT {is_number('x')}", whole, padded)

    @property
    def moment_facts(self) -> tuple[str | None, str | None, str | None]:
        """The lowest cell that is no ISO 8601 date or time, that has a zone, and that has none."""
        zoned = f"regexp_full_match(x, '{ZONE}')"
        return self._asked_once("moment", f"NOT {is_moment('x')}", zoned, f"NOT {zoned}")

    def _asked_once(self, fact: str, *predicates: str) -> tuple[str | None, str | None, str | None]:
        """Return the lowest cell for which each of three predicates holds; x is the cell."""
        if fact not in self.facts:
            query = ", ".join(f"min({self.sql}) FILTER (WHERE {_of(text, self.sql)})" for text in predicates)
            first, second, third = self.ask(query, [])
            self.facts[fact] = first, second, third
        return self.facts[fact]

    def formats(self, cell: str) -> list[str]:
        """Return the formats of dates, of the usual ones, that one cell and then all cells have."""
        query = ", ".join("try_strptime(?, ?) IS NOT NULL" for _ in FORMATS)
        answers = self.compute(query, [text for pattern in FORMATS for text in (cell, pattern)])
        likely = [pattern for pattern, fits in zip(FORMATS, answers, strict=True) if fits]
        if not likely:
            return []
        query = ", ".join(f"bool_and(try_strptime({self.sql}, ?) IS NOT NULL)" for _ in likely)
        return [pattern for pattern, fits in zip(likely, self.ask(query, [*likely]), strict=True) if fits]

    def shown(self, cell: str) -> str:
        """Return a cell as messages may show it: of private ones digits and letters as 9 and a."""
        return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", cell))[:60] if self.private else cell[:60]

    def moments(self, cell: str) -> SqlTerm:
        """Return the SQL of a cell of a column with a format as a moment.

        Raises:
            UserError: a cell does not have the format.
        """
        assert self.format is not None
        wrong = f"{self.sql} IS NOT NULL AND try_strptime({self.sql}, ?) IS NULL"
        bad = self.ask(f"min({self.sql}) FILTER (WHERE {wrong})", [self.format])[0]
        if bad is not None:
            at = self.line_of(wrong, [self.format])
            raise UserError(
                f"{_at(self)}{at}: '{self.shown(bad)}' does not have the format '{self.format}' that 'dates' gives; "
                "fix the cell or the format"
            )
        return f"CAST(try_strptime({cell}, ?) AS TIMESTAMPTZ)", [self.format]

    def ordered(self) -> tuple[str, list[Any], bool]:
        """Return the SQL of the cells as moments (True) or numbers (False), and its parameters.

        Raises:
            UserError: a cell is empty, or the cells have no order.
        """
        empty = f"{self.sql} IS NULL"
        if self.ask(f"count(*) FILTER (WHERE {empty})", [])[0]:
            raise UserError(f"{_at(self)}{self.line_of(empty, [])} is empty; fill it or leave the row out")
        if self.format:
            return *self.moments(self.sql), True
        if self.number_facts[0] is None:
            return f"TRY_CAST({self.sql} AS DOUBLE)", [], False
        _check_order(self)
        return f"CAST({self.sql} AS TIMESTAMPTZ)", [], True


def is_number(sql: str) -> str:
    """Return the SQL that says whether text is a number; DuckDB would read 1_000 as one, too."""
    return f"(TRY_CAST({sql} AS DOUBLE) IS NOT NULL AND NOT contains({sql}, '_'))"


def is_moment(sql: str) -> str:
    """Return the SQL that says whether text is an ISO 8601 date, or date and time."""
    return f"(regexp_full_match({sql}, '{ISO}') AND TRY_CAST({sql} AS TIMESTAMPTZ) IS NOT NULL)"


def _of(predicate: str, sql: str) -> str:
    return predicate.replace("(x", f"({sql}")


def build_conjunction(
    conditions: Sequence[Condition], comparable: Callable[[str], "TextColumn | TypedColumn"], cell: Callable[[str], str]
) -> SqlTerm:
    """Return the SQL that says whether all conditions hold (never null), and its parameters.

    `cell` gives the SQL of a column's cell in the rows to choose from.

    Raises:
        UserError: a column has no order, or a value cannot be compared with it.
    """
    terms, values = [], []
    for condition in conditions:
        column = comparable(condition.column)
        compare = _compare_text if isinstance(column, TextColumn) else _compare_typed
        term, more = compare(condition, column, cell(condition.column))  # type: ignore[arg-type]
        terms.append(f"({term})")
        values += more
    return f"coalesce({' AND '.join(terms)}, false)", values


def _compare_text(condition: Condition, column: TextColumn, cell: str) -> SqlTerm:
    given = condition.value if isinstance(condition.value, list) else [condition.value]
    if column.format:
        return _with_format(condition.op, given, column, cell)
    if condition.op in EQUALITY:
        numbers = [_decimal_of(value) if column.untyped else None for value in given]
        if None not in numbers and column.number_facts[0] is None and column.number_facts[2] is None:
            return _as_numbers(condition.op, numbers, column, cell)
        return _joined(cell, condition.op, ["?"] * len(given)), [text_of(value) for value in given]
    return _in_order(condition.op, given[0], column, cell)


def _in_order(op: str, value: Any, column: TextColumn, cell: str) -> SqlTerm:
    number = parse_number(text_of(value))
    if column.number_facts[0] is None:
        if number is None:
            raise UserError(f"{_at(column)} holds numbers; compare it with numbers (the value is text)")
        return _as_numbers(op, [number], column, cell)
    _check_order(column)
    text = _moment(value, column, zoned=bool(column.moment_facts[1]))
    return _joined(f"CAST({cell} AS TIMESTAMPTZ)", op, ["CAST(? AS TIMESTAMPTZ)"]), [text]


def _check_order(column: TextColumn) -> None:
    """Refuse cells that are not ISO 8601 dates or times, all of them with a zone or all without."""
    no_moment, with_zone, without = column.moment_facts
    if no_moment is not None:
        looks = column.formats(no_moment)
        raise _no_order(column, no_moment if looks else column.number_facts[0] or no_moment, looks)
    if with_zone and without:
        examples = f"('{column.shown(with_zone)}', '{column.shown(without)}')"
        raise UserError(f"{_at(column)} has cells with and without a time zone {examples}; write all of them alike")


def _no_order(column: TextColumn, cell: str, looks: Sequence[str]) -> UserError:
    seen = f", which looks like {' or '.join(looks[:2])}" if looks else ""
    example = looks[0] if looks else "%d-%m-%Y %H:%M"
    source = column.location.partition(":")[0]
    return UserError(
        f"{_at(column)} holds text such as '{column.shown(cell)}'{seen}; an order needs numbers or ISO 8601 "
        f'dates in every cell; if it holds dates, give their format: {source}.dates: {{{column.name}: "{example}"}}'
    )


def _with_format(op: str, given: Sequence[Any], column: TextColumn, cell: str) -> SqlTerm:
    """Compare moments; a value may be ISO 8601 or have the column's format."""
    cells, formats = column.moments(cell)
    terms, values = [], []
    for value in given:
        text = text_of(value)
        fits = column.compute("try_strptime(?, ?) IS NOT NULL", [text, column.format])[0]
        terms.append("CAST(try_strptime(?, ?) AS TIMESTAMPTZ)" if fits else "CAST(? AS TIMESTAMPTZ)")
        values += [text, column.format] if fits else [_moment(text, column, zoned=None)]
    return _joined(cells, op, terms), [*formats, *values]


def _moment(value: Any, column: TextColumn, *, zoned: bool | None) -> str:
    """Return a value as ISO 8601 text that can be compared with the column's cells."""
    text = text_of(value)
    moment, with_zone = column.compute(f"{is_moment('x')}, regexp_full_match(x, '{ZONE}') FROM (SELECT ? AS x)", [text])
    if not moment:
        more = f", or one of the format '{column.format}'" if column.format else ""
        raise UserError(f"{_at(column)} holds dates; compare it with an ISO 8601 date, such as 2013-01-31{more}")
    if zoned is not None and bool(with_zone) != zoned:
        raise UserError(f"{_at(column)} has {'a' if zoned else 'no'} time zone in its cells; write the value alike")
    return text


def _as_numbers(op: str, numbers: Sequence[Any], column: TextColumn, cell: str) -> SqlTerm:
    _refuse_large(numbers, column)
    whole = column.number_facts[1] is None and all(isinstance(number, int) for number in numbers)
    kind = "HUGEINT" if whole else "DOUBLE"
    cells = f"TRY_CAST({cell} AS {kind})"
    not_nan = "" if whole else f" AND NOT isnan({cells})"  # DuckDB takes NaN for the largest number
    return f"({_joined(cells, op, ['?'] * len(numbers))}{not_nan})", list(numbers)


@dataclass(frozen=True)
class TypedColumn:
    """A column that has a type of its own: of jsonl or parquet."""

    location: str
    name: str
    kind: str


def _compare_typed(condition: Condition, column: TypedColumn, cell: str) -> SqlTerm:
    given = condition.value if isinstance(condition.value, list) else [condition.value]
    texts = [text_of(value) for value in given]
    if column.kind.startswith(("DATE", "TIMESTAMP")):
        _check_moments(texts, column)
        return _joined(f"CAST({cell} AS TIMESTAMPTZ)", condition.op, ["CAST(? AS TIMESTAMPTZ)"] * len(texts)), texts
    if not column.kind.startswith(NUMERIC) or column.kind.endswith("]"):
        _check_equality(condition.op, column)
        return _joined(f"{cell}::VARCHAR", condition.op, ["?"] * len(texts)), texts
    values = [number_of(value) for value in given]
    if None in values:
        raise UserError(f"{_at(column)} holds numbers; compare it with numbers")
    _refuse_large(values, column)
    not_nan = f" AND NOT isnan({cell})" if column.kind in ("FLOAT", "DOUBLE") else ""
    return _joined(cell, condition.op, ["?"] * len(values)) + not_nan, values


NUMERIC = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "BOOLEAN",
)


def _check_equality(op: str, column: TypedColumn) -> None:
    """Refuse an order on values such as TIME or INTERVAL, which would be that of their text: '15 days' < '9 days'."""
    if op not in EQUALITY:
        raise UserError(
            f"{_at(column)} holds values of type {column.kind[:60]}, which '{op}' does not compare; an order "
            "needs numbers or dates: store it as one of these, or use '==', '!=', 'in' or 'not in'"
        )


def _check_moments(texts: Sequence[str], column: TypedColumn) -> None:
    zoned = column.kind == "TIMESTAMP WITH TIME ZONE"
    for text in texts:
        if not re.fullmatch(ISO, text):
            raise UserError(f"{_at(column)} holds dates; compare it with an ISO 8601 date, such as 2013-01-31")
        if bool(re.fullmatch(ZONE, text)) != zoned:
            raise UserError(f"{_at(column)} has {'a' if zoned else 'no'} time zone; write the value alike")


def _refuse_large(numbers: Sequence[Any], column: "TextColumn | TypedColumn") -> None:
    if any(abs(number) > LARGEST for number in numbers if isinstance(number, int)):
        raise UserError(f"{_at(column)}: the number is too large; correct it")


def _joined(cells: str, op: str, terms: Sequence[str]) -> str:
    return f"{cells} {op} {'(' + ', '.join(terms) + ')' if 'in' in op else terms[0]}"


def _decimal_of(value: str | int | float | bool) -> int | float | None:
    """Return an unquoted decimal number; None for text, and for what has leading zeros or is hexadecimal: a name."""
    number = number_of(value)
    return None if isinstance(number, bool) or not DECIMAL.fullmatch(text_of(value)) else number


def parse_number(text: str) -> int | float | None:
    try:
        return None if "_" in text else int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _at(column: TextColumn | TypedColumn) -> str:
    return f"{column.location}: column '{column.name}'"
