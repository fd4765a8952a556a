"""What a batch does with requests: which it carries out, what it leaves behind, and what it never teaches again."""

import json
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.batch.tiny import ask, batch, change, document, ids_of, ledger_of
from tests.tiny import invoke
from unlearn_cli.batch import attempts
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.open_batch import open_batch
from unlearn_cli.batch.pipeline import carry_out_pending
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.errors import UserError
from unlearn_cli.storage.regular_files import sha256


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_requests_are_united_carried_out_once_and_filed(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    ask(project, "DSR-2", groups={"column": "person", "values": ["person-1"]})
    said = document(project)
    persons = ids_of(project, "person", "person-1")
    assert said["runs"][0]["records"] == len({"rec-1", "rec-2", *persons})
    assert said["done"] == ["DSR-1", "DSR-2"]
    assert os.readlink(project / "models" / "current") == "v0001"
    lineage = read_header(project / "models" / "current").metadata
    before = read_header(project / "original" / "model.safetensors").metadata
    assert lineage["unlearn_cli.parent"] == before["unlearn_cli.tensor_digest"]
    report = report_of(project / "models" / "v0001")
    assert report["manifest"]["splits"]["forget"]["n"] == said["runs"][0]["records"]
    assert lineage["unlearn_cli.selection_digest"] == report["manifest"]["selection_digest"]
    assert len(report["manifest"]["selection_digest"]) == 64
    assert sorted(path.name for path in (project / "requests" / "done").iterdir()) == ["DSR-1.yaml", "DSR-2.yaml"]
    assert batch(project, "verify").exit_code == 0


def test_a_method_takes_the_batch_size_of_the_original_unless_deletion_yaml_states_one(project: Path) -> None:
    words = ["--batch-size", "32", "--set", "epochs=10", "--set", "lr=0.05", "--device", "cpu"]
    trained = invoke("train", "-m", project / "data.yaml", *words, "-o", project / "small")
    assert trained.exit_code == 0, trained.stderr
    change(project, "original/model.safetensors", "small/model.safetensors")
    change(project, "methods: [finetune]", "methods: [rank_match]")
    change(project, "settings: {finetune: {epochs: 1}}", "settings: {rank_match: {steps: 20}}")
    for number, size in enumerate((32, 64)):
        ask(project, f"DSR-{number}", ids=[f"rec-{number + 1}"])
        assert document(project)["done"] == [f"DSR-{number}"]
        assert report_of(project / "models" / f"v000{number + 1}")["environment"]["batch_size"] == size
        change(project, "common: {device: cpu", "common: {device: cpu, batch_size: 64")


def test_no_id_is_left_in_the_folder_of_a_run_in_the_ledger_or_in_the_log(project: Path) -> None:
    name = ids_of(project, "digit", "0")[-1]  # long enough to be found by accident nowhere
    ask(project, "DSR-1", ids=[name])
    result = batch(project, "run", "--log-format", "json")
    assert result.exit_code == 0
    places = [project / "ledger.sqlite", *(path for path in (project / "runs").rglob("*") if path.is_file())]
    places += [path for path in (project / "models").rglob("*") if path.is_file()]
    assert len(places) > 4
    assert not [path for path in places if name.encode() in path.read_bytes()]
    assert name not in result.output
    assert stat.S_IMODE((project / "ledger.key").stat().st_mode) == 0o600


def test_the_same_requests_give_the_same_checkpoint_wherever_the_batch_lies(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "somewhere" / "else"
    other.mkdir(parents=True)
    project.rename(other / "project")
    made = []
    for place in (other / "project", tmp_path / "project"):
        if not place.exists():
            (other / "project").rename(place)
            for name in ("models", "runs"):
                (place / name).rename(place / f"{name}-old")
            (place / "ledger.sqlite").unlink()  # the key stays: the digest of the selection has it
        ask(place, "DSR-1", ids=["rec-1", "rec-2"])
        document(place)
        made.append(sha256(place / "models" / "v0001" / "model.safetensors"))
    assert made[0] == made[1]


def test_a_request_that_comes_during_a_run_waits_for_the_next(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlearned = attempts._unlearn

    def while_it_runs(*arguments: Any) -> Any:
        ask(project, "DSR-2", ids=["rec-2"])
        return unlearned(*arguments)

    ask(project, "DSR-1", ids=["rec-1"])
    monkeypatch.setattr(attempts, "_unlearn", while_it_runs)
    assert document(project)["done"] == ["DSR-1"]
    monkeypatch.undo()
    assert (project / "requests" / "DSR-2.yaml").exists()
    assert document(project)["done"] == ["DSR-2"]


def test_what_was_forgotten_is_never_retained_again_and_measured_ever_after(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    first = report_of(project / "models" / document(project)["current"])["manifest"]["splits"]
    ask(project, "DSR-2", ids=["rec-11"])
    said = document(project)
    report = report_of(project / "models" / said["current"])
    splits = report["manifest"]["splits"]
    assert (said["runs"][0]["forgotten"], splits["forgotten"]["n"]) == (2, 2)
    assert splits["retain"]["n"] == first["retain"]["n"] - 1
    assert splits["forgotten"]["n"] + splits["forget"]["n"] + splits["retain"]["n"] == first["train"]["n"]
    assert report["metrics"]["subject"]["forgotten"]["accuracy"]["n"] == 2


def test_a_gate_on_what_was_forgotten_applies_as_soon_as_there_is_something(project: Path) -> None:
    change(project, "gates: [", "gates: [forgotten.accuracy <= -1, ")
    ask(project, "DSR-1", ids=["rec-1"])
    assert document(project)["runs"][0]["gates_left_out"] == ["forgotten.accuracy <= -1"]
    ask(project, "DSR-2", ids=["rec-2"])
    result = batch(project)
    assert result.exit_code == 3
    assert "forgotten.accuracy <= -1" in result.stdout


def test_what_is_forgotten_already_needs_no_run_and_purged_is_told_from_unknown(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    document(project)
    table = (project / "train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (project / "train.csv").write_text("".join(row for row in table if not row.startswith("rec-1,")), encoding="utf-8")
    ask(project, "DSR-2", ids=["rec-1", "rec-2"])
    said = document(project)
    assert (said["runs"], said["done"], said["current"]) == ([], ["DSR-2"], "v0001")
    done = [event for event in ledger_of(project) if event.kind == "done"][-1]
    assert (done.body["already"], done.body["purged"], done.body["unknown"]) == (1, 1, 0)
    ask(project, "DSR-3", ids=["rec-1", "nobody"])
    result = batch(project, "run", "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout)["set_aside"][0]["request"] == "DSR-3"


def test_unknown_ids_may_be_ignored(project: Path) -> None:
    change(project, "attack:", "unknown_ids: ignore\nattack:")
    ask(project, "DSR-1", ids=["rec-1", "nobody"])
    said = document(project)
    assert (said["runs"][0]["records"], said["runs"][0]["unknown"], said["done"]) == (1, 1, ["DSR-1"])


def test_a_bad_request_is_set_aside_and_stops_no_other(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    ask(project, "DSR-2", where=[{"column": "no such", "op": "==", "value": 1}])
    (project / "requests" / "broken.yaml").write_text("request: [", encoding="utf-8")
    result = batch(project, "run", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["done"]) == (5, ["DSR-1"])
    assert {one["request"] or one["file"] for one in said["set_aside"]} == {"DSR-2", "broken.yaml"}
    reason = (project / "requests" / "set_aside" / "DSR-2.yaml.reason.txt").read_text(encoding="utf-8")
    assert "no such" in reason


def test_a_class_is_forgotten_in_test_as_well(project: Path) -> None:
    change(project, "gates: [", "gates: [test_forget.accuracy <= 1, ")
    ask(project, "DSR-1", classes=[2])
    said = document(project)
    assert said["runs"][0]["gates_left_out"] == []
    splits = report_of(project / "models" / "v0001")["manifest"]["splits"]
    assert splits["test_forget"]["classes"] == {"0": 0, "1": 0, "2": splits["test_forget"]["n"]}


def test_while_no_class_is_forgotten_gates_on_test_retain_are_of_all_of_test(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    document(project)
    gates = report_of(project / "models" / "v0001")["gates"]
    assert [gate["condition"] for gate in gates] == ["test.accuracy >= 0.5"]


def test_a_pending_request_whose_file_is_gone_is_set_aside_and_may_come_again(project: Path) -> None:
    change(project, "accuracy >= 0.5", "accuracy >= 2")
    file = ask(project, "DSR-1", ids=["rec-1"])
    assert batch(project).exit_code == 3
    text = file.read_text(encoding="utf-8")
    file.unlink()
    result = batch(project)
    assert result.exit_code == 5
    assert "its file is gone" in result.output
    change(project, "accuracy >= 2", "accuracy >= 0.5")
    file.write_text(text, encoding="utf-8")
    assert document(project)["done"] == ["DSR-1"]


def test_every_run_leaves_evidence_that_the_ledger_has_the_digests_of(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    document(project)
    evidence = project / "runs" / "R0001" / "evidence"
    promoting = next(event for event in ledger_of(project) if event.kind == "promoting")
    assert promoting.body["evidence"] == {path.name: sha256(path) for path in evidence.iterdir()}
    made = json.loads((evidence / "provenance.json").read_text(encoding="utf-8"))
    weights = next(one for one in made["subject"] if one["name"] == "models/v0001/model.safetensors")
    assert weights["digest"]["sha256"] == sha256(project / "models" / "v0001" / "model.safetensors")


def test_a_clock_that_was_set_back_is_refused(project: Path) -> None:
    document(project)
    ask(project, "DSR-1", ids=["rec-1"])
    early = clock.now() - timedelta(days=2)
    setup = read_setup(project / "deletion.yaml")
    with open_batch(setup, now=lambda: early) as opened, pytest.raises(UserError, match="clock"):
        carry_out_pending(opened)
    assert document(project)["done"] == ["DSR-1"]


def test_a_changed_configuration_begins_an_unfinished_run_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="a bug"):
        patch.setattr(attempts, "_unlearn", broken)
        batch(project)
    change(project, "epochs: 1", "epochs: 2")
    said = document(project)
    assert [(run["run"], run["state"]) for run in said["runs"]] == [("R0001", "failed"), ("R0002", "promoted")]
    assert report_of(project / "models" / "v0001")["settings"]["epochs"] == 2


def broken(*arguments: object) -> None:
    raise RuntimeError("a bug")


def test_duplicates_that_are_taken_along_are_never_retained_again_either(project: Path) -> None:
    row = next(row for row in (project / "train.csv").read_text(encoding="utf-8").splitlines() if "rec-1," in row)
    with (project / "train.csv").open("a", encoding="utf-8") as file:
        file.write(row.replace("rec-1,", "copy,") + "\n")
    change(project, "{device: cpu}", "{device: cpu, forget_duplicates: true}")
    ask(project, "DSR-1", ids=["rec-1"])
    assert document(project)["runs"][0]["records"] == 2
    ask(project, "DSR-2", ids=["copy", "rec-2"])
    said = document(project)
    assert (said["runs"][0]["already"], said["runs"][0]["forgotten"], said["runs"][0]["records"]) == (1, 2, 1)


def test_a_source_that_cannot_be_read_leaves_no_folder(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    change(project, "rec-2,", "rec-1,", "train.csv")
    result = batch(project)
    assert (result.exit_code, list((project / "runs").iterdir())) == (2, []), result.output


@pytest.mark.parametrize("started", [False, True])
def test_runs_of_another_ledger_are_not_written_over(started: bool, project: Path) -> None:
    """Of a ledger that was lost, or put back from a backup that is too old."""
    if started:
        assert batch(project).exit_code == 0
    report = project / "runs" / "R0001" / "attempt-1" / "report.json"
    report.parent.mkdir(parents=True)
    report.touch()
    ask(project, "DSR-1", ids=["rec-1"])
    result = batch(project)
    assert result.exit_code == 6, result.output
    assert "R0001: holds a run that is not in the ledger" in result.output
    assert report.exists()
    assert (project / "models").exists() == started
