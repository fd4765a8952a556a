"""Numbers of other countries: with a decimal comma, and with marks between groups of three digits."""

import re

from unlearn_cli.data.tables.csv_layout import CsvOptions
from unlearn_cli.data.tables.locked_connection import quote_literal


def has_other_marks(options: CsvOptions) -> bool:
    return options.decimal != "." or options.thousands is not None


def match_number(options: CsvOptions) -> str:
    """Return the regular expression of a number as it is written in a file."""
    decimal, mark = re.escape(options.decimal), re.escape(options.thousands or "")
    whole = rf"(\d+|\d{{1,3}}({mark}\d{{3}})+)" if mark else r"\d+"
    return rf"[+-]?({whole}({decimal}\d*)?|{decimal}\d+)([eE][+-]?\d+)?"


def replace_marks(text: str, options: CsvOptions) -> str:
    """Return the SQL of cells: numbers with a decimal point and without other marks, and all other text as it is."""
    number = f"replace({text}, {quote_literal(options.thousands)}, '')" if options.thousands else text
    number = f"replace({number}, {quote_literal(options.decimal)}, '.')"
    is_number = f"regexp_full_match({text}, {quote_literal(match_number(options))})"
    return f"CASE WHEN {is_number} THEN {number} ELSE {text} END"
