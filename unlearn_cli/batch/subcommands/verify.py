"""`batch verify`: checks the ledger, the files that it recorded, the lineage of versions, and the current pointer."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.batch import run_files
from unlearn_cli.batch.cleanup import is_unstarted, list_unknown_runs
from unlearn_cli.batch.evidence import evidence
from unlearn_cli.batch.evidence.evidence_check import find_differences
from unlearn_cli.batch.ledger.chain import START, Row
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState, fold
from unlearn_cli.batch.ledger.store import Event, Ledger, open_ledger
from unlearn_cli.batch.ledger_check import check_forgotten_lists, find_requests_without_outcome
from unlearn_cli.batch.run_files import EVIDENCE
from unlearn_cli.batch.settings import deletion as deletion_yaml
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.batch.version_checks import list_unknown_versions
from unlearn_cli.batch.versions import FIRST, POINTER
from unlearn_cli.checkpoints.checkpoint_header import digest_checkpoint_files, read_header
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import IntegrityError, UserError
from unlearn_cli.storage.regular_files import sha256

PARENT = "unlearn_cli.parent"
SHORTEST_HEAD = 12  # digits
CHECKED = ("report.json", "model.safetensors")  # files of a version that other checks compare, too
INTEGRITY = 6  # exit code


@dataclass(frozen=True)
class Verification:
    """The findings, one line each; the hash of the ledger's last event; and what these checks cannot show."""

    findings: list[str]
    head: str
    limits: list[str]


def run(deletion_path: Path, expected_head: str | None = None) -> Result:
    """Report the findings, with exit code 6 if there are any.

    Raises:
        UserError, IntegrityError: as `verify`.
    """
    checks = verify(deletion_yaml.read(deletion_path), expected_head)
    no_findings = ["the ledger, the files that it recorded and the lineage are as they should be"]
    text = "\n".join([*(checks.findings or no_findings), f"ledger head: {checks.head}", *checks.limits])
    document = {"findings": checks.findings, "head": checks.head, "limits": checks.limits}
    return Result(text, document, INTEGRITY if checks.findings else 0)


def verify(deletion: DeletionSettings, expected_head: str | None = None) -> Verification:
    """Check the ledger and all files that it recorded.

    `expected_head` is a hash that the ledger's last event had at an earlier time, or the start of it.

    Raises:
        UserError: there is no ledger yet, or `expected_head` does not have the form of a hash.
        IntegrityError: the ledger's file is too damaged to be read, or its key is another one or missing.
    """
    if expected_head is not None and not re.fullmatch(f"[0-9a-f]{{{SHORTEST_HEAD},64}}", expected_head):
        raise UserError(f"--expect-head: expected a ledger's hash, {SHORTEST_HEAD} to 64 digits from 0 to 9 and a to f")
    _refuse_missing_ledger(deletion)
    with open_ledger(deletion.path("ledger"), create_missing=False, key_file=deletion.key_file) as ledger:
        damage = ledger.find_damage()
        rows = ledger.rows()
        faults = ledger.find_chain_faults(rows)
        findings = [*damage, *faults, *_find_missing_head(rows, expected_head)]
        if damage or faults:
            findings.append("the files were not checked, because the digests in a changed ledger cannot be trusted")
        else:
            findings += _check_files(deletion, ledger)
        return Verification(findings, rows[-1][7] if rows else START, list_limits(deletion, ledger, expected_head))


def _refuse_missing_ledger(deletion: DeletionSettings) -> None:
    """Refuse a folder without a ledger in which runs were started.

    Raises:
        IntegrityError: this is the case.
    """
    ledger, runs = deletion.path("ledger"), list_unknown_runs(deletion.path("runs"), LedgerState())
    started = [folder for folder in runs if not is_unstarted(folder)]
    if not ledger.exists() and started:
        raise IntegrityError(
            f"{ledger}: is gone, but {started[0].parent.name} holds {started[0].name}; restore the ledger from a backup"
        )


def _find_missing_head(rows: list[Row], expected_head: str | None) -> Iterator[str]:
    """Yield a finding if no event has the expected hash: events are only ever appended."""
    if expected_head is not None and not any(row[7].startswith(expected_head) for row in rows):
        yield f"no event has the hash {expected_head}: the ledger was replaced by an older one or another one"


def _check_files(deletion: DeletionSettings, ledger: Ledger) -> list[str]:
    events, key = ledger.events(), ledger.key
    state = fold(events)
    return [
        *check_forgotten_lists(ledger, state),
        *find_requests_without_outcome(state),
        *check_lineage(events),
        *check_pointer(deletion, state),
        *find_unknown_folders(deletion, state),
        *check_checkpoints(deletion, state),
        *check_recorded_files(deletion, state, key),
        *find_foreign_files(deletion, state, key),
        *find_differences(deletion.path("runs"), events, state.removed),
        *check_signatures(deletion, state),
    ]


def list_limits(deletion: DeletionSettings, ledger: Ledger, expected_head: str | None) -> list[str]:
    """Return what was not checked, and which changes cannot be detected."""
    rewritten = "not shown: whether somebody who can read the ledger's key has rewritten ledger and reports"
    lines = [f"{rewritten}, with the signing key" if deletion.signing_key else rewritten]
    if not deletion.signing_key:
        lines.append("not checked: signatures of evidence, because deletion.yaml names no signing_key")
    if expected_head is None:
        lines.append("not checked: whether an older state of all files was restored; --expect-head HASH shows that")
    if not ledger.is_keyed:
        lines.append("not shown: whether the chain was recomputed, because it has no key yet; the next run adds one")
    return lines


def find_unknown_folders(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Yield versions and runs that are not in the ledger, except a run that was killed before it was recorded."""
    for name in list_unknown_versions(deletion.path("models"), state):
        yield f"models/{name}: the ledger has no such version"
    for folder in list_unknown_runs(deletion.path("runs"), state):
        if folder.name != state.next_run or not is_unstarted(folder):
            yield f"runs/{folder.name}: the ledger has no such run"


def find_foreign_files(deletion: DeletionSettings, state: LedgerState, key: bytes) -> Iterator[str]:
    """Yield files that were added to or changed in the folders of ended runs and of versions."""
    for run in state.runs.values():
        if run.id != state.unfinished and run.body.get("files") is not None:
            yield from _find_foreign_run_files(deletion, run)
    for name in state.versions:
        folder = deletion.path("models") / name
        if _is_removed(state, f"models/{name}") or not folder.exists():
            continue
        links = [path for path in map(folder.joinpath, CHECKED) if path.is_symlink()]
        yield from (f"models/{name}/{path.name}: is a link; restore the file itself" for path in links)
        for path, change in run_files.find_version_changes(folder, state, name, key):
            if path.name not in CHECKED:
                yield f"models/{name}/{path.relative_to(folder).as_posix()}: {change}"


def _find_foreign_run_files(deletion: DeletionSettings, run: RunState) -> Iterator[str]:
    folder = deletion.path("runs") / run.id
    recorded = {*run_files.list_recorded_digests(run), *(f"{EVIDENCE}/{name}" for name in run.evidence)}
    for path in run_files.list_files(folder):
        name = path.relative_to(folder).as_posix()
        if name not in recorded and not run_files.is_record_list(name):
            yield f"runs/{run.id}/{name}: is not a file that the ledger recorded"


def check_lineage(events: list[Event]) -> Iterator[str]:
    """Follow the current version through the events: every run must have started with the version current then."""
    current, checkpoints, runs = None, {}, {}
    for event in events:
        body = event.body
        if event.kind == "opened":
            current, checkpoints = body["version"], {body["version"]: body["checkpoint"]}
        elif event.kind == "run_started":
            runs[event.run] = body["before"]
            if body["before"].get("version") != current or not _is_same(body["before"], checkpoints.get(current)):
                yield f"{event.run}: did not start with the checkpoint that was current, {current}"
        elif event.kind == "promoting":
            checkpoints[body["version"]] = body["after"]
        elif event.kind == "promoted":
            current = body["version"]
        elif event.kind == "rolled_back":
            if body["from"] != current or body["to"] != runs[event.run].get("version"):
                yield f"{event.run}: rolled back from {body['from']} to {body['to']}, but {current} was current"
            current = body["to"]


def _is_same(checkpoint: dict[str, Any], other: dict[str, Any] | None) -> bool:
    return other is not None and all(checkpoint[name] == other[name] for name in ("tensor_digest", "file_sha256"))


def check_pointer(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Check that `current` names the ledger's current version.

    The ledger changes first: if a process is killed before it moves the pointer, the next process moves it.
    """
    path = deletion.path("models") / POINTER
    if state.current is None or state.last is None:
        # A killed first run leaves the first version.
        others = sorted(version.name for version in path.parent.glob("v*") if version.name != FIRST)
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
        yield f"{path.name}: points to {target}, but {state.current} is the ledger's current version"


def check_checkpoints(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Check the bytes of every version that was not removed, and the parent that its metadata names."""
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
        if digest_checkpoint_files(header) != checkpoint["file_sha256"]:
            yield f"{name}: the checkpoint is not the recorded one; its file was changed or replaced"
        elif name in parents and header.metadata.get(PARENT) != parents[name]:
            yield f"{name}: the checkpoint's metadata names another parent than the ledger"


def _is_removed(state: LedgerState, path: str) -> bool:
    return any(path == removed or path.startswith(f"{removed}/") for removed in state.removed)


def _is_unfinished(state: LedgerState, version: str) -> bool:
    return state.unfinished is not None and state.runs[state.unfinished].version == version


def check_recorded_files(deletion: DeletionSettings, state: LedgerState, key: bytes) -> Iterator[str]:
    """Check the files of runs that have digests in the ledger and were not removed."""
    for run in state.runs.values():
        for name, recorded in [*_list_reports(run), *_list_other_files(run)]:
            if _is_removed(state, name):
                continue
            kind, _, inner = name.partition("/")
            path = deletion.path("models" if kind == "models" else "runs") / inner
            if not path.is_file():
                yield f"{name}: is gone"
            elif recorded not in (sha256(path), run_files.digest_file(path, key)):
                yield f"{name}: is not the file that the ledger recorded; it was changed or replaced"


def _list_reports(run: RunState) -> Iterator[tuple[str, str]]:
    """Yield the paths of a run's reports and evidence, from models/ or runs/, and their digests."""
    for attempt in run.attempts:
        number, moved = attempt["number"], attempt["passed"] and run.state in ("promoted", "rolled_back")
        folders = {
            "unlearn_report": f"models/{run.version}" if moved else f"runs/{run.id}/attempt-{number}",
            "judge_report": f"runs/{run.id}/judged-{number}",
            "attack_report": f"runs/{run.id}/attack-{number}",
        }
        for name, folder in folders.items():
            is_moving = name == "unlearn_report" and attempt["passed"] and run.state == "promoting"
            if attempt[name] is not None and not is_moving:
                yield f"{folder}/report.json", attempt[name]
    if run.state != "running":
        for name, digest in run.evidence.items():
            yield f"runs/{run.id}/{EVIDENCE}/{name}", digest


def _list_other_files(run: RunState) -> Iterator[tuple[str, str]]:
    """Yield the other files that stay in a run's folder, and their keyed digests."""
    moved = run_files.name_passed_folder(run) if run.version else None
    for name, digest in run_files.list_recorded_digests(run).items():
        is_checked = name.endswith("/report.json") or run_files.is_record_list(name)
        if not is_checked and name.partition("/")[0] != moved:
            yield f"runs/{run.id}/{name}", digest


def check_signatures(deletion: DeletionSettings, state: LedgerState) -> Iterator[str]:
    """Check that signed evidence is signed with a key of the signing key's file, unless it was removed."""
    signed_before = False
    for run in state.runs.values():
        folder = deletion.path("runs") / run.id / EVIDENCE
        signed = any(name.endswith(evidence.ENVELOPE) for name in run.evidence)
        if signed_before and run.evidence and not signed and deletion.signing_key:
            yield f"{run.id}: its evidence is not signed, but the evidence of an earlier run is"
        signed_before |= signed
        if not signed or deletion.signing_key is None or not folder.is_dir():
            continue
        try:
            evidence.verify_signatures(folder, deletion.resolve_path(deletion.signing_key))
        except IntegrityError as error:
            yield f"{run.id}: {error}"
