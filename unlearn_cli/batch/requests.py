"""A deletion request: who asked for what, and until when. Requests are data: nothing in one is a path or code."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, FailFast, Field, ValidationError, model_validator

from unlearn_cli.batch import clock, keyed
from unlearn_cli.forget import Groups
from unlearn_cli.manifest_errors import messages
from unlearn_cli.sources import Condition, Section
from unlearn_cli.strict_yaml import Document, Location, Position

MAX_IDS, MAX_ID_LENGTH, MAX_CONDITIONS, MAX_MISTAKES = 2_000_000, 4096, 100, 50
ID_PATTERN = r"^[A-Za-z0-9._:-]{1,100}$"


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise ValueError
        return time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a time with its zone, such as 2026-11-20T09:30:00Z") from None


Moment = Annotated[datetime, BeforeValidator(_moment)]
RecordId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)] | int


class Request(Section):
    """One request: what must be forgotten is the union of what it lists."""

    request: Annotated[str, Field(pattern=ID_PATTERN)] = Field(description="its id: letters, digits and ._:-")
    received: Moment = Field(description="when it came in, with the zone: 2026-11-20T09:30:00Z")
    due: Moment | None = Field(default=None, description="default: received and the deadline of deletion.yaml")
    ids: Annotated[list[RecordId], FailFast(), Field(max_length=MAX_IDS)] = Field(default_factory=list)
    groups: Groups | None = None
    classes: Annotated[list[str | int], FailFast()] = Field(default_factory=list)
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
        said |= {"received": clock.told(self.received)}
        said |= {"due": clock.told(self.due)} if self.due else {}
        said |= {"ids": sorted({str(one) for one in self.ids})} if self.ids else {}
        said |= {"groups": _group_content(self.groups)} if self.groups else {}
        said |= {"classes": sorted({str(one) for one in self.classes})} if self.classes else {}
        return said


def _group_content(groups: Groups) -> dict[str, Any]:
    return {"column": groups.column, "values": sorted({str(value) for value in groups.values})}


@dataclass(frozen=True)
class Item:
    """One request of a file: its content, or the reason why it is none. `digest` is keyed: ids can be guessed."""

    id: str | None
    digest: str
    content: Request | None = None
    reason: str | None = None


def digest(request: Request, key: bytes) -> str:
    """Return by what a request is recognised when it comes again."""
    return keyed.digest(key, keyed.canonical(request.content))


def refused(reason: str, raw: str, key: bytes, name: Any = None) -> Item:
    """Return an item that is no request; `raw` is what the file says there."""
    known = name if isinstance(name, str) and _is_id(name) else None
    return Item(known, keyed.digest(key, raw), reason=" ".join(reason.split())[:1000])


def _is_id(name: str) -> bool:
    return 0 < len(name) <= 100 and name.isascii() and all(letter.isalnum() or letter in "._:-" for letter in name)


def check(value: Any, document: Document | None, place: tuple[str, int], raw: str, key: bytes) -> Item:
    """Return the request that a value is, or why it is none; `document` knows the places of its parts."""
    name, line = place
    if not isinstance(value, dict):
        return refused(f"{name}:{line}:1: expected a mapping with 'request' and 'received'", raw, key)
    try:
        request = Request.model_validate(value)
    except ValidationError as error:
        known = document or Document(Path(name), value, dict(_positions(value, (), line)))
        return refused(_told(error, known, place), raw, key, value.get("request"))
    return Item(request.request, digest(request, key), request)


def _told(error: ValidationError, document: Document, place: tuple[str, int]) -> str:
    if error.error_count() > MAX_MISTAKES:
        return f"{place[0]}:{place[1]}:1: has more than {MAX_MISTAKES} mistakes; expected a deletion request"
    return "; ".join(messages(error, document, Request.model_json_schema()))


def _positions(value: Any, location: Location, line: int) -> Iterator[tuple[Location, Position]]:
    """Return the places of a value and its parts that all stand on one line, or in one group of them."""
    yield location, (line, 1)
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _positions(part, (*location, key), line)
