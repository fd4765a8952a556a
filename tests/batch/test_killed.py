"""A batch that is killed at any moment ends, by the same command, as if it had been left alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batch.killing import final_state, killed_at_step, killed_before_change
from tests.batch.tiny import DELETION, ask, batch, train, write_project
from unlearn_cli import page
from unlearn_cli.batch import fault

# The first method wrecks the network, so that the second is tried, and judged by the other half of the hold-out.
ESCALATING = DELETION.replace("methods: [finetune]", "methods: [neggrad, finetune]").replace(
    "settings: {", "settings: {neggrad: {lr: 100.0}, "
)
SELDOM = {"failed", "rolled_back", "pointed_back", "vacuumed", "sent", "attacked"}  # in other kinds of runs


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = train(tmp_path_factory.mktemp("batch"))
    write_project(folder, deletion=ESCALATING)
    ask(folder, "DSR-1", ids=["rec-1", "rec-2"])
    ask(folder, "DSR-2", groups={"column": "person", "values": ["person-7"]})
    ask(folder, "DSR-3", ids=["nobody"])
    return folder


@pytest.fixture(scope="module")
def undisturbed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a batch that nobody kills ends in."""
    folder = copied(template, tmp_path_factory.mktemp("undisturbed"))
    assert batch(folder).exit_code == 5  # one names a record that is nowhere
    return final_state(folder)


@pytest.fixture(scope="module", autouse=True)
def no_pages() -> Iterator[None]:
    """Most of the time would go into the drawings of reports, which are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "render", lambda *arguments: "<html></html>")
        yield


def copied(template: Path, folder: Path) -> Path:
    return Path(shutil.copytree(template, folder / "project"))


@pytest.mark.parametrize("step", [step for step in fault.STEPS if step not in SELDOM])
def test_killed_at_a_step_it_ends_the_same(step: str, template: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    folder = copied(template, tmp_path)
    assert killed_at_step(folder, step) == fault.KILLED
    assert batch(folder).exit_code in (0, 5)  # what is set aside is told by the command that did so
    assert final_state(folder) == undisturbed
