"""The kind of a table by its path, and the files that it consists of."""

from pathlib import Path

from unlearn_cli.data.tables.datasets_folder import list_arrow_files
from unlearn_cli.data.tables.foreign_content import advise_suffix, refuse_foreign_content
from unlearn_cli.data.tables.locked_connection import check_file
from unlearn_cli.errors import UserError
from unlearn_cli.schema.table_columns import TEXT_SUFFIXES
from unlearn_cli.storage.path_patterns import expand_range

ARROW, PARQUET = ".arrow", ".parquet"
KINDS = (*TEXT_SUFFIXES, ".jsonl", PARQUET, ARROW)


def find_table_kind(path: Path) -> str:
    """Return the suffix of a table, without .gz of a compressed text file; .arrow for a folder of datasets."""
    if path.is_dir():
        return ARROW
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix == ".gz" else suffix


def list_table_files(path: Path, name: str) -> list[Path]:
    """Return the files of a table: several for a folder of datasets, and for a pattern of parquet files.

    Raises:
        UserError: the kind is unknown, a file is missing or not a regular file, or a pattern matches none.
    """
    kind = find_table_kind(path)
    if kind not in KINDS:
        raise UserError(
            f"{name}: {path}: unknown kind of table; expected one of {', '.join(KINDS)}, a text file with .gz, or a "
            f"folder of save_to_disk{advise_suffix(kind)}"
        )
    if kind == ARROW:
        _refuse_folder_of_parquet(path, name)
        return list_arrow_files(path, name)
    files = _expand(path, name) if kind == PARQUET else [path]
    for file in files:
        check_file(file, name)
        refuse_foreign_content(file, kind, name)
    return files


def _expand(path: Path, name: str) -> list[Path]:
    """Return the files of a pattern with * in the last name, or with a range such as {000..009}."""
    if "*" not in path.name or path.exists():
        return expand_range(path)
    files = sorted(path.parent.glob(path.name))
    if not files:
        raise UserError(f"{name}: {path}: no file matches the pattern; correct it")
    return files


def _refuse_folder_of_parquet(path: Path, name: str) -> None:
    if path.is_dir() and not (path / "state.json").exists() and any(path.glob("*.parquet")):
        raise UserError(
            f"{name}: {path}: is a folder of parquet files, perhaps of several splits; name the files of one split, "
            f"such as {path.name}/train-*.parquet"
        )
