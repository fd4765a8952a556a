"""What the events of a ledger say: one strict model a kind.

A ledger is read by later versions of this tool, so fields that were added after the first version have defaults.
"""

import json
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from unlearn_cli.batch.ledger.chain import Row
from unlearn_cli.errors import IntegrityError, did_you_mean

TIME_PATTERN = (
    r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$"  # as `clock.format_time` writes it
)


def _check_relative_path(name: str) -> str:
    """Refuse a name that leads out of a run's folder."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError("expected the name of a file below the folder of a run")
    return name


def _check_time(text: str) -> str:
    """Refuse what is not a time as `clock.format_time` writes it."""
    if not re.match(TIME_PATTERN, text):
        raise ValueError("expected a time in UTC with microseconds")
    datetime.fromisoformat(text)
    return text


Version = Annotated[str, Field(pattern=r"^v[0-9]{4,}$")]
Time = Annotated[str, AfterValidator(_check_time)]
FileName = Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]
FilePath = Annotated[str, AfterValidator(_check_relative_path)]
Count = NonNegativeInt


class EventBody(BaseModel):
    """The body of an event; `needs_run`, `needs_request`: whether the event itself must name one."""

    model_config = ConfigDict(strict=True, extra="forbid")

    needs_run: ClassVar[bool] = False
    needs_request: ClassVar[bool] = False


class CheckpointDigests(EventBody):
    """A checkpoint."""

    tensor_digest: str
    file_sha256: str


class VersionDigests(CheckpointDigests):
    version: Version


class RecordCounts(EventBody):
    """What became of what a request names."""

    records: Count
    already: Count
    purged: Count = 0
    unknown: Count


class OpenedBody(EventBody):
    version: Version
    checkpoint: CheckpointDigests


class KeyedBody(EventBody):
    events: Count
    old_head: str
    new_head: str


class RepeatedBody(EventBody):
    needs_request = True

    digest: str
    file: str
    arrival: str


class ReceivedBody(RepeatedBody):
    received: Time
    due: Time
    content: dict[str, Any] | None = None


class SetAsideBody(EventBody):
    reason: str
    file: str
    digest: str | None = None
    arrival: str | None = None


class RunStartedBody(EventBody):
    needs_run = True

    requests: list[str]
    found: dict[str, RecordCounts]
    records: Count
    unknown: Count
    already: Count
    purged: Count
    forgotten: Count
    before: VersionDigests
    selection_digest: str
    config: str
    seed: Count
    tool_version: str
    gates_left_out: list[str]
    bisect: list[str] | None = None
    files: dict[FilePath, str] | None = None  # what the run goes by, as `run_files` has it
    references: dict[str, str] | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if set(self.requests) - set(self.found):
            raise ValueError("'found' must have each of 'requests'")
        return self


class StepEndedBody(EventBody):
    needs_run = True

    number: PositiveInt
    folder: FileName
    files: dict[FilePath, str]


class AttemptBody(EventBody):
    needs_run = True

    method: str
    number: PositiveInt
    passed: bool
    failed: list[str]
    unlearn_report: str | None
    judge_report: str | None
    attack_report: str | None
    subject: str | None
    verdict: str | None = None  # of the attack
    policy: str | None = None  # by which a verdict that is not a pass was let through


class RunFailedBody(EventBody):
    needs_run = True

    reason: str
    counted: bool


class PromotingBody(EventBody):
    needs_run = True

    version: Version
    after: CheckpointDigests
    evidence: dict[FileName, str]
    number: PositiveInt


class PromotedBody(EventBody):
    needs_run = True

    version: Version
    forgotten: Count
    forgotten_digest: str


class DoneBody(RecordCounts):
    needs_request = True


class RolledBackBody(EventBody):
    needs_run = True

    requests: list[str]
    to: Version
    source: Version = Field(alias="from")


class PublishedBody(EventBody):
    version: Version


class VacuumedBody(EventBody):
    removed: list[str]


class ClosedBody(EventBody):
    name: str  # the request's id, or the name of a file that became no request
    because: str
    refusals: list[Annotated[list[str], Field(min_length=2, max_length=2)]]  # arrival and digest of each


BODIES: dict[str, type[EventBody]] = {
    "opened": OpenedBody,
    "keyed": KeyedBody,
    "received": ReceivedBody,
    "repeated": RepeatedBody,
    "set_aside": SetAsideBody,
    "run_started": RunStartedBody,
    "step_ended": StepEndedBody,
    "attempt": AttemptBody,
    "run_failed": RunFailedBody,
    "promoting": PromotingBody,
    "promoted": PromotedBody,
    "done": DoneBody,
    "rolled_back": RolledBackBody,
    "published": PublishedBody,
    "vacuumed": VacuumedBody,
    "closed": ClosedBody,
}


def check_body(kind: str, request: str | None, run: str | None, body: dict[str, Any]) -> None:
    """Refuse the body of a new event that is not of its kind.

    Raises:
        KeyError, ValueError: a bug of ours.
    """
    model = BODIES[kind]
    model.model_validate(body)
    if (model.needs_request and not request) or (model.needs_run and not run):
        raise ValueError(f"an event of the kind '{kind}' names its request and its run")


def parse_body(row: Row) -> dict[str, Any]:
    """Return the body of an event that was read, which may be anything.

    Raises:
        IntegrityError: it is not one that this tool writes.
    """
    seq, time, kind, request, run, text, *_ = row
    if kind not in BODIES:
        what = "which this version of unlearn-cli does not write"
        raise IntegrityError(f"event {seq} is of the kind {kind!r}, {what}; {did_you_mean(kind, BODIES)}")
    try:
        _check_time(time)
        body = json.loads(text)
        check_body(kind, request, run, body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise IntegrityError(f"event {seq} ({kind}): {place}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"event {seq} ({kind}): is not an event that this tool writes ({error})") from None
    return body
