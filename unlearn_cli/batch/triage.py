"""The triage of requests: resolves them to records, and decides which a run carries out and which are set aside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.resolve.resolution import Resolution, ResolvedRequest, resolve
from unlearn_cli.batch.setup import Setup
from unlearn_cli.errors import UserError

Resolver = Callable[[Sequence[Request]], Resolution]


@dataclass(frozen=True)
class Triage:
    """The requests to carry out, those that need no run, and the reasons why others are set aside."""

    resolution: Resolution
    to_carry_out: list[Request]
    without_records: list[Request]  # all records that they name were forgotten before
    refused: dict[str, str]  # request -> reason
    resolved: dict[str, ResolvedRequest]


def triage(setup: Setup, requests: Sequence[Request], folder: Path, digests: Path | None, key: bytes) -> Triage:
    """Resolve requests against the source; write the lists of ids into `folder`, which must exist.

    Raises:
        UserError: the source cannot be read, or two of its records have the same id.
    """
    unknown_ids: Literal["ignore", "set_aside"] = setup.deletion.unknown_ids
    resolver = partial(
        resolve,
        setup.manifest,
        setup.deletion.path("manifest"),
        folder=folder,
        digests=digests,
        key=key,
        unknown_ids=unknown_ids,
        leave_some=True,
    )
    resolution = _resolve_valid(resolver, requests)
    resolved = {request.request: request for request in resolution.requests}
    problems = {name: _find_problem(request, unknown_ids) for name, request in resolved.items()}
    refused = {name: setup.format_reason(problem) for name, problem in problems.items() if problem}
    accepted = [request for request in requests if request.request not in refused]
    return Triage(
        resolution,
        [request for request in accepted if resolved[request.request].records],
        [request for request in accepted if not resolved[request.request].records],
        refused,
        resolved,
    )


def _resolve_valid(resolver: Resolver, requests: Sequence[Request]) -> Resolution:
    """Resolve requests; a request that cannot be looked up gets a problem, unless the source itself cannot be read."""
    try:
        return resolver(requests)
    except UserError:
        resolver([])  # raises if the source cannot be read
        problems = _find_failing(resolver, requests)
    resolution = resolver([request for request in requests if request.request not in problems])
    failed = [ResolvedRequest(name, problem=problem) for name, problem in problems.items()]
    return replace(resolution, requests=(*resolution.requests, *failed))


def _find_failing(resolver: Resolver, requests: Sequence[Request]) -> dict[str, str]:
    """Return the requests that cannot be looked up, and why, by bisection."""
    try:
        resolver(requests)
    except UserError as error:
        if len(requests) == 1:
            return {requests[0].request: str(error)}
        middle = len(requests) // 2
        return _find_failing(resolver, requests[:middle]) | _find_failing(resolver, requests[middle:])
    return {}


def _find_problem(resolved: ResolvedRequest, unknown_ids: str) -> str | None:
    """Return why a request cannot be carried out. No id is named, since the reason goes into the ledger."""
    if resolved.problem:
        return resolved.problem
    if resolved.unknown and unknown_ids == "set_aside":
        return (
            f"{resolved.unknown} of the ids or groups that it names are unknown: no record of the source has them, and "
            "none was ever forgotten; correct it, or set unknown_ids: ignore"
        )
    if not (resolved.records or resolved.already or resolved.purged or resolved.unknown):
        return "it selects no record; correct it"
    return None
