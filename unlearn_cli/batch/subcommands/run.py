"""`batch run`: carries out the pending deletion requests; with --dry-run it only reports what a run would do."""

from pathlib import Path

from unlearn_cli.batch import outcome, pipeline, rehearsal
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.open_batch import open_batch
from unlearn_cli.batch.publishing import publish
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.batch.signals import exit_on_signals
from unlearn_cli.commands.result import Result


def run(deletion_path: Path, *, dry_run: bool = False, allow_code: bool = False) -> Result:
    """Carry out the pending requests, or report what a run would do.

    Raises:
        CliError: as `pipeline.carry_out_pending`, `publish` and `rehearse`.
    """
    setup = read_setup(deletion_path, allow_code=allow_code)
    with exit_on_signals():
        for method in setup.methods.values():
            if method.code:
                method.function()  # code that cannot be imported is refused before anything is recorded
        if dry_run:
            plan = rehearsal.rehearse(setup, clock.now)
            return Result(rehearsal.format_text(plan), plan)
        with open_batch(setup) as batch:
            num_before = len(batch.ledger.events())
            pipeline.carry_out_pending(batch)
            publish(batch)
            events = batch.ledger.events()
    return outcome.to_result(events, num_before)
