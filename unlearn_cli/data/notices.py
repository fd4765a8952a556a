"""What of a source is not used as it is stored: left out or changed, counted by kind and reported. No torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Notice:
    """How many items of one kind a source leaves out or changes."""

    source: str  # as the manifest names it: data.train
    kind: str  # plain words: "hidden files, left out"; no path and no id, for notices are in the report
    count: int


def make_notices(source: str, counts: dict[str, int]) -> tuple[Notice, ...]:
    """Return a notice per kind of which there are any, in the order of the kinds."""
    return tuple(Notice(source, kind, count) for kind, count in sorted(counts.items()) if count)


def format_notices(notices: Sequence[Notice]) -> list[str]:
    """Return one line per notice, for the terminal."""
    return [f"{notice.source}: {notice.kind}: {notice.count}" for notice in notices]


def notices_as_dicts(notices: Sequence[Notice]) -> list[dict[str, Any]]:
    """Return the notices as plain values, for JSON documents."""
    return [asdict(notice) for notice in notices]
