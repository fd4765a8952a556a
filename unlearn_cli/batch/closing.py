"""`batch --close ID --because TEXT`: ends a request that was set aside and is not going to be carried out."""

from unlearn_cli import console
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.requests.reasons import format_reason
from unlearn_cli.batch.work import Batch
from unlearn_cli.errors import UserError, did_you_mean


def close(batch: Batch, name: str, because: str) -> None:
    """Tell the ledger that a request is closed, and why; a file that became no request is named by its file name.

    Raises:
        UserError: nothing of that name is set aside, or no reason is given.
    """
    state, why = batch.state(), format_reason(because)
    if not why:
        raise UserError("--because: is empty; say why the request is not going to be carried out")
    request, refusals = state.requests.get(name), [one for one in state.open_refusals if one.name == name]
    aside = request is not None and request.state == "set_aside"
    if not aside and not refusals:
        raise UserError(f"--close {name}: {_hint(state, name)}")
    keys = [[one.body["arrival"], one.body["digest"]] for one in refusals]
    batch.ledger.append("closed", request=name if aside else None, name=name, because=why, refusals=keys)
    console.say(f"{name}: closed: {why}", request=name)


def _hint(state: LedgerState, name: str) -> str:
    request = state.requests.get(name)
    if request:
        return f"is {request.state}; only what is set aside can be closed"
    names = [*state.requests, *(one.name for one in state.open_refusals)]
    return f"nothing of that name is set aside; {did_you_mean(name, names)}"
