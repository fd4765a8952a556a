"""`batch verify`: an honest folder passes, and every way of changing it behind the ledger's back is found."""

import shutil
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.batch.scene import (
    MORNING,
    begin,
    chain_anew,
    clock,
    drop,
    fail,
    make,
    opened,
    point,
    promote,
    receive,
    request,
    rewrite,
    roll_back,
    start,
    started,
)
from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.ledger.chain import derive_chain_key
from unlearn_cli.batch.ledger.ledger_state import fold
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.batch.subcommands import verify as module
from unlearn_cli.batch.subcommands.status import build_overview
from unlearn_cli.errors import IntegrityError, UserError
from unlearn_cli.storage.regular_files import sha256


def verify(where: DeletionSettings, head: str | None = None) -> list[str]:
    return module.verify(where, head).findings


def three_versions(folder: Path) -> DeletionSettings:
    """Make a folder with a failed run, two promoted ones, one that was rolled back, and one more."""
    where = make(folder)
    for name in "ABC":
        drop(where, f"{name}.yaml", request(name))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        fail(ledger, ["A", "B"])
        promote(where, ledger, ["A"], digests=("a",))
        promote(where, ledger, ["B"], digests=("b", "c"))
        roll_back(where, ledger)
        promote(where, ledger, ["B", "C"], digests=("b", "c", "d"))
    return where


def write_checkpoint(path: Path, value: float, parent: str) -> None:
    save_file({"w": np.array([value])}, path, {"unlearn_cli.parent": parent})


def test_what_was_written_as_it_should_be_holds(tmp_path: Path) -> None:
    assert verify(three_versions(tmp_path)) == []


def test_a_folder_without_a_ledger_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no ledger yet"):
        verify(make(tmp_path))


def test_an_empty_ledger_beside_versions_is_found(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    where.path("ledger").unlink()
    with open_ledger(where.path("ledger")):
        assert verify(where)[0] == "the ledger is empty, but models holds v0001, v0002, v0003 of earlier runs"


CHANGES: dict[str, tuple[Callable[[DeletionSettings], object], str]] = {
    "checkpoint replaced": (
        lambda where: write_checkpoint(where.path("models") / "v0003" / "model.safetensors", 9, "tensors of v0001"),
        "v0003: the checkpoint is not the recorded one",
    ),
    "old checkpoint replaced": (
        lambda where: write_checkpoint(where.path("models") / "v0000" / "model.safetensors", 9, ""),
        "v0000: the checkpoint is not the recorded one",
    ),
    "checkpoint truncated": (
        lambda where: (where.path("models") / "v0001" / "model.safetensors").write_bytes(b"xx"),
        "models/v0001/model.safetensors: is not an intact safetensors file",
    ),
    "checkpoint gone": (
        lambda where: (where.path("models") / "v0001" / "model.safetensors").unlink(),
        "models/v0001: the folder has no model.safetensors",
    ),
    "report changed": (
        lambda where: (where.path("models") / "v0001" / "report.json").write_text("{}"),
        "models/v0001/report.json: is not the file that the ledger recorded",
    ),
    "attack report gone": (
        lambda where: (where.path("runs") / "R0004" / "attack-1" / "report.json").unlink(),
        "runs/R0004/attack-1/report.json: is gone",
    ),
    "report of the other half changed": (
        lambda where: (where.path("runs") / "R0003" / "judged-1" / "report.json").write_text("{}"),
        "runs/R0003/judged-1/report.json: is not the file that the ledger recorded",
    ),
    "evidence changed": (
        lambda where: (where.path("runs") / "R0002" / "evidence" / "provenance.json").write_text("{}"),
        "runs/R0002/evidence/provenance.json: is not the file that the ledger recorded",
    ),
    "pointer moved": (
        lambda where: point(where, "v0000"),
        "current: points to v0000, but v0003 is the ledger's current version",
    ),
    "pointer gone": (
        lambda where: (where.path("models") / "current").unlink(),
        "current: points to no version, but v0003 is the ledger's current version",
    ),
    "forgotten record taken out": (
        lambda where: rewrite(where, "DELETE FROM forgotten WHERE digest = 'd'"),
        "R0004: the list of 2 forgotten records is not the list of 3 that it wrote",
    ),
    "forgotten record put in": (
        lambda where: rewrite(where, "INSERT INTO forgotten VALUES ('z', 'R0002')"),
        "R0002: the list of 2 forgotten records is not the list of 1",
    ),
    "forgotten record changed": (
        lambda where: rewrite(where, "UPDATE forgotten SET digest = 'z' WHERE digest = 'a'"),
        "R0002: the list of 1 forgotten records is not the list of 1",
    ),
    "forgotten by no run": (
        lambda where: rewrite(where, "INSERT INTO forgotten VALUES ('z', 'R0099')"),
        "R0099: has a list of forgotten records, but there is no such run",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_behind_the_ledgers_back_is_found(tmp_path: Path, name: str) -> None:
    where = three_versions(tmp_path)
    change, finding = CHANGES[name]
    change(where)
    (line,) = verify(where)
    assert finding in line


def another_key(where: DeletionSettings) -> None:
    where.key_file.write_text("0a" * 32 + "\nchain\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda where: where.key_file.unlink(), "the ledger's key is gone"),
        (lambda where: where.key_file.write_text("x"), "is not a key of 32 bytes"),
        (another_key, "the key next to it is not the key that it was written with"),
        (lambda where: rewrite(where, "DELETE FROM key_check"), "the key next to it is not the key"),
    ],
)
def test_a_key_that_is_not_the_ledgers_stops_everything(
    tmp_path: Path, change: Callable[[DeletionSettings], None], message: str
) -> None:
    where = three_versions(tmp_path)
    change(where)
    for look in (verify, build_overview):
        with pytest.raises(IntegrityError, match=message):
            look(where)


def test_a_corrupt_row_is_found_and_nothing_that_hangs_on_it_is_believed(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    rewrite(where, "UPDATE event SET body = replace(body, 'v0001', 'v0000') WHERE kind = 'promoted'")
    found = verify(where)
    assert len([line for line in found if "was changed: its hash does not match" in line]) == 1
    assert found[-1].startswith("the files were not checked")


def test_rows_cut_off_at_the_end_are_found_by_the_pointer_and_the_forgotten(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    rewrite(where, "DELETE FROM event WHERE seq > (SELECT max(seq) FROM event WHERE kind = 'rolled_back')")
    assert verify(where) == [
        "R0004: has a list of forgotten records, but there is no such run",
        "current: points to v0003, but v0001 is the ledger's current version",
        "models/v0003: the ledger has no such version",
        "runs/R0004: the ledger has no such run",
    ]


def test_a_missing_trigger_and_a_damaged_file_are_found(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    with sqlite3.connect(where.path("ledger")) as connection:
        connection.execute("DROP TRIGGER event_no_update")
    connection.close()
    assert verify(where)[0] == "the ledger's tables or triggers were changed: it was not append-only"
    where.path("ledger").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(IntegrityError, match="the ledger's file is damaged"):
        verify(where)


def test_a_checkpoint_of_another_parent_is_found_even_when_the_ledger_knows_its_bytes(tmp_path: Path) -> None:
    where = make(tmp_path)
    drop(where, "a.yaml", request("A"))
    with opened(where) as (ledger, key):
        begin(where, ledger)
        receive(where, ledger, key)
        state = fold(ledger.events())
        before = {**state.versions["v0000"], "tensor_digest": "of somebody else", "version": "v0000"}
        ledger.append("run_started", run="R0001", **started(["A"], before))
        ledger.append("run_failed", run="R0001", reason="x", counted=True)
    assert verify(where) == ["R0001: did not start with the checkpoint that was current, v0000"]


def test_a_version_that_names_another_parent_in_its_own_metadata_is_found(tmp_path: Path) -> None:
    where = make(tmp_path)
    with opened(where) as (ledger, _):
        begin(where, ledger)
        run = start(ledger, [])
        folder = where.path("models") / "v0001"
        folder.mkdir()
        write_checkpoint(folder / "model.safetensors", 1, "of somebody else")
        after = {"tensor_digest": "t", "file_sha256": sha256(folder / "model.safetensors")}
        ledger.append("promoting", run=run, version="v0001", after=after, evidence={}, number=1)
        _, digest = ledger.add_forgotten(run, [])
        ledger.append("promoted", run=run, version="v0001", forgotten=0, forgotten_digest=digest)
        point(where, "v0001")
    assert verify(where) == [
        "v0001: the checkpoint's metadata names another parent than the ledger",
        "R0001: was promoted without provenance.json",
        "R0001: was promoted without test-result.json",
    ]


def test_what_was_vacuumed_is_not_missed(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    shutil.rmtree(where.path("models") / "v0001")
    shutil.rmtree(where.path("runs") / "R0002")
    with opened(where) as (ledger, _):
        ledger.append("vacuumed", removed=["models/v0001", "runs/R0002"])
    assert verify(where) == []
    shutil.rmtree(where.path("models") / "v0000")
    assert len(verify(where)) == 1


def test_a_rollback_that_was_killed_before_the_pointer_followed_is_no_finding(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    with opened(where) as (ledger, _):
        roll_back(where, ledger)
    for target in ("v0001", "v0003"):
        point(where, target)
        assert verify(where) == []
    point(where, "v0002")
    assert verify(where) == ["current: points to v0002, but v0001 is the ledger's current version"]


def test_an_attempt_with_a_method_that_does_not_suit_has_no_reports(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    drop(where, "D.yaml", request("D"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        run = start(ledger, ["D"])
        nothing = dict.fromkeys(("unlearn_report", "judge_report", "attack_report", "subject"))
        body = {**nothing, "method": "unsir", "number": 1, "passed": False, "failed": ["whole classes alone"]}
        ledger.append("attempt", run=run, **body)
    assert verify(where) == []


@pytest.mark.parametrize(("pointed_to", "moved"), [("v0003", False), ("v0003", True), ("v0004", True)])
def test_a_promotion_that_was_killed_is_no_finding(tmp_path: Path, pointed_to: str, moved: bool) -> None:
    where = three_versions(tmp_path)
    drop(where, "D.yaml", request("D"))
    with opened(where) as (ledger, key):
        receive(where, ledger, key)
        promote(where, ledger, ["D"], digests=("e",))
    last = "SELECT max(seq) FROM event WHERE kind = 'promoting'"
    rewrite(where, f"DELETE FROM event WHERE seq > ({last})")
    rewrite(where, "DELETE FROM forgotten WHERE run = 'R0005'")
    point(where, pointed_to)
    if not moved:
        attempt = where.path("runs") / "R0005" / "attempt-1"
        (where.path("models") / "v0004").rename(attempt)
    assert verify(where) == []


def rewritten(where: DeletionSettings, run: str, name: str, old: str, new: str) -> None:
    """Change a statement, and the ledger to go with it, as somebody who has the ledger's key could."""
    path = where.path("runs") / run / "evidence" / name
    before, text = sha256(path), path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    rewrite(where, f"UPDATE event SET body = replace(body, '{before}', '{sha256(path)}') WHERE kind = 'promoting'")
    chain_anew(where, derive_chain_key(keyed.read_key(where.key_file)))


@pytest.mark.parametrize(
    ("name", "old", "new", "what"),
    [
        ("provenance.json", "tensors of v0003", "tensors of v0000", "new weights"),
        ("provenance.json", "models/v0003", "models/v0002", "new files"),
        ("provenance.json", "tensors of v0001", "tensors of v0000", "weights before"),
        ("provenance.json", "models/v0001", "models/v0000", "files before"),
        ("provenance.json", '"keyedSha256": "s"', '"keyedSha256": "t"', "selection"),
        ("provenance.json", "canonicalJsonSha256", "sha256", "requests"),
        ("provenance.json", "ledgerEventSha256", "sha256", "ledger"),
        ("provenance.json", "R0004", "R0002", "run"),
        ("provenance.json", "1/report.json", "1/more.json", "reports"),
        ("provenance.json", '"predicate"', '"said"', "new weights, new files, reports, run"),
        ("test-result.json", "PASSED", "FAILED", "result"),
        ("test-result.json", "tensors of v0003", "tensors of v0000", "new weights"),
        ("test-result.json", "0/report.json", "0/more.json", "reports"),
    ],
)
def test_statements_that_say_something_else_than_the_ledger_are_found(
    tmp_path: Path, name: str, old: str, new: str, what: str
) -> None:
    where = three_versions(tmp_path)
    rewritten(where, "R0004", name, old, new)
    found = verify(where)
    assert any(f"R0004: evidence/{name} differs from the ledger in: {what}" in line for line in found)


def test_a_head_of_yesterday_must_still_be_an_event(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    head = module.verify(where).head
    saved = {path: path.read_bytes() for path in (where.path("ledger"), where.key_file)}
    drop(where, "D.yaml", request("D"))
    with opened(where, clock(MORNING + timedelta(days=1))) as (ledger, key):
        receive(where, ledger, key)
    new = module.verify(where).head
    for expected in (head, head[:12], new, new[:20]):
        assert verify(where, expected) == []
    for path, data in saved.items():
        path.write_bytes(data)
    assert verify(where, head) == []
    assert verify(where, new) == [
        f"no event has the hash {new}: the ledger was replaced by an older one or another one"
    ]
    for odd in ("", "abc", head[:11], head.upper(), f"{head}0", "%"):
        with pytest.raises(UserError, match="--expect-head: expected a ledger's hash"):
            verify(where, odd)


def test_versions_and_runs_that_the_ledger_does_not_know_are_found(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    (where.path("models") / "v0004").mkdir()
    run = where.path("runs") / "R0005"
    (run / "selection").mkdir(parents=True)
    assert verify(where) == ["models/v0004: the ledger has no such version"]
    (run / "attempt-1").mkdir()
    assert verify(where)[1:] == ["runs/R0005: the ledger has no such run"]


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    where = three_versions(tmp_path)
    limits = module.verify(where).limits
    assert [line.split(":")[0] for line in limits] == ["not shown", "not checked", "not checked"]
    assert len(module.verify(where, module.verify(where).head).limits) == 2
