"""A text file as UTF-8: decompressed if its name ends in .gz, and decoded from the manifest's encoding."""

import codecs
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from unlearn_cli.errors import UserError

UTF8 = ("utf-8", "utf-8-sig", "ascii")  # names of encodings whose bytes are UTF-8, as `codecs.lookup` writes them


@dataclass(frozen=True)
class TextStream:
    """The text of a file after its first `skip_lines` lines."""

    path: Path
    location: str  # for messages
    encoding: str = "utf-8"
    skip_lines: int = 0

    @property
    def is_utf8(self) -> bool:
        """Whether the stored bytes are read as they are."""
        return codecs.lookup(self.encoding).name in UTF8

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open the text, with its line ends and without a byte order mark; `read_utf8` must have read all of it."""
        encoding = "utf-8-sig" if self.is_utf8 else self.encoding
        with self._open_bytes() as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            for _ in range(self.skip_lines):
                text.readline()
            yield text

    def read_utf8(self, size: int) -> Generator[bytes, None, None]:
        """Yield the text as blocks of UTF-8; stored UTF-8 is not checked.

        Raises:
            UserError: the compression is damaged, or a byte is not text of the encoding.
        """
        if not self.is_utf8 or self.skip_lines:
            yield from self._convert(size)
            return
        with self._open_bytes() as file:
            yield from iter(lambda: file.read(size), b"")

    def _convert(self, size: int) -> Iterator[bytes]:
        try:
            with self.open() as text:
                while block := text.read(size):
                    yield block.removeprefix("\ufeff").encode("utf-8", "surrogatepass")
        except UnicodeError:
            raise UserError(
                f"{self.location}: is not text in the encoding {self.encoding}; correct 'encoding'"
            ) from None

    @contextmanager
    def _open_bytes(self) -> Iterator[BinaryIO]:
        with self.path.open("rb") as file:
            if self.path.suffix.lower() != ".gz":
                yield file
                return
            try:
                with gzip.GzipFile(fileobj=file) as unzipped:
                    yield cast(BinaryIO, unzipped)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise UserError(
                    f"{self.location}: the gzip compression is damaged ({error}); replace the file"
                ) from None
