"""Numbers as people write them: with a decimal comma, marks between groups of three digits, or units such as $."""

import re
from collections.abc import Sequence
from typing import Any

from unlearn_cli.data.tables.csv_layout import CsvOptions
from unlearn_cli.data.tables.locked_connection import quote_literal

BLANK = "[ \u00a0\u202f]?"  # between a number and its unit; two of them do not break lines
UNIT = r"([^\W\d_]+|[%‰°$¢£¥€₩₹₺₽])?"  # letters, or one sign: not <, ( or another minus, which change the number
NUMBER_IN_UNITS = re.compile(rf"([+-]?){UNIT}{BLANK}([+-]?\d(?:[\d.,' \u00a0\u202f]*[\d.,])?){BLANK}{UNIT}")
MULTIPLES = {"k", "K", "m", "M", "b", "B", "bn", "Mio"}  # 5k is not 5
MARKS = {".": (",", "'", " ", "\u00a0", "\u202f"), ",": (".", "'", " ", "\u00a0", "\u202f")}  # thousands, by decimal


def has_other_marks(options: CsvOptions) -> bool:
    return options.decimal != "." or options.thousands is not None or bool(options.units)


def match_number(options: CsvOptions) -> str:
    """Return the regular expression of a number as it is written in a file; its groups are sign and number."""
    decimal, mark = re.escape(options.decimal), re.escape(options.thousands or "")
    whole = rf"(?:\d+|\d{{1,3}}(?:{mark}\d{{3}})+)" if mark else r"\d+"
    number = rf"(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?"
    if not options.units:
        return f"([+-]?)({number})"
    unit = f"(?:{'|'.join(map(re.escape, options.units))})"
    return rf"(?:{unit}{BLANK})?([+-]?)(?:{unit}{BLANK})?({number})(?:{BLANK}{unit})?"


def replace_marks(text: str, options: CsvOptions) -> str:
    """Return the SQL of cells: numbers with a decimal point and without other marks, and all other text as it is."""
    pattern = match_number(options)
    number = f"regexp_replace({text}, {quote_literal(f'^{pattern}$')}, '\\1\\2')" if options.units else text
    number = f"replace({number}, {quote_literal(options.thousands)}, '')" if options.thousands else number
    number = f"replace({number}, {quote_literal(options.decimal)}, '.')"
    return f"CASE WHEN regexp_full_match({text}, {quote_literal(pattern)}) THEN {number} ELSE {text} END"


def split_units(cell: str) -> tuple[str, list[str]]:
    """Return the only number of a cell, and the text before and after it: 12 and % for 12%; ('', []) without one."""
    match = NUMBER_IN_UNITS.fullmatch(cell)
    if match is None:
        return "", []
    return match[1] + match[3], [unit for unit in match.group(2, 4) if unit]


def find_marks(numbers: Sequence[str], *, comma_first: bool) -> dict[str, str] | None:
    """Return the keys `decimal` and `thousands` of the first form that all numbers have; None without such a form.

    `comma_first`: commas are between thousands rather than before decimals.
    """
    usual = [CsvOptions(), CsvOptions(thousands=","), CsvOptions(decimal=",")]
    forms = usual if comma_first else [usual[0], usual[2], usual[1]]
    others = [CsvOptions(decimal=decimal, thousands=mark) for decimal, marks in MARKS.items() for mark in marks]
    for form in (*forms, *others):
        if all(re.fullmatch(match_number(form), number) for number in numbers):
            keys = {"decimal": form.decimal, "thousands": form.thousands}
            return {} if form == usual[0] else {key: mark for key, mark in keys.items() if mark}
    return None


def advise_keys(cell: str, delimiter: str) -> str:
    """Return the keys of a table with which a cell is a number, as the end of a message; '' if no key makes it one."""
    number, units = split_units(cell)
    marks = find_marks([number], comma_first=delimiter == ",") if number else None
    if marks is None or not (units or marks) or not MULTIPLES.isdisjoint(units):
        return ""
    keys: dict[str, Any] = {**({"units": units} if units else {}), **marks}
    shown = [f"{key}: {mark!r}" for key, mark in keys.items() if (key, mark) != ("decimal", ".")]
    return f", or set {' and '.join(shown)}"
