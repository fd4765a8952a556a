"""The layout of a csv file, whether DuckDB reads it by the rules below, and a reader of rows in case it does not.

The rules: the text is UTF-8, unless the manifest names another encoding. The delimiter is tab in a .tsv or .tab,
otherwise the most frequent character of `,;|` and tab in the first line, unless the manifest names it. A cell whose
first character is `"` ends at the next single `"`. Unquoted cells and headers lose blanks (space, tab) at both ends,
quoted ones keep them; nothing else is changed. Lines of only blanks are not rows.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from unlearn_cli.data.tables.text_stream import TextStream
from unlearn_cli.errors import UserError
from unlearn_cli.schema.table_columns import WHITESPACE

DELIMITERS = ",;\t|"
SAMPLE = 20  # rows that show whether rows have names
BLOCK = 2**22  # characters that are read at a time
TAIL = 256  # bytes of a block that are inspected again with the next block
LINE = re.compile(r"([^\r\n]*+)(?:\r\n|\r|\n|\Z)")
MAX_ROW = 2**24  # characters; a longer row has a quote that is never closed


@dataclass(frozen=True)
class CsvOptions:
    """What the manifest says about a file; the defaults are those of a csv."""

    delimiter: str | None = None  # None: detected
    encoding: str = "utf-8"
    header: bool | tuple[str, ...] = True  # False: columns are named column_0, column_1, ...
    skip_lines: int = 0
    decimal: str = "."
    thousands: str | None = None  # between groups of three digits
    units: tuple[str, ...] = ()  # before or after numbers
    has_keys: bool = True  # the manifest has keys for the file, which messages name


@dataclass(frozen=True)
class CsvLayout:
    """The delimiter, the names of the columns, and facts that decide how the file is read."""

    stream: TextStream
    location: str  # for messages
    delimiter: str
    header: tuple[str, ...]
    named: bool  # the first line of the file has the names
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
        rows = _read_rows(self.stream, self.location, self.delimiter)
        if self.named:
            next(rows, None)
        for line, cells in rows:
            if len(cells) != len(self.header):
                raise self._make_row_error(line, len(cells))
            yield line, cells

    def _make_row_error(self, line: int, count: int) -> UserError:
        names = "the first line names" if self.named else "'header' or the first row has"
        return UserError(
            f"{self.location}:{line}: the row has {count} cells, but {names} {len(self.header)} columns; fix the row "
            f"(quote a cell that contains '{self.delimiter}'), or omit lines before the table with skip_lines"
        )

    def line_of(self, row: int) -> int:
        """Return the line (from 1) of a row (from 0, after the header)."""
        if self.plain and not self.quoted:
            return row + 1 + self.named
        return next(line for number, (line, _) in enumerate(self.rows()) if number == row)


def inspect_csv(path: Path, location: str, options: CsvOptions = CsvOptions()) -> CsvLayout:
    """Inspect every byte of a csv once.

    Raises:
        UserError: it is empty, is not text of its encoding, or contains a NUL.
    """
    stream = TextStream(path, location, options.encoding, options.skip_lines)
    delimiter = options.delimiter or _detect_delimiter(path, stream)
    traits = _Traits(location, tab=delimiter == "\t", is_utf8=stream.is_utf8, has_keys=options.has_keys)
    for block in stream.read_utf8(BLOCK):
        traits.add(block, delimiter.encode())
    traits.end()
    rows = [tuple(cells) for _, cells in islice(_read_rows(stream, location, delimiter), SAMPLE)]
    header = _name_columns(rows, options.header)
    if not header:
        raise UserError(f"{location}: is empty; expected a first line that names the columns")
    plain = stream.is_utf8 and not options.skip_lines and delimiter != WHITESPACE and traits.are_plain(len(header))
    named = options.header is True
    return CsvLayout(stream, location, delimiter, header, named, plain, bool(traits.quotes), traits.is_unended())


def read_first_rows(path: Path, location: str, options: CsvOptions, count: int) -> list[list[str]]:
    """Return the cells of the first rows, a header included; fewer if there are fewer.

    Raises:
        UserError: they are not text of the encoding, or a quote is never closed.
    """
    stream = TextStream(path, location, options.encoding, options.skip_lines)
    delimiter = options.delimiter or _detect_delimiter(path, stream)
    try:
        return [cells for _, cells in islice(_read_rows(stream, location, delimiter), count)]
    except UnicodeError:
        raise UserError(f"{location}: is not text in the encoding {options.encoding}; save it as UTF-8") from None


def is_comment(line: str) -> bool:
    """Return whether a line before a table may be a comment, or the delimiter for Excel (`sep=;`)."""
    return line.startswith("#") or line.lower().startswith("sep=")


def list_stripped_blanks(delimiter: str) -> str:
    return " \t".replace(delimiter, "")


def _detect_delimiter(path: Path, stream: TextStream) -> str:
    """Return the delimiter, from the first line that is not empty; quoted names are ignored."""
    if {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes[-2:]}:
        return "\t"
    with closing(stream.read_utf8(BLOCK)) as blocks:
        text = re.sub(r'"[^"]*"', "", next(blocks, b"").decode("utf-8", "replace"))
    line = re.split(r"[\r\n]", text.lstrip("\ufeff\r\n "), maxsplit=1)[0]
    return max(DELIMITERS, key=line.count)


def _name_columns(rows: Sequence[tuple[str, ...]], header: bool | tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the columns, from the first rows.

    If all rows have one cell more than the first, they begin with a name of the row, as R writes it: a column without
    a name.
    """
    if isinstance(header, tuple):
        return header
    first, others = (rows[0], rows[1:]) if rows else ((), ())
    if not header:
        return tuple(f"column_{number}" for number in range(len(first)))
    longer = len(others) > 1 and all(len(cells) == len(first) + 1 for cells in others)
    has_row_names = longer and any(cells[-1] for cells in others)  # otherwise, each row ends with a delimiter
    return ("", *first) if has_row_names else first


@dataclass
class _Traits:
    """Facts about the bytes of a file, accumulated block by block."""

    location: str
    tab: bool = False
    is_utf8: bool = True
    has_keys: bool = True
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
        if block[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and not self.lines and self.is_utf8:
            raise UserError(f"{self.location}: is UTF-16 text; save it as UTF-8{self._name_key('utf-16')}")
        if b"\0" in block:
            line = self.lines + 1 + block[: block.index(b"\0")].count(b"\n")
            raise UserError(
                f"{self.location}:{line}: contains a NUL byte; expected UTF-8 text{self._name_key('utf-16-le')}"
            )
        try:
            self.decoder.decode(block, final)
        except UnicodeDecodeError as error:
            line = self.lines + 1 + error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            flaw = f"{self.location}:{line}: is not UTF-8 text (byte 0x{byte:02X})"
            raise UserError(f"{flaw}; save it as UTF-8{self._name_key('cp1252')}") from None

    def _name_key(self, encoding: str) -> str:
        """Return the key that names another encoding, as the end of a message; '' for files without keys."""
        return f", or name its encoding in the manifest, such as encoding: {encoding}" if self.has_keys else ""


BESIDE_QUOTE = (b'" ', b' "', b'"\t', b'\t"')


def _read_rows(stream: TextStream, location: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of all rows, including the header and without lines of only blanks."""
    with stream.open() as file:
        yield from _split_stream(file, 1 + stream.skip_lines, location, delimiter)


def _split_stream(file: TextIO, line: int, location: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    splitter, rest, piece = _Splitter(delimiter), "", " "
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
        self.by_blanks = delimiter == WHITESPACE
        blank, mark = f"[{self.blanks}]*+", re.escape(delimiter)
        end = rf"({mark}|\r\n|\r|\n|\Z)"
        if self.by_blanks:
            blank, mark, end = "", " \t", r"([ \t]*+(?:\r\n|\r|\n|\Z)|[ \t]++)"
        quoted = rf'{blank}"([^"]*+(?:""[^"]*+)*+)"{blank}{end}'
        self.cell = re.compile(rf"{quoted}|([^{mark}\r\n]*+){end}")

    def split(self, text: str, *, final: bool) -> Iterator[tuple[list[str], int]]:
        """Yield the cells and the end of each complete row; unless `final`, more text may follow."""
        has_bare_cells = not self.by_blanks and '"' not in text
        return (self._split_lines if has_bare_cells else self._split_cells)(text, final=final)

    def _split_lines(self, text: str, *, final: bool) -> Iterator[tuple[list[str], int]]:
        """Split text without quotes, in which every line is a row, about ten times as fast."""
        for match in LINE.finditer(text):
            if match.end() == len(text) and (not final or match.start() == len(text)):
                return
            yield [cell.strip(self.blanks) for cell in match[1].split(self.delimiter)], match.end()

    def _split_cells(self, text: str, *, final: bool) -> Iterator[tuple[list[str], int]]:
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
            last = end if quoted is not None else bare_end
            if not (self.by_blanks and not row and quoted is None and not cell and self._continues(last)):
                row.append(cell)
            if not self._continues(last):
                yield row, match.end()
                row = []

    def _continues(self, end: str) -> bool:
        """Return whether another cell of the row follows after this end of a cell."""
        return bool(end) and not end.strip(" \t") if self.by_blanks else end == self.delimiter
