"""`batch --verify`: does all that the ledger says still hold? Of its own rows, of the files, of the current pointer."""

import os
from collections.abc import Iterator
from typing import Any

from unlearn_cli.batch import evidence
from unlearn_cli.batch.ledger import Event, open_ledger
from unlearn_cli.batch.ledger_check import forgotten
from unlearn_cli.batch.promote import FIRST, POINTER
from unlearn_cli.batch.state import RunState, State, fold
from unlearn_cli.checkpoint_header import files_digest, read_header
from unlearn_cli.deletion import Deletion
from unlearn_cli.errors import IntegrityError, UserError
from unlearn_cli.files import sha256

PARENT = "unlearn_cli.parent"


def verify(deletion: Deletion) -> list[str]:
    """Return what does not hold, a line each.

    Raises:
        UserError: there is no ledger yet.
        IntegrityError: the ledger's file is so damaged that it cannot be read, or its key is another one or gone.
    """
    with open_ledger(deletion.path("ledger"), create_missing=False, key_file=deletion.key_file) as ledger:
        wrong = [*ledger.damage(), *ledger.broken(ledger.rows())]
        if wrong:
            return [*wrong, "the files were not checked: what the ledger says of them cannot be trusted"]
        events = ledger.events()
        state = fold(events)
        return [
            *forgotten(ledger, state), *lineage(events), *pointer(deletion, state),
            *versions(deletion, state), *reports(deletion, state), *signatures(deletion, state),
        ]  # fmt: skip


def lineage(events: list[Event]) -> Iterator[str]:
    """Follow the current version through the events: every run must have begun with what was current then."""
    current, checkpoints, runs = None, {}, {}
    for event in events:
        body = event.body
        if event.kind == "opened":
            current, checkpoints = body["version"], {body["version"]: body["checkpoint"]}
        elif event.kind == "run_started":
            runs[event.run] = body["before"]
            if _same(body["before"], checkpoints.get(current)) is False or body["before"].get("version") != current:
                yield f"{event.run}: did not begin with the checkpoint that was current, {current}"
        elif event.kind == "promoting":
            checkpoints[body["version"]] = body["after"]
        elif event.kind == "promoted":
            current = body["version"]
        elif event.kind == "rolled_back":
            if body["from"] != current or body["to"] != runs[event.run].get("version"):
                yield f"{event.run}: rolled back from {body['from']} to {body['to']}, but {current} was current"
            current = body["to"]


def _same(one: dict[str, Any], other: dict[str, Any] | None) -> bool:
    return other is not None and all(one[name] == other[name] for name in ("tensor_digest", "file_sha256"))


def pointer(deletion: Deletion, state: State) -> Iterator[str]:
    """Check that `current` names the version that the ledger says.

    The ledger speaks first: a process that is killed before the pointer follows is no finding, the next one moves it.
    """
    path = deletion.path("models") / POINTER
    if state.current is None or state.last is None:
        others = sorted(one.name for one in path.parent.glob("v*") if one.name != FIRST)  # a killed first run made that
        if others:
            yield f"the ledger is empty, but {path.parent.name} holds {', '.join(others[:3])} of earlier runs"
        return
    allowed = {state.current}
    if state.unfinished:
        allowed.add(state.runs[state.unfinished].version or state.current)
    if state.last.kind == "rolled_back":
        allowed.add(state.last.body["from"])
    target = os.readlink(path) if path.is_symlink() else "no version"
    if target not in allowed:
        yield f"{path.name}: points to {target}; the ledger says {state.current}"


def versions(deletion: Deletion, state: State) -> Iterator[str]:
    """Check the bytes of every version that was not removed, and which checkpoint it says it was made of."""
    parents = {run.version: run.before["tensor_digest"] for run in state.runs.values() if run.version}
    for name, checkpoint in state.versions.items():
        folder = deletion.path("models") / name
        if _is_removed(state, f"models/{name}") or (_is_unfinished(state, name) and not folder.exists()):
            continue
        try:
            header = read_header(folder)
        except UserError as error:
            yield str(error).replace(str(folder), f"models/{name}")
            continue
        if files_digest(header) != checkpoint["file_sha256"]:
            yield f"{name}: the checkpoint is not the one that the ledger knows; its file was changed or replaced"
        elif name in parents and header.metadata.get(PARENT) != parents[name]:
            yield f"{name}: the checkpoint says that it was made of another one than the ledger says"


def _is_removed(state: State, path: str) -> bool:
    return any(path == gone or path.startswith(f"{gone}/") for gone in state.removed)


def _is_unfinished(state: State, version: str) -> bool:
    return state.unfinished is not None and state.runs[state.unfinished].version == version


def reports(deletion: Deletion, state: State) -> Iterator[str]:
    """Check the reports and the evidence that the ledger has digests of, where they were not removed."""
    for run in state.runs.values():
        for place, digest in _written(run):
            if _is_removed(state, place):
                continue
            kind, _, inner = place.partition("/")
            path = deletion.path("models" if kind == "models" else "runs") / inner
            if not path.is_file():
                yield f"{place}: is gone"
            elif sha256(path) != digest:
                yield f"{place}: is not the file that the ledger knows; it was changed or replaced"


def signatures(deletion: Deletion, state: State) -> Iterator[str]:
    """Check that signed evidence is signed with a key of the file that signs, where it was not removed."""
    for run in state.runs.values():
        folder = deletion.path("runs") / run.id / "evidence"
        signed = any(name.endswith(evidence.ENVELOPE) for name in run.evidence)
        if not signed or deletion.signing_key is None or not folder.is_dir():
            continue
        try:
            evidence.verify(folder, deletion.folder / deletion.signing_key)
        except IntegrityError as error:
            yield f"{run.id}: {error}"


def _written(run: RunState) -> Iterator[tuple[str, str]]:
    """Yield where a run's files lie, from models/ or runs/, and their digests."""
    for attempt in run.attempts:
        number, moved = attempt["number"], attempt["passed"] and run.state in ("promoted", "rolled_back")
        places = {
            "unlearn_report": f"models/{run.version}" if moved else f"runs/{run.id}/attempt-{number}",
            "judge_report": f"runs/{run.id}/judged-{number}",
            "attack_report": f"runs/{run.id}/attack-{number}",
        }
        for name, folder in places.items():
            on_its_way = name == "unlearn_report" and attempt["passed"] and run.state == "promoting"
            if attempt[name] is not None and not on_its_way:
                yield f"{folder}/report.json", attempt[name]
    if run.state != "running":
        for name, digest in run.evidence.items():
            yield f"runs/{run.id}/evidence/{name}", digest
