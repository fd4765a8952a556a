"""A deletion request: who asked for what, and until when. Requests are data: nothing in one is a path or code."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, FailFast, Field, ValidationError, model_validator

from unlearn_cli.batch.ledger import clock, keyed
from unlearn_cli.batch.requests.reasons import format_reason
from unlearn_cli.console import in_one_line
from unlearn_cli.schema.forget import Groups
from unlearn_cli.schema.manifest_errors import format_errors
from unlearn_cli.schema.sources import Condition, Section
from unlearn_cli.schema.spelling import NAMED, Name
from unlearn_cli.schema.strict_yaml import MAX_DEPTH, Document, Location, PlainScalar, Position

MAX_BITS = 128  # of a whole number: no source holds larger ones
MAX_REQUESTS = 10_000  # of a file
MAX_IDS, MAX_ID_LENGTH, MAX_CONDITIONS, MAX_MISTAKES = 2_000_000, 4096, 100, 50  # of a request
ID_PATTERN = "[A-Za-z0-9._:-]{1,100}"


class RequestFormatError(Exception):
    """Why a file, or a line of it, is set aside."""


def check_count(count: int) -> None:
    """Refuse a file of too many requests."""
    if count > MAX_REQUESTS:
        raise RequestFormatError(f"holds more than {MAX_REQUESTS} requests; split it")


def _parse_zoned_time(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None or not 1970 < time.year < 9000:  # room for a deadline, and four digits
            raise ValueError
        return time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a time with its zone, such as 2026-11-20T09:30:00Z") from None


ZonedTime = Annotated[datetime, BeforeValidator(_parse_zoned_time)]
RecordId = Annotated[Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)] | int, NAMED]


class Request(Section):
    """One request: what must be forgotten is the union of what it lists."""

    request: Annotated[str, Field(pattern=f"^{ID_PATTERN}$")] = Field(description="its id: letters, digits and ._:-")
    received: ZonedTime = Field(description="when it came in, with the zone: 2026-11-20T09:30:00Z")
    due: ZonedTime | None = Field(default=None, description="default: received and the deadline of deletion.yaml")
    ids: Annotated[list[RecordId], FailFast(), Field(max_length=MAX_IDS)] = Field(default_factory=list)
    groups: Groups | None = None
    classes: Annotated[list[Name], FailFast()] = Field(default_factory=list)
    where: Annotated[list[Condition], Field(max_length=MAX_CONDITIONS)] = Field(
        default_factory=list, description="conditions, all of which must hold"
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        if not any((self.ids, self.groups, self.classes, self.where)):
            raise ValueError("names no records; expected ids, groups, classes or where")
        if self.due is not None and self.due < self.received:
            raise ValueError("'due' is before 'received'; correct one of the two")
        return self

    @property
    def content(self) -> dict[str, Any]:
        """What the request says, the same for requests that differ only in order, repetition or '17' and 17."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        said |= {"received": clock.format_time(self.received)}
        said |= {"due": clock.format_time(self.due)} if self.due else {}
        said |= {"ids": sorted({str(one) for one in self.ids})} if self.ids else {}
        said |= {"groups": _group_content(self.groups)} if self.groups else {}
        said |= {"classes": sorted({str(one) for one in self.classes})} if self.classes else {}
        return said


def _group_content(groups: Groups) -> dict[str, Any]:
    return {"column": groups.column, "values": sorted({str(value) for value in groups.values})}


@dataclass(frozen=True)
class RequestEntry:
    """One request of a file: its content, or the reason why it is none. `digest` is keyed: ids can be guessed."""

    id: str | None
    digest: str
    content: Request | None = None
    reason: str | None = None


def digest_request(request: Request, key: bytes) -> str:
    """Return by what a request is recognised when it comes again."""
    return keyed.digest(key, keyed.to_canonical_json(request.content))


def make_refusal(why: str, raw: str, key: bytes, name: Any = None) -> RequestEntry:
    """Return an item that is no request; `raw` is what the file says there."""
    known = name if isinstance(name, str) and re.fullmatch(ID_PATTERN, name) else None
    return RequestEntry(known, keyed.digest(key, raw), reason=format_reason(why))


def parse_request(value: Any, document: Document | None, place: tuple[str, int], raw: str, key: bytes) -> RequestEntry:
    """Return the request that a value is, or why it is none; `document` knows the places of its parts."""
    name, line = place
    if not isinstance(value, dict):
        return make_refusal(f"{name}:{line}:1: expected a mapping with 'request' and 'received'", raw, key)
    if unusable := find_unusable_value(value):
        return make_refusal(f"{name}:{line}:1: {unusable}", raw, key, value.get("request"))
    try:
        request = Request.model_validate(value)
    except ValidationError as error:
        if error.error_count() > MAX_MISTAKES:
            told = f"{name}:{line}:1: has more than {MAX_MISTAKES} mistakes; expected a deletion request"
        else:
            known = document or Document(Path(name), value, _positions(value, error, line))
            told = "; ".join(format_errors(error, known, json_schema()))
        return make_refusal(told, raw, key, value.get("request"))
    return RequestEntry(request.request, digest_request(request, key), request)


def find_unusable_value(value: dict[str, Any]) -> str | None:
    """Name a value that neither the ledger nor a source can hold, and that no library reads as it was meant."""
    parts: list[tuple[Any, str, int]] = [(value, "", 0)]
    while parts:
        part, field, depth = parts.pop()
        if depth > MAX_DEPTH:
            return f"{field}: more than {MAX_DEPTH} levels; a request needs fewer"
        if isinstance(part, dict):
            parts += [
                (inner, in_one_line(str(key))[:100], depth + 1) for key, item in part.items() for inner in (key, item)
            ]
        elif isinstance(part, list):
            parts += [(item, field, depth + 1) for item in part]
        elif mistake := _mistake(part):
            return f"{field}: {mistake}"
    return None


def _mistake(scalar: Any) -> str | None:
    """Say why a text or a number is of no use."""
    if isinstance(scalar, str) and "\0" in scalar:
        return "a text holds a NUL character; take it out"
    if isinstance(scalar, str) and not scalar.isascii() and any("\ud800" <= letter <= "\udfff" for letter in scalar):
        return "a text holds half of a surrogate pair; write the whole letter"
    number = scalar.value if isinstance(scalar, PlainScalar) else scalar
    if isinstance(number, int) and number.bit_length() > MAX_BITS - 1:
        return f"a whole number has more than {MAX_BITS} bits; correct it, or quote it if it is a name"
    return None


def _positions(value: Any, error: ValidationError, line: int) -> dict[Location, Position]:
    """Return places for the values that are wrong, and what is around them: they all stand on one line."""
    places: dict[Location, Position] = {(): (line, 1)}
    for mistake in error.errors(include_url=False, include_context=False, include_input=False):
        kept: Location = ()
        inner: Any = value
        for part in mistake["loc"]:
            if _has(inner, part):  # the others are pydantic's names for the forms that a value may have
                kept, inner = (*kept, part), inner[part]
                places[kept] = (line, 1)
    return places


def _has(value: Any, part: str | int) -> bool:
    in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
    return in_list or (isinstance(value, dict) and part in value)


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a request, for those who write some."""
    return Request.model_json_schema()
