"""Whose fault is it that a command of a run refuses its input: that of the requests, or of something else?"""

import json
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch.attempts import attack_of, unlearning_of
from unlearn_cli.batch.ledger.ledger_state import RunState
from unlearn_cli.batch.work import CONTROL, MANIFEST, Batch
from unlearn_cli.commands import attack, unlearn
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.errors import SelectionError, UserError
from unlearn_cli.plugins.suitability import UnsuitableSelection
from unlearn_cli.storage import atomic_files

SHARE = 0.1  # of the training records, drawn at random: what no request has named


def is_of_requests(batch: Batch, run: RunState, error: UserError) -> bool:
    """Say whether a run would not have been refused if other records were to be forgotten.

    Some errors are about the selection and say so. After any other the same commands check a control: a random share of
    the records. If they refuse that, too, the source, the checkpoints or deletion.yaml are wrong, and no request is.
    """
    if isinstance(error, SelectionError):
        return True
    control = batch.folder(run.id) / CONTROL
    try:
        _write(batch.folder(run.id) / MANIFEST, control)
        _check(batch, run, control)
    except (UserError, FileNotFoundError):
        return False
    finally:
        control.unlink(missing_ok=True)
    return True


def _write(manifest: Path, control: Path) -> None:
    """Write the run's manifest with another selection; beside it, because its paths start from its folder."""
    described = json.loads(manifest.read_text(encoding="utf-8")) | {"forget": {"fraction": {"share": SHARE}}}
    with atomic_files.output_file(control) as new:
        new.write_text(json.dumps(described), encoding="utf-8")


def _check(batch: Batch, run: RunState, control: Path) -> None:
    """Do what the run's commands do before they change anything.

    Raises:
        UserError: as they do.
    """
    from unlearn_cli.checkpoints import checkpoint
    from unlearn_cli.evaluation import session
    from unlearn_cli.evaluation.fit_checks import check_fits

    before = batch.version(run.before["version"])
    console.say(f"{run.id}: refused; the same is tried with other records", run=run.id)
    for number, method in enumerate(batch.setup.deletion.methods, start=1):
        try:
            unlearn.run(unlearning_of(batch, run, number, method, control, dry_run=True), batch.setup.common())
        except UnsuitableSelection:  # a random share is no whole class
            continue
    with session.start(open_inputs(control, batch.setup.common(), [before])) as current:
        weights = checkpoint.load(before)
        check_fits(current, current.load(weights), weights, before, "train")
    if batch.setup.deletion.attack.tier:
        attack.run(attack_of(batch, run, 0, before, control, dry_run=True), batch.setup.common("verdict"))
