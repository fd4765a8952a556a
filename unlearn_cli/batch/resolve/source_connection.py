"""Opens the train source of a batch's manifest. The connection can read only it and the ledger's list of digests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from unlearn_cli.batch.resolve.record_table import RecordTable, TableInMemory
from unlearn_cli.batch.resolve.table_on_disk import TableOnDisk
from unlearn_cli.data.dataset import open_records, resolve_paths
from unlearn_cli.data.tables.locked_connection import connect, is_out_of_resources
from unlearn_cli.data.tables.table_file import open_table as open_table_file
from unlearn_cli.data.tables.table_paths import ARROW, list_table_files
from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage.remote import locate

MEMORY = "400MiB"  # of DuckDB's buffers; it writes larger data to the folder
SMALL = 2**25  # bytes of a table
THREADS = min(4, os.cpu_count() or 1)  # each uses its own memory
NAME = "data.train"


@contextmanager
def connect_to_source(manifest: Manifest, folder: Path, digests: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that writes only below `folder`, where it stores data that does not fit into memory.

    Raises:
        ResourceError: memory and disk are too small.
    """
    source = manifest.data.train.table if manifest.data else None
    path = locate(source.path, manifest.folder) if source else None
    files = list_table_files(path, NAME) if path else []
    with TemporaryDirectory(prefix=".resolve-", dir=folder) as name:
        scratch = Path(name).resolve()
        settings = {"memory_limit": MEMORY, "threads": str(THREADS), "temp_directory": str(scratch)}
        # A database in memory is faster, but writes spilled data repeatedly.
        large = sum(file.stat().st_size for file in files) > SMALL
        database = str(scratch / "records.duckdb") if large else ":memory:"
        connection = connect([*files, *([digests] if digests else [])], folder, settings, database)
        try:
            yield connection
        except duckdb.Error as error:
            if not is_out_of_resources(error):
                raise
            raise ResourceError(
                f"{folder}: {MEMORY} of memory and the space on this disk are too little to resolve the requests; free "
                "some space and run the same command again"
            ) from None
        finally:
            connection.close()


def open_table(manifest: Manifest, connection: duckdb.DuckDBPyConnection) -> RecordTable:
    """Open the train source.

    Raises:
        UserError: it cannot be read.
    """
    assert manifest.data is not None
    source = manifest.data.train
    is_plain = source.table is not None and not (source.table.has_columns_of_labels or source.table.label_names)
    if source.table is None or not is_plain or manifest.task == "multilabel":
        return _open_in_memory(manifest, connection)
    if source.table.unreadable == "skip":
        raise UserError(
            f"{NAME}: 'unreadable: skip' cannot be used in a batch: a request may name a record that training "
            "skips; remove the rows of unreadable images from the table"
        )
    spec = resolve_paths(source.table, manifest.folder)
    window = next((step.window for step in manifest.data.transform if step.window), None)
    file = open_table_file(spec, NAME, connection)
    if file.class_names or file.kind == ARROW:
        return _open_in_memory(manifest, connection)
    file.formats, file.private = source.dates, True
    return TableOnDisk(file, spec, window, source.rows)


def _open_in_memory(manifest: Manifest, connection: duckdb.DuckDBPyConnection) -> TableInMemory:
    """Open the train source as arrays, whose labels may have other names than in the file."""
    assert manifest.data is not None
    return TableInMemory(open_records(manifest.data.train, NAME, manifest.data_sections), connection)
