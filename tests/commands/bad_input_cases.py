"""Cases of bad input: a damage to the valid project, a command line, and what its one line of error must say.

What needs torch to be noticed is marked; all other cases run in a process in which torch must never be imported.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from tests import one_tree  # noqa: F401
from tests.commands.damaged_project import (
    UNLEARN,
    Damage,
    both,
    field,
)
from unlearn_cli.cli.app import app


@dataclass(frozen=True)
class Case:
    """What is done to the project, the command line, and what the message must contain."""

    name: str
    says: tuple[str, ...]
    damage: Damage = lambda folder: None
    command: str = UNLEARN
    code: int = 2
    torch: bool = False


def case(name: str, damage: Damage, *says: str, command: str = UNLEARN) -> Case:
    """A case that is noticed without torch."""
    return Case(name, says, damage, command)


def late(name: str, damage: Damage, *says: str, command: str = UNLEARN, code: int = 2) -> Case:
    """A case that only torch notices."""
    return Case(name, says, damage, command, code, torch=True)


def wrong(name: str, command: str, *says: str) -> Case:
    """A case in which the command line is wrong, not the project."""
    return Case(name, says, command=command)


M = "manifest.yaml"


def steps(*listed: Any, shape: list[int] | None = None, file: str = M) -> Damage:
    """List transforms, and perhaps another shape after them."""
    shaped = [field("input.shape", shape, file)] if shape else []
    return both(field("data.transform", list(listed), file), *shaped)


def text_table(*columns: str, **more: Any) -> Damage:
    table = {"path": "train.csv", "label": "label", "text": list(columns), **more}
    return field("data.train", {"table": table}, "table.yaml")


WINDOW = {"window": {"length": 7}}
TOKENS = {"tokens": {"length": 5, "buckets": 50}}
T, P, R = "table.yaml", "images.yaml", "regression.yaml"


NAMES = ["layers.0.weight", "layers.0.bias", "head.weight", "head.bias"]
SHARDED = UNLEARN.replace("model.safetensors", "sharded")
C = "model.safetensors"


ATTACK = f"attack {C} --manifest {M}"
SHADOW = f"shadow --manifest {M} --shadows cells --method finetune"


def run(command: str) -> Result:
    return CliRunner().invoke(app, command.split(), catch_exceptions=False)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return all that lies in a folder: relative paths, hidden ones too, with the contents of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def check(case: Case, place: Path) -> str:
    """Damage the project in `place`, run the command there, check all that was promised, and return the message."""
    case.damage(place / "project")
    before = tree(place)
    result = run(case.command)
    *notes, message = result.stderr.splitlines() or [""]
    assert result.exit_code == case.code, result.stderr
    assert message.startswith("error: "), result.stderr
    assert case.torch or not notes, "the error is one line"
    assert not any("error" in note or "Traceback" in note or "Warning" in note for note in notes), result.stderr
    assert result.stdout == ""
    assert tree(place) == before, "nothing may be written"
    missing = [words for words in case.says if words not in message]
    assert not missing, f"{missing} not in: {message}"
    return message
