"""A DuckDB connection that can open only certain files, and cannot be reconfigured."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage import json_text
from unlearn_cli.storage.regular_files import require_regular_file

FILE_NAME = r" (?:in file )?['\"]/[^'\"]*['\"]"  # with its absolute path, in DuckDB's messages


def connect(
    files: Sequence[Path], folder: Path | None = None, settings: Mapping[str, str] = {}, database: str = ":memory:"
) -> duckdb.DuckDBPyConnection:
    """Return a connection that can only read these files and write below `folder`; its configuration is locked."""
    connection = duckdb.connect(database)
    connection.execute("SET enable_progress_bar = false")  # DuckDB would write its bar to stdout
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # of its cursors, too
    for name, value in settings.items():
        connection.execute(f"SET {name} = {quote_literal(value)}")
    paths = [text for path in files for text in {str(path.resolve()), escape_pattern(path)}]
    connection.execute(f"SET allowed_paths = [{', '.join(map(quote_literal, paths))}]")
    if folder:
        connection.execute(f"SET allowed_directories = [{quote_literal(folder.resolve())}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def escape_pattern(path: Path) -> str:
    """Return the glob pattern that matches only this path: DuckDB treats every path as a pattern."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path.resolve()))


def is_out_of_resources(error: duckdb.Error) -> bool:
    """Check for DuckDB's errors of full memory, or of a full disk that it spills to."""
    return isinstance(error, duckdb.OutOfMemoryException) or "No space left on device" in str(error)


def quote_literal(value: str | Path) -> str:
    """Quote text as an SQL literal, for statements that take no parameters."""
    return "'" + str(value).replace("'", "''") + "'"


def check_file(path: Path, name: str) -> None:
    """Refuse a path that is not a regular file, or whose name is not UTF-8, which DuckDB needs.

    Raises:
        UserError: it is one of these.
    """
    require_regular_file(path, name)
    if not str(path.resolve()).isprintable() and any("\ud800" <= letter <= "\udfff" for letter in str(path.resolve())):
        raise UserError(f"{name}: {str(path)!a}: the name is not UTF-8 text; rename the file or its folder")


@contextmanager
def translate_duckdb_errors(location: str, *, json_lines: Path | None = None) -> Iterator[None]:
    """Translate DuckDB's errors; in a large file, DuckDB may raise them only while cells are fetched.

    `json_lines` is the file in JSON Lines that is read, in which the wrong line is searched.
    """
    try:
        yield
    except duckdb.Error as error:
        if is_out_of_resources(error):
            raise ResourceError(f"{location}: not enough memory or disk space to read it; free some space") from None
        if json_lines and (wrong := find_wrong_line(json_lines)):
            raise UserError(f"{location}:{wrong[0]}: is not valid JSON: {wrong[1]}; fix the line") from None
        raise UserError(f"{location}{_format_reason(str(error))}; fix the file or the condition") from None


def find_wrong_line(path: Path) -> tuple[int, str] | None:
    """Return the number of the first line that is not JSON, and why; None if DuckDB refused another thing.

    DuckDB counts the lines of a file in JSON Lines in another way, and its message has the content of the line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                json_text.read(line if line.strip() else b"{}")
            except ValueError as error:
                return number, getattr(error, "msg", None) or str(error)
    return None


def _format_reason(text: str) -> str:
    """Return DuckDB's message as one line; for a csv, with the line number."""
    lines = text.splitlines()
    if match := re.search(r"CSV Error on Line: (\d+)", lines[0]):
        rest = [line for line in lines[1:] if line.strip() and not line.startswith(("Original Line", "Possible"))]
        return f":{match[1]}: {rest[0].strip() if rest else 'the row cannot be read'}"
    reason = re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", lines[0])
    return f": {re.sub(FILE_NAME, '', reason)}"
