"""`unlearn-cli batch`: carry out the deletion requests that are pending, or say how they stand."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from unlearn_cli import console
from unlearn_cli.batch import work
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.settings import deletion
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize
from unlearn_cli.errors import Interrupted, UserError

GATE_FAILED, SET_ASIDE, INTEGRITY = 3, 5, 6
STOPPED = "stopped by a signal; the same command goes on"


@dataclass(frozen=True)
class Asked:
    """What the command line asks for: a run, unless it is something else."""

    deletion: Path
    dry_run: bool = False
    bisect: bool = False
    rollback: bool = False
    vacuum: bool = False
    status: bool = False
    verify: bool = False
    expect_head: str | None = None
    history: str | None = None
    close: str | None = None
    because: str | None = None
    fail_if_due_within: str | None = None
    allow_code: bool = False


def run(asked: Asked) -> Result:
    """Do what is asked for; only a run that has something to do imports torch."""
    check_options(asked)
    if asked.status:
        return show_status(asked)
    if asked.verify:
        return verify(asked)
    if asked.history is not None:
        return show_history(asked, asked.history)
    setup = work.read(asked.deletion, allow_code=asked.allow_code)
    with stoppable():
        if asked.vacuum:
            return vacuum(setup, asked.dry_run)
        if asked.close is not None:
            return close(setup, asked.close, asked.because or "")
        if asked.rollback:
            return roll_back(setup, asked.dry_run)
        return rehearse(setup) if asked.dry_run else work_off(setup, asked.bisect)


def check_options(asked: Asked) -> None:
    """Refuse options that contradict each other.

    Raises:
        UserError: says which.
    """
    given = {
        "--bisect": asked.bisect,
        "--rollback": asked.rollback,
        "--vacuum": asked.vacuum,
        "--status": asked.status,
        "--verify": asked.verify,
        "--history": asked.history is not None,
        "--close": asked.close is not None,
    }
    names = [name for name, is_given in given.items() if is_given]
    if len(names) > 1:
        raise UserError(f"{' and '.join(names)}: each is a thing of its own; ask for one")
    if asked.fail_if_due_within is not None and not asked.status:
        raise UserError("--fail-if-due-within: is a question to --status; add that")
    if asked.expect_head is not None and not asked.verify:
        raise UserError("--expect-head: is a question to --verify; add that")
    if (asked.close is None) != (asked.because is None):
        raise UserError("--close and --because go together: which request, and why it is not going to be carried out")
    if asked.dry_run and names and names[0] in ("--bisect", "--close", "--status", "--verify", "--history"):
        raise UserError(f"--dry-run: says nothing of {names[0]}; leave one of the two out")


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, a signal to stop ends the command with exit code 75: what is done is in the ledger, the rest can wait.

    While a network is being trained the runtime has handlers of its own, which end the step and keep its state.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(STOPPED)

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(STOPPED) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def work_off(setup: work.Setup, divided: bool) -> Result:
    """Carry out what is pending; with `divided`, find what spoils it."""
    from unlearn_cli.batch import bisect, outcome, run
    from unlearn_cli.batch.publishing import publish

    with work.opened(setup) as batch:
        before = len(batch.ledger.events())
        (bisect.bisect if divided else run.run)(batch)
        publish(batch)
        events = batch.ledger.events()
    found = outcome.document(events, before, clock.format_time(clock.now()))
    return Result(outcome.text(found), found, outcome.exit_code(events, before))


def rehearse(setup: work.Setup) -> Result:
    from unlearn_cli.batch import rehearsal

    found = rehearsal.rehearse(setup, clock.now)
    return Result(rehearsal.text(found), found)


def roll_back(setup: work.Setup, dry_run: bool) -> Result:
    """Go back to the version before, or say what that would mean."""
    from unlearn_cli.batch import outcome, rollback
    from unlearn_cli.batch.publishing import publish

    if dry_run:
        run, to = rollback.refuse_impossible(setup.path, work.state(setup))
        pending = pluralize(len(run.requests), "request")
        text = f"{run.id} would be taken back: {to} current again, {pending} pending again"
        return Result(text, {"run": run.id, "to": to, "requests": run.requests})
    with work.opened(setup) as batch:
        before = len(batch.ledger.events())
        rollback.rollback(batch)
        publish(batch)
        events = batch.ledger.events()
    found = outcome.document(events, before, clock.format_time(clock.now()))
    return Result(outcome.text(found), found)


def vacuum(setup: work.Setup, dry_run: bool) -> Result:
    """Remove what retention does not keep, or list it, and list what stays."""
    from unlearn_cli.batch import vacuum as command

    head = None
    if dry_run:
        found = command.held(setup, work.state(setup), clock.now())
    else:
        with work.opened(setup) as batch:
            found = command.vacuum(batch, clock.now())
            head = batch.ledger.events()[-1].hash
    rows = [[one.name, "stays" if one.keep else "would go" if dry_run else "removed", one.why] for one in found]
    initial = "the checkpoint that 'initial' names, the source and every backup are yours to remove"
    text = console.table("", ["what still holds or names what was forgotten", "", "why"], rows) if rows else "nothing"
    stays = {one.name: one.why for one in found if one.keep}
    last = f"\nledger head: {head}" if head else ""
    removed = [one.name for one in found if not one.keep]
    return Result(f"{text}\n{initial}{last}", {"removed": removed, "stays": stays, "dry_run": dry_run, "head": head})


def show_status(asked: Asked) -> Result:
    """Say how many requests wait, and since when; exit code 3 if one of them is due soon."""
    from unlearn_cli.batch import status

    said = deletion.read(asked.deletion)
    limit = clock.parse_duration(asked.fail_if_due_within) if asked.fail_if_due_within else None
    found: dict[str, Any] = status.overview(said)
    near = status.near(found, limit) if limit is not None else []
    text = status.text(found)
    if near:
        text += f"\n\ndue within {asked.fail_if_due_within}: {', '.join(near[:20])}"
    return Result(text, {**found, "near": near}, _status_code(found, near))


def _status_code(found: dict[str, Any], near: list[str]) -> int:
    """Return 3 if a request that waits is due soon, else 5 if requests are set aside, which no run will carry out."""
    aside = {one["request"] for one in found["requests"] if one["state"] in ("set_aside", "refused")}
    return GATE_FAILED if set(near) - aside else SET_ASIDE if aside else 0


def close(setup: work.Setup, name: str, because: str) -> Result:
    """End a request that was set aside, with a reason in the ledger."""
    from unlearn_cli.batch import closing

    with work.opened(setup) as batch:
        closing.close(batch, name, because)
        head = batch.ledger.events()[-1].hash
    return Result(f"{name}: closed\nledger head: {head}", {"closed": name, "head": head})


def verify(asked: Asked) -> Result:
    """Check the ledger's chain, the files that it knows, and the lineage of the current checkpoint."""
    from unlearn_cli.batch import verify as command

    found = command.verify(deletion.read(asked.deletion), asked.expect_head)
    held = ["the ledger, the files that it knows and the lineage are as they should be"]
    text = "\n".join([*(found.findings or held), f"ledger head: {found.head}", *found.limits])
    document = {"findings": found.findings, "head": found.head, "limits": found.limits}
    return Result(text, document, INTEGRITY if found.findings else 0)


def show_history(asked: Asked, request: str) -> Result:
    """Say what happened to one request."""
    from unlearn_cli.batch import history

    with work.read_ledger(deletion.read(asked.deletion)) as ledger:
        found = history.history(ledger.events(), request)
    return Result(history.text(found), found)
