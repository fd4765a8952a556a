"""`batch verify`: checks the ledger, the files that it recorded, the lineage of versions, and the current pointer."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.batch import run_files
from unlearn_cli.batch.evidence import evidence
from unlearn_cli.batch.evidence.evidence_check import differing
from unlearn_cli.batch.ledger.chain import START, Row
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState, fold
from unlearn_cli.batch.ledger.store import Event, Ledger, open_ledger
from unlearn_cli.batch.ledger_check import check_forgotten_lists, find_requests_without_outcome
from unlearn_cli.batch.opening import unknown_versions
from unlearn_cli.batch.promote import FIRST, POINTER
from unlearn_cli.batch.settings import deletion as deletion_yaml
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.batch.tidying import is_unbegun, unknown_runs
from unlearn_cli.batch.work import EVIDENCE
from unlearn_cli.checkpoints.checkpoint_header import files_digest, read_header
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import IntegrityError, UserError
from unlearn_cli.storage.regular_files import sha256

PARENT = "unlearn_cli.parent"
SHORTEST_HEAD = 12  # digits
CHECKED = ("report.json", "model.safetensors")  # files of a version that are compared with other digests, too
INTEGRITY = 6  # exit code


@dataclass(frozen=True)
class Verification:
    """What does not hold, one line each; the hash of the ledger's last event; and what these checks cannot show."""

    findings: list[str]
    head: str
    limits: list[str]


def run(deletion_path: Path, expected_head: str | None = None) -> Result:
    """Report what does not hold, with exit code 6 if there is anything.

    Raises:
        UserError, IntegrityError: as `verify`.
    """
    checks = verify(deletion_yaml.read(deletion_path), expected_head)
    no_findings = ["the ledger, the files that it knows and the lineage are as they should be"]
    text = "\n".join([*(checks.findings or no_findings), f"ledger head: {checks.head}", *checks.limits])
    document = {"findings": checks.findings, "head": checks.head, "limits": checks.limits}
    return Result(text, document, INTEGRITY if checks.findings else 0)


def verify(deletion: DeletionSettings, expected_head: str | None = None) -> Verification:
    """Check the ledger and all that it says; `expected_head`: a hash that its last event once had, or the start of it.

    Raises:
        UserError: there is no ledger yet, or the hash cannot be one.
        IntegrityError: the ledger's file is so damaged that it cannot be read, or its key is another one or gone.
    """
    if expected_head is not None and not re.fullmatch(f"[0-9a-f]{{{SHORTEST_HEAD},64}}", expected_head):
        raise UserError(f"--expect-head: expected a ledger's hash, {SHORTEST_HEAD} to 64 digits from 0 to 9 and a to f")
    _refuse_missing(deletion)
    with open_ledger(deletion.path("ledger"), create_missing=False, key_file=deletion.key_file) as ledger:
        damage = ledger.find_damage()
        rows = ledger.rows()
        broken = ledger.find_chain_faults(rows)
        wrong = [*damage, *broken, *_rolled_back(rows, expected_head)]
        if damage or broken:
            wrong.append("the files were not checked: what the ledger says of them cannot be trusted")
        else:
            wrong += _findings(deletion, ledger)
        return Verification(wrong, rows[-1][7] if rows else START, limits(deletion, ledger, expected_head))


def _refuse_missing(deletion: DeletionSettings) -> None:
    """Refuse where there is no ledger, though runs have been at work.

    Raises:
        IntegrityError: it is so.
    """
    ledger, runs = deletion.path("ledger"), unknown_runs(deletion.path("runs"), LedgerState())
    begun = [folder for folder in runs if not is_unbegun(folder)]
    if not ledger.exists() and begun:
        what = f"is gone, but {begun[0].parent.name} holds {begun[0].name}"
        raise IntegrityError(f"{ledger}: {what}; bring the ledger back from a backup")


def _rolled_back(rows: list[Row], expected_head: str | None) -> Iterator[str]:
    """Look for a hash that the ledger's last event once had: events are only ever added."""
    if expected_head is not None and not any(row[7].startswith(expected_head) for row in rows):
        yield f"no event has the hash {expected_head}: an older ledger was put back, or another one"


def _findings(deletion: DeletionSettings, ledger: Ledger) -> list[str]:
    events, key = ledger.events(), ledger.key
    state = fold(events)
    return [
        *check_forgotten_lists(ledger, state),
        *find_requests_without_outcome(state),
        *lineage(events),
        *pointer(deletion, state),
        *unknown(deletion, state),
        *versions(deletion, state),
        *reports(deletion, state, key),
        *strange(deletion, state, key),
        *differing(deletion.path("runs"), events, state.removed),
        *signatures(deletion, state),
    ]


def limits(deletion: DeletionSettings, ledger: Ledger, expected_head: str | None) -> list[str]:
    """Return what was not checked, and who could have changed what unnoticed."""
    found = ["not shown: whether somebody who can read the ledger's key has written ledger and reports anew"]
    found[0] += ", with the signing key" if deletion.signing_key else ""
    if not deletion.signing_key:
        found.append("not checked: signatures of evidence, because deletion.yaml names no signing_key")
    if expected_head is None:
        found.append("not checked: whether an older state of everything was put back; --expect-head HASH shows that")
    if not ledger.is_keyed:
        found.append("not shown: whether the chain was computed anew, for it has no key yet; the next run gives it one")
    return found


def unknown(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Look for versions and runs that the ledger does not know; one that was killed before it began is no finding."""
    for name in unknown_versions(deletion.path("models"), state):
        yield f"models/{name}: the ledger does not know this version"
    for folder in unknown_runs(deletion.path("runs"), state):
        if folder.name != state.next_run or not is_unbegun(folder):
            yield f"runs/{folder.name}: the ledger does not know this run"


def strange(deletion: DeletionSettings, state: LedgerState, key: bytes) -> Iterator[str]:
    """Look for files that were put into the folders of ended runs and of versions, or changed there."""
    for run in state.runs.values():
        folder = deletion.path("runs") / run.id
        if run.id == state.unfinished or run.body.get("files") is None:
            continue
        known = {*run_files.noted(run), *(f"{EVIDENCE}/{name}" for name in run.evidence)}
        for path in run_files.written(folder):
            name = path.relative_to(folder).as_posix()
            if name not in known and not run_files.is_selection(name):
                yield f"runs/{run.id}/{name}: is not a file that the ledger knows"
    for name in state.versions:
        folder = deletion.path("models") / name
        if _is_removed(state, f"models/{name}") or not folder.exists():
            continue
        links = [path for path in map(folder.joinpath, CHECKED) if path.is_symlink()]
        yield from (f"models/{name}/{path.name}: is a link; bring the file itself back" for path in links)
        for path, what in run_files.changes_of_version(folder, state, name, key):
            if path.name not in CHECKED:
                yield f"models/{name}/{path.relative_to(folder).as_posix()}: {what}"


def lineage(events: list[Event]) -> Iterator[str]:
    """Follow the current version through the events: every run must have begun with what was current then."""
    current, checkpoints, runs = None, {}, {}
    for event in events:
        body = event.body
        if event.kind == "opened":
            current, checkpoints = body["version"], {body["version"]: body["checkpoint"]}
        elif event.kind == "run_started":
            runs[event.run] = body["before"]
            if _same(body["before"], checkpoints.get(current)) is False or body["before"].get("version") != current:
                yield f"{event.run}: did not begin with the checkpoint that was current, {current}"
        elif event.kind == "promoting":
            checkpoints[body["version"]] = body["after"]
        elif event.kind == "promoted":
            current = body["version"]
        elif event.kind == "rolled_back":
            if body["from"] != current or body["to"] != runs[event.run].get("version"):
                yield f"{event.run}: rolled back from {body['from']} to {body['to']}, but {current} was current"
            current = body["to"]


def _same(one: dict[str, Any], other: dict[str, Any] | None) -> bool:
    return other is not None and all(one[name] == other[name] for name in ("tensor_digest", "file_sha256"))


def pointer(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Check that `current` names the version that the ledger says.

    The ledger speaks first: a process that is killed before the pointer follows is no finding, the next one moves it.
    """
    path = deletion.path("models") / POINTER
    if state.current is None or state.last is None:
        others = sorted(one.name for one in path.parent.glob("v*") if one.name != FIRST)  # a killed first run made that
        if others:
            yield f"the ledger is empty, but {path.parent.name} holds {', '.join(others[:3])} of earlier runs"
        return
    allowed = {state.current}
    if state.unfinished:
        allowed.add(state.runs[state.unfinished].version or state.current)
    if state.last.kind == "rolled_back":
        allowed.add(state.last.body["from"])
    target = os.readlink(path) if path.is_symlink() else "no version"
    if target not in allowed:
        yield f"{path.name}: points to {target}; the ledger says {state.current}"


def versions(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Check the bytes of every version that was not removed, and which checkpoint it says it was made of."""
    parents = {run.version: run.before["tensor_digest"] for run in state.runs.values() if run.version}
    for name, checkpoint in state.versions.items():
        folder = deletion.path("models") / name
        if _is_removed(state, f"models/{name}") or (_is_unfinished(state, name) and not folder.exists()):
            continue
        try:
            header = read_header(folder)
        except UserError as error:
            yield str(error).replace(str(folder), f"models/{name}")
            continue
        if files_digest(header) != checkpoint["file_sha256"]:
            yield f"{name}: the checkpoint is not the one that the ledger knows; its file was changed or replaced"
        elif name in parents and header.metadata.get(PARENT) != parents[name]:
            yield f"{name}: the checkpoint says that it was made of another one than the ledger says"


def _is_removed(state: LedgerState, path: str) -> bool:
    return any(path == gone or path.startswith(f"{gone}/") for gone in state.removed)


def _is_unfinished(state: LedgerState, version: str) -> bool:
    return state.unfinished is not None and state.runs[state.unfinished].version == version


def reports(deletion: DeletionSettings, state: LedgerState, key: bytes) -> Iterator[str]:
    """Check the files of runs that the ledger has digests of, where they were not removed."""
    for run in state.runs.values():
        for place, stated in [*_written(run), *_noted(run)]:
            if _is_removed(state, place):
                continue
            kind, _, inner = place.partition("/")
            path = deletion.path("models" if kind == "models" else "runs") / inner
            if not path.is_file():
                yield f"{place}: is gone"
            elif stated not in (sha256(path), run_files.digest(path, key)):
                yield f"{place}: is not the file that the ledger knows; it was changed or replaced"


def _noted(run: RunState) -> Iterator[tuple[str, str]]:
    """Yield the files in a run's folder and their keyed digests: those that stay there and are not checked anyway."""
    moved = run_files.passed_folder(run) if run.version else None
    for name, digest in run_files.noted(run).items():
        checked = name.endswith("/report.json") or run_files.is_selection(name)
        if not checked and name.partition("/")[0] != moved:
            yield f"runs/{run.id}/{name}", digest


def signatures(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Check that signed evidence is signed with a key of the file that signs, where it was not removed."""
    signed_before = False
    for run in state.runs.values():
        folder = deletion.path("runs") / run.id / EVIDENCE
        signed = any(name.endswith(evidence.ENVELOPE) for name in run.evidence)
        if signed_before and run.evidence and not signed and deletion.signing_key:
            yield f"{run.id}: its evidence is not signed, though that of an earlier run is"
        signed_before |= signed
        if not signed or deletion.signing_key is None or not folder.is_dir():
            continue
        try:
            evidence.verify(folder, deletion.folder / deletion.signing_key)
        except IntegrityError as error:
            yield f"{run.id}: {error}"


def _written(run: RunState) -> Iterator[tuple[str, str]]:
    """Yield where a run's files lie, from models/ or runs/, and their digests."""
    for attempt in run.attempts:
        number, moved = attempt["number"], attempt["passed"] and run.state in ("promoted", "rolled_back")
        places = {
            "unlearn_report": f"models/{run.version}" if moved else f"runs/{run.id}/attempt-{number}",
            "judge_report": f"runs/{run.id}/judged-{number}",
            "attack_report": f"runs/{run.id}/attack-{number}",
        }
        for name, folder in places.items():
            on_its_way = name == "unlearn_report" and attempt["passed"] and run.state == "promoting"
            if attempt[name] is not None and not on_its_way:
                yield f"{folder}/report.json", attempt[name]
    if run.state != "running":
        for name, digest in run.evidence.items():
            yield f"runs/{run.id}/evidence/{name}", digest
