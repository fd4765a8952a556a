"""Which records of the table `source` requests select, and which of these the ledger knows: the SQL of `resolve`.

Tables: ledger (digest), forgotten (row), asked (request, slot, value), hit (request, slot, value, row), matched
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


def hmac_sql(value: str) -> str:
    """Return the SQL for HMAC-SHA256 of text as a blob; $inner and $outer are the key's two pads (RFC 2104)."""
    return f"unhex(sha256($outer || unhex(sha256($inner || encode({value})))))"


def hmac_parameters(key: bytes) -> dict[str, bytes]:
    """Return the parameters of `keyed`."""
    block = (hashlib.sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
    return {"inner": bytes(byte ^ 0x36 for byte in block), "outer": bytes(byte ^ 0x5C for byte in block)}


def check_ids(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Refuse ids that are empty or that two records have.

    Raises:
        UserError: says how many.
    """
    empty = _read_number(connection, "SELECT count(*) FROM source WHERE x0 IS NULL OR x0 = ''")
    if empty:
        records = pluralize(empty, "record has", "records have")
        raise UserError(f"{name}: {records} an empty id; give each record an id")
    # Hashes take less memory than text; the text decides about those that are there twice.
    connection.execute("CREATE TABLE suspect AS SELECT hash(x0) AS h FROM source GROUP BY h HAVING count(*) > 1")
    chosen = "SELECT x0 FROM source SEMI JOIN suspect ON hash(x0) = h GROUP BY x0 HAVING count(*) > 1"
    twice = _read_number(connection, f"SELECT count(*) FROM ({chosen})")
    if twice:
        raise UserError(f"{name}: the ids are not unique: {twice} of them name several records; mend the source")


def load_forgotten(connection: duckdb.DuckDBPyConnection, digests: Path | None, key: bytes) -> None:
    """Read the ledger's keyed hashes and find the records that have one of them.

    Raises:
        UserError: the file is no list of keyed hashes.
    """
    connection.execute("CREATE TABLE ledger (digest BLOB)")
    if digests is not None:
        _read_digests(connection, digests)
    connection.execute("CREATE TABLE forgotten (row BIGINT)")
    if _read_number(connection, "SELECT count(*) FROM ledger"):
        known = f"SELECT s.rowid FROM source s SEMI JOIN ledger ON {hmac_sql('s.x0')} = ledger.digest"
        connection.execute(f"INSERT INTO forgotten {known}", hmac_parameters(key))


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
        raise UserError(f"{path}: is no list of keyed hashes; expected a csv with the column 'digest', 64 digits a row")


def match_values(connection: duckdb.DuckDBPyConnection, asked: Sequence[list[Any]], slots: int, key: bytes) -> None:
    """Find the records that ids and values of groups name; `asked` are the columns request, slot and value."""
    connection.execute("CREATE TABLE raw (request INTEGER, slot INTEGER, value VARCHAR)")
    insert(connection, "raw", asked)
    connection.execute("CREATE TABLE asked AS SELECT DISTINCT * FROM raw")
    connection.execute("CREATE TABLE hit (request INTEGER, slot INTEGER, value VARCHAR, row BIGINT)")
    for slot in range(slots):
        found = f"SELECT a.*, s.rowid FROM source s JOIN asked a ON s.x{slot} = a.value WHERE a.slot = {slot}"
        connection.execute(f"INSERT INTO hit {found}")
    connection.execute("CREATE TABLE matched AS SELECT request, row FROM hit")
    _find_missing(connection, key)


def _find_missing(connection: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Tell what was purged from what nobody knows; what was asked for is held in memory, the ledger goes past it."""
    absent = "FROM asked ANTI JOIN hit USING (request, slot, value)"
    connection.execute(f"CREATE TABLE lost AS SELECT *, {hmac_sql('value')} AS digest {absent}", hmac_parameters(key))
    connection.execute(
        "CREATE TABLE known AS SELECT digest FROM ledger SEMI JOIN (SELECT digest FROM lost WHERE slot = 0) asked_ids "
        "USING (digest)"
    )
    purged = "slot = 0 AND digest IN (SELECT digest FROM known)"
    connection.execute(f"CREATE TABLE missing AS SELECT request, slot, value, {purged} AS purged FROM lost")


def match_labels(connection: duckdb.DuckDBPyConnection, request: int, numbers: list[int]) -> None:
    """Find the records whose label has one of these numbers."""
    match_rows(connection, request, "label IN (SELECT label FROM labels WHERE k IN (SELECT unnest(?)))", [numbers])


def match_rows(connection: duckdb.DuckDBPyConnection, request: int, predicate: str, values: Sequence[Any]) -> None:
    """Find the records for which a predicate holds.

    Raises:
        UserError: it compares what cannot be compared. (The value is not told: it may be a person's.)
    """
    try:
        connection.execute(f"INSERT INTO matched SELECT ?, rowid FROM source WHERE {predicate}", [request, *values])
    except duckdb.Error as error:
        if is_out_of_resources(error):
            raise
        raise UserError("where: a value is not of its column's type; compare numbers with numbers") from None


def count_records(connection: duckdb.DuckDBPyConnection) -> dict[int, tuple[int, int]]:
    """Return for each request how many records it selects that are to be forgotten, and that are forgotten already."""
    found = connection.execute(
        "SELECT request, count(*) FILTER (f.row IS NULL), count(f.row) FROM (SELECT DISTINCT * FROM matched) "
        "LEFT JOIN forgotten f USING (row) GROUP BY request"
    )
    return {request: (records, already) for request, records, already in found.fetchall()}


def count_missing(connection: duckdb.DuckDBPyConnection) -> dict[int, tuple[int, int]]:
    """Return for each request how many of its ids are purged, and how many ids and values nobody knows."""
    found = connection.execute(
        "SELECT request, count(*) FILTER (purged), count(*) FILTER (NOT purged) FROM missing GROUP BY request"
    )
    return {request: (purged, unknown) for request, purged, unknown in found.fetchall()}


def list_unknown(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int, str]]:
    """Return a few of the unknown ids and values: request, slot and value."""
    return connection.execute(
        "SELECT request, slot, value FROM missing WHERE NOT purged "
        f"QUALIFY row_number() OVER (PARTITION BY request ORDER BY slot, value) <= {EXAMPLES} ORDER BY ALL"
    ).fetchall()


def find_similar(connection: duckdb.DuckDBPyConnection, slot: int, value: str) -> str | None:
    """Return an id, or a value of a group, that differs in case, blanks, Unicode form, or how a number is written."""
    letters, number = "lower(nfc_normalize(regexp_replace({}, '\\s', '', 'g')))", "TRY_CAST({} AS DOUBLE)"
    alike = " OR ".join(f"{form.format(f'x{slot}')} = {form.format('$value')}" for form in (letters, number))
    return connection.execute(f"SELECT min(x{slot}) FROM source WHERE {alike}", {"value": value}).fetchall()[0][0]


def select_to_forget(connection: duckdb.DuckDBPyConnection, requests: list[int], columns: str = "row") -> str:
    """Return the SQL for the rows that some of the requests select and that are not forgotten yet."""
    connection.execute("CREATE OR REPLACE TABLE accepted (request INTEGER)")
    insert(connection, "accepted", [requests])
    return f"SELECT {columns} FROM matched SEMI JOIN accepted USING (request) ANTI JOIN forgotten USING (row)"


def find_exhausting(connection: duckdb.DuckDBPyConnection, requests: list[int]) -> list[int]:
    """Return those of the requests that, with the ones before them that are not returned, select all that is left."""
    left = count_remaining(connection)
    spoilers: list[int] = []
    while left:
        others = [one for one in requests if one not in spoilers]
        first = select_to_forget(connection, others, "row, min(request) AS request") + " GROUP BY row"
        count, last = connection.execute(f"SELECT count(*), max(request) FROM ({first})").fetchall()[0]
        if count < left:
            break
        spoilers.append(last)
    return spoilers


def count_source(connection: duckdb.DuckDBPyConnection) -> int:
    return _read_number(connection, "SELECT count(*) FROM source")


def count_remaining(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many records of the source are not forgotten yet."""
    return count_source(connection) - _read_number(connection, "SELECT count(*) FROM forgotten")


def write_ids(connection: duckdb.DuckDBPyConnection, path: Path, rows: str) -> int:
    """Write the ids of some rows as a csv with the column `id`, sorted; return how many.

    All are quoted: what reads the file guesses the delimiter, and an id may hold any.
    """
    chosen = f"SELECT x0 AS id FROM source SEMI JOIN ({rows}) chosen ON source.rowid = chosen.row ORDER BY id"
    found = connection.execute(
        f"COPY ({chosen}) TO {quote_literal(path)} (FORMAT csv, HEADER, FORCE_QUOTE *)"
    ).fetchall()
    return found[0][0]


def _read_number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return connection.execute(query).fetchall()[0][0]
