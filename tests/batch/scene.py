"""A small folder of a deletion batch, with runs that are told to the ledger as a real one would tell them."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.ledger.chain import START, hash_event
from unlearn_cli.batch.ledger.ledger_state import LedgerState, fold
from unlearn_cli.batch.ledger.store import Ledger, open_ledger
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.settings import deletion
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.checkpoints.checkpoint_header import digest_checkpoint_files, read_header
from unlearn_cli.storage.regular_files import sha256

DELETION = """\
version: 1
manifest: data.yaml
initial: original/model.safetensors
methods: [bad_teacher, retrain]
settings: {bad_teacher: {impair_steps: 75}}
"""
MORNING = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def request(name: str, ids: str = "[1]", received: str = "2026-11-20T09:30:00Z") -> str:
    return f"request: {name}\nreceived: {received}\nids: {ids}\n"


def clock(start: datetime = MORNING, step: float = 1.0) -> Callable[[], datetime]:
    """Return a clock that is `step` seconds later whenever it is asked."""
    passed = iter(range(10**9))
    return lambda: start + timedelta(seconds=step * next(passed))


def make(folder: Path, text: str = DELETION) -> DeletionSettings:
    (folder / "deletion.yaml").write_text(text, encoding="utf-8")
    found = deletion.read(folder / "deletion.yaml")
    for name in deletion.FOLDERS:
        found.path(name).mkdir(parents=True, exist_ok=True)
    found.path("ledger").parent.mkdir(parents=True, exist_ok=True)
    return found


def drop(where: DeletionSettings, name: str, text: str | bytes) -> Path:
    """Write a file into the inbox as its writers should: under another name, then renamed."""
    path = where.path("requests") / name
    half_written = path.with_name(f".{name}")
    half_written.write_bytes(text.encode() if isinstance(text, str) else text)
    return half_written.rename(path)


@contextmanager
def opened(where: DeletionSettings, now: Callable[[], datetime] | None = None) -> Iterator[tuple[Ledger, bytes]]:
    key = keyed.read_or_create_key(where.key_file, where.path("ledger"))
    with open_ledger(where.path("ledger"), now=now or clock()) as ledger:
        yield ledger, key


def rewrite(where: DeletionSettings, *statements: str) -> None:
    """Change the ledger past its triggers, which are put back."""
    with sqlite3.connect(where.path("ledger")) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()


def chain_anew(where: DeletionSettings, key: bytes | None, *, before: str | None = None) -> None:
    """Recompute the hashes of all events, with the chain's key or without one; with `before` only up to that kind.

    Statements name the ledger's head of their time; they, and their digests in the ledger, follow.
    """
    with sqlite3.connect(where.path("ledger")) as connection:
        query = "SELECT seq, time, kind, request, run, body, hash FROM event ORDER BY seq"
        rows: list[tuple[int, str, str, str | None, str | None, str, str]] = connection.execute(query).fetchall()
    connection.close()
    changes, previous, was = [], START, START
    for seq, time, kind, request, run, text, old in rows:
        if kind == before:
            break
        body = restated(where, run, text, was, previous) if kind == "promoting" else text
        digest, was = hash_event(seq, time, kind, request, run, body, previous, key), old
        stored = body.replace("'", "''")
        changes.append(
            f"UPDATE event SET body = '{stored}', previous = '{previous}', hash = '{digest}' WHERE seq = {seq}"
        )
        previous = digest
    rewrite(where, *(f"UPDATE event SET hash = 'x{number}' WHERE seq = {number + 1}" for number in range(len(changes))),
            *changes)  # fmt: skip


def restated(where: DeletionSettings, run: str | None, body: str, old: str, new: str) -> str:
    """Put another head of the ledger into a run's provenance, and return the body that has the digest of that."""
    path = where.path("runs") / str(run) / "evidence" / "provenance.json"
    if old == new or not path.exists():
        return body
    before = sha256(path)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return body.replace(before, sha256(path))


def unmigrated(where: DeletionSettings) -> None:
    """Make of a ledger one of the first version: its chain has no key, and nothing says which key it was."""
    chain_anew(where, None)
    with sqlite3.connect(where.path("ledger")) as connection:
        connection.execute("DROP TABLE key_check")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    where.key_file.write_text(f"{keyed.read_key(where.key_file).hex()}\n")


def receive(where: DeletionSettings, ledger: Ledger, key: bytes) -> tuple[LedgerState, list[str]]:
    """Read the inbox, tell the ledger, and move what has ended."""
    folder = where.path("requests")
    files = inbox.read(folder, key)
    told = inbox.register(ledger, files, where)
    state = fold(ledger.events())
    inbox.move_ended(folder, files, state)
    return state, told


def write_version(where: DeletionSettings, name: str, parent: str) -> dict[str, str]:
    """Write a checkpoint that says what it was made of, and return what the ledger says of it."""
    folder = where.path("models") / name
    folder.mkdir()
    save_file({"w": np.array([int(name[1:])])}, folder / "model.safetensors", {"unlearn_cli.parent": parent})
    (folder / "report.json").write_text(f'{{"of": "{name}"}}')
    return {"tensor_digest": f"tensors of {name}", "file_sha256": digest_checkpoint_files(read_header(folder))}


def point(where: DeletionSettings, name: str) -> None:
    link = where.path("models") / "current"
    link.unlink(missing_ok=True)
    link.symlink_to(name)


def begin(where: DeletionSettings, ledger: Ledger) -> None:
    """Tell of the initial checkpoint."""
    ledger.append("opened", checkpoint=write_version(where, "v0000", ""), version="v0000")
    point(where, "v0000")


def start(ledger: Ledger, requests: list[str]) -> str:
    state = fold(ledger.events())
    run, current = state.next_run, state.current or ""
    before = {**state.versions[current], "version": current}
    ledger.append("run_started", run=run, **started(requests, before))
    return run


def started(requests: list[str], before: dict[str, str]) -> dict[str, Any]:
    """Return what the ledger is told when a run begins."""
    counts = {"records": 2, "unknown": 0, "already": 0, "purged": 0}
    return {
        **counts, "requests": requests, "found": dict.fromkeys(requests, counts), "before": before, "forgotten": 0,
        "selection_digest": "s", "config": "c", "seed": 0, "tool_version": "0", "gates_left_out": [],
    }  # fmt: skip


def fail(ledger: Ledger, requests: list[str]) -> str:
    run = start(ledger, requests)
    ledger.append("run_failed", run=run, reason="forget.accuracy <= 0.1 does not hold", counted=True)
    return run


def promote(where: DeletionSettings, ledger: Ledger, requests: list[str], digests: tuple[str, ...] = ("a", "b")) -> str:
    """Tell of a whole run that passed, and write its files."""
    run = start(ledger, requests)
    state = fold(ledger.events())
    version, before = state.next_version, state.runs[run].before
    after = write_version(where, version, before["tensor_digest"])
    written = {}
    for place in (f"{run}/judged-1/report.json", f"{run}/attack-1/report.json"):
        path = where.path("runs") / place
        path.parent.mkdir(parents=True)
        path.write_text(f'{{"of": "{place}"}}')
        written[path.parent.name] = sha256(path)
    reports = [sha256(where.path("models") / version / "report.json"), written["attack-1"]]
    ledger.append(
        "attempt", run=run, method="bad_teacher", number=1, passed=True, subject=after["tensor_digest"], failed=[],
        unlearn_report=sha256(where.path("models") / version / "report.json"), attack_report=written["attack-1"],
        judge_report=written["judged-1"],
    )  # fmt: skip
    evidence = write_evidence(where, ledger, run, version, after, reports)
    ledger.append("promoting", run=run, version=version, after=after, evidence=evidence, number=1)
    point(where, version)
    with ledger.transaction():
        count, digest = ledger.add_forgotten(run, digests)
        ledger.append("promoted", run=run, version=version, forgotten=count, forgotten_digest=digest)
        for name in requests:
            ledger.append("done", request=name, run=run, records=2, unknown=0, already=0)
    return run


def write_evidence(
    where: DeletionSettings, ledger: Ledger, run: str, version: str, after: dict[str, str], reports: list[str]
) -> dict[str, str]:
    """Write the parts of a run's statements that the ledger says as well, and return their digests."""
    state = fold(ledger.events())
    last, before = state.last, state.runs[run].before
    assert last is not None
    subject = checkpoint(version, after)
    measured = [{"name": f"{n}/report.json", "digest": {"sha256": digest}} for n, digest in enumerate(reports)]
    used = [
        *checkpoint(before["version"], before), {"name": "selection", "digest": {"keyedSha256": "s"}},
        *({"name": "request", "digest": {"canonicalJsonSha256": state.requests[name].digest}}
          for name in state.runs[run].requests),
        {"name": "ledger", "digest": {"ledgerEventSha256": last.hash}},
    ]  # fmt: skip
    provenance = {
        "subject": [*subject, *measured],
        "predicate": {
            "buildDefinition": {"resolvedDependencies": used}, "runDetails": {"metadata": {"invocationId": run}},
        },
    }  # fmt: skip
    result = {"subject": subject, "predicate": {"result": "PASSED", "configuration": measured}}
    folder = where.path("runs") / run / "evidence"
    folder.mkdir()
    for name, made in (("provenance.json", provenance), ("test-result.json", result)):
        (folder / name).write_text(json.dumps(made), encoding="utf-8")
    return {path.name: sha256(path) for path in folder.iterdir()}


def checkpoint(version: str, described: dict[str, str]) -> list[dict[str, Any]]:
    """Return the descriptors of a checkpoint of one file."""
    return [
        {"name": f"models/{version}/model.safetensors", "digest": {"sha256": described["file_sha256"]}},
        {"name": "weights", "digest": {"tensorsSha256": described["tensor_digest"]}},
    ]


def roll_back(where: DeletionSettings, ledger: Ledger) -> str:
    """Tell that the last run is taken back."""
    run = fold(ledger.events()).lineage[-1]
    to = run.before["version"]
    ledger.append("rolled_back", run=run.id, **{"from": run.version, "to": to, "requests": run.requests})
    point(where, to)
    return run.id
