"""The tokenizer of a Hugging Face folder (tokenizer.json), with the library tokenizers; nothing is downloaded.

Source of the format: https://huggingface.co/docs/tokenizers/api/tokenizer.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.errors import UserError
from unlearn_cli.storage.regular_files import read_regular

FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
MOST = 2**28  # bytes of a file
PADDING = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")  # usual padding tokens, if the folder names none
CHUNK = 4096  # texts that are encoded at a time
MISSING = f"no such file; name a folder with {FILE}, which AutoTokenizer.from_pretrained(X).save_pretrained(X) writes"
FIELD = "data.transform: tokens.tokenizer"


@dataclass(frozen=True)
class FolderTokenizer:
    """A tokenizer that makes sequences of equal length."""

    tokenizer: Any  # tokenizers.Tokenizer
    padding: int  # the number of the padding token
    pads_left: bool

    def encode(self, texts: Sequence[str] | Sequence[tuple[str, str]], length: int) -> np.ndarray:
        """Return the numbers of tokens (n, length) int32 of texts, or of pairs of texts joined to one sequence."""
        numbers = np.full((len(texts), length), self.padding, dtype=np.int32)
        for row, encoding in enumerate(self._encode_chunks(texts)):
            ids = encoding.ids
            if ids:
                numbers[row, slice(-len(ids), None) if self.pads_left else slice(len(ids))] = ids
        return numbers

    def _encode_chunks(self, texts: Sequence[Any]) -> Iterator[Any]:
        for start in range(0, len(texts), CHUNK):
            yield from self.tokenizer.encode_batch(texts[start : start + CHUNK])


def open_tokenizer(path: Path, length: int) -> FolderTokenizer:
    """Open the tokenizer.json at a path or in a folder; sequences are truncated to `length`.

    Raises:
        UserError: the library is not installed, the file is missing or damaged, or no padding token is known.
    """
    file = path / FILE if path.is_dir() else path
    content = read_regular(file, MOST, FIELD, missing=MISSING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads would not survive the fork of data workers
    try:
        library = import_module("tokenizers")
    except ImportError:
        raise UserError(f"{FIELD}: needs the library tokenizers; install unlearn-cli[tokenizers]") from None
    try:
        tokenizer = library.Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises no other class for a damaged file
        raise UserError(f"{FIELD}: {file}: is not a tokenizer ({str(error)[:200]}); save it again") from None
    config = _read_config(file.with_name(CONFIG))
    stored = tokenizer.padding or {}
    padding = _find_padding(tokenizer, config, stored, file)
    tokenizer.no_padding()
    side = config.get("truncation_side")
    tokenizer.enable_truncation(length, direction="left" if side == "left" else "right")
    return FolderTokenizer(tokenizer, padding, config.get("padding_side", stored.get("direction")) == "left")


def _find_padding(tokenizer: Any, config: dict[str, Any], stored: dict[str, Any], file: Path) -> int:
    """Return the number of the padding token: of the folder's configuration, of the tokenizer, else of a usual one."""
    given = config.get("pad_token")
    named = given.get("content") if isinstance(given, dict) else given
    for token in (named, stored.get("pad_token"), *PADDING):
        number = tokenizer.token_to_id(token) if isinstance(token, str) else None
        if number is not None:
            return number
    raise UserError(f"{FIELD}: {file}: has no padding token; name one in {CONFIG}: pad_token")


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_regular(path, MOST, FIELD))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{FIELD}: {path}: is not a JSON object; save it again")
    return content
