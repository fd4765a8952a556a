"""Notices about items of a source that are left out or changed, counted by kind for log and report. No torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Notice:
    """The number of items of one kind that are left out or changed."""

    source: str  # the section of the manifest, such as data.train
    kind: str  # such as "hidden files, left out"; without paths and ids, because the report contains notices
    count: int


def make_notices(source: str, counts: dict[str, int]) -> tuple[Notice, ...]:
    """Return a notice per kind with a count above 0, sorted by kind."""
    return tuple(Notice(source, kind, count) for kind, count in sorted(counts.items()) if count)


def format_notices(notices: Sequence[Notice]) -> list[str]:
    """Format one line per notice, for the terminal."""
    return [f"{notice.source}: {notice.kind}: {notice.count}" for notice in notices]


def describe_notices(notices: Sequence[Notice]) -> list[dict[str, Any]]:
    """Return the notices as plain values, for JSON documents."""
    return [asdict(notice) for notice in notices]
