"""The SQL of `resolve`: finds the records of the table `source` that requests select, and those that were forgotten.

Tables: ledger (digest), forgotten (row), named (request, slot, value), hit (request, slot, value, row), matched
(request, row), missing (request, slot, value, purged). A row is the rowid of `source`; slot 0 is the id, slot i the
column of the i-th group.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from unlearn_cli.batch.resolve.record_table import insert
from unlearn_cli.console import pluralize
from unlearn_cli.data.tables.locked_connection import is_out_of_resources, quote_literal
from unlearn_cli.errors import UserError

BLOCK = 64  # bytes, of SHA-256
EXAMPLES = 3


def format_hmac(value: str) -> str:
    """Return the SQL for the HMAC-SHA256 of a text as a blob; $inner and $outer are the key's two pads (RFC 2104)."""
    return f"unhex(sha256($outer || unhex(sha256($inner || encode({value})))))"


def hmac_parameters(key: bytes) -> dict[str, bytes]:
    """Return the parameters of `format_hmac`."""
    block = (hashlib.sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
    return {"inner": bytes(byte ^ 0x36 for byte in block), "outer": bytes(byte ^ 0x5C for byte in block)}


def check_ids(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Refuse empty ids, and ids of several records.

    Raises:
        UserError: there are such ids; the message has their number.
    """
    empty = _read_number(connection, "SELECT count(*) FROM source WHERE x0 IS NULL OR x0 = ''")
    if empty:
        records = pluralize(empty, "record has", "records have")
        raise UserError(f"{name}: {records} an empty id; give each record an id")
    # Hashes take less memory than text; texts are compared only where hashes are equal.
    connection.execute("CREATE TABLE suspect AS SELECT hash(x0) AS h FROM source GROUP BY h HAVING count(*) > 1")
    chosen = "SELECT x0 FROM source SEMI JOIN suspect ON hash(x0) = h GROUP BY x0 HAVING count(*) > 1"
    twice = _read_number(connection, f"SELECT count(*) FROM ({chosen})")
    if twice:
        raise UserError(f"{name}: the ids are not unique: {twice} of them name several records; fix the source")


def load_forgotten(connection: duckdb.DuckDBPyConnection, digests: Path | None, key: bytes) -> None:
    """Read the ledger's keyed hashes, and find the records whose id has one of them.

    Raises:
        UserError: the file is not a list of keyed hashes.
    """
    connection.execute("CREATE TABLE ledger (digest BLOB)")
    if digests is not None:
        _read_digests(connection, digests)
    connection.execute("CREATE TABLE forgotten (row BIGINT)")
    if _read_number(connection, "SELECT count(*) FROM ledger"):
        rows = f"SELECT s.rowid FROM source s SEMI JOIN ledger ON {format_hmac('s.x0')} = ledger.digest"
        connection.execute(f"INSERT INTO forgotten {rows}", hmac_parameters(key))


def _read_digests(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    reader = "read_csv(?, header = true, auto_detect = false, columns = {'digest': 'VARCHAR'})"
    try:
        connection.execute(f"INSERT INTO ledger SELECT unhex(digest) FROM {reader}", [str(path.resolve())])
        wrong = _read_number(
            connection, "SELECT count(*) FROM ledger WHERE digest IS NULL OR octet_length(digest) <> 32"
        )
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException):
        wrong = 1
    if wrong:
        raise UserError(
            f"{path}: is not a list of keyed hashes; expected a csv with the column 'digest', 64 digits per row"
        )


def match_values(
    connection: duckdb.DuckDBPyConnection, named_values: Sequence[list[Any]], num_slots: int, key: bytes
) -> None:
    """Find the records that ids and values of groups name; `named_values` are the columns request, slot and value."""
    connection.execute("CREATE TABLE raw (request INTEGER, slot INTEGER, value VARCHAR)")
    insert(connection, "raw", named_values)
    connection.execute("CREATE TABLE named AS SELECT DISTINCT * FROM raw")
    connection.execute("CREATE TABLE hit (request INTEGER, slot INTEGER, value VARCHAR, row BIGINT)")
    for slot in range(num_slots):
        hits = f"SELECT n.*, s.rowid FROM source s JOIN named n ON s.x{slot} = n.value WHERE n.slot = {slot}"
        connection.execute(f"INSERT INTO hit {hits}")
    connection.execute("CREATE TABLE matched AS SELECT request, row FROM hit")
    _find_missing(connection, key)


def _find_missing(connection: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Divide the values without a record into purged ids, which the ledger has, and unknown values.

    The ledger is streamed, because it may be larger than memory; the values that requests name are held in memory.
    """
    absent = f"SELECT *, {format_hmac('value')} AS digest FROM named ANTI JOIN hit USING (request, slot, value)"
    connection.execute(f"CREATE TABLE absent AS {absent}", hmac_parameters(key))
    connection.execute(
        "CREATE TABLE recognised AS SELECT digest FROM ledger "
        "SEMI JOIN (SELECT digest FROM absent WHERE slot = 0) absent_ids USING (digest)"
    )
    purged = "slot = 0 AND digest IN (SELECT digest FROM recognised)"
    connection.execute(f"CREATE TABLE missing AS SELECT request, slot, value, {purged} AS purged FROM absent")


def match_labels(connection: duckdb.DuckDBPyConnection, request: int, numbers: list[int]) -> None:
    """Find the records whose label has one of these numbers."""
    match_rows(connection, request, "label IN (SELECT label FROM labels WHERE k IN (SELECT unnest(?)))", [numbers])


def match_rows(connection: duckdb.DuckDBPyConnection, request: int, predicate: str, values: Sequence[Any]) -> None:
    """Find the records for which a predicate holds.

    Raises:
        UserError: it compares values of different types. The message has no value, which may be personal data.
    """
    try:
        connection.execute(f"INSERT INTO matched SELECT ?, rowid FROM source WHERE {predicate}", [request, *values])
    except duckdb.Error as error:
        if is_out_of_resources(error):
            raise
        raise UserError("where: a value is not of its column's type; compare numbers with numbers") from None


def count_records(connection: duckdb.DuckDBPyConnection) -> dict[int, tuple[int, int]]:
    """Return per request the number of its records that are to be forgotten, and that were forgotten before."""
    counts = connection.execute(
        "SELECT request, count(*) FILTER (f.row IS NULL), count(f.row) FROM (SELECT DISTINCT * FROM matched) "
        "LEFT JOIN forgotten f USING (row) GROUP BY request"
    )
    return {request: (records, already) for request, records, already in counts.fetchall()}


def count_missing(connection: duckdb.DuckDBPyConnection) -> dict[int, tuple[int, int]]:
    """Return per request the number of its purged ids, and of its unknown ids and values."""
    counts = connection.execute(
        "SELECT request, count(*) FILTER (purged), count(*) FILTER (NOT purged) FROM missing GROUP BY request"
    )
    return {request: (purged, unknown) for request, purged, unknown in counts.fetchall()}


def list_unknown(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int, str]]:
    """Return a few of the unknown ids and values: request, slot and value."""
    return connection.execute(
        "SELECT request, slot, value FROM missing WHERE NOT purged "
        f"QUALIFY row_number() OVER (PARTITION BY request ORDER BY slot, value) <= {EXAMPLES} ORDER BY ALL"
    ).fetchall()


def find_similar(connection: duckdb.DuckDBPyConnection, slot: int, value: str) -> str | None:
    """Return an id or a value of a group that differs only in case, blanks, Unicode form, or the form of a number."""
    letters, number = "lower(nfc_normalize(regexp_replace({}, '\\s', '', 'g')))", "TRY_CAST({} AS DOUBLE)"
    alike = " OR ".join(f"{form.format(f'x{slot}')} = {form.format('$value')}" for form in (letters, number))
    return connection.execute(f"SELECT min(x{slot}) FROM source WHERE {alike}", {"value": value}).fetchall()[0][0]


def select_to_forget(connection: duckdb.DuckDBPyConnection, requests: list[int], columns: str = "row") -> str:
    """Return the SQL for the rows that at least one of the requests selects and that are not forgotten yet."""
    connection.execute("CREATE OR REPLACE TABLE accepted (request INTEGER)")
    insert(connection, "accepted", [requests])
    return f"SELECT {columns} FROM matched SEMI JOIN accepted USING (request) ANTI JOIN forgotten USING (row)"


def find_exhausting(connection: duckdb.DuckDBPyConnection, requests: list[int]) -> list[int]:
    """Return the requests that select all remaining records, together with those before them that are not returned."""
    remaining = count_remaining(connection)
    exhausting: list[int] = []
    while remaining:
        others = [request for request in requests if request not in exhausting]
        first = select_to_forget(connection, others, "row, min(request) AS request") + " GROUP BY row"
        count, last = connection.execute(f"SELECT count(*), max(request) FROM ({first})").fetchall()[0]
        if count < remaining:
            break
        exhausting.append(last)
    return exhausting


def count_source(connection: duckdb.DuckDBPyConnection) -> int:
    return _read_number(connection, "SELECT count(*) FROM source")


def count_remaining(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of records of the source that are not forgotten yet."""
    return count_source(connection) - _read_number(connection, "SELECT count(*) FROM forgotten")


def write_ids(connection: duckdb.DuckDBPyConnection, path: Path, rows: str) -> int:
    """Write the sorted ids of some rows as a csv with the column `id`; return their number.

    All are quoted, because readers of the file guess the delimiter, and an id may contain any character.
    """
    chosen = f"SELECT x0 AS id FROM source SEMI JOIN ({rows}) chosen ON source.rowid = chosen.row ORDER BY id"
    return _read_number(connection, f"COPY ({chosen}) TO {quote_literal(path)} (FORMAT csv, HEADER, FORCE_QUOTE *)")


def _read_number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return connection.execute(query).fetchall()[0][0]
