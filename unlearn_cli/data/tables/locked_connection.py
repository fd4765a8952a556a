"""A DuckDB connection that sees certain files and nothing else, and cannot be reconfigured."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage.regular_files import require_regular_file


def connect(
    files: Sequence[Path], folder: Path | None = None, settings: Mapping[str, str] = {}, database: str = ":memory:"
) -> duckdb.DuckDBPyConnection:
    """Return a connection that reads these files, and writes below `folder` alone; nobody can change that later."""
    connection = duckdb.connect(database)
    connection.execute("SET enable_progress_bar = false")  # DuckDB's own would go to stdout
    connection.execute("SET TimeZone = 'UTC'")
    for name, value in settings.items():
        connection.execute(f"SET {name} = {quote_literal(value)}")
    paths = [text for path in files for text in {str(path.resolve()), literal_pattern(path)}]
    connection.execute(f"SET allowed_paths = [{', '.join(map(quote_literal, paths))}]")
    if folder:
        connection.execute(f"SET allowed_directories = [{quote_literal(folder.resolve())}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def literal_pattern(path: Path) -> str:
    """Return the pattern that means a file of exactly this name: DuckDB takes every path for a pattern."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path.resolve()))


def is_out_of_resources(error: duckdb.Error) -> bool:
    """Recognise what DuckDB raises when memory, or the disk that it spills to, is full."""
    return isinstance(error, duckdb.OutOfMemoryException) or "No space left on device" in str(error)


def quote_literal(value: str | Path) -> str:
    """Return text as SQL has it, where no parameter is allowed."""
    return "'" + str(value).replace("'", "''") + "'"


def check_file(path: Path, name: str) -> None:
    """Refuse what is no regular file, or has a name that DuckDB cannot be given.

    Raises:
        UserError: says what it is.
    """
    require_regular_file(path, name)
    if not str(path.resolve()).isprintable() and any("\ud800" <= letter <= "\udfff" for letter in str(path.resolve())):
        raise UserError(f"{name}: {str(path)!a}: the name is not UTF-8 text; rename the file or its folder")


@contextmanager
def translate_duckdb_errors(location: str) -> Iterator[None]:
    """Turn what DuckDB raises into an error of ours; of a large file it may raise it while the cells are fetched."""
    try:
        yield
    except duckdb.Error as error:
        if is_out_of_resources(error):
            raise ResourceError(f"{location}: memory or disk are too little to read it; free some space") from None
        raise UserError(f"{location}{_reason(str(error))}; fix the file or the condition") from None


def _reason(text: str) -> str:
    """Return DuckDB's message in one line, that of a csv with the number of the line."""
    lines = text.splitlines()
    if match := re.search(r"CSV Error on Line: (\d+)", lines[0]):
        rest = [line for line in lines[1:] if line.strip() and not line.startswith(("Original Line", "Possible"))]
        return f":{match[1]}: {rest[0].strip() if rest else 'the row cannot be read'}"
    return f": {lines[0]}"
