"""A deletion request: which records to forget, and by when. A request is only data: nothing in it is a path or code."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, FailFast, Field, ValidationError, model_validator

from unlearn_cli.batch.ledger import clock, keyed
from unlearn_cli.batch.requests.reasons import format_reason
from unlearn_cli.console import escape_line
from unlearn_cli.schema.forget import Groups
from unlearn_cli.schema.manifest_errors import format_errors
from unlearn_cli.schema.sources import Condition, Section
from unlearn_cli.schema.spelling import NAMED, Name
from unlearn_cli.schema.strict_yaml import MAX_DEPTH, Document, Location, PlainScalar, Position

MAX_BITS = 128  # of an integer: no source holds larger ones
MAX_REQUESTS = 10_000  # per file
MAX_IDS, MAX_ID_LENGTH, MAX_CONDITIONS, MAX_MISTAKES = 2_000_000, 4096, 100, 50  # per request
ID_PATTERN = "[A-Za-z0-9._:-]{1,100}"


class RequestFormatError(Exception):
    """A file, or a line of a file, is not a request; the message says why."""


def check_count(count: int) -> None:
    """Raise if a file holds too many requests."""
    if count > MAX_REQUESTS:
        raise RequestFormatError(f"holds more than {MAX_REQUESTS} requests; split it")


def _parse_zoned_time(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None or not 1970 < time.year < 9000:  # leaves room for a deadline; years have four digits
            raise ValueError
        return time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a time with its zone, such as 2026-11-20T09:30:00Z") from None


ZonedTime = Annotated[datetime, BeforeValidator(_parse_zoned_time)]
RecordId = Annotated[Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)] | int, NAMED]


class Request(Section):
    """One request: forget the union of the records that it lists."""

    request: Annotated[str, Field(pattern=f"^{ID_PATTERN}$")] = Field(description="its id: letters, digits and ._:-")
    received: ZonedTime = Field(description="time of receipt with its zone: 2026-11-20T09:30:00Z")
    due: ZonedTime | None = Field(default=None, description="default: received plus the deadline of deletion.yaml")
    ids: Annotated[list[RecordId], FailFast(), Field(max_length=MAX_IDS)] = Field(
        default_factory=list, description="ids of records, as they are written"
    )
    groups: Groups | None = None
    classes: Annotated[list[Name], FailFast()] = Field(
        default_factory=list, description="names: all records of these classes; multilabel: with one of these labels"
    )
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
        """The request in canonical form: the same for requests that differ only in order, repetition or '17' and 17."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        content["received"] = clock.format_time(self.received)
        if self.due:
            content["due"] = clock.format_time(self.due)
        if self.ids:
            content["ids"] = sorted({str(record_id) for record_id in self.ids})
        if self.groups:
            values = sorted({str(value) for value in self.groups.values})
            content["groups"] = {"column": self.groups.column, "values": values}
        if self.classes:
            content["classes"] = sorted({str(name) for name in self.classes})
        return content


@dataclass(frozen=True)
class RequestEntry:
    """One entry of a file: a request, or the reason why the entry is not a request.

    `digest` is keyed, because ids can be guessed.
    """

    id: str | None
    digest: str
    content: Request | None = None
    reason: str | None = None


def digest_request(request: Request, key: bytes) -> str:
    """Return the keyed digest by which a request is recognised when it comes again."""
    return keyed.digest(key, keyed.to_canonical_json(request.content))


def make_refusal(reason: str, raw: str, key: bytes, name: Any = None) -> RequestEntry:
    """Return an entry that is not a request; `raw` is its text in the file, `name` its id, which may be anything."""
    request_id = name if isinstance(name, str) and re.fullmatch(ID_PATTERN, name) else None
    return RequestEntry(request_id, keyed.digest(key, raw), reason=format_reason(reason))


def parse_request(
    value: Any,
    document: Document | None,
    position: tuple[str, int],
    raw: str,
    key: bytes,
) -> RequestEntry:
    """Return the request that a value stands for, or the reason why it is not a request.

    Messages take the positions of the parts from `document`. Without it, all parts stand at `position`: file name and
    line.
    """
    file_name, line = position
    if not isinstance(value, dict):
        return make_refusal(f"{file_name}:{line}:1: expected a mapping with 'request' and 'received'", raw, key)
    if problem := find_unusable_value(value):
        return make_refusal(f"{file_name}:{line}:1: {problem}", raw, key, value.get("request"))
    try:
        request = Request.model_validate(value)
    except ValidationError as error:
        if error.error_count() > MAX_MISTAKES:
            reason = f"{file_name}:{line}:1: has more than {MAX_MISTAKES} mistakes; expected a deletion request"
        else:
            document = document or Document(Path(file_name), value, _locate_errors(value, error, line))
            reason = "; ".join(format_errors(error, document, json_schema()))
        return make_refusal(reason, raw, key, value.get("request"))
    return RequestEntry(request.request, digest_request(request, key), request)


def find_unusable_value(value: dict[str, Any]) -> str | None:
    """Describe the first value that the ledger or a data source cannot hold; None if there is none."""
    parts: list[tuple[Any, str, int]] = [(value, "", 0)]  # value, field, depth
    while parts:
        part, field, depth = parts.pop()
        if depth > MAX_DEPTH:
            return f"{field}: more than {MAX_DEPTH} levels; a request needs fewer"
        if isinstance(part, dict):
            for key, inner in part.items():
                name = escape_line(str(key))[:100]
                parts += [(key, name, depth + 1), (inner, name, depth + 1)]
        elif isinstance(part, list):
            parts += [(inner, field, depth + 1) for inner in part]
        elif problem := _check_scalar(part):
            return f"{field}: {problem}"
    return None


def _check_scalar(scalar: Any) -> str | None:
    """Return why a text or a number cannot be used; None if it can."""
    if isinstance(scalar, str) and "\0" in scalar:
        return "a text holds a NUL character; remove it"
    if isinstance(scalar, str) and not scalar.isascii() and any("\ud800" <= letter <= "\udfff" for letter in scalar):
        return "a text holds half of a surrogate pair; write the whole character"
    number = scalar.value if isinstance(scalar, PlainScalar) else scalar
    if isinstance(number, int) and number.bit_length() > MAX_BITS - 1:
        return f"an integer has more than {MAX_BITS} bits; correct it, or quote it if it is a name"
    return None


def _locate_errors(value: Any, error: ValidationError, line: int) -> dict[Location, Position]:
    """Return positions for the wrong values and the values around them; all of them stand on one line."""
    positions: dict[Location, Position] = {(): (line, 1)}
    for mistake in error.errors(include_url=False, include_context=False, include_input=False):
        location: Location = ()
        inner: Any = value
        for part in mistake["loc"]:
            if _has_part(inner, part):  # other parts are names that pydantic gives to the alternatives of a union
                location, inner = (*location, part), inner[part]
                positions[location] = (line, 1)
    return positions


def _has_part(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a request, for programs that write requests."""
    return Request.model_json_schema()
