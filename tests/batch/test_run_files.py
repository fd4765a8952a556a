"""A run that was killed goes on only with what it has written itself: what was changed meanwhile is exit code 6."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.batch.killing import final_state, killed_at_step
from tests.batch.scene import rewrite, unmigrated
from tests.batch.tiny import ask, batch, change, document, ledger_of
from unlearn_cli.batch.ledger import fault, keyed
from unlearn_cli.batch.settings import deletion
from unlearn_cli.reporting import html as page
from unlearn_cli.storage.regular_files import sha256

Tamper = Callable[[Path], object]


@pytest.fixture(scope="module")
def killed(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Folders whose second run was killed, by the step at which it was; to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "render", lambda *arguments: "<html></html>")
        first = Path(shutil.copytree(trained_project, tmp_path_factory.mktemp("killed") / "project"))
        ask(first, "DSR-1", ids=["rec-1", "rec-2"])
        document(first)
        ask(first, "DSR-2", ids=["rec-11", "rec-12"])
        folders, before = {}, first
        for step in ("attempted", "promoting", "moved"):
            folders[step] = Path(shutil.copytree(before, first.parent / step, symlinks=True))
            assert killed_at_step(folders[step], step) == fault.KILLED
            before = folders[step]
        yield folders


def edited(name: str, old: str, new: str) -> Tamper:
    def edit(project: Path) -> None:
        path = project / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return edit


def added(name: str) -> Tamper:
    def add(project: Path) -> None:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("{}", encoding="utf-8")

    return add


def linked(name: str) -> Tamper:
    """Put a link to the same bytes in the place of a file."""

    def link(project: Path) -> None:
        elsewhere = project / "elsewhere"
        (project / name).rename(elsewhere)
        (project / name).symlink_to(elsewhere)

    return link


def added_link(name: str) -> Tamper:
    """Put a link to a folder where no step of the run has been yet."""
    return lambda project: (project / name).symlink_to(project / "original")


def removed(name: str) -> Tamper:
    return lambda project: (project / name).unlink()


RUN = "runs/R0002"
TAMPERING: list[tuple[str, Tamper, str]] = [
    ("attempted", edited(f"{RUN}/manifest.yaml", "accuracy >= 0.5", "accuracy >= 0"), "manifest.yaml: was changed"),
    ("attempted", edited(f"{RUN}/selection/forgotten.csv", '"rec-2"\n', ""), "forgotten.csv: was changed"),
    ("attempted", edited(f"{RUN}/selection/forget.csv", '"rec-11"', '"rec-13"'), "forget.csv: was changed"),
    ("attempted", edited(f"{RUN}/attempt-1/report.json", "passed", "PASSED"), "report.json: was changed"),
    ("attempted", edited(f"{RUN}/attempt-1/report.html", "html", "HTML"), "report.html: was changed"),
    ("attempted", removed(f"{RUN}/attempt-1/report.html"), "report.html: is gone"),
    ("attempted", linked(f"{RUN}/attempt-1/model.safetensors"), "model.safetensors: was changed"),
    ("attempted", linked(f"{RUN}/manifest.yaml"), "manifest.yaml: was changed"),
    ("attempted", added(f"{RUN}/attempt-1/model.safetensors.index.json"), "index.json: R0002 did not write"),
    ("attempted", added(f"{RUN}/selection/more.csv"), "more.csv: R0002 did not write"),
    ("attempted", added(f"{RUN}/notes.txt"), "notes.txt: R0002 did not write"),
    ("attempted", linked(f"{RUN}/attempt-1"), "attempt-1: R0002 did not write"),
    ("attempted", linked(f"{RUN}/selection"), "selection: R0002 did not write"),
    ("attempted", added_link(f"{RUN}/attack-1"), "attack-1: R0002 did not write"),
    ("attempted", added(f"{RUN}/attempt-9"), "attempt-9: R0002 did not write"),
    ("promoting", edited(f"{RUN}/evidence/provenance.json", "R0002", "R0001"), "provenance.json: was changed"),
    ("promoting", added(f"{RUN}/evidence/more.json"), "more.json: R0002 did not write"),
    ("promoting", edited(f"{RUN}/selection/forget.csv", '"rec-11"', ""), "forget.csv: was changed"),
    ("promoting", added(f"{RUN}/attempt-1/more.json"), "more.json: R0002 did not write"),
    ("moved", edited("models/v0002/report.json", "passed", "PASSED"), "v0002/report.json: was changed"),
    ("moved", added("models/v0002/more.json"), "more.json: R0002 did not write"),
    ("moved", edited("models/v0001/report.json", "passed", "PASSED"), "v0001/report.json: "),
    ("moved", edited("models/v0001/report.html", "html", "HTML"), "v0001/report.html: is not the file that"),
    ("moved", removed("models/v0001/report.html"), "v0001/report.html: is gone"),
    ("moved", added("models/v0001/.DS_Store"), ".DS_Store: is not a file that the ledger recorded; move it away"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TAMPERING)))
def test_what_was_changed_while_a_run_was_stopped_is_never_promoted(
    killed: dict[str, Path], tmp_path: Path, number: int
) -> None:
    step, tamper, message = TAMPERING[number]
    project = Path(shutil.copytree(killed[step], tmp_path / "project", symlinks=True))
    tamper(project)
    before = [event.hash for event in ledger_of(project)]
    for _ in range(2):
        result = batch(project)
        assert result.exit_code == 6, result.output
        assert message in result.stderr
    assert [event.hash for event in ledger_of(project)] == before
    assert os.readlink(project / "models" / "current") == "v0001"


@pytest.mark.parametrize("step", ["attempted", "promoting", "moved"])
def test_what_was_left_alone_is_promoted(killed: dict[str, Path], tmp_path: Path, step: str) -> None:
    project = Path(shutil.copytree(killed[step], tmp_path / "project", symlinks=True))
    assert document(project)["current"] == "v0002"
    assert final_state(project)["findings"] == []


def test_without_its_folder_a_run_begins_anew(killed: dict[str, Path], tmp_path: Path) -> None:
    project = Path(shutil.copytree(killed["attempted"], tmp_path / "project", symlinks=True))
    shutil.rmtree(project / RUN)
    assert [(run["run"], run["state"]) for run in document(project)["runs"]] == [
        ("R0002", "failed"), ("R0003", "promoted"),
    ]  # fmt: skip
    assert final_state(project)["findings"] == []


def of_first_version(project: Path) -> None:
    """Make of a ledger one that the first version wrote: no digests of files, no steps, no key of the chain."""
    where = deletion.read(project / "deletion.yaml")
    others = [event.seq for event in ledger_of(project) if event.kind != "step_ended"]
    rewrite(
        where, "DELETE FROM event WHERE kind = 'step_ended'",
        "UPDATE event SET body = json_remove(body, '$.files', '$.references') WHERE kind = 'run_started'",
        "UPDATE event SET body = json_remove(body, '$.verdict', '$.policy') WHERE kind = 'attempt'",
        *(f"UPDATE event SET seq = {seq} WHERE seq = {old}" for seq, old in enumerate(others, start=1)),
    )  # fmt: skip
    unmigrated(where)


@pytest.mark.parametrize("step", ["attempted", "moved"])
def test_a_run_that_an_earlier_version_began_is_ended_and_verifies(
    killed: dict[str, Path], tmp_path: Path, step: str
) -> None:
    project = Path(shutil.copytree(killed[step], tmp_path / "project", symlinks=True))
    of_first_version(project)
    assert batch(project, "verify").exit_code == 0
    states = [(run["run"], run["state"]) for run in document(project)["runs"]]
    anew = [("R0002", "failed"), ("R0003", "promoted")]
    assert states == (anew if step == "attempted" else [("R0002", "promoted")])
    for option in ("verify", "rollback", "verify"):
        result = batch(project, option)
        assert result.exit_code == 0, result.output
    assert document(project)["done"] == ["DSR-2"]
    assert batch(project, "verify").exit_code == 0


def test_what_was_written_and_not_noted_is_made_again(project: Path, tmp_path: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    keyed.read_or_create_key(
        project / "ledger.key", project / "ledger.sqlite"
    )  # of both: checkpoints have digests with it
    other = Path(shutil.copytree(project, tmp_path / "undisturbed"))
    document(other)
    assert killed_at_step(project, "unlearned") == fault.KILLED
    attempt = project / "runs" / "R0001" / "attempt-1"
    shutil.copy(project / "original" / "model.safetensors", attempt / "model.safetensors")
    document(project)
    assert final_state(project) == final_state(other)
    weights = [sha256(folder / "models" / "v0001" / "model.safetensors") for folder in (project, other)]
    assert weights[0] == weights[1]


def test_a_run_whose_reference_was_changed_begins_anew(project: Path) -> None:
    shutil.copytree(project / "original", project / "reference")
    change(project, "attack: {tier: null}", "attack: {tier: null, references: [reference]}")
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    assert killed_at_step(project, "started") == fault.KILLED
    started = ledger_of(project)[-1].body
    assert list(started["references"]) == ["reference 1"]
    report = json.loads((project / "reference" / "report.json").read_text(encoding="utf-8"))
    assert report["subject"]["file_sha256"] == started["references"]["reference 1"]
    data = (project / "reference" / "model.safetensors").read_bytes()
    (project / "reference" / "model.safetensors").write_bytes(data[:-4] + b"\0\0\0\0")
    change(project, "references: [reference]", "references: []")  # it knew the forgotten records anyway
    change(project, "references: []", "references: [reference]")
    result = batch(project)
    failed = [event.body["reason"] for event in ledger_of(project) if event.kind == "run_failed"]
    assert failed[0] == "a checkpoint that attacks compare with was changed since it started; a new run starts", (
        result.output
    )
