"""The bodies of the ledger's events: one strict pydantic model per kind.

Later versions of unlearn-cli read older ledgers, so a field that was added after the first version has a default.
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

# The form of `clock.format_time`.
TIME_PATTERN = r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$"


def _check_relative_path(name: str) -> str:
    """Refuse the name of a file outside the run's folder."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError("expected the name of a file below the folder of a run")
    return name


def _check_time(text: str) -> str:
    """Refuse a text that does not have the form of `clock.format_time`."""
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
    """The body of an event. `needs_run` and `needs_request`: whether the event must name a run or a request."""

    model_config = ConfigDict(strict=True, extra="forbid")

    needs_run: ClassVar[bool] = False
    needs_request: ClassVar[bool] = False


class CheckpointDigests(EventBody):
    """The two digests of a checkpoint: of its tensors and of its files."""

    tensor_digest: str
    file_sha256: str


class VersionDigests(CheckpointDigests):
    version: Version


class RecordCounts(EventBody):
    """How many of the records of a request were selected, forgotten before, purged from the source, or unknown."""

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
    counts: dict[str, RecordCounts] = Field(alias="found")
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
    files: dict[FilePath, str] | None = None  # digests of the run's input files, by `run_files.digests`
    references: dict[str, str] | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if set(self.requests) - set(self.counts):
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
    verdict: str | None = None  # verdict of the attack
    policy: str | None = None  # setting that accepts a verdict other than a pass


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
    name: str  # id of the request, or name of a file without a valid request
    because: str
    refusals: list[Annotated[list[str], Field(min_length=2, max_length=2)]]  # arrival and digest


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
    """Check the body of a new event against the model of its kind.

    Raises:
        KeyError, ValueError: it does not fit, which is a bug of unlearn-cli.
    """
    model = BODIES[kind]
    model.model_validate(body)
    if (model.needs_request and not request) or (model.needs_run and not run):
        raise ValueError(f"an event of the kind '{kind}' must name its request or its run")


def parse_body(row: Row) -> dict[str, Any]:
    """Return the checked body of a stored event, which may hold anything.

    Raises:
        IntegrityError: unlearn-cli does not write such an event.
    """
    seq, time, kind, request, run, text, *_ = row
    if kind not in BODIES:
        problem = f"has the kind {kind!r}, which this version of unlearn-cli does not write"
        raise IntegrityError(f"event {seq} {problem}; {did_you_mean(kind, BODIES)}")
    try:
        _check_time(time)
        body = json.loads(text)
        check_body(kind, request, run, body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise IntegrityError(f"event {seq} ({kind}): {field}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"event {seq} ({kind}): is not an event that unlearn-cli writes ({error})") from None
    return body
