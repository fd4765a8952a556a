"""The start of a run: writes the lists of records and the run's manifest, and records the start in the ledger."""

import csv
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unlearn_cli import console
from unlearn_cli.batch import run_files
from unlearn_cli.batch.ledger import fault, keyed
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.resolve.resolution import ResolvedRequest
from unlearn_cli.batch.run_files import FORGET, MANIFEST, SELECTION
from unlearn_cli.batch.run_manifest import format_run_manifest
from unlearn_cli.batch.setup import Setup
from unlearn_cli.batch.triage import Triage, triage
from unlearn_cli.console import pluralize
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.storage import atomic_files, regular_files
from unlearn_cli.storage.version import VERSION


def start_run(
    batch: Batch, state: LedgerState, requests: Sequence[Request], bisect: Sequence[str] | None = None
) -> bool:
    """Start a run over the requests that can be carried out; return whether there are any.

    One transaction records the run, the requests that are set aside, and those whose records were all forgotten before.
    Until then the run is only a folder, which is removed if no run starts.
    """
    folder = batch.run_folder(state.next_run)
    with ExitStack() as on_failure:
        (folder / SELECTION).mkdir(parents=True)
        on_failure.callback(shutil.rmtree, folder)
        triaged = _triage_requests(batch, state, requests, folder)
        body = _prepare_run(batch, state, triaged, folder) if triaged.to_carry_out else None
        fault.step("selected")
        if body and bisect:
            body["bisect"] = list(bisect)
        _record_start(batch, state, triaged, body)
        if body:
            on_failure.pop_all()
    for name, reason in triaged.refused.items():
        console.warn(f"{name}: set aside: {reason}", request=name)
    fault.step("started")
    return body is not None


def _triage_requests(batch: Batch, state: LedgerState, requests: Sequence[Request], folder: Path) -> Triage:
    """Write the lists of records into the run's folder."""
    run = state.next_run
    digests = folder / SELECTION / "digests.csv"
    batch.ledger.export_forgotten(digests)
    text = f"{run}: looking up the records of {pluralize(len(requests), 'request')}"
    console.say(text, run=run, requests=len(requests))
    triaged = triage(batch.setup, requests, folder / SELECTION, digests, batch.key)
    digests.unlink()
    return triaged


def _prepare_run(batch: Batch, state: LedgerState, triaged: Triage, folder: Path) -> dict[str, Any]:
    """Write the run's manifest; return the body of the event `run_started`."""
    left_out = _write_manifest(batch.setup, folder, triaged)
    with_duplicates = batch.setup.deletion.common.forget_duplicates
    records = _add_duplicates(folder) if with_duplicates else triaged.resolution.records
    counts = {request.request: count_records(triaged.resolved[request.request]) for request in triaged.to_carry_out}
    assert state.current is not None
    return {
        "requests": list(counts),
        "found": counts,
        **{name: sum(count[name] for count in counts.values()) for name in ("unknown", "already", "purged")},
        "forgotten": triaged.resolution.forgotten,  # records of earlier runs that are still in the source
        "before": {**state.versions[state.current], "version": state.current},
        "selection_digest": keyed.digest(batch.key, regular_files.sha256(folder / FORGET)),
        "config": batch.setup.digest,
        "seed": batch.setup.deletion.common.seed,
        "tool_version": VERSION,
        "records": records,
        "gates_left_out": left_out,
        "files": run_files.digest_files(folder, batch.key),
        "references": run_files.digest_references(batch.setup),
    }


def _record_start(batch: Batch, state: LedgerState, triaged: Triage, body: dict[str, Any] | None) -> None:
    """Record the outcome of the triage in the ledger, and the start of the run if there is one."""
    with batch.ledger.transaction():
        for name, reason in triaged.refused.items():
            batch.ledger.append("set_aside", request=name, reason=reason, file=state.requests[name].file)
        for request in triaged.without_records:
            counts = count_records(triaged.resolved[request.request])
            batch.ledger.append("done", request=request.request, **counts)
        if body:
            batch.ledger.append("run_started", run=state.next_run, **body)


def count_records(resolved: ResolvedRequest) -> dict[str, Any]:
    """Return the numbers of records of a request that the ledger records."""
    return {name: number for name, number in asdict(resolved).items() if isinstance(number, int)}


def _write_manifest(setup: Setup, folder: Path, triaged: Triage) -> list[str]:
    """Write the run's manifest; return the gates that do not apply in this run."""
    resolution = triaged.resolution
    named = (name for request in triaged.to_carry_out for name in resolution.classes.get(request.request, ()))
    classes = list(dict.fromkeys(named))
    text, left_out = format_run_manifest(
        setup.manifest, folder, selection=SELECTION, classes=classes, forgotten=bool(resolution.forgotten)
    )
    with atomic_files.output_file(folder / MANIFEST) as path:
        path.write_text(text, encoding="utf-8")
    for gate in left_out:
        console.say(f"gate '{gate}': there are no such records in this run", gate=gate)
    return left_out


def _add_duplicates(folder: Path) -> int:
    """Add the duplicates of the records to forget to their list; return the number of all.

    They are then in the ledger as well, and no later run retains them.
    """
    from unlearn_cli.data.dataset import open_dataset  # it reads all samples, which is slow

    ids = open_dataset(read_manifest(folder / MANIFEST).data_sections, forget_duplicates=True).split("forget").ids
    with atomic_files.output_file(folder / FORGET) as path, path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id"], *([name] for name in ids)])
    return len(ids)
