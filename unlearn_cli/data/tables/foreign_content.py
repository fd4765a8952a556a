"""Recognises files that are not the table that their name says, by their first bytes and their suffix."""

from codecs import BOM_UTF8
from pathlib import Path

from unlearn_cli.errors import UserError
from unlearn_cli.schema.table_columns import TEXT_SUFFIXES
from unlearn_cli.storage.foreign_texts import find_text
from unlearn_cli.storage.regular_files import open_regular

FIRST_SIGN = 9  # a text has no smaller byte than that of a tab
START = 512  # bytes by which a file is recognised
GZIP = b"\x1f\x8b"
MARKS = {  # the first bytes of a file that is not text, and what it is
    b"PK\x03\x04": "is a zip archive or an Excel file; unpack it, or export the table as csv",
    b"\xd0\xcf\x11\xe0": "is a file of Excel; export the table as csv",
    GZIP: "is compressed with gzip; its name must end in .gz",
    b"BZh": "is compressed with bzip2; decompress it",
    b"\xfd7zXZ": "is compressed with xz; decompress it",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; decompress it",
    b"PAR1": "is a parquet file; its name must end in .parquet",
    b"ARROW1": "is an Arrow file; its name must end in .arrow",
    b"\x89HDF": "is an HDF5 file; export the table as csv or parquet",
    b"SQLite format 3": "is a database of SQLite; export the table as csv or parquet",
    b"\x93NUMPY": "is an array of NumPy; save named arrays with np.savez, and use npz",
    **dict.fromkeys(
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "is a pickle, which could run code; export the table as csv or parquet",
    ),
    b"%PDF": "is a PDF file; export the table as csv",
}
PARQUET_MARK = b"PAR1"  # at both ends of a file
OWN = ((PARQUET_MARK, ".parquet"), (b"ARROW1", ".arrow"))
LINES = "write one object per line into a file .jsonl (pandas: to_json(..., orient='records', lines=True))"
OTHERS = {  # suffixes of other files with tables
    **dict.fromkeys((".json", ".geojson"), LINES),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "export the table as csv"),
    **dict.fromkeys((".pkl", ".pickle"), "a pickle could run code; export the table as csv or parquet"),
    **dict.fromkeys((".feather", ".orc", ".h5", ".hdf5", ".sqlite", ".db"), "export the table as csv or parquet"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), "unpack the archive, and name its folder or file"),
    ".arff": "export the table as csv, or set its name to .csv with header: [NAMES] and skip_lines",
    **dict.fromkeys((".npy", ".mat"), "save named arrays with np.savez, and use npz"),
}


def refuse_foreign_content(path: Path, kind: str, name: str) -> None:
    """Refuse a file whose first bytes are those of another kind than that of its name.

    Raises:
        UserError: with what it is, and what to do.
    """
    with open_regular(path, name) as file:
        start = file.read(START)
        file.seek(-min(len(start), len(PARQUET_MARK)), 2)
        end = file.read()
    is_packed = path.suffix.lower() == ".gz"
    if is_packed and start and not start.startswith(GZIP):
        raise UserError(f"{name}: {path}: is not compressed with gzip; remove .gz from its name")
    if not start and kind not in TEXT_SUFFIXES:
        raise UserError(f"{name}: {path}: is empty; name a file with rows")
    if is_packed or not start:
        return
    if reason := _find_reason(start, kind):
        raise UserError(f"{name}: {path}: {reason}")
    if kind == ".parquet" and PARQUET_MARK not in (start[:4], end):
        raise UserError(f"{name}: {path}: is not a parquet file; fetch or write it again")
    if kind == ".parquet" and end != PARQUET_MARK:
        raise UserError(f"{name}: {path}: is cut off; fetch or write it again")
    _refuse_other_json(start, kind, f"{name}: {path}")


def _refuse_other_json(start: bytes, kind: str, location: str) -> None:
    """Refuse a JSON array, and lines of JSON that are not objects."""
    text = start.removeprefix(BOM_UTF8).lstrip(b" \t\r\n")
    if text.startswith(b"[{" if kind != ".jsonl" else b"["):
        raise UserError(f"{location}: is a JSON array; {LINES}")
    if kind == ".jsonl" and not text.startswith(b"{"):
        raise UserError(f"{location}: its first line is not a JSON object; expected one object per line")


def _find_reason(start: bytes, kind: str) -> str | None:
    """Return what a file is; text may begin with the letters of a mark, such as a column PAR1."""
    is_text = min(start) >= FIRST_SIGN
    marks = {} if is_text else {mark: reason for mark, reason in MARKS.items() if (mark, kind) not in OWN}
    if reason := next((reason for mark, reason in marks.items() if start.startswith(mark)), None):
        return reason
    text = find_text(start)
    return f"is {text}" if text else None


def advise_suffix(suffix: str) -> str:
    """Return what to do with a file of a suffix that is not read, as the end of a message."""
    advice = OTHERS.get(suffix.lower())
    return f"; {advice}" if advice else ""
