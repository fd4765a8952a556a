"""The end of a run: promoted, with the pointer on its version and every request told as done; or failed."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.attempts import Made, read_report
from unlearn_cli.batch.evidence import evidence
from unlearn_cli.batch.evidence.statement import Artifact, Facts, artifacts
from unlearn_cli.batch.ledger import clock, fault, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState
from unlearn_cli.batch.opening import digests
from unlearn_cli.batch.promote import place, point
from unlearn_cli.batch.work import EVIDENCE, FORGET, Batch
from unlearn_cli.console import pluralize
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage import regular_files

HINT = "; 'batch bisect' finds the request that spoils a batch"


def announce(batch: Batch, run: RunState, made: Made) -> None:
    """Write the evidence of the attempt that passed, and tell the ledger that the pointer is about to change.

    Raises:
        IntegrityError: the attempt's checkpoint or report is not the one that the ledger knows.
    """
    run_files.check(batch, run)
    if run_files.references(batch.setup) != run.body["references"]:
        what = "a checkpoint that attacks compare with was changed while the run went on"
        raise IntegrityError(f"{batch.setup.path}: attack: {what}; run the same command again, a new run then begins")
    state, attempt = batch.state(), batch.folder(run.id) / f"attempt-{made['number']}"
    version, after = state.next_version, digests(attempt)
    if (after["tensor_digest"], regular_files.sha256(attempt / "report.json")) != (
        made["subject"],
        made["unlearn_report"],
    ):
        raise IntegrityError(f"{attempt}: is not what was measured; find out who changed it")
    facts = _facts(batch, state, run, made, version)
    attacked = read_report(batch.folder(run.id) / f"attack-{made['number']}") if made["attack_report"] else None
    key = batch.setup.deletion.signing_key
    folder = batch.folder(run.id) / EVIDENCE
    folder.mkdir()
    written = evidence.write(
        folder, facts, read_report(attempt), attacked, batch.setup.deletion.folder / key if key else None
    )
    fault.step("evidenced")
    batch.ledger.append("promoting", run=run.id, version=version, after=after, evidence=written, number=made["number"])
    fault.step("promoting")


def _facts(batch: Batch, state: LedgerState, run: RunState, made: Made, version: str) -> Facts:
    """Return what the evidence is made of; of a run that goes on after it was killed, the same."""
    number, told, folder, last = made["number"], batch.setup.told, batch.folder(run.id), state.last
    assert last is not None
    before, after = batch.version(run.before["version"]), batch.version(version)
    attack = folder / f"attack-{number}" / "report.json"
    return Facts(
        run=run.id,
        started=clock.format_time(run.started),
        finished=last.time,
        before=artifacts(before, told(before)),
        after=artifacts(folder / f"attempt-{number}", told(after)),
        unlearned=Artifact(told(after / "report.json"), made["unlearn_report"]),
        attacked=Artifact(told(attack), made["attack_report"]) if made["attack_report"] else None,
        requests=tuple(state.requests[name].digest for name in run.requests),
        selection=run.body["selection_digest"],
        ledger=last.hash,
        policy=made["policy"],
    )


def promote(batch: Batch, run: RunState) -> None:
    """Bring the announced version to its place, let the pointer name it, and tell the ledger what became of all.

    Raises:
        IntegrityError: the version is gone, or its bytes are not those that were announced; or the list of records is.
    """
    assert run.version is not None and run.after is not None
    made = next((one for one in run.attempts if one["passed"]), None)
    if made is None:
        raise IntegrityError(f"{batch.ledger.path}: none of {run.id}'s attempts passed; bring it back from a backup")
    if run.body.get("files") is not None:  # else a tool that did not note any began it
        run_files.check(batch, run)
    run_files.check_evidence(batch, run)
    forget = batch.folder(run.id) / FORGET
    if not forget.is_file() or keyed.digest(batch.key, regular_files.sha256(forget)) != run.body["selection_digest"]:
        raise IntegrityError(f"{forget}: is not the list of records that {run.id} began with; bring it back")
    attempt, version = batch.folder(run.id) / f"attempt-{made['number']}", batch.version(run.version)
    place(attempt, version)
    if digests(version) != run.after:
        raise IntegrityError(f"{version}: is not the checkpoint that was measured, and nothing points to it; remove it")
    shutil.rmtree(attempt, ignore_errors=True)  # it is there if it had to be copied
    fault.step("moved")
    point(batch.setup.models, run.version)
    fault.step("pointed")
    with batch.ledger.transaction():
        count, digest = batch.ledger.add_forgotten(run.id, keyed.digests(batch.key, _ids(forget)))
        batch.ledger.append("promoted", run=run.id, version=run.version, forgotten=count, forgotten_digest=digest)
        fault.step("recorded")
        for name in run.requests:
            batch.ledger.append("done", request=name, run=run.id, **run.body["found"][name])
    fault.step("promoted")
    console.say(f"{run.id}: {run.version} is current", run=run.id, version=run.version, requests=run.requests)


def _ids(forget: Path) -> Iterator[str]:
    with forget.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from (row[0] for row in rows)


def fail(batch: Batch, run: RunState, reason: str, *, counted: bool = True) -> None:
    """End a run that changed nothing: its requests are pending again, those that failed too often are set aside.

    `counted`: whether it was the requests' failure.
    """
    limit = batch.setup.deletion.attempts
    run_files.drop_unnoted(batch, run)
    with batch.ledger.transaction():
        batch.ledger.append("run_failed", run=run.id, reason=reason, counted=counted)
        state = batch.state()
        for name in run.requests:
            known = state.requests[name]
            if counted and known.attempts >= limit:
                told = f"it was in {pluralize(known.attempts, 'run')} that failed, the last because: {reason}"
                told += HINT if len(run.requests) > 1 else ""
                batch.ledger.append("set_aside", request=name, reason=told, file=known.file)
    fault.step("failed")
    console.warn(f"{run.id}: {reason}", run=run.id)
