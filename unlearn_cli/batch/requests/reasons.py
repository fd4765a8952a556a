"""Formats the reason why something is set aside for the ledger: one printable line without absolute paths."""

import re
from pathlib import Path

from unlearn_cli.console import escape_line

MAX_LENGTH = 1000  # characters
# The folders of an absolute path, without the file name. It does not match inside a URL or a relative path.
ABSOLUTE = re.compile(r"(?<![\w.:/~\\])/(?:[^\s:;,'\"/]+/)+(?=[^\s/])")


def format_reason(text: str, *folders: Path) -> str:
    """Return the text on one line, with paths relative to `folders`; other absolute paths keep only the file name."""
    line = " ".join(text.split())
    prefixes = {str(path) for folder in folders for path in (folder.absolute(), folder.resolve())}
    for prefix in sorted(prefixes, key=len, reverse=True):
        line = line.replace(f"{prefix}/", "")
    return escape_line(ABSOLUTE.sub("", line))[:MAX_LENGTH]
