"""Finds the records of listed ids: by the exact text first, then as lists of files are written.

An id that no record has is tried in these ways, and each use is counted:

* the id without `./` in front, with `/` for a backslash, or without the folder of the source: `train/cats/1.png` and
  `/data/train/cats/1.png` are `cats/1.png` of the image folder `/data/train`;
* the only id that continues with the suffix of an image: `cats/1` is `cats/1.png`, unless there is `cats/1.jpg`, too.

Only an entry of the manifest may be a pattern: `*` and `?` do not match `/`, `**` does, and `cats/` is all of a folder.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from unlearn_cli.data.strings import Strings
from unlearn_cli.errors import UserError

REWRITTEN = "ids to forget that are paths from another folder, matched within the source"
COMPLETED = "ids to forget without a suffix, completed"
MOST_SHOWN = 3  # ids in a message
IMAGES = frozenset(
    ["avif", "bmp", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"]
)  # suffixes


@dataclass
class MatchedIds:
    """The records of listed ids: their mask (n,), ids without a record, and the numbers of inexact matches by kind."""

    mask: np.ndarray  # without the records of patterns
    missing: list[str] = field(default_factory=list)  # sorted
    counts: Counter[str] = field(default_factory=Counter)
    by_pattern: np.ndarray | None = None  # the mask (n,) of the records of patterns


def match_ids(listed: Collection[str], in_manifest: Collection[str], ids: Strings, folder: Path | None) -> MatchedIds:
    """Find the records of the listed ids; `folder` is that of a source whose ids are paths.

    Raises:
        UserError: an id without a suffix fits several records, or a pattern fits none.
    """
    mask = ids.are_among(listed)
    missing = set(listed).difference(ids[mask].tolist())
    patterns = sorted(name for name in missing if name in in_manifest and is_pattern(name))
    matched = MatchedIds(mask)
    missing -= set(patterns)
    if folder is not None and missing:
        missing = _match_paths(missing, ids, folder, matched)
    if missing:
        missing = _match_stems(missing, ids, matched)
    matched.missing = sorted(missing)
    for pattern in patterns:
        chosen = _match_pattern(pattern, ids, folder)
        matched.by_pattern = chosen if matched.by_pattern is None else matched.by_pattern | chosen
    return matched


def is_pattern(name: str) -> bool:
    """Return whether an entry of the manifest selects several ids."""
    return name.endswith("/") or "*" in name or "?" in name


def _match_paths(missing: Iterable[str], ids: Strings, folder: Path, matched: MatchedIds) -> set[str]:
    """Match ids that are paths from another folder; return those that remain missing."""
    rewritten = {name: strip_folder(name, folder) for name in missing}
    chosen = ids.are_among(set(rewritten.values()))
    present = set(ids[chosen].tolist())
    matched.mask = matched.mask | chosen
    matched.counts[REWRITTEN] += sum(path in present for path in rewritten.values())
    return {name for name, path in rewritten.items() if path not in present}


def strip_folder(name: str, folder: Path) -> str:
    """Return a path relative to the folder of a source, if it begins with the folder's path or the end of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    for count in range(len(path.parts) - 1, 0, -1):
        if path.parts[:count] == folder.absolute().parts[-count:]:
            return "/".join(path.parts[count:])
    return str(path)


def _match_stems(missing: Iterable[str], ids: Strings, matched: MatchedIds) -> set[str]:
    """Match ids that lack only the suffix; return those that remain missing."""
    wanted, fitting = set(missing), defaultdict(list)
    for chunk in ids.chunks():
        for name in chunk:
            stem, dot, suffix = name.rpartition(".")
            if dot and stem in wanted and suffix.lower() in IMAGES:
                fitting[stem].append(name)
    _refuse_several(fitting)
    matched.mask = matched.mask | ids.are_among({names[0] for names in fitting.values()})
    matched.counts[COMPLETED] += len(fitting)
    return wanted - fitting.keys()


def _refuse_several(fitting: Mapping[str, list[str]]) -> None:
    for stem, names in fitting.items():
        if len(names) > 1:
            raise UserError(
                f"forget: the id '{stem}' has no suffix and fits {len(names)} records: "
                f"{', '.join(repr(name) for name in sorted(names)[:MOST_SHOWN])}; write the suffix"
            )


def _match_pattern(pattern: str, ids: Strings, folder: Path | None) -> np.ndarray:
    """Return the mask of the ids that a pattern matches, as it is written or within the folder of the source."""
    forms = dict.fromkeys([pattern, _strip_pattern(pattern, folder)] if folder else [pattern])
    for form in forms:
        expression = _compile_pattern(form)
        hits = (expression.fullmatch(name) is not None for chunk in ids.chunks() for name in chunk)
        mask = np.fromiter(hits, dtype=bool, count=len(ids))
        if mask.any():
            return mask
    raise UserError(
        f"forget.ids: no id matches the pattern '{pattern}'; * and ? do not match '/', but ** does, and 'folder/' is "
        "all of a folder"
    )


def _strip_pattern(pattern: str, folder: Path) -> str:
    return strip_folder(pattern, folder) + "/" * pattern.endswith("/")


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern."""
    parts = re.split(r"(\*\*|\*|\?)", pattern + "**" * pattern.endswith("/"))
    wildcards = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wildcards.get(part, re.escape(part)) for part in parts), re.DOTALL)
