"""The control check: finds out whether the requests are the cause when a command of a run refuses its input."""

import contextlib
import json
from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch.attempts import attack_options, unlearn_options
from unlearn_cli.batch.ledger.ledger_state import RunState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.run_files import CONTROL, MANIFEST
from unlearn_cli.commands import attack, unlearn
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.errors import SelectionError, UserError
from unlearn_cli.plugins.suitability import UnsuitableSelection
from unlearn_cli.storage import atomic_files

SHARE = 0.1  # of the training records, drawn at random: a selection that no request made


def is_caused_by_requests(batch: Batch, run: RunState, error: UserError) -> bool:
    """Return whether a run was refused because of the records that its requests select.

    A `SelectionError` always has this cause. After any other error the commands check a control, which selects a random
    share of the records. If they refuse the control as well, the cause is the source, a checkpoint or deletion.yaml.
    """
    if isinstance(error, SelectionError):
        return True
    folder = batch.run_folder(run.id)
    control = folder / CONTROL
    try:
        _write_control(folder / MANIFEST, control)
        _check_control(batch, run, control)
    except (UserError, FileNotFoundError):
        return False
    finally:
        control.unlink(missing_ok=True)
    return True


def _write_control(manifest: Path, control: Path) -> None:
    """Write the run's manifest with another selection, into the same folder, where its relative paths start."""
    content = json.loads(manifest.read_text(encoding="utf-8")) | {"forget": {"fraction": {"share": SHARE}}}
    with atomic_files.output_file(control) as new:
        new.write_text(json.dumps(content), encoding="utf-8")


def _check_control(batch: Batch, run: RunState, control: Path) -> None:
    """Make all checks that the run's commands make before they train.

    Raises:
        UserError: as these commands.
    """
    from unlearn_cli.commands.network_check import load_checkpoints, start_checked

    console.say(f"{run.id}: refused; checking the same with other records", run=run.id)
    options, before = batch.setup.run_options(), batch.version_folder(run.before["version"])
    for number, method in enumerate(batch.setup.deletion.methods, start=1):
        with contextlib.suppress(UnsuitableSelection):  # a random share is not a whole class
            unlearn.run(unlearn_options(batch, run, number, method, control, dry_run=True), options)
    opened = open_inputs(control, options, [before])
    checkpoints = load_checkpoints(opened, {"subject": before, "original": before})
    with start_checked(opened, checkpoints):  # on entry, for the case that no method suits the control
        pass
    if batch.setup.deletion.attack.tier:
        attack.run(attack_options(batch, run, 0, before, control, dry_run=True), batch.setup.run_options("verdict"))
