"""The methods of a run, tried in turn until one passes its gates and the attack.

With one method, gates are judged on the whole hold-out. With several, one half chooses the method and the other judges
it: gates once more, and the attack, which is told how many were tried. Each step leaves a folder that is there as a
whole or not at all, and the digests of its files in the ledger; a run that goes on after it was killed takes what is
noted there.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.ledger import fault, keyed
from unlearn_cli.batch.ledger.ledger_state import RunState
from unlearn_cli.batch.verdicts import describe
from unlearn_cli.batch.work import MANIFEST, Batch
from unlearn_cli.errors import IntegrityError, UserError
from unlearn_cli.plugins import suitability
from unlearn_cli.plugins.run_options import SettingSources
from unlearn_cli.reporting.report import Report
from unlearn_cli.schema.literals import Half
from unlearn_cli.storage import regular_files
from unlearn_cli.storage.remote import locate
from unlearn_cli.verdict.exit_codes import exit_code

if TYPE_CHECKING:
    from unlearn_cli.commands import attack, unlearn

Made = dict[str, Any]  # the body of an `attempt` event
UNDECIDED = ("inconclusive", "nothing_to_forget")


def first_that_passes(batch: Batch, run: RunState) -> Made | None:
    """Try the methods in turn, tell the ledger how each went, and return the attempt that passed, if one did.

    Raises:
        UserError: none of the methods suits the selection, or what a command of the run refuses.
    """
    made = {one["number"]: one for one in run.attempts}
    for number, method in enumerate(batch.setup.deletion.methods, start=1):
        if number not in made:
            made[number] = _tried(batch, run, number, method, tried_before=sum(map(_was_tried, made.values())))
        if made[number]["passed"]:
            return made[number]
    if not any(map(_was_tried, made.values())):
        what = "the requests name parts of classes, and these methods forget whole classes alone"
        raise suitability.UnsuitableSelection(
            f"{batch.setup.path}: methods: {what}; add one that forgets any records, such as bad_teacher"
        )
    return None


def _was_tried(made: Made) -> bool:
    return made["unlearn_report"] is not None


def _tried(batch: Batch, run: RunState, number: int, method: str, tried_before: int) -> Made:
    console.say(f"{run.id}: {method}", run=run.id, method=method)
    folder = batch.folder(run.id)
    several = len(batch.setup.deletion.methods) > 1
    try:
        unlearned = _unlearned(batch, run, number, method, "selection" if several else "all")
    except suitability.UnsuitableSelection:
        return _tell(batch, run, method, number, failed=["it forgets whole classes alone"])
    failed = failed_gates(unlearned)
    judged = several and not failed and bool(unlearned.gates)
    if judged:
        failed = failed_gates(_judged(batch, run, number))
    verdict: dict[str, str | None] = {}
    attacked = bool(batch.setup.deletion.attack.tier) and not failed
    if attacked:
        report = _attacked(batch, run, number, tried_before + 1)
        failed = failed_attack(batch, report)
        verdict = {"verdict": report.verdict, "policy": policy_of(batch, report)}
    assert unlearned.subject is not None
    return _tell(
        batch,
        run,
        method,
        number,
        failed,
        unlearn_report=_digest(folder / f"attempt-{number}"),
        judge_report=_digest(folder / f"judged-{number}") if judged else None,
        attack_report=_digest(folder / f"attack-{number}") if attacked else None,
        subject=unlearned.subject.tensor_digest,
        **verdict,
    )


def _tell(batch: Batch, run: RunState, method: str, number: int, failed: list[str], **digests: str | None) -> Made:
    facts = ("unlearn_report", "judge_report", "attack_report", "subject", "verdict", "policy")
    nothing = dict.fromkeys(facts)
    made = {**nothing, "method": method, "number": number, "passed": not failed, "failed": failed, **digests}
    batch.ledger.append("attempt", run=run.id, **made)
    fault.step("attempted")
    console.say(
        f"{run.id}: {method} {describe(made)}",
        run=run.id,
        method=method,
        passed=not failed,
        failed=failed,
        verdict=made["verdict"],
        policy=made["policy"],
    )
    return made


def _digest(folder: Path) -> str:
    return regular_files.sha256(folder / "report.json")


def read_report(folder: Path) -> Report:
    """Return the report that a step of the run left.

    Raises:
        IntegrityError: it is gone, or no report.
    """
    path = folder / "report.json"
    try:
        return Report.model_validate_json(regular_files.read_regular(path, regular_files.MOST_REPORT))
    except (ValidationError, UserError):
        raise IntegrityError(f"{path}: is not the report that the run wrote; bring it back from a backup") from None


def _is_to_do(run: RunState, out: Path) -> bool:
    """Say whether a step is still to be done; what is there and was not noted is removed, for it may be anything."""
    if out.name in run.steps:
        return False
    if out.exists():
        shutil.rmtree(out)
    return True


def _noted(batch: Batch, run: RunState, number: int, out: Path, step: str) -> Report:
    """Tell the ledger the digests of what a step has written, unless it knows them, and return the step's report."""
    if out.name not in run.steps:
        fault.step(step)
        run.steps[out.name] = run_files.digests(out, batch.key)
        batch.ledger.append("step_ended", run=run.id, number=number, folder=out.name, files=run.steps[out.name])
        fault.step(f"{step}_noted")
    return read_report(out)


def _unlearned(batch: Batch, run: RunState, number: int, method: str, half: Half) -> Report:
    """Return the report of the attempt's new checkpoint, which is made unless it is there."""
    from unlearn_cli.commands import unlearn
    from unlearn_cli.runtime.state import seal_with

    folder = batch.folder(run.id)
    out = folder / f"attempt-{number}"
    if _is_to_do(run, out):
        with seal_with(keyed.derive_key(batch.key, "saved state")):
            unlearn.run(unlearning_of(batch, run, number, method, folder / MANIFEST), batch.common(half))
    return _noted(batch, run, number, out, "unlearned")


def unlearning_of(
    batch: Batch, run: RunState, number: int, method: str, manifest: Path, *, dry_run: bool = False
) -> "unlearn.UnlearnOptions":
    """Return what an attempt asks of `unlearn`."""
    from unlearn_cli.commands import unlearn

    return unlearn.UnlearnOptions(
        batch.version(run.before["version"]),
        manifest,
        method,
        batch.folder(run.id) / f"attempt-{number}",
        settings=SettingSources(None, _assignments(batch.setup.deletion.settings.get(method, {}))),
        references=_references(batch),
        dry_run=dry_run,
    )


def _judged(batch: Batch, run: RunState, number: int) -> Report:
    """Return the report of the gates on the half of the hold-out that chose nothing."""
    from unlearn_cli.commands import evaluate

    folder = batch.folder(run.id)
    out = folder / f"judged-{number}"
    if _is_to_do(run, out):
        asked = evaluate.EvaluateOptions(
            folder / f"attempt-{number}",
            folder / MANIFEST,
            original=batch.version(run.before["version"]),
            references=_references(batch),
            out=out,
        )
        evaluate.run(asked, batch.common("verdict"))
    return _noted(batch, run, number, out, "judged")


def _attacked(batch: Batch, run: RunState, number: int, tried: int) -> Report:
    """Return the report of the attack on the attempt's checkpoint."""
    from unlearn_cli.commands import attack

    folder = batch.folder(run.id)
    out = folder / f"attack-{number}"
    if _is_to_do(run, out):
        asked = attack_of(batch, run, tried, folder / f"attempt-{number}", folder / MANIFEST, out)
        attack.run(asked, batch.common("verdict"))
    return _noted(batch, run, number, out, "attacked")


def attack_of(
    batch: Batch,
    run: RunState,
    tried: int,
    checkpoint: Path,
    manifest: Path,
    out: Path | None = None,
    *,
    dry_run: bool = False,
) -> "attack.AttackOptions":
    """Return what an attempt asks of `attack`."""
    from unlearn_cli.commands import attack

    policy = batch.setup.deletion.attack
    return attack.AttackOptions(
        checkpoint,
        manifest,
        tier=policy.tier,
        original=batch.version(run.before["version"]),
        references=_references(batch),
        shadows=batch.setup.deletion.folder / policy.shadows if policy.shadows else None,
        out=out,
        attempts=tried,
        inconclusive=policy.inconclusive,
        dry_run=dry_run,
    )


def _references(batch: Batch) -> tuple[Path, ...]:
    said = batch.setup.deletion
    return tuple(locate(path, said.folder) for path in said.attack.references)


def _assignments(settings: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name}={json.dumps(value)}" for name, value in settings.items())


def failed_gates(document: Report) -> list[str]:
    return [gate.condition for gate in document.gates if gate.role == "subject" and gate.verdict != "passed"]


def failed_attack(batch: Batch, document: Report) -> list[str]:
    """Return what failed in an attack: its gates, or at least its verdict."""
    policy = batch.setup.deletion.attack
    if not exit_code(document.verdict, inconclusive=policy.inconclusive, tier=policy.tier, require_tier=None):
        return []
    failed = [gate.condition for gate in document.gates if gate.role == "subject" and gate.verdict == "failed"]
    return [f"attack: {condition}" for condition in failed] or [f"attack: {document.verdict}"]


def policy_of(batch: Batch, document: Report) -> str | None:
    """Return the rule of deletion.yaml that lets a verdict through which is not decided; None where none was needed."""
    if document.verdict not in UNDECIDED or failed_attack(batch, document):
        return None
    return f"attack.inconclusive: {batch.setup.deletion.attack.inconclusive}"
