"""Conditions on columns as SQL, so that every format compares by the same rules.

* `==`, `!=`, `in` and `not in` compare text as written. They compare numbers in a column of a numeric type, and in a
  csv if every cell is a number without leading zeros and the manifest's value is an unquoted number.
* `<`, `<=`, `>` and `>=` compare only numbers and moments: every cell is a number, or every cell is an ISO 8601 date or
  date and time, with a time zone in all cells or in none. Other types, such as TIME in parquet, are refused.
* In a column of class numbers whose file lists the names (`ClassLabel`), `==`, `!=`, `in` and `not in` take a name as
  written; a number that is not a name is the number of a class, unless names are numbers.
* A column with a format in `dates` is compared as moments by all operators.
* An empty cell fulfils no condition.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from unlearn_cli.data.compared_values import check_numbers
from unlearn_cli.data.tables.comparable_columns import (
    ISO,
    ZONE,
    SqlTerm,
    TextColumn,
    TypedColumn,
    check_order,
    has_year,
    is_moment,
)
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema.sources import Condition
from unlearn_cli.schema.spelling import number_of, text_of

LARGEST = 10**37  # whole numbers that DuckDB compares exactly
EQUALITY = ("==", "!=", "in", "not in")
DECIMAL = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?")  # without leading zeros


def build_conjunction(
    conditions: Sequence[Condition], comparable: Callable[[str], "TextColumn | TypedColumn"], cell: Callable[[str], str]
) -> SqlTerm:
    """Return the SQL predicate that all conditions hold (never null), and its parameters.

    `cell` returns the SQL of a column's cell in the rows to choose from.

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
    return f"coalesce({' AND '.join(terms) or 'true'}, false)", values


def number_class(condition: Condition, names: Sequence[str] | None, location: str) -> Condition:
    """Return a condition with numbers instead of the names of classes; `names` are those that the file lists, if any.

    Raises:
        UserError: a value is neither a name nor the number of a class, or a number although names are numbers.
    """
    if names is None or condition.op not in EQUALITY:
        return condition
    given = condition.value if isinstance(condition.value, list) else [condition.value]
    numbers = [_find_class(text_of(value), names, f"{location}: column '{condition.column}'") for value in given]
    return condition.model_copy(update={"value": numbers if isinstance(condition.value, list) else numbers[0]})


def _find_class(text: str, names: Sequence[str], label: str) -> int:
    if text in names:
        return names.index(text)
    may_be_number = not any(name.lstrip("-").isdecimal() for name in names)
    if may_be_number and text.lstrip("-").isdecimal() and -1 <= int(text) < len(names):
        return int(text)
    raise UserError(f"{label}: no class '{text[:60]}'; {did_you_mean(text, names)}")


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
            raise UserError(f"{column.label} contains numbers; compare it with numbers (the value is text)")
        return _as_numbers(op, [number], column, cell)
    check_order(column)
    text = _moment(value, column, zoned=bool(column.moment_facts[1]))
    return _joined(f"CAST({cell} AS TIMESTAMPTZ)", op, ["CAST(? AS TIMESTAMPTZ)"]), [text]


def _with_format(op: str, given: Sequence[Any], column: TextColumn, cell: str) -> SqlTerm:
    """Compare moments; a value may be ISO 8601 or have the column's format."""
    cells, formats = column.convert_to_moments(cell)
    terms, values = [], []
    for value in given:
        text = text_of(value)
        fits = column.compute("try_strptime(?, ?) IS NOT NULL", [text, column.format])[0]
        fits = fits and has_year(text, column.format or "")
        terms.append("CAST(try_strptime(?, ?) AS TIMESTAMPTZ)" if fits else "CAST(? AS TIMESTAMPTZ)")
        values += [text, column.format] if fits else [_moment(text, column, zoned=None)]
    return _joined(cells, op, terms), [*formats, *values]


def _moment(value: Any, column: TextColumn, *, zoned: bool | None) -> str:
    """Return a value as ISO 8601 text that can be compared with the column's cells."""
    text = text_of(value)
    moment, with_zone = column.compute(f"{is_moment('x')}, regexp_full_match(x, '{ZONE}') FROM (SELECT ? AS x)", [text])
    if not moment:
        more = f", or one of the format '{column.format}'" if column.format else ""
        raise UserError(f"{column.label} contains dates; compare it with an ISO 8601 date, such as 2013-01-31{more}")
    if zoned is not None and bool(with_zone) != zoned:
        raise UserError(
            f"{column.label} has {'a' if zoned else 'no'} time zone in its cells; write the value "
            f"{'with' if zoned else 'without'} one"
        )
    return text


def _as_numbers(op: str, numbers: Sequence[Any], column: TextColumn, cell: str) -> SqlTerm:
    _refuse_large(numbers, column)
    whole = column.number_facts[1] is None and all(isinstance(number, int) for number in numbers)
    kind = "HUGEINT" if whole else "DOUBLE"
    cells = f"TRY_CAST({cell} AS {kind})"
    not_nan = "" if whole else f" AND NOT isnan({cells})"  # for DuckDB, NaN is the largest number
    return f"({_joined(cells, op, ['?'] * len(numbers))}{not_nan})", list(numbers)


def _compare_typed(condition: Condition, column: TypedColumn, cell: str) -> SqlTerm:
    given = condition.value if isinstance(condition.value, list) else [condition.value]
    texts = [text_of(value) for value in given]
    if column.kind.startswith(("DATE", "TIMESTAMP")):
        _check_moments(texts, column)
        return _joined(f"CAST({cell} AS TIMESTAMPTZ)", condition.op, ["CAST(? AS TIMESTAMPTZ)"] * len(texts)), texts
    if not column.kind.startswith(NUMERIC) or column.kind.endswith("]"):
        _check_equality(condition.op, column)
        return _joined(f"{cell}::VARCHAR", condition.op, ["?"] * len(texts)), texts
    check_numbers(given, column.label, is_boolean=column.kind == "BOOLEAN")
    values = [number_of(value) for value in given]
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
    """Refuse an order on types such as TIME or INTERVAL, which are compared as text: '15 days' < '9 days'."""
    if op not in EQUALITY:
        raise UserError(
            f"{column.label} contains values of type {column.kind[:60]}, which '{op}' does not compare; an order "
            "needs numbers or dates: store it as one of these, or use '==', '!=', 'in' or 'not in'"
        )


def _check_moments(texts: Sequence[str], column: TypedColumn) -> None:
    zoned = column.kind == "TIMESTAMP WITH TIME ZONE"
    for text in texts:
        if not re.fullmatch(ISO, text):
            raise UserError(f"{column.label} contains dates; compare it with an ISO 8601 date, such as 2013-01-31")
        if bool(re.fullmatch(ZONE, text)) != zoned:
            raise UserError(
                f"{column.label} has {'a' if zoned else 'no'} time zone; write the value "
                f"{'with' if zoned else 'without'} one"
            )


def _refuse_large(numbers: Sequence[Any], column: "TextColumn | TypedColumn") -> None:
    if any(abs(number) > LARGEST for number in numbers if isinstance(number, int)):
        raise UserError(f"{column.label}: the number is too large; correct it")


def _joined(cells: str, op: str, terms: Sequence[str]) -> str:
    return f"{cells} {op} {'(' + ', '.join(terms) + ')' if 'in' in op else terms[0]}"


def _decimal_of(value: str | int | float | bool) -> int | float | None:
    """Return an unquoted decimal number; None for text, leading zeros and hexadecimal numbers, which are names."""
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
