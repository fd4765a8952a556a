"""The attempts of a run: the methods are tried in turn until one passes its gates and the attack.

With one method, the gates are judged on the whole hold-out, or on its verdict half if a method read the other half
(the input `held_out`). With several, one half of the hold-out chooses the method
and the other half judges it: by the gates again, and by the attack, which corrects for the number of methods tried.

Each step writes a complete folder or none, and its files' digests go into the ledger. A run that continues after it was
killed uses the steps that are in the ledger.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.attempt_text import describe_attempt
from unlearn_cli.batch.ledger import fault, keyed
from unlearn_cli.batch.ledger.ledger_state import RunState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.run_files import MANIFEST
from unlearn_cli.errors import IntegrityError, UserError
from unlearn_cli.plugins.run_options import SettingSources
from unlearn_cli.plugins.suitability import UnsuitableSelection
from unlearn_cli.reporting.report import Report
from unlearn_cli.schema.literals import Half
from unlearn_cli.storage import regular_files
from unlearn_cli.storage.remote import locate
from unlearn_cli.verdict.exit_codes import exit_code

if TYPE_CHECKING:
    from unlearn_cli.commands import attack, unlearn

Attempt = dict[str, Any]  # the body of an event `attempt`
ANY_RECORDS = {  # a method for records of every kind
    "classification": "bad_teacher",
    "regression": "blindspot",
    "multilabel": "neggrad",
}
UNDECIDED = ("inconclusive", "nothing_to_forget")


def try_methods(batch: Batch, run: RunState) -> Attempt | None:
    """Try the methods in turn, record each attempt, and return the first one that passes; None if none passes.

    Raises:
        UserError: no method suits the selection, or a command of the run refuses its input.
    """
    attempts = {attempt["number"]: attempt for attempt in run.attempts}
    for number, method in enumerate(batch.setup.deletion.methods, start=1):
        if number not in attempts:
            num_before = sum(map(_has_checkpoint, attempts.values()))
            attempts[number] = _try_method(batch, run, number, method, num_before)
        if attempts[number]["passed"]:
            return attempts[number]
    if not any(map(_has_checkpoint, attempts.values())):
        raise UnsuitableSelection(
            f"{batch.setup.path}: methods: none of them suits the records that the requests name; add one that forgets "
            f"any records, such as {ANY_RECORDS[batch.setup.manifest.task]}"
        )
    return None


def _has_checkpoint(attempt: Attempt) -> bool:
    return attempt["unlearn_report"] is not None


def _try_method(batch: Batch, run: RunState, number: int, method: str, num_before: int) -> Attempt:
    """Unlearn, judge and attack; `num_before` is the number of methods that gave a checkpoint before this one."""
    label = batch.setup.methods[method].label
    console.say(f"{run.id}: {label}", run=run.id, method=label)
    folder, settings = batch.run_folder(run.id), batch.setup.deletion
    several = len(settings.methods) > 1
    try:
        unlearned = _unlearn(batch, run, number, method, "selection" if several else None)
    except UnsuitableSelection as error:
        return _record_attempt(batch, run, method, number, [batch.setup.format_reason(str(error))])
    failed = list_failed_gates(unlearned)
    assert unlearned.subject is not None
    results: dict[str, str | None] = {
        "unlearn_report": _digest_report(folder / f"attempt-{number}"),
        "subject": unlearned.subject.tensor_digest,
    }
    if several and not failed and unlearned.gates:
        failed = list_failed_gates(_judge(batch, run, number))
        results["judge_report"] = _digest_report(folder / f"judged-{number}")
    if settings.attack.tier and not failed:
        attacked = _attack(batch, run, number, num_before + 1)
        failed = list_attack_failures(batch, attacked)
        results["attack_report"] = _digest_report(folder / f"attack-{number}")
        results |= {"verdict": attacked.verdict, "policy": find_policy(batch, attacked)}
    return _record_attempt(batch, run, method, number, failed, **results)


def _record_attempt(
    batch: Batch, run: RunState, method: str, number: int, failed: list[str], **results: str | None
) -> Attempt:
    missing = dict.fromkeys(("unlearn_report", "judge_report", "attack_report", "subject", "verdict", "policy"))
    label = batch.setup.methods[method].label
    attempt = {**missing, "method": label, "number": number, "passed": not failed, "failed": failed, **results}
    batch.ledger.append("attempt", run=run.id, **attempt)
    fault.step("attempted")
    shown = {name: attempt[name] for name in ("passed", "failed", "verdict", "policy")}
    console.say(f"{run.id}: {label} {describe_attempt(attempt)}", run=run.id, method=label, **shown)
    return attempt


def _digest_report(folder: Path) -> str:
    return regular_files.sha256(folder / "report.json")


def read_report(folder: Path) -> Report:
    """Return the report that a step of the run wrote.

    Raises:
        IntegrityError: it is gone, or is not a report.
    """
    path = folder / "report.json"
    try:
        return Report.model_validate_json(regular_files.read_regular(path, regular_files.MOST_REPORT))
    except (ValidationError, UserError):
        raise IntegrityError(f"{path}: is not the report that the run wrote; restore it from a backup") from None


def _is_to_run(run: RunState, out: Path) -> bool:
    """Return whether a step is still to be run. A folder that is not in the ledger is removed: it may hold anything."""
    if out.name in run.steps:
        return False
    if out.exists():
        shutil.rmtree(out)
    return True


def _record_step(batch: Batch, run: RunState, number: int, out: Path, step: str) -> Report:
    """Record the digests of the files that a step wrote, unless the ledger has them; return the step's report."""
    if out.name not in run.steps:
        fault.step(step)
        run.steps[out.name] = run_files.digest_files(out, batch.key)
        batch.ledger.append("step_ended", run=run.id, number=number, folder=out.name, files=run.steps[out.name])
        fault.step(f"{step}_noted")
    return read_report(out)


def _unlearn(batch: Batch, run: RunState, number: int, method: str, half: Half | None) -> Report:
    """Write the attempt's new checkpoint, unless it exists, and return its report."""
    from unlearn_cli.commands import unlearn
    from unlearn_cli.runtime.state import seal_with

    folder = batch.run_folder(run.id)
    out = folder / f"attempt-{number}"
    if _is_to_run(run, out):
        with seal_with(keyed.derive_key(batch.key, "saved state")):
            options = unlearn_options(batch, run, number, method, folder / MANIFEST)
            unlearn.run(options, batch.run_options(half))
    return _record_step(batch, run, number, out, "unlearned")


def unlearn_options(
    batch: Batch, run: RunState, number: int, method: str, manifest: Path, *, dry_run: bool = False
) -> "unlearn.UnlearnOptions":
    """Return the options of an attempt's `unlearn`."""
    from unlearn_cli.commands import unlearn

    settings = batch.setup.deletion.settings.get(method, {})
    assignments = tuple(f"{name}={json.dumps(value)}" for name, value in settings.items())
    return unlearn.UnlearnOptions(
        batch.version_folder(run.before["version"]),
        manifest,
        batch.setup.methods[method].full_name,
        batch.run_folder(run.id) / f"attempt-{number}",
        settings=SettingSources(None, assignments),
        references=_list_references(batch),
        dry_run=dry_run,
    )


def _judge(batch: Batch, run: RunState, number: int) -> Report:
    """Return the report of the gates on the half of the hold-out that did not choose the method."""
    from unlearn_cli.commands import evaluate

    folder = batch.run_folder(run.id)
    out = folder / f"judged-{number}"
    if _is_to_run(run, out):
        options = evaluate.EvaluateOptions(
            folder / f"attempt-{number}",
            folder / MANIFEST,
            original=batch.version_folder(run.before["version"]),
            references=_list_references(batch),
            out=out,
        )
        evaluate.run(options, batch.run_options("verdict"))
    return _record_step(batch, run, number, out, "judged")


def _attack(batch: Batch, run: RunState, number: int, num_tried: int) -> Report:
    """Return the report of the attack on the attempt's checkpoint."""
    from unlearn_cli.commands import attack

    folder = batch.run_folder(run.id)
    out = folder / f"attack-{number}"
    if _is_to_run(run, out):
        options = attack_options(batch, run, num_tried, folder / f"attempt-{number}", folder / MANIFEST, out)
        attack.run(options, batch.run_options("verdict"))
    return _record_step(batch, run, number, out, "attacked")


def attack_options(
    batch: Batch,
    run: RunState,
    num_tried: int,
    checkpoint: Path,
    manifest: Path,
    out: Path | None = None,
    *,
    dry_run: bool = False,
) -> "attack.AttackOptions":
    """Return the options of an attempt's `attack`."""
    from unlearn_cli.commands import attack

    policy = batch.setup.deletion.attack
    return attack.AttackOptions(
        checkpoint,
        manifest,
        tier=policy.tier,
        original=batch.version_folder(run.before["version"]),
        references=_list_references(batch),
        shadows=batch.setup.deletion.resolve_path(policy.shadows) if policy.shadows else None,
        out=out,
        attempts=num_tried,
        inconclusive=policy.inconclusive,
        dry_run=dry_run,
    )


def _list_references(batch: Batch) -> tuple[Path, ...]:
    settings = batch.setup.deletion
    return tuple(locate(path, settings.folder) for path in settings.attack.references)


def list_failed_gates(report: Report) -> list[str]:
    """Return the conditions of the gates that the new checkpoint did not pass."""
    return [gate.condition for gate in report.gates if gate.role == "subject" and gate.verdict != "passed"]


def list_attack_failures(batch: Batch, report: Report) -> list[str]:
    """Return the gates that failed in an attack, or its verdict if no single gate failed; empty if it passed."""
    policy = batch.setup.deletion.attack
    if not exit_code(report.verdict, inconclusive=policy.inconclusive, tier=policy.tier, require_tier=None):
        return []
    failed = [gate.condition for gate in report.gates if gate.role == "subject" and gate.verdict == "failed"]
    return [f"attack: {condition}" for condition in failed] or [f"attack: {report.verdict}"]


def find_policy(batch: Batch, report: Report) -> str | None:
    """Return the setting of deletion.yaml that accepts an undecided verdict; None if none was needed."""
    if report.verdict not in UNDECIDED or list_attack_failures(batch, report):
        return None
    return f"attack.inconclusive: {batch.setup.deletion.attack.inconclusive}"
