"""A batch that is killed at any moment ends, by the same command, as if it had been left alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.batch.killing import (
    copy_folder,
    final_state,
    identify_copy,
    killed_at_step,
    killed_before_change,
    record,
)
from tests.batch.tiny import ask, batch, change, promoted_project
from tests.shared import make_once
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.requests import inbox

SELDOM = {  # in other kinds of runs
    "migrating", "migrated", "failed", "rolled_back", "pointed_back", "vacuumed", "sent", "attacked",
    "attacked_noted",
}  # fmt: skip


STEPS = [step for step in fault.STEPS if step not in SELDOM]
CHANGES = range(0, 80, 8)


@pytest.fixture(scope="module")
def recorded(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a batch at each moment at which it may be killed; `begin`: before it; `end`: when it was left alone.

    Its first method wrecks the network, so that the second is tried, too.
    """

    def fill(snapshots: Path) -> None:
        folder = copy_folder(trained_project, snapshots / "end")
        change(folder, "methods: [finetune]", "methods: [neggrad, finetune]")
        change(folder, "settings: {", "settings: {neggrad: {lr: 100.0, steps: 5}, ")
        ask(folder, "DSR-1", ids=["rec-1", "rec-2"])
        ask(folder, "DSR-2", groups={"column": "person", "values": ["person-7"]})
        ask(folder, "DSR-3", ids=["nobody"])
        copy_folder(folder, snapshots / "begin")
        # One request names a record that is nowhere, so it is exit code 5.
        assert record(folder, snapshots, steps=STEPS, changes=CHANGES) == 5

    return make_once(tmp_path_factory, "killed-batch", fill)


@pytest.fixture(scope="module")
def undisturbed(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a batch that nobody kills ends in."""
    return final_state(copy_folder(recorded / "end", tmp_path_factory.mktemp("undisturbed") / "project"))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_it_ends_the_same(
    step: str, recorded: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    assert end_state(recorded / step, tmp_path) == undisturbed


@pytest.mark.parametrize("number", CHANGES)
def test_killed_before_any_change_of_a_file_it_ends_the_same(
    number: int, recorded: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    assert end_state(recorded / str(number), tmp_path) == undisturbed


def end_state(killed: Path, folder: Path) -> dict[str, Any]:
    """Return what a copy of a killed batch ends in."""
    copy = copy_folder(killed, folder / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox, "_identify_arrival", identify_copy)
        assert batch(copy).exit_code in (0, 5)  # what is set aside is told by the command that did so
    return final_state(copy)


def test_a_killed_process_leaves_the_files_that_were_recorded(recorded: Path, tmp_path: Path) -> None:
    for moment, kill in (("recorded", killed_at_step), (CHANGES[5], killed_before_change)):
        folder = copy_folder(recorded / "begin", tmp_path / str(moment))
        assert kill(folder, moment) == fault.KILLED  # type: ignore[operator]
        assert files_of(folder) == files_of(recorded / str(moment))


def files_of(folder: Path) -> list[tuple[str, int]]:
    """Return the names of all files, without the process that writes them, and the number of links to each."""
    names = {path: str(path.relative_to(folder)).partition(".new-")[0] for path in folder.rglob("*")}
    return sorted((name, path.lstat().st_nlink) for path, name in names.items())


def test_killed_again_and_again_it_ends_the_same(recorded: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    folder = copy_folder(recorded / "begin", tmp_path / "project")
    for step in ("selected", "unlearned", "attempted", "promoting", "linked", "recorded"):
        assert killed_at_step(folder, step) == fault.KILLED
    batch(folder)
    assert final_state(folder) == undisturbed


def test_a_run_that_fails_and_is_killed_counts_once(project: Path) -> None:
    change(project, "accuracy >= 0.5", "accuracy >= 2")
    ask(project, "DSR-1", ids=["rec-1"])
    for step in ("attempted", "failed"):
        assert killed_at_step(project, step) == fault.KILLED
    assert batch(project).exit_code == 3  # the second run: the first had failed when it was killed
    state = final_state(project)
    assert [kind for kind, *_ in state["events"]].count("run_failed") == 2
    assert (state["current"], state["findings"]) == ("v0000", [])


@pytest.mark.parametrize("step", ["rolled_back", "pointed_back", "linked"])
def test_a_rollback_that_is_killed_is_ended_by_the_next_run(
    step: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    project = copy_folder(promoted_project(tmp_path_factory), tmp_path / "project")
    assert killed_at_step(project, step, "rollback") == fault.KILLED
    assert batch(project).exit_code == 0
    state = final_state(project)
    assert (state["current"], state["findings"], dict(state["done"])) == ("v0002", [], {"DSR-1": 2})


def test_a_vacuum_that_is_killed_is_ended_by_the_next(project: Path) -> None:
    change(project, "attack:", "retention: {versions: 0, days: 0}\nattack:")
    ask(project, "DSR-1", ids=["rec-1"])
    assert batch(project).exit_code == 0
    assert killed_at_step(project, "vacuumed", "vacuum") == fault.KILLED
    assert final_state(project)["findings"] == []
    assert batch(project, "vacuum").exit_code == 0
    assert sorted(path.name for path in (project / "models").iterdir()) == ["current", "v0001"]
    assert final_state(project)["findings"] == []


def test_a_run_that_was_killed_before_it_began_leaves_nothing(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    assert killed_at_step(project, "selected") == fault.KILLED
    assert [path.name for path in (project / "runs").iterdir()] == ["R0001"]
    (project / "requests" / "DSR-1.yaml").unlink()  # withdrawn
    assert batch(project).exit_code == 5
    assert list((project / "runs").iterdir()) == []


def test_what_was_half_written_in_a_list_of_records_goes_with_it(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    assert killed_at_step(project, "promoted") == fault.KILLED
    run = project / "runs" / "R0001"
    for place in (run / "selection" / ".forget.csv.new-1", run / ".report.json.new-1"):
        place.touch()
    assert batch(project).exit_code == 0
    assert not [path for path in run.rglob("*") if ".new-" in path.name or path.name == "selection"]
