"""The tables of the week that `week.py` simulates."""

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.batch.week_data import REQUESTS


@dataclass
class Week:
    """The same requests, carried out by one method."""

    method: str
    done: list[int] = field(default_factory=list)  # after each run
    failed: list[list[str]] = field(default_factory=list)  # gates of each run
    measured: list[dict[str, Any]] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What was measured: the original, each method's week, a reference after every run, and those after the last."""

    original: dict[str, Any]
    weeks: list[Week]
    references: list[dict[str, Any]]
    last: list[dict[str, Any]]

    @property
    def best(self) -> Week:
        """The week in which the deleted records were, on average, most like those of the references."""
        return min(self.weeks, key=self.distance)

    def distance(self, week: Week) -> float:
        """Return the mean over the runs of how far the accuracy on deleted records is from the reference's."""
        pairs = zip(week.measured, self.references, strict=True)
        return statistics.fmean(abs(one["deleted"]["value"] - other["deleted"]["value"]) for one, other in pairs)

    def drift(self, week: Week) -> float:
        """Return by how much the last model is worse on what is kept of test than the mean of the last references."""
        return statistics.fmean(one["kept"]["value"] for one in self.last) - week.measured[-1]["kept"]["value"]


def percent(found: dict[str, Any]) -> str:
    return f"{100 * found['value']:.1f} ({100 * found['low']:.1f}-{100 * found['high']:.1f})"


def lines(found: Found) -> Iterator[str]:
    """Return the three tables: the methods, the runs of the best one, and the networks at the end."""
    for week in found.weeks:
        gates = Counter(gate for failed in week.failed for gate in failed)
        told = "; ".join(f"`{gate}` {count} x" for gate, count in gates.most_common()) or "none"
        cells = [f"`{week.method}`", f"{week.done[-1]}/{REQUESTS}", told, f"{100 * found.drift(week):.1f}",
                 f"{100 * found.distance(week):.1f}", percent(week.measured[-1]["class"]),
                 f"{statistics.fmean(week.seconds):.1f}"]  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    title = f"`{found.best.method}`, run by run, compared with a network retrained without all requested records:"
    yield from ["", title, ""]
    yield from ["| run | done | records | failed gates | kept | retrained | deleted | retrained | class | retrained |",
                "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    week = found.best
    for number, (one, other) in enumerate(zip(week.measured, found.references, strict=True)):
        pairs = [percent(each[name]) for name in ("kept", "deleted", "class") for each in (one, other)]
        cells = [number + 1, week.done[number], week.records[number], len(week.failed[number]), *pairs]
        yield f"| {' | '.join(map(str, cells))} |"
    yield from ["", "At the end:", "", "| network | kept | deleted | class |", "|---|---|---|---|"]
    for name, one in ends(found):
        yield f"| {name} | {' | '.join(percent(one[split]) for split in ('kept', 'deleted', 'class'))} |"


def ends(found: Found) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "original", found.original
    yield from ((f"after the week, `{week.method}`", week.measured[-1]) for week in found.weeks)
    yield from ((f"retrained, seed {seed}", one) for seed, one in enumerate(found.last))
