"""Why something is set aside, as text for the ledger: on one line, printable, and without an absolute path."""

import re
from pathlib import Path

from unlearn_cli.console import in_one_line

LONGEST = 1000  # characters
# A path from the root with a folder in it; of a URL or a relative path it is the rest, which stays.
ABSOLUTE = re.compile(r"(?<![\w.:/~\\])/(?:[^\s:;,'\"/]+/)+(?=[^\s/])")


def format_reason(text: str, *folders: Path) -> str:
    """Return text on one line, with paths relative to the folders, and other absolute ones without their folders."""
    line = " ".join(text.split())
    for folder in sorted({str(form) for one in folders for form in (one.absolute(), one.resolve())}, key=len)[::-1]:
        line = line.replace(f"{folder}/", "")
    return in_one_line(ABSOLUTE.sub("", line))[:LONGEST]
