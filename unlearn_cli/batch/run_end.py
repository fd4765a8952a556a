"""The end of a run: the new version is promoted and each request is done, or the run failed."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.attempts import Attempt, read_report
from unlearn_cli.batch.evidence import evidence
from unlearn_cli.batch.evidence.statement import Artifact, Facts, list_artifacts
from unlearn_cli.batch.ledger import clock, fault, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.run_files import EVIDENCE, FORGET
from unlearn_cli.batch.version_checks import digest_checkpoint
from unlearn_cli.batch.versions import move_to_version, set_pointer
from unlearn_cli.console import pluralize
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage import regular_files

HINT = "; 'batch bisect' finds the request that makes a batch fail"


def announce_promotion(batch: Batch, run: RunState, attempt: Attempt) -> None:
    """Write the evidence of the attempt that passed, and record that the pointer is about to change.

    Raises:
        IntegrityError: the attempt's checkpoint or report is not the one that was recorded, or a reference was changed.
    """
    run_files.check_run(batch, run)
    if run_files.digest_references(batch.setup) != run.body["references"]:
        raise IntegrityError(
            f"{batch.setup.path}: attack: a checkpoint that attacks compare with was changed during the run; run the "
            "same command again, which starts a new run"
        )
    folder = batch.run_folder(run.id) / f"attempt-{attempt['number']}"
    after, report = digest_checkpoint(folder), regular_files.sha256(folder / "report.json")
    if (after["tensor_digest"], report) != (attempt["subject"], attempt["unlearn_report"]):
        raise IntegrityError(f"{folder}: is not the checkpoint that was measured; find out who changed it")
    version = batch.state().next_version
    digests = _write_evidence(batch, run, attempt, version)
    fault.step("evidenced")
    batch.ledger.append(
        "promoting", run=run.id, version=version, after=after, evidence=digests, number=attempt["number"]
    )
    fault.step("promoting")


def _write_evidence(batch: Batch, run: RunState, attempt: Attempt, version: str) -> dict[str, str]:
    """Write the evidence, signed if there is a key; return the digests of its files."""
    folder, settings, number = batch.run_folder(run.id), batch.setup.deletion, attempt["number"]
    attacked = read_report(folder / f"attack-{number}") if attempt["attack_report"] else None
    key = settings.resolve_path(settings.signing_key) if settings.signing_key else None
    facts = _collect_facts(batch, batch.state(), run, attempt, version)
    (folder / EVIDENCE).mkdir()
    return evidence.write_evidence(folder / EVIDENCE, facts, read_report(folder / f"attempt-{number}"), attacked, key)


def _collect_facts(batch: Batch, state: LedgerState, run: RunState, attempt: Attempt, version: str) -> Facts:
    """Return the facts for the evidence; they are the same in a run that continues after it was killed."""
    folder, relative_name, last = batch.run_folder(run.id), batch.setup.relative_name, state.last
    assert last is not None
    before, after = batch.version_folder(run.before["version"]), batch.version_folder(version)
    attack_report = folder / f"attack-{attempt['number']}" / "report.json"
    return Facts(
        run=run.id,
        started=clock.format_time(run.started),
        finished=last.time,
        before=list_artifacts(before, relative_name(before)),
        after=list_artifacts(folder / f"attempt-{attempt['number']}", relative_name(after)),
        unlearned=Artifact(relative_name(after / "report.json"), attempt["unlearn_report"]),
        attacked=Artifact(relative_name(attack_report), attempt["attack_report"]) if attempt["attack_report"] else None,
        requests=tuple(state.requests[name].digest for name in run.requests),
        selection=run.body["selection_digest"],
        ledger=last.hash,
        policy=attempt["policy"],
    )


def promote(batch: Batch, run: RunState) -> None:
    """Move the announced version to its folder, set the pointer to it, and record the outcome of each request.

    Raises:
        IntegrityError: the version or the list of records is gone, or differs from what was recorded.
    """
    assert run.version is not None and run.after is not None
    passed = run_files.name_passed_folder(run)
    if passed is None:
        raise IntegrityError(
            f"{batch.ledger.path}: none of the attempts of {run.id} passed; restore the ledger from a backup"
        )
    if run.body.get("files") is not None:  # else the run was started by a version that recorded no digests
        run_files.check_run(batch, run)
    run_files.check_evidence(batch, run)
    forget = batch.run_folder(run.id) / FORGET
    if not forget.is_file() or keyed.digest(batch.key, regular_files.sha256(forget)) != run.body["selection_digest"]:
        raise IntegrityError(
            f"{forget}: is not the list of records that {run.id} started with; restore it from a backup"
        )
    _move_attempt(batch.run_folder(run.id) / passed, batch.version_folder(run.version), run.after)
    set_pointer(batch.setup.models, run.version)
    fault.step("pointed")
    _record_promotion(batch, run, forget)
    console.say(f"{run.id}: {run.version} is current", run=run.id, version=run.version, requests=run.requests)


def _move_attempt(attempt: Path, version: Path, after: dict[str, str]) -> None:
    move_to_version(attempt, version)
    if digest_checkpoint(version) != after:
        raise IntegrityError(
            f"{version}: is not the checkpoint that was measured, and the pointer does not name it; remove it"
        )
    shutil.rmtree(attempt, ignore_errors=True)  # it exists if it was copied
    fault.step("moved")


def _record_promotion(batch: Batch, run: RunState, forget: Path) -> None:
    with batch.ledger.transaction():
        count, digest = batch.ledger.add_forgotten(run.id, keyed.digests(batch.key, _read_ids(forget)))
        batch.ledger.append("promoted", run=run.id, version=run.version, forgotten=count, forgotten_digest=digest)
        fault.step("recorded")
        for name in run.requests:
            batch.ledger.append("done", request=name, run=run.id, **run.body["found"][name])
    fault.step("promoted")


def _read_ids(forget: Path) -> Iterator[str]:
    with forget.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from (row[0] for row in rows)


def fail_run(batch: Batch, run: RunState, reason: str, *, counted: bool = True) -> None:
    """End a run that changed nothing: its requests are pending again, or set aside after too many failures.

    `counted`: whether the requests are the cause of the failure.
    """
    run_files.remove_unrecorded(batch, run)
    with batch.ledger.transaction():
        batch.ledger.append("run_failed", run=run.id, reason=reason, counted=counted)
        state = batch.state()
        for name in run.requests if counted else ():
            request = state.requests[name]
            if request.attempts >= batch.setup.deletion.attempts:
                failures = pluralize(request.attempts, "run")
                text = f"it was in {failures} that failed, the last because: {reason}"
                text += HINT if len(run.requests) > 1 else ""
                batch.ledger.append("set_aside", request=name, reason=text, file=request.file)
    fault.step("failed")
    console.warn(f"{run.id}: {reason}", run=run.id)
