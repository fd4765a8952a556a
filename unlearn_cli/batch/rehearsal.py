"""The rehearsal of a run, for `batch run --dry-run`: works on a copy of the ledger in a temporary folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from unlearn_cli import console
from unlearn_cli.batch.ledger.ledger_schema import translate_sqlite_errors
from unlearn_cli.batch.ledger.ledger_state import LedgerState
from unlearn_cli.batch.ledger.store import Clock, open_ledger
from unlearn_cli.batch.ledger_check import check_ledger, migrate_ledger
from unlearn_cli.batch.open_batch import Batch
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.run_manifest import split_gates
from unlearn_cli.batch.setup import Setup
from unlearn_cli.batch.triage import Triage, triage
from unlearn_cli.batch.version_checks import check_version, refuse_unknown_versions
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.commands.manifest_inputs import open_data
from unlearn_cli.storage import owners
from unlearn_cli.storage.leftovers import TEMPORARY

HELD_OUT = "held_out"  # the input of methods


def rehearse(setup: Setup, now: Clock) -> dict[str, Any]:
    """Return which requests a run would carry out, how many records they select, and which gates would judge it.

    Raises:
        UserError: as a run.
    """
    with (
        TemporaryDirectory(prefix=f"{TEMPORARY}{owners.make_suffix()}-") as name,
        _open_ledger_copy(setup, Path(name), now) as batch,
    ):
        state = check_ledger(batch.ledger)
        refuse_unknown_versions(setup.models, state)
        if state.current:
            check_version(batch, state, state.current)
        else:
            read_header(setup.initial)
        if ignored := inbox.find_ignored(setup.inbox):
            console.warn(inbox.describe_ignored(ignored), files=ignored)
        files = inbox.read(setup.inbox, batch.key) if setup.inbox.is_dir() else []
        aside = inbox.register(batch.ledger, files, setup.deletion)
        requests, missing = inbox.find_pending(files, batch.state())
        aside += [f"{request}: would be set aside: its file is gone" for request in missing]
        triaged = None
        if requests:
            digests = Path(name) / "digests.csv"
            batch.ledger.export_forgotten(digests)
            triaged = triage(setup, list(requests.values()), Path(name), digests, batch.key)
            aside += [f"{request}: would be set aside: {reason}" for request, reason in triaged.refused.items()]
            if triaged.to_carry_out:
                check_held_out(setup)
        return _build_document(setup, state, triaged, aside)


def check_held_out(setup: Setup) -> None:
    """Check that test or validation has enough records for methods that read held-out ones.

    Raises:
        UserError: as a run.
    """
    path = setup.deletion.path("manifest")
    for name, method in setup.methods.items():
        settings = setup.complete_settings(name)
        if HELD_OUT in method.list_inputs(settings):
            alternative = method.find_alternative(settings, HELD_OUT)
            open_data(setup.manifest, path, setup.run_options(), held_out=True, alternative=alternative)


@contextmanager
def _open_ledger_copy(setup: Setup, folder: Path, now: Clock) -> Iterator[Batch]:
    """Open a copy of the ledger, or an empty ledger if there is none yet."""
    path, key_file = setup.deletion.path("ledger"), None
    copy = folder / "ledger.sqlite"
    if path.exists():
        key_file = setup.deletion.key_file
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
        with translate_sqlite_errors(path), closing(source), closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    with open_ledger(copy, now=now, key_file=key_file) as ledger:
        migrate_ledger(ledger, setup.inbox)
        yield Batch(setup, ledger, ledger.key)


def _build_document(setup: Setup, state: LedgerState, triaged: Triage | None, aside: list[str]) -> dict[str, Any]:
    classes = any(request.classes for request in triaged.to_carry_out) if triaged else False
    forgotten = triaged.resolution.forgotten if triaged else 0
    gates, left_out = split_gates(setup.manifest.gates, classes, bool(forgotten))
    return {
        "current": state.current,
        "unfinished": state.unfinished,
        "requests": [asdict(request) for request in triaged.resolved.values()] if triaged else [],
        "records": triaged.resolution.records if triaged else 0,
        "source": triaged.resolution.source if triaged else None,
        "forgotten_before": forgotten,
        "nothing_left": [request.request for request in triaged.without_records] if triaged else [],
        "set_aside": aside,
        "methods": setup.deletion.methods,
        "gates": gates,
        "gates_left_out": left_out,
        "attack": setup.deletion.attack.tier,
    }


def format_text(document: dict[str, Any]) -> str:
    """Return the document for a person. It shows some unknown ids, so do not store it."""
    requests = document["requests"]
    columns = ("records", "already", "purged", "unknown")
    header = ["request", "records", "forgotten before", "purged", "unknown"]
    rows = [[request["request"], *(str(request[name]) for name in columns)] for request in requests]
    lines = [console.table("", header, rows)] if rows else []
    unknown = [request for request in requests if request["examples"]]
    lines += [f"{request['request']}: unknown: {', '.join(request['examples'])}" for request in unknown]
    lines += document["set_aside"]
    if document["unfinished"]:
        lines.append(f"{document['unfinished']} was interrupted and would be finished first")
    if not document["records"]:
        return "\n".join([*lines, "no run is needed"])
    methods = ", else ".join(document["methods"])
    lines.append(f"would forget {document['records']} of {document['source']} records by {methods}")
    lines += [f"gate: {gate}" for gate in document["gates"]]
    lines += [f"no gate in this run: {gate}" for gate in document["gates_left_out"]]
    return "\n".join([*lines, f"attack: {document['attack'] or 'none'}"])
