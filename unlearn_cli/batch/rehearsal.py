"""`batch run --dry-run`: what a run would do, determined on a copy of the ledger in a temporary folder."""

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
from unlearn_cli.batch.opening import check_version, refuse_unknown
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.run_manifest import applicable
from unlearn_cli.batch.selecting import Selected, select
from unlearn_cli.batch.work import Batch, Setup
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.storage import owners
from unlearn_cli.storage.leftovers import TEMPORARY


def rehearse(setup: Setup, now: Clock) -> dict[str, Any]:
    """Return which requests a run would carry out, how many records they mean, and by what they would be judged.

    Raises:
        UserError: as a run would.
    """
    with (
        TemporaryDirectory(prefix=f"{TEMPORARY}{owners.new_suffix()}-") as name,
        _copied(setup, Path(name), now) as batch,
    ):
        state = check_ledger(batch.ledger)
        refuse_unknown(setup.models, state)
        if state.current:
            check_version(batch, state, state.current)
        else:
            read_header(setup.initial)
        files = inbox.read(setup.inbox, batch.key) if setup.inbox.is_dir() else []
        aside = inbox.register(batch.ledger, files, setup.deletion)
        requests, gone = inbox.find_pending(files, batch.state())
        aside += [f"{request}: would be set aside: its file is gone" for request in gone]
        selected = None
        if requests:
            digests = Path(name) / "digests.csv"
            batch.ledger.export_forgotten(digests)
            selected = select(setup, list(requests.values()), Path(name), digests, batch.key)
            aside += [f"{request}: would be set aside: {reason}" for request, reason in selected.refused.items()]
        return _document(setup, state, selected, aside)


@contextmanager
def _copied(setup: Setup, folder: Path, now: Clock) -> Iterator[Batch]:
    """Open a copy of the ledger; an empty one where there is none yet."""
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


def _document(setup: Setup, state: LedgerState, selected: Selected | None, aside: list[str]) -> dict[str, Any]:
    classes = any(request.classes for request in selected.wanted) if selected else False
    forgotten = selected.resolution.forgotten if selected else 0
    gates, left_out = applicable(setup.manifest.gates, classes, bool(forgotten))
    found = [] if selected is None else [asdict(one) for one in selected.found.values()]
    return {
        "current": state.current,
        "unfinished": state.unfinished,
        "requests": found,
        "records": selected.resolution.records if selected else 0,
        "source": selected.resolution.source if selected else None,
        "forgotten_before": forgotten,
        "nothing_left": [request.request for request in selected.nothing_left] if selected else [],
        "set_aside": aside,
        "methods": setup.deletion.methods,
        "gates": gates,
        "gates_left_out": left_out,
        "attack": setup.deletion.attack.tier,
    }


def text(found: dict[str, Any]) -> str:
    """Return the same for a person; of ids that are nowhere it shows some, so do not keep it."""
    header = ["request", "records", "forgotten before", "purged", "unknown"]
    rows = [
        [one["request"], *(str(one[name]) for name in ("records", "already", "purged", "unknown"))]
        for one in found["requests"]
    ]
    lines = [console.table("", header, rows)] if rows else []
    lines += [
        f"{one['request']}: unknown: {', '.join(one['examples'])}" for one in found["requests"] if one["examples"]
    ]
    lines += found["set_aside"]
    if found["unfinished"]:
        lines.append(f"{found['unfinished']} was interrupted and would be ended first")
    if not found["records"]:
        return "\n".join([*lines, "no run is needed"])
    return "\n".join(
        [
            *lines,
            f"would forget {found['records']} of {found['source']} records by {', else '.join(found['methods'])}",
            *(f"gate: {gate}" for gate in found["gates"]),
            *(f"no gate in this run: {gate}" for gate in found["gates_left_out"]),
            f"attack: {found['attack'] or 'none'}",
        ]
    )
