"""The layout of a csv file, whether DuckDB reads it by the rules below, and a reader of rows in case it does not.

The rules: the text is UTF-8. The delimiter is the most frequent character of `,;|` and tab in the first line. A cell
whose first character is `"` ends at the next single `"`. Unquoted cells and headers lose blanks (space, tab) at both
ends, quoted ones keep them; nothing else is changed. Lines of only blanks are not rows.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unlearn_cli.errors import UserError

DELIMITERS = ",;\t|"
BLOCK = 2**22  # characters that are read at a time
TAIL = 256  # bytes of a block that are inspected again with the next block
MAX_ROW = 2**24  # characters; a longer row has a quote that is never closed


@dataclass(frozen=True)
class CsvLayout:
    """The delimiter, the names of the columns, and facts that decide how the file is read."""

    path: Path
    location: str  # for messages
    delimiter: str
    header: tuple[str, ...]
    plain: bool  # DuckDB splits it as `rows` does, and no quoted cell begins or ends with a blank
    quoted: bool
    unended: bool  # the last line has no end, unlike the others: the file, and its last cell, may be truncated

    @property
    def blanks(self) -> str:
        """The characters that unquoted cells lose at both ends."""
        return list_stripped_blanks(self.delimiter)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line and the cells of each row after the header.

        Raises:
            UserError: a row has more or fewer cells than the header, or its quotes do not match.
        """
        rows = _read_rows(self.path, self.location, self.delimiter)
        next(rows, None)
        for line, cells in rows:
            if len(cells) != len(self.header):
                raise UserError(
                    f"{self.location}:{line}: the row has {len(cells)} cells, but the first line names "
                    f"{len(self.header)} columns; fix the row (quote a cell that contains '{self.delimiter}')"
                )
            yield line, cells

    def line_of(self, row: int) -> int:
        """Return the line (from 1) of a row (from 0, after the header)."""
        if self.plain and not self.quoted:
            return row + 2
        return next(line for number, (line, _) in enumerate(self.rows()) if number == row)


def inspect_csv(path: Path, location: str) -> CsvLayout:
    """Inspect every byte of a csv once.

    Raises:
        UserError: it is empty, not UTF-8, contains a NUL, or has a duplicate column name.
    """
    traits = _Traits(location)
    with path.open("rb") as file:
        delimiter = _detect_delimiter(file.read(BLOCK))
        file.seek(0)
        traits.tab = delimiter == "\t"
        while block := file.read(BLOCK):
            traits.add(block, delimiter.encode())
    traits.end()
    header = tuple(next(_read_rows(path, location, delimiter), (1, []))[1])
    _check_header(header, location)
    plain = traits.are_plain(len(header))
    return CsvLayout(path, location, delimiter, header, plain, bool(traits.quotes), traits.is_unended())


def list_stripped_blanks(delimiter: str) -> str:
    return " " if delimiter == "\t" else " \t"


def _detect_delimiter(start: bytes) -> str:
    """Return the delimiter, from the first line that is not empty; quoted names are ignored."""
    text = re.sub(r'"[^"]*"', "", start.decode("utf-8", "replace")).lstrip("\ufeff\r\n ")
    line = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return max(DELIMITERS, key=line.count)


def _check_header(header: tuple[str, ...], location: str) -> None:
    if not header:
        raise UserError(f"{location}: is empty; expected a first line that names the columns")
    for number, name in enumerate(header):
        if name and name in header[:number]:
            raise UserError(f"{location}:1: two columns are named '{name}'; rename one of them")


@dataclass
class _Traits:
    """Facts about the bytes of a file, accumulated block by block."""

    location: str
    tab: bool = False
    last: bytes = b"\n"
    lines: int = 0
    returns: int = 0
    pairs: int = 0  # of carriage return and line feed
    quotes: int = 0
    delimiters: int = 0
    blank_lines: bool = False
    blank_beside_quote: bool = False
    open_end: bool = False  # a line ends with a delimiter
    decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def add(self, block: bytes, delimiter: bytes) -> None:
        self._check(block)
        seen = self.last + (block.removeprefix(codecs.BOM_UTF8) if self.last == b"\n" else block)
        self.lines += block.count(b"\n")
        self.returns += block.count(b"\r")
        self.pairs += seen.count(b"\r\n") - self.last.count(b"\r\n")
        self.quotes += block.count(b'"')
        self.delimiters += block.count(delimiter)
        self.blank_lines |= b"\n\n" in seen or b"\n\r\n" in seen or self._has_line_of_blanks(seen)
        self.blank_beside_quote |= any(pair in seen for pair in ((b'" ', b' "') if self.tab else BESIDE_QUOTE))
        self.open_end |= delimiter + b"\n" in seen or delimiter + b"\r" in seen
        self.last = seen[-TAIL:]

    def end(self) -> None:
        self._check(b"", final=True)
        self.blank_lines |= re.search(rb"\n[ \t]+\Z", self.last) is not None

    def are_plain(self, columns: int) -> bool:
        """Return whether DuckDB reads the file by the rules, except for blanks around cells."""
        ends_alike = self.returns == 0 or self.returns == self.pairs == self.lines
        if self.blank_lines or self.blank_beside_quote or not ends_alike:
            return False
        if self.quotes:
            return not self.open_end  # DuckDB ignores an additional empty cell at the end of a row
        rows = self.lines + (not self.last.endswith(b"\n"))
        return self.delimiters == rows * (columns - 1)

    def is_unended(self) -> bool:
        """Return whether the last line has no end; a quote that closes its last cell shows that it is complete."""
        return not self.last.rstrip(b" \t").endswith((b"\n", b"\r", b'"'))

    def _has_line_of_blanks(self, seen: bytes) -> bool:
        return (b"\n " in seen or b"\n\t" in seen) and re.search(rb"\n[ \t]+[\r\n]", seen) is not None

    def _check(self, block: bytes, *, final: bool = False) -> None:
        if block[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and not self.lines:
            raise UserError(f"{self.location}: is UTF-16 text; save it as UTF-8")
        if b"\0" in block:
            line = self.lines + 1 + block[: block.index(b"\0")].count(b"\n")
            raise UserError(f"{self.location}:{line}: contains a NUL byte; expected UTF-8 text")
        try:
            self.decoder.decode(block, final)
        except UnicodeDecodeError as error:
            line = self.lines + 1 + error.object[: error.start].count(b"\n")
            raise UserError(
                f"{self.location}:{line}: is not UTF-8 text (byte 0x{error.object[error.start]:02X}); save it as UTF-8"
            ) from None


BESIDE_QUOTE = (b'" ', b' "', b'"\t', b'\t"')


def _read_rows(path: Path, location: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of all rows, including the header and without lines of only blanks."""
    splitter, line, rest, piece = _Splitter(delimiter), 1, "", " "
    with path.open(encoding="utf-8-sig", newline="") as file:
        while piece:
            piece = file.read(BLOCK)
            text, used = rest + piece, 0
            for cells, end in splitter.split(text, final=not piece):
                if any(isinstance(cell, Unclosed) for cell in cells):
                    raise _make_quote_error(location, line)
                if len(cells) > 1 or text[used:end].strip(" \t\r\n"):
                    yield line, cells
                line, used = line + _count_line_ends(text, used, end), end
            rest = text[used:]
            if len(rest) > MAX_ROW:
                raise _make_quote_error(location, line)


def split_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield line and cells of all rows of a text, including the header; None for a row whose quotes do not match."""
    line, used = 1, 0
    for cells, end in _Splitter(delimiter).split(text, final=True):
        if len(cells) > 1 or text[used:end].strip(" \t\r\n"):
            yield line, None if any(isinstance(cell, Unclosed) for cell in cells) else cells
        line, used = line + _count_line_ends(text, used, end), end


def _count_line_ends(text: str, start: int, end: int) -> int:
    lone = text.count("\r", start, end) - text.count("\r\n", start, end)
    return text.count("\n", start, end) + lone


def _make_quote_error(location: str, line: int) -> UserError:
    return UserError(
        f"{location}:{line}: a quote is never closed, or text follows the closing quote; fix the row (a quote within a "
        'quoted cell is written "")'
    )


class Unclosed(str):
    """A cell that begins with a quote that is never closed."""


class _Splitter:
    """Splits text into rows of cells."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter, self.blanks = delimiter, list_stripped_blanks(delimiter)
        blank, mark = f"[{self.blanks}]*+", re.escape(delimiter)
        end = rf"({mark}|\r\n|\r|\n|\Z)"
        quoted = rf'{blank}"([^"]*+(?:""[^"]*+)*+)"{blank}{end}'
        self.cell = re.compile(rf"{quoted}|([^{mark}\r\n]*+){end}")

    def split(self, text: str, *, final: bool) -> Iterator[tuple[list[str], int]]:
        """Yield the cells and the end of each complete row; unless `final`, more text may follow."""
        row: list[str] = []
        for match in self.cell.finditer(text):
            more_may_follow, nothing_left = match.end() == len(text) and not final, match.start() == len(text)
            if more_may_follow or (nothing_left and not row):
                return
            quoted, end, bare, bare_end = match.groups()
            cell = quoted.replace('""', '"') if quoted is not None else bare.strip(self.blanks)
            if quoted is None and cell.startswith('"'):
                if not final:
                    return
                cell = Unclosed(cell)
            row.append(cell)
            if (end if quoted is not None else bare_end) != self.delimiter:
                yield row, match.end()
                row = []
