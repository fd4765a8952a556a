"""Facts about a tokenizer without the library."""

import sys
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.data.transforms.tokenizer import open_tokenizer
from unlearn_cli.errors import UserError
from unlearn_cli.schema.transform_steps import Tokens


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"install unlearn-cli\[tokenizers\]"):
        open_tokenizer(tmp_path, 5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "expected exactly one of buckets and tokenizer"),
        ({"buckets": 8, "tokenizer": "tok"}, "expected exactly one of buckets and tokenizer"),
        ({"buckets": 8, "pair": True}, "'pair' needs 'tokenizer'"),
    ],
)
def test_a_wrong_section_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tokens.model_validate({"length": 5, **keys})
