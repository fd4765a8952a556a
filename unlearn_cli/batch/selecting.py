"""The start of a run: which records the pending requests mean, written down, and told to the ledger with the run."""

import csv
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.ledger import fault, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.resolve.resolution import Resolution, ResolvedRequest, resolve
from unlearn_cli.batch.run_manifest import run_manifest
from unlearn_cli.batch.work import FORGET, MANIFEST, SELECTION, Batch, Setup
from unlearn_cli.console import pluralize
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.storage import atomic_files, regular_files
from unlearn_cli.storage.version import VERSION


@dataclass(frozen=True)
class Selected:
    """What became of the requests: those to carry out, those that need no run, and why others are set aside."""

    resolution: Resolution
    wanted: list[Request]
    nothing_left: list[Request]  # all that they name was forgotten before
    refused: dict[str, str]  # request -> reason
    found: dict[str, ResolvedRequest]


def select(setup: Setup, requests: Sequence[Request], folder: Path, digests: Path | None, key: bytes) -> Selected:
    """Resolve requests against the source; the lists of ids go into `folder`, which must exist.

    Raises:
        UserError: the source cannot be read, or an id is in it twice.
    """
    unknown_ids: Literal["ignore", "set_aside"] = setup.deletion.unknown_ids
    resolving = partial(
        resolve,
        setup.manifest,
        setup.deletion.path("manifest"),
        folder=folder,
        digests=digests,
        key=key,
        unknown_ids=unknown_ids,
        leave_some=True,
    )
    resolution = _resolved(resolving, requests)
    found = {one.request: one for one in resolution.requests}
    refusals = {name: _refusal(one, unknown_ids) for name, one in found.items()}
    refused = {name: setup.reason(why) for name, why in refusals.items() if why}
    kept = [request for request in requests if request.request not in refused]
    return Selected(
        resolution,
        [one for one in kept if found[one.request].records],
        [one for one in kept if not found[one.request].records],
        refused,
        found,
    )


def _resolved(resolving: Callable[[Sequence[Request]], Resolution], requests: Sequence[Request]) -> Resolution:
    """Resolve requests; one whose look-up fails has that as its problem, unless the source itself cannot be read."""
    try:
        return resolving(requests)
    except UserError:
        resolving([])
        problems = _culprits(resolving, requests)
    rest = resolving([one for one in requests if one.request not in problems])
    return replace(
        rest, requests=(*rest.requests, *(ResolvedRequest(name, problem=why) for name, why in problems.items()))
    )


def _culprits(resolving: Callable[[Sequence[Request]], Resolution], requests: Sequence[Request]) -> dict[str, str]:
    """Return the requests whose look-up fails, and why; those that fail only with others are looked up one by one."""
    try:
        resolving(requests)
    except UserError as error:
        if len(requests) == 1:
            return {requests[0].request: str(error)}
        middle = len(requests) // 2
        return _culprits(resolving, requests[:middle]) | _culprits(resolving, requests[middle:])
    return {}


def _refusal(found: ResolvedRequest, unknown_ids: str) -> str | None:
    """Say why a request cannot be carried out; no id is named, since the ledger holds none."""
    if found.problem:
        return found.problem
    if found.unknown and unknown_ids == "set_aside":
        return (
            f"{found.unknown} of the ids or groups that it names are nowhere: no record of the source has them, and "
            "none was ever forgotten; correct it, or set unknown_ids: ignore"
        )
    if not (found.records or found.already or found.purged or found.unknown):
        return "it selects no record; correct it"
    return None


def start(batch: Batch, state: LedgerState, requests: Sequence[Request], bisect: Sequence[str] | None = None) -> bool:
    """Resolve the requests and begin a run over those that can be carried out; say whether one was begun.

    One transaction tells the ledger of the run, of the requests that are set aside, and of those that name nothing that
    is not forgotten already; before it the run is only a folder, which goes if no run begins.
    """
    folder = batch.folder(state.next_run)
    with ExitStack() as otherwise:
        (folder / SELECTION).mkdir(parents=True)
        otherwise.callback(shutil.rmtree, folder)
        selected, described = _described(batch, state, requests, folder)
        fault.step("selected")
        _tell(batch, state, selected, described | ({"bisect": list(bisect)} if bisect and described else {}))
        if described:
            otherwise.pop_all()
    for name, reason in selected.refused.items():
        console.warn(f"{name}: set aside: {reason}", request=name)
    fault.step("started")
    return bool(described)


def _described(
    batch: Batch, state: LedgerState, requests: Sequence[Request], folder: Path
) -> tuple[Selected, dict[str, Any]]:
    """Write lists of records and the run's manifest; return what was found, and what the ledger is told of the run.

    Nothing is told if no request is left to carry out.
    """
    run = state.next_run
    digests = folder / SELECTION / "digests.csv"
    batch.ledger.export_forgotten(digests)
    text = f"{run}: looking up the records of {pluralize(len(requests), 'request')}"
    console.say(text, run=run, requests=len(requests))
    selected = select(batch.setup, requests, folder / SELECTION, digests, batch.key)
    digests.unlink()
    if not selected.wanted:
        return selected, {}
    left_out = _write_manifest(batch.setup, folder, selected)
    duplicates_too = batch.setup.deletion.common.forget_duplicates
    records = _take_duplicates_along(folder) if duplicates_too else selected.resolution.records
    return selected, {
        **_started(batch, state, selected, folder / FORGET),
        "records": records,
        "gates_left_out": left_out,
        "files": run_files.digests(folder, batch.key),
        "references": run_files.references(batch.setup),
    }


def _tell(batch: Batch, state: LedgerState, selected: Selected, described: dict[str, Any]) -> None:
    """Tell the ledger what became of the requests, and of the run if there is one."""
    with batch.ledger.transaction():
        for name, reason in selected.refused.items():
            batch.ledger.append("set_aside", request=name, reason=reason, file=state.requests[name].file)
        for request in selected.nothing_left:
            batch.ledger.append("done", request=request.request, **counts(selected.found[request.request]))
        if described:
            batch.ledger.append("run_started", run=state.next_run, **described)


def counts(found: ResolvedRequest) -> dict[str, Any]:
    """Return what the ledger keeps of how a request was resolved."""
    return {name: number for name, number in asdict(found).items() if isinstance(number, int)}


def _started(batch: Batch, state: LedgerState, selected: Selected, forget: Path) -> dict[str, Any]:
    found = {one.request: counts(selected.found[one.request]) for one in selected.wanted}
    assert state.current is not None
    return {
        "requests": list(found),
        "found": found,
        "unknown": sum(one["unknown"] for one in found.values()),
        "already": sum(one["already"] for one in found.values()),
        "purged": sum(one["purged"] for one in found.values()),
        "forgotten": selected.resolution.forgotten,  # of earlier runs, those that the source still holds
        "before": {**state.versions[state.current], "version": state.current},
        "selection_digest": selection_digest(batch, forget),
        "config": batch.setup.digest,
        "seed": batch.setup.deletion.common.seed,
        "tool_version": VERSION,
    }


def selection_digest(batch: Batch, forget: Path) -> str:
    """Return a keyed digest of the list of records to forget."""
    return keyed.digest(batch.key, regular_files.sha256(forget))


def _write_manifest(setup: Setup, folder: Path, selected: Selected) -> list[str]:
    """Write the run's manifest, and return the gates that do not apply in it."""
    named = (name for request in selected.wanted for name in selected.resolution.classes.get(request.request, ()))
    classes = list(dict.fromkeys(named))
    text, left_out = run_manifest(
        setup.manifest, folder, selection=SELECTION, classes=classes, forgotten=bool(selected.resolution.forgotten)
    )
    with atomic_files.output_file(folder / MANIFEST) as path:
        path.write_text(text, encoding="utf-8")
    for gate in left_out:
        console.say(f"gate '{gate}': there are no such records in this run", gate=gate)
    return left_out


def _take_duplicates_along(folder: Path) -> int:
    """Add the duplicates of the records to forget to their list, and return how many they are all together.

    So the ledger knows of them, too, and no later run retains them.
    """
    from unlearn_cli.data.dataset import open_dataset  # it reads all samples, which takes a while

    ids = open_dataset(read_manifest(folder / MANIFEST).data_sections, forget_duplicates=True).split("forget").ids
    with atomic_files.output_file(folder / FORGET) as path, path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id"], *([name] for name in ids)])
    return len(ids)
