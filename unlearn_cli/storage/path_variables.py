"""The user's folder `~` and environment variables `${NAME}` in paths of manifests, settings and options."""

import os
import re
from pathlib import Path

from unlearn_cli.errors import UserError

VARIABLE = re.compile(r"\$\{([^}]*)\}")


def expand_path(path: Path) -> Path:
    """Return a path with `~` at its start and each `${NAME}` replaced; `$NAME` and `~user` are not special.

    Raises:
        UserError: a variable is not set or empty, or not closed by a brace.
    """
    if "${" in VARIABLE.sub("", str(path)):
        raise UserError(f"{path}: '${{' without '}}'; write ${{NAME}} for an environment variable")
    text = VARIABLE.sub(lambda match: _read_variable(match[1], path), str(path))
    if text != "~" and not text.startswith(f"~{os.sep}"):
        return Path(text) if text != str(path) else path
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: the user has no home folder; write the path without ~") from None


def has_variables(path: Path) -> bool:
    """Return whether `expand_path` may replace something."""
    return path.parts[:1] == ("~",) or VARIABLE.search(str(path)) is not None


def _read_variable(name: str, path: Path) -> str:
    value = os.environ.get(name, "") if name else ""
    if not value:
        raise UserError(f"{path}: the environment variable '{name}' is not set; set it, or write the path")
    return value
