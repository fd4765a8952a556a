"""Batches whose gates fail: the old checkpoint stays, other methods are tried, the request at fault is found."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.batch.killing import copy_folder, identify_copy, killed_at_step, record
from tests.batch.tiny import ask, batch, change, document, ids_of, ledger_of
from tests.shared import make_once
from unlearn_cli.batch import attempts
from unlearn_cli.batch.ledger import fault
from unlearn_cli.batch.requests import inbox
from unlearn_cli.storage.regular_files import sha256


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def mislabel(project: Path, *names: str) -> None:
    """Give training records a wrong label: the network, trained before, does not say it."""
    rows = [row.split(",") for row in (project / "train.csv").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row[0] in names:
            row[2] = str((int(row[2]) + 1) % 3)
    (project / "train.csv").write_text("".join(f"{','.join(row)}\n" for row in rows), encoding="utf-8")


def test_a_failed_gate_leaves_the_old_checkpoint_and_the_requests_pending(project: Path) -> None:
    change(project, "accuracy >= 0.5", "accuracy >= 2")
    ask(project, "DSR-1", ids=["rec-1"])
    result = batch(project, "run", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["pending"], said["current"]) == (3, 1, "v0000")
    assert said["runs"][0]["attempts"] == [
        {"method": "finetune", "passed": False, "failed": ["test.accuracy >= 2"], "verdict": None, "policy": None}
    ]
    assert report_of(project / "runs" / "R0001" / "attempt-1")["verdict"] == "failed"
    assert (project / "requests" / "DSR-1.yaml").exists()
    assert not (project / "runs" / "R0001" / "selection").exists()
    assert batch(project, "verify").exit_code == 0


def test_after_so_many_failed_runs_a_request_is_set_aside(project: Path) -> None:
    change(project, "accuracy >= 0.5", "accuracy >= 2")
    change(project, "attack:", "attempts: 2\nattack:")
    ask(project, "DSR-1", ids=["rec-1"])
    assert batch(project).exit_code == 3
    ask(project, "DSR-2", ids=["rec-2"])
    assert batch(project).exit_code == 3  # the second request waits for its second run
    assert (project / "requests" / "set_aside" / "DSR-1.yaml").exists()
    result = batch(project)
    assert result.exit_code == 5
    assert "2 runs that failed" in result.stdout
    assert batch(project).exit_code == 0


def test_methods_are_tried_in_turn_and_judged_by_records_that_chose_none(project: Path) -> None:
    change(project, "methods: [finetune]", "methods: [unsir, neggrad, finetune]")
    change(project, "settings: {", "settings: {neggrad: {lr: 100.0}, ")
    change(project, "attack: {tier: null}", "attack: {tier: quick}")
    ask(project, "DSR-1", ids=["rec-1", "rec-2", "rec-11"])
    said = document(project)
    tried = [(made["method"], made["passed"]) for made in said["runs"][0]["attempts"]]
    assert tried == [("unsir", False), ("neggrad", False), ("finetune", True)]
    (reason,) = said["runs"][0]["attempts"][0]["failed"]
    assert "unsir forgets whole classes, but 'forget' selects only part of one" in reason
    assert str(project) not in reason
    run = project / "runs" / "R0001"
    chosen, judged = report_of(project / "models" / "v0001"), report_of(run / "judged-3")
    attacked = report_of(run / "attack-3")
    assert attacked["judgement"]["attempts"] == 2  # unsir was tried on nothing: it forgets only whole classes
    assert (attacked["judgement"]["holdout_half"], attacked["manifest"]["splits"]["test"]["n"]) == (
        "verdict", judged["manifest"]["splits"]["test"]["n"],
    )  # fmt: skip
    halves = chosen["manifest"]["splits"]["test"]["n"] + judged["manifest"]["splits"]["test"]["n"]
    assert halves == len((project / "test.csv").read_text(encoding="utf-8").splitlines()) - 1


def test_a_request_that_no_method_suits_is_counted_and_stops_no_other(project: Path) -> None:
    change(project, "methods: [finetune]", "methods: [unsir]")
    change(project, "settings: {finetune: {epochs: 1}}", "settings: {}")
    change(project, "gates: [test_retain.accuracy >= 0.5]", "attempts: 2")
    ask(project, "DSR-1", ids=["rec-1"])
    ask(project, "DSR-2", classes=[2], received="2025-11-21T09:30:00Z")
    result = batch(project, "run", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["done"], said["pending"]) == (3, ["DSR-2"], 1)
    assert "add one that forgets any records" in result.stderr
    result = batch(project, "run", "--json")
    (aside,) = json.loads(result.stdout)["set_aside"]
    assert (result.exit_code, aside["request"]) == (5, "DSR-1")
    assert aside["reason"].startswith("it was in 2 runs that failed, the last because: deletion.yaml: methods: ")
    assert (batch(project).exit_code, batch(project, "verify").exit_code) == (0, 0)


@pytest.fixture
def never_unseen(project: Path) -> Path:
    """A batch of three requests with an attack that refuses the second, whose records are in data.test as well."""
    change(project, "attack: {tier: null}", "attack: {tier: quick, inconclusive: pass}")
    names = ids_of(project, "digit", "2")[:8]  # enough for both halves of data.test
    rows = (project / "train.csv").read_text(encoding="utf-8").splitlines()
    with (project / "test.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"copy-of-{row}\n" for row in rows if row.split(",")[0] in names)
    ask(project, "DSR-0", ids=ids_of(project, "digit", "0")[:2])  # too few for a verdict
    ask(project, "DSR-1", ids=names)
    ask(project, "DSR-2", ids=ids_of(project, "digit", "1")[:2])
    return project


def test_a_request_that_a_command_refuses_is_counted_and_stops_no_other(never_unseen: Path) -> None:
    result = batch(never_unseen, "run", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, sorted(said["done"]), said["pending"]) == (3, ["DSR-0", "DSR-2"], 1)
    assert batch(never_unseen).exit_code == 3
    result = batch(never_unseen, "run", "--json")
    (aside,) = json.loads(result.stdout)["set_aside"]
    assert (result.exit_code, aside["request"]) == (5, "DSR-1")
    assert aside["reason"].startswith("it was in 3 runs that failed, the last because: ")
    assert "of test equal a forgotten one byte for byte" in aside["reason"]
    assert batch(never_unseen, "verify").exit_code == 0


def test_bisect_sets_a_request_that_a_command_refuses_aside(never_unseen: Path) -> None:
    result = batch(never_unseen, "bisect", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, sorted(said["done"]), said["pending"]) == (5, ["DSR-0", "DSR-2"], 0)
    assert [one["request"] for one in said["set_aside"]] == ["DSR-1"]
    assert "of test equal a forgotten one byte for byte" in said["set_aside"][0]["reason"]


def test_a_class_without_unseen_records_is_forgotten_and_not_compared_with_any(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "list_attack_failures", lambda *arguments: [])
    change(project, "attack: {tier: null}", "attack: {tier: quick, inconclusive: pass}")
    header, *rows = (project / "test.csv").read_text(encoding="utf-8").splitlines()
    others = [row for row in rows if row.split(",")[2] != "2"]
    (project / "test.csv").write_text("\n".join([header, *others]) + "\n", encoding="utf-8")
    ask(project, "DSR-1", classes=[2])
    assert document(project)["done"] == ["DSR-1"]
    skipped = report_of(project / "runs" / "R0001" / "attack-1")["skipped"]
    assert "data.test has no record" in {one["name"]: one["reason"] for one in skipped}["population"]


def test_requests_that_together_select_everything_lose_the_last_of_them(project: Path) -> None:
    for number in range(3):
        ask(project, f"DSR-{number}", classes=[number], received=f"2025-11-2{number}T09:30:00Z")
    result = batch(project, "run", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["done"], said["pending"]) == (5, ["DSR-0", "DSR-1"], 0)
    assert [one["request"] for one in said["set_aside"]] == ["DSR-2"]
    assert said["set_aside"][0]["reason"].startswith("with the requests that are due before it, it selects all ")


@pytest.mark.parametrize("lost", ["test.csv", "train.csv"])
def test_what_is_no_request_s_fault_is_counted_against_none(lost: str, project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    ask(project, "DSR-2", ids=["rec-2"])
    (project / lost).rename(project / "elsewhere.csv")
    for _ in range(4):
        assert batch(project).exit_code == 2
    (project / "elsewhere.csv").rename(project / lost)
    assert sorted(document(project)["done"]) == ["DSR-1", "DSR-2"]


def test_a_checkpoint_of_another_order_of_classes_is_no_request_s_fault(project: Path) -> None:
    change(project, "classes: [0, 1, 2]", "classes: [2, 0, 1]", "data.yaml")
    ask(project, "DSR-1", ids=["rec-1"])
    result = batch(project)
    assert (result.exit_code, "no better than chance" in result.stderr) == (2, True)
    failed = [event for event in ledger_of(project) if event.kind == "run_failed"]
    assert [event.body["counted"] for event in failed] == [False]


BAD = {
    "half a surrogate pair": ("jsonl", {"ids": ["\ud800"]}, "half of a surrogate pair"),
    "half a pair in a column": ("jsonl", {"groups": {"column": "\ud800", "values": ["a"]}}, "half of a surrogate pair"),
    "half a pair in a key": ("jsonl", {"x\ud800": 1}, "half of a surrogate pair"),
    "200 bits": ("jsonl", {"where": [{"column": "digit", "op": "==", "value": 2**200}]}, "more than 128 bits"),
    "NUL": ("jsonl", {"ids": ["rec-1\0"]}, "a NUL character"),
    "all records": ("jsonl", {"where": [{"column": "digit", "op": ">=", "value": 0}]}, "it selects all 358 records"),
    "all classes": ("jsonl", {"classes": [0, 1, 2]}, "it selects all 358 records"),
    "deep": ("jsonl", {"ids": json.loads("[" * 50 + "]" * 50)}, "more than 32 levels"),
    "bidi": ("jsonl", {"x\u202ey\x1b[2J": 1}, r"x\u202ey\x1b[2J: unknown key"),
    "escape beyond Unicode": ("yaml", 'request: BAD\nids: ["\\UFFFFFFFF"]\n', "is not a character"),
    "6000 digits": ("yaml", f"request: BAD\nreceived: 2025-11-20T09:30:00Z\nids: [0x{'f' * 6000}]\n", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_set_aside_with_a_reason_and_the_others_are_carried_out(name: str, project: Path) -> None:
    suffix, content, reason = BAD[name]
    if isinstance(content, dict):
        content = json.dumps({"request": "BAD", "received": "2025-11-20T09:30:00Z", **content})
    (project / "requests" / f"bad.{suffix}").write_text(content, encoding="utf-8")
    ask(project, "GOOD", ids=["rec-2"])
    result = batch(project, "run", "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["done"], len(said["set_aside"])) == (5, ["GOOD"], 1), result.stderr
    assert reason in said["set_aside"][0]["reason"]
    assert said["set_aside"][0]["reason"].isprintable()
    assert str(project) not in said["set_aside"][0]["reason"]


def test_an_attack_that_fails_keeps_the_old_checkpoint(project: Path) -> None:
    change(project, "attack: {tier: null}", "attack: {tier: quick, inconclusive: fail}")
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    result = batch(project)
    assert result.exit_code == 3
    assert "attack: " in result.stdout
    assert os.readlink(project / "models" / "current") == "v0000"


@pytest.fixture
def spoiled(project: Path) -> Path:
    return spoil(project)


def spoil(project: Path) -> Path:
    """Let one of a batch's five requests spoil it: the network is wrong about a record that it names."""
    change(project, "test_retain.accuracy >= 0.5", "forget.accuracy >= 0.99")
    names = [name for digit in "012" for name in ids_of(project, "digit", digit)[:2]]
    mislabel(project, names[3])
    for number, name in enumerate(names[:5]):
        ask(project, f"DSR-{number}", ids=[name])
    return project


def test_bisect_sets_the_culprit_aside_and_carries_out_the_others(spoiled: Path) -> None:
    assert batch(spoiled).exit_code == 3
    result = batch(spoiled, "bisect", "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == 5
    assert [one["request"] for one in said["set_aside"]] == ["DSR-3"]
    assert sorted(said["done"]) == ["DSR-0", "DSR-1", "DSR-2", "DSR-4"]
    assert (said["pending"], said["runs"][0]["run"]) == (0, "R0002")  # all of them had failed in R0001
    assert "a run with only this request failed" in (
        spoiled / "requests" / "set_aside" / "DSR-3.yaml.reason.txt"
    ).read_text(encoding="utf-8")
    assert batch(spoiled, "verify").exit_code == 0


@pytest.fixture(scope="module")
def recorded_bisect(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bisect at each step at which it is killed; `end`: when it was left alone."""

    def fill(snapshots: Path) -> None:
        folder = spoil(copy_folder(trained_project, snapshots / "end"))
        assert record(folder, snapshots, "bisect", steps=[steps[0] for steps in BISECT_KILLED]) == 5

    return make_once(tmp_path_factory, "killed-bisect", fill)


BISECT_KILLED = [["failed"], ["promoted"], ["unlearned", "attempted", "failed"]]  # again and again


@pytest.mark.parametrize("steps", BISECT_KILLED)
def test_bisect_that_is_killed_goes_on_where_it_was(
    steps: list[str], recorded_bisect: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_identify_arrival", identify_copy)
    folder = copy_folder(recorded_bisect / steps[0], tmp_path / "project")
    for step in steps[1:]:
        assert killed_at_step(folder, step, "bisect") == fault.KILLED
    assert batch(folder, "bisect").exit_code == 5
    states = {event.request: event.kind for event in ledger_of(folder) if event.kind in ("done", "set_aside")}
    assert states == {f"DSR-{number}": "set_aside" if number == 3 else "done" for number in range(5)}
    done = [event.request for event in ledger_of(folder) if event.kind == "done"]
    assert len(done) == len(set(done))
    # The runs, and what they made, are those of a bisect that nobody killed.
    current = Path("models", "current", "model.safetensors")
    assert sha256(folder / current) == sha256(recorded_bisect / "end" / current)


def test_a_request_that_was_set_aside_stays_open_until_it_is_closed(project: Path) -> None:
    ask(project, "DSR-1", ids=["nobody"])
    (project / "requests" / "odd.yaml").write_text("x: 1\n", encoding="utf-8")
    assert batch(project).exit_code == 5
    assert batch(project).exit_code == 0  # the run has nothing to do
    for options in ((), ("--fail-if-due-within", "7d")):
        result = batch(project, "status", "--json", *options)
        said = json.loads(result.stdout)
        assert (result.exit_code, said["overdue"], said["set_aside"], said["refused"]) == (5, 1, 1, 1)
        assert said["next_due"] == "2025-12-20T09:30:00.000000Z"
    assert "DSR-1" in said["near"]
    assert "odd.yaml" in batch(project, "status").stdout
    assert batch(project, "close", "DSR-1").exit_code == 2
    assert "did you mean 'DSR-1'" in batch(project, "close", "DSR-2", "--because", "x").stderr
    for name in ("DSR-1", "odd.yaml"):
        assert batch(project, "close", name, "--because", "answered by letter").exit_code == 0
    result = batch(project, "status", "--json")
    assert (result.exit_code, json.loads(result.stdout)["closed"]) == (0, 1)
    assert "closed: answered by letter" in batch(project, "history", "DSR-1").stdout
    assert batch(project, "verify").exit_code == 0
    ask(project, "DSR-1", ids=["rec-1"])  # it may still come again
    assert document(project)["done"] == ["DSR-1"]


def test_a_request_that_waits_and_is_due_is_told_before_those_set_aside(project: Path) -> None:
    ask(project, "DSR-1", ids=["nobody"])
    assert batch(project).exit_code == 5
    ask(project, "DSR-2", ids=["rec-1"])
    assert batch(project, "status", "--fail-if-due-within", "7d").exit_code == 3
    assert batch(project, "status").exit_code == 5


def test_a_corrected_file_answers_for_what_was_refused(project: Path) -> None:
    file = project / "requests" / "odd.yaml"
    file.write_text("x: 1\n", encoding="utf-8")
    assert (batch(project).exit_code, batch(project, "status").exit_code) == (5, 5)
    file.write_text('request: R\nreceived: "2025-11-20T09:30:00Z"\nids: [rec-1]\n', encoding="utf-8")
    assert (batch(project).exit_code, batch(project, "status").exit_code) == (0, 0)


def test_vacuum_removes_the_state_that_an_interrupted_training_kept(project: Path) -> None:
    state = project / "original.partial" / "0123456789abcdef"
    state.mkdir(parents=True)
    (state / "train.safetensors").write_bytes(b"weights")
    assert "original.partial" in document(project, "vacuum")["removed"]
    assert not state.parent.exists()
