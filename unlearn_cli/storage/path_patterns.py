"""Paths with a range, which stand for several files."""

import re
from pathlib import Path

from unlearn_cli.errors import UserError

MAX_SHARDS = 100_000


def expand_range(pattern: Path) -> list[Path]:
    """Return the paths that a path with a range such as {000..009} stands for.

    Raises:
        UserError: the range is empty or has more than MAX_SHARDS files.
    """
    match = re.search(r"\{(\d{1,18})\.\.(\d{1,18})\}", str(pattern))
    if match is None:
        return [pattern]
    first, last, width = int(match[1]), int(match[2]), len(match[1])
    if not 0 <= last - first < MAX_SHARDS:
        count = max(last - first + 1, 0)
        raise UserError(f"{pattern}: the range has {count} files; expected from 1 to {MAX_SHARDS}")
    return [Path(str(pattern).replace(match[0], f"{number:0{width}d}")) for number in range(first, last + 1)]
