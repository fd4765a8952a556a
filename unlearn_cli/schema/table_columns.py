"""Types of the keys of a table that describe its text and how columns become numbers."""

import codecs
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from unicodedata import category

from pydantic import AfterValidator, BeforeValidator, Field

from unlearn_cli.schema.spelling import Name
from unlearn_cli.schema.strict_yaml import PlainScalar

TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".train", ".test")  # of tables of text
WHITESPACE = "whitespace"  # the delimiter of columns that are separated by any number of blanks
NUMERIC = ("Pd", "Ps", "Pe", "Sm")  # categories of Unicode: dashes, brackets, and signs such as < and another minus
NOT_TEXT = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"}  # codecs for other uses


def _check_delimiter(text: str) -> str:
    if text != WHITESPACE and (len(text) != 1 or text in '"\r\n\0'):
        raise ValueError(f"is not a delimiter; expected one character, such as ';', or '{WHITESPACE}'")
    return text


def _check_encoding(name: str) -> str:
    try:
        codec = codecs.lookup(name).name
        works = codec not in NOT_TEXT and "a,1\n".encode(codec).decode(codec) == "a,1\n"
    except (LookupError, UnicodeError):
        works = False
    if not works:
        raise ValueError("is not an encoding; expected a name such as utf-8, utf-16, cp1252, latin-1 or shift_jis")
    return name


def _take_bool(value: Any) -> Any:
    """Return the value of an unquoted scalar; the names of a list keep their spelling."""
    return value.value if isinstance(value, PlainScalar) else value


def _check_separator(text: str) -> str:
    if not text.strip(" "):
        raise ValueError("is blank; expected text between labels, such as '|' or ';'")
    return text


def _check_mark(text: str) -> str:
    if len(text) != 1 or text.isalnum() or text in '"+-':
        raise ValueError("is not a mark within numbers; expected one character, such as ',' or '.'")
    return text


def _check_unit(text: str) -> str:
    changes_number = any(sign.isdigit() or category(sign) in NUMERIC for sign in text)
    if not text or text != text.strip() or changes_number or any(sign in '".,' for sign in text):
        raise ValueError("is not a unit next to numbers; expected text without digits and signs, such as '$' or 'kg'")
    return text


Units = list[Annotated[str, AfterValidator(_check_unit)]]
NumberMark = Annotated[str, AfterValidator(_check_mark)]
Separator = Annotated[str, AfterValidator(_check_separator)]
Delimiter = Annotated[str, AfterValidator(_check_delimiter)]
Encoding = Annotated[str, AfterValidator(_check_encoding)]
Header = Annotated[bool | Annotated[list[Name], Field(min_length=1)], BeforeValidator(_take_bool)]

CategoryColumns = list[str] | dict[str, Annotated[list[Name], Field(min_length=1)] | None]
DatePart = Literal["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second", "days"]
DateParts = dict[str, Annotated[list[DatePart], Field(min_length=1)]]
CategoryKind = Literal["one_hot", "ordinal"]


def list_categories(section: CategoryColumns) -> Mapping[str, tuple[str, ...] | None]:
    """Return the categories of each column as text; None: those of train."""
    if isinstance(section, list):
        return dict.fromkeys(section)
    return {column: None if names is None else tuple(map(str, names)) for column, names in section.items()}
