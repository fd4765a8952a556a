"""`batch close ID --because TEXT`: ends a request that was set aside and is not going to be carried out."""

from pathlib import Path

from unlearn_cli import console
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.open_batch import Batch, open_batch
from unlearn_cli.batch.requests.reasons import format_reason
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.batch.signals import exit_on_signals
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError, did_you_mean


def run(deletion_path: Path, name: str, because: str, *, allow_code: bool = False) -> Result:
    """Close the request `name`, with the reason `because` in the ledger.

    Raises:
        CliError: as `close` and `open_batch`.
    """
    setup = read_setup(deletion_path, allow_code=allow_code)
    with exit_on_signals(), open_batch(setup) as batch:
        close(batch, name, because)
        head = batch.ledger.events()[-1].hash
    return Result(f"{name}: closed\nledger head: {head}", {"closed": name, "head": head})


def close(batch: Batch, name: str, because: str) -> None:
    """Record in the ledger that a request is closed, and why; a file without a valid request is named by its file name.

    Raises:
        UserError: nothing of that name is set aside, or no reason is given.
    """
    state, reason = batch.state(), format_reason(because)
    if not reason:
        raise UserError("--because: is empty; give the reason why the request will not be carried out")
    request, refusals = state.requests.get(name), [refusal for refusal in state.open_refusals if refusal.name == name]
    is_set_aside = request is not None and request.state == "set_aside"
    if not is_set_aside and not refusals:
        raise UserError(f"{name}: {_explain(state, name)}")
    keys = [[refusal.body["arrival"], refusal.body["digest"]] for refusal in refusals]
    batch.ledger.append("closed", request=name if is_set_aside else None, name=name, because=reason, refusals=keys)
    console.say(f"{name}: closed: {reason}", request=name)


def _explain(state: LedgerState, name: str) -> str:
    request = state.requests.get(name)
    if request:
        return f"is {request.state}; only a request that is set aside can be closed"
    names = [*state.requests, *(refusal.name for refusal in state.open_refusals)]
    return f"nothing of that name is set aside; {did_you_mean(name, names)}"
