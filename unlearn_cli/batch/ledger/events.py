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

MOMENT = r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$"  # as `clock.told` writes it


def _inside(name: str) -> str:
    """Refuse a name that leads out of a run's folder."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError("expected the name of a file below the folder of a run")
    return name


def _moment(text: str) -> str:
    """Refuse what is not a time as `clock.told` writes it."""
    if not re.match(MOMENT, text):
        raise ValueError("expected a time in UTC with microseconds")
    datetime.fromisoformat(text)
    return text


Version = Annotated[str, Field(pattern=r"^v[0-9]{4,}$")]
Time = Annotated[str, AfterValidator(_moment)]
FileName = Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]
FilePath = Annotated[str, AfterValidator(_inside)]
Count = NonNegativeInt


class Body(BaseModel):
    """The body of an event; `of_run`, `of_request`: whether the event itself must name one."""

    model_config = ConfigDict(strict=True, extra="forbid")

    of_run: ClassVar[bool] = False
    of_request: ClassVar[bool] = False


class Weights(Body):
    """A checkpoint."""

    tensor_digest: str
    file_sha256: str


class Before(Weights):
    version: Version


class Counts(Body):
    """What became of what a request names."""

    records: Count
    already: Count
    purged: Count = 0
    unknown: Count


class Opened(Body):
    version: Version
    checkpoint: Weights


class Keyed(Body):
    events: Count
    old_head: str
    new_head: str


class Repeated(Body):
    of_request = True

    digest: str
    file: str
    arrival: str


class Received(Repeated):
    received: Time
    due: Time
    content: dict[str, Any] | None = None


class SetAside(Body):
    reason: str
    file: str
    digest: str | None = None
    arrival: str | None = None


class RunStarted(Body):
    of_run = True

    requests: list[str]
    found: dict[str, Counts]
    records: Count
    unknown: Count
    already: Count
    purged: Count
    forgotten: Count
    before: Before
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


class StepEnded(Body):
    of_run = True

    number: PositiveInt
    folder: FileName
    files: dict[FilePath, str]


class Attempt(Body):
    of_run = True

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


class RunFailed(Body):
    of_run = True

    reason: str
    counted: bool


class Promoting(Body):
    of_run = True

    version: Version
    after: Weights
    evidence: dict[FileName, str]
    number: PositiveInt


class Promoted(Body):
    of_run = True

    version: Version
    forgotten: Count
    forgotten_digest: str


class Done(Counts):
    of_request = True


class RolledBack(Body):
    of_run = True

    requests: list[str]
    to: Version
    source: Version = Field(alias="from")


class Published(Body):
    version: Version


class Vacuumed(Body):
    removed: list[str]


class Closed(Body):
    name: str  # the request's id, or the name of a file that became no request
    because: str
    refusals: list[Annotated[list[str], Field(min_length=2, max_length=2)]]  # arrival and digest of each


BODIES: dict[str, type[Body]] = {
    "opened": Opened,
    "keyed": Keyed,
    "received": Received,
    "repeated": Repeated,
    "set_aside": SetAside,
    "run_started": RunStarted,
    "step_ended": StepEnded,
    "attempt": Attempt,
    "run_failed": RunFailed,
    "promoting": Promoting,
    "promoted": Promoted,
    "done": Done,
    "rolled_back": RolledBack,
    "published": Published,
    "vacuumed": Vacuumed,
    "closed": Closed,
}


def check(kind: str, request: str | None, run: str | None, body: dict[str, Any]) -> None:
    """Refuse the body of a new event that is not of its kind.

    Raises:
        KeyError, ValueError: a bug of ours.
    """
    model = BODIES[kind]
    model.model_validate(body)
    if (model.of_request and not request) or (model.of_run and not run):
        raise ValueError(f"an event of the kind '{kind}' names its request and its run")


def body_of(row: Row) -> dict[str, Any]:
    """Return the body of an event that was read, which may be anything.

    Raises:
        IntegrityError: it is not one that this tool writes.
    """
    seq, time, kind, request, run, text, *_ = row
    if kind not in BODIES:
        what = "which this version of unlearn-cli does not write"
        raise IntegrityError(f"event {seq} is of the kind {kind!r}, {what}; {did_you_mean(kind, BODIES)}")
    try:
        _moment(time)
        body = json.loads(text)
        check(kind, request, run, body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise IntegrityError(f"event {seq} ({kind}): {place}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"event {seq} ({kind}): is not an event that this tool writes ({error})") from None
    return body
