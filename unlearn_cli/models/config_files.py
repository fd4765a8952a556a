"""The config.json of a transformers network: where it is, and what it contains. No torch."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from unlearn_cli.errors import UserError
from unlearn_cli.schema.network_sections import NetworkSections
from unlearn_cli.storage import json_text
from unlearn_cli.storage.regular_files import read_regular

MOST_BYTES = 10 * 2**20
MISSING = "no such file; name a config.json or the folder with it"
MOST_TOKENIZER = 64 * 2**20
SEPARATOR = "[SEP]"  # between two texts, of BERT and its relatives
COUNTS = ("num_classes", "num_labels")  # arguments with the number of outputs


def find_config(folder: Path, name: str) -> Path:
    """Return the config.json of `transformers/NAME`: a file, or in a folder, relative to the manifest's folder."""
    path = folder / name
    return path / "config.json" if path.is_dir() else path


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.json.

    Raises:
        UserError: it is missing, or is not a JSON object that names a `model_type`.
    """
    try:
        content = json_text.read(read_regular(path, MOST_BYTES, missing=MISSING))
    except ValueError as error:
        raise UserError(f"{path}: is not a JSON file ({error}); fetch it again") from None
    if not isinstance(content, dict) or not isinstance(content.get("model_type"), str):
        kind = "timm/NAME names a network of timm" if isinstance(content, dict) and "architecture" in content else ""
        advice = kind or "name the config.json of a transformers model"
        raise UserError(f"{path}: has no 'model_type'; {advice}")
    return content


def find_separator(config: Path) -> int | None:
    """Return the number of the token [SEP] by the tokenizer.json next to a config.json; None if there is none.

    Raises:
        UserError: the file is not JSON.
    """
    path = config.parent / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        tokens = json_text.read(read_regular(path, MOST_TOKENIZER))["added_tokens"]
        return next((int(token["id"]) for token in tokens if token["content"] == SEPARATOR), None)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is not a tokenizer of Hugging Face; fetch it again") from None


def digest_config(sections: NetworkSections) -> str:
    """Return the SHA-256 of the file that decides the architecture; '' if the manifest only names it.

    Raises:
        UserError: the file is missing.
    """
    library, _, name = sections.model.architecture.partition("/")
    if library != "transformers":
        return ""
    return sha256(read_regular(find_config(sections.folder, name), MOST_BYTES, missing=MISSING)).hexdigest()
