"""The destinations of --log-to: TRACKER:PLACE, checked before a run and filled after it."""

import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.reporting.report import Report
from unlearn_cli.storage.path_variables import expand_path

LIBRARIES: Mapping[str, str] = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
PLACES = {"tensorboard": "DIR", "mlflow": "URI", "wandb": "PROJECT or ENTITY/PROJECT"}
PROJECT = re.compile(r"([\w.-]+/)?[\w. -]{1,128}")


@dataclass(frozen=True)
class Destination:
    """A tracker, and where it keeps runs: a folder, the URI of a server or folder, or the name of a project."""

    tracker: str
    target: str

    def __str__(self) -> str:
        return f"--log-to {self.tracker}:{self.target}"


def parse_destinations(texts: Iterable[str]) -> tuple[Destination, ...]:
    """Read the values of --log-to, and check that their libraries are installed; nothing is imported or written.

    Raises:
        UserError: a value is wrong, or a library is not installed.
    """
    return tuple(map(_parse, texts))


def _parse(text: str) -> Destination:
    tracker, colon, target = text.partition(":")
    if tracker not in LIBRARIES or not colon or not target.strip():
        expected = ", ".join(f"{name}:{kind}" for name, kind in PLACES.items())
        raise UserError(f"--log-to {text}: expected {expected}")
    if importlib.util.find_spec(LIBRARIES[tracker]) is None:
        raise UserError(
            f"--log-to {text}: {LIBRARIES[tracker]} is not installed; run: pip install 'unlearn-cli[{tracker}]'"
        )
    if tracker == "wandb" and not PROJECT.fullmatch(target):
        raise UserError(f"--log-to {text}: expected the name of a project, or of an entity and a project (TEAM/NAME)")
    if tracker == "tensorboard" or (tracker == "mlflow" and ":" not in target):  # a folder; no shell expands its ~
        target = str(expand_path(Path(target)))
    if tracker == "tensorboard" and Path(target).exists() and not Path(target).is_dir():
        raise UserError(f"--log-to {text}: {target} is a file; expected a folder")
    return Destination(tracker, target)


def export(report: Report, destinations: Iterable[Destination]) -> None:
    """Export the numbers of a report that was written.

    Raises:
        ResourceError: a tracker cannot be reached or written; the message says that the result was written before.
    """
    for destination in destinations:
        module = import_module(f"unlearn_cli.reporting.trackers.to_{destination.tracker}")
        try:
            module.export(report, destination.target)
        except module.ERRORS as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ResourceError(
                f"{destination}: the numbers could not be exported ({reason}); the result itself is written"
            ) from None
