"""The tokenizer of a Hugging Face folder: the same numbers as transformers gives, in samples of equal length."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.test_sources import samples
from tests.ecosystem.networks import TEXTS, write_config
from tests.tiny import invoke
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.transforms.tokenizer import open_tokenizer
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest, read

tokenizers = pytest.importorskip("tokenizers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "film", "bad", "very", "##ly"]
TEXT = [("a good film", "good"), ("very bad", "film"), ("", "badly"), ("a very very very good film", "strange")]


def save_tokenizer(folder: Path, **config: Any) -> Path:
    """Save a tokenizer as BERT has it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # pyright: ignore[reportMissingImports]

    numbers = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = {"tokenizer_class": "BertTokenizerFast", "pad_token": "[PAD]", "model_max_length": 512, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_texts(folder: Path) -> Path:
    rows = "".join(f"{i}.5,{first},{second},{'ny'[i % 2]}\n" for i, (first, second) in enumerate(TEXT))
    (folder / "t.csv").write_text(f"f,text,title,y\n{rows.replace(',,', ',a,')}", encoding="utf-8")
    return folder / "t.csv"


def open_texts(folder: Path, shape: list[int], tokens: dict[str, Any], **table: Any) -> Dataset:
    section = {"path": str(write_texts(folder)), "label": "y", "text": ["text", "title"], **table}
    manifest = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": shape},
        "data": {"train": {"table": section}, "transform": [{"tokens": {"tokenizer": str(folder / "tok"), **tokens}}]},
    }  # fmt: skip
    return open_dataset(Manifest.model_validate(manifest).data_sections)


def test_each_column_is_a_sequence(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tok")
    x = samples(open_texts(tmp_path, [2, 5], {"length": 5}).split("train"))
    assert x[0].tolist() == [[2, 4, 5, 6, 3], [2, 5, 3, 0, 0]]
    assert x[3].tolist() == [[2, 4, 8, 8, 3], [2, 1, 3, 0, 0]], "truncated with the last token, and an unknown word"
    assert x[2, 1].tolist() == [2, 7, 9, 3, 0]


def test_a_pair_is_one_sequence(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tok")
    x = samples(open_texts(tmp_path, [1, 8], {"length": 8, "pair": True}).split("train"))
    assert x[0].tolist() == [[2, 4, 5, 6, 3, 5, 3, 0]]
    with pytest.raises(ValueError, match=r"tokens with 'pair' makes \[1, 8\]"):
        open_texts(tmp_path, [2, 8], {"length": 8, "pair": True})
    with pytest.raises(ValueError, match="'pair' of tokens needs two columns of text"):
        open_texts(tmp_path, [1, 8], {"length": 8, "pair": True}, text=["text"])


def test_tokens_stand_behind_numbers(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tok")
    x = samples(open_texts(tmp_path, [5], {"length": 4}, text=["title"], features=["f"]).split("train"))
    assert x[0].tolist() == [0.5, 2, 5, 3, 0]


def test_the_numbers_are_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(save_tokenizer(tmp_path / "tok"))
    texts = [first for first, _ in TEXT]
    expected = theirs(texts, padding="max_length", truncation=True, max_length=5)["input_ids"]
    assert open_tokenizer(tmp_path / "tok", 5).encode(texts, 5).tolist() == expected
    seconds = [second for _, second in TEXT]
    pairs = theirs(texts, seconds, padding="max_length", truncation=True, max_length=9)["input_ids"]
    assert open_tokenizer(tmp_path / "tok", 9).encode(TEXT, 9).tolist() == pairs


def test_the_side_of_padding_is_that_of_the_folder(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tok", padding_side="left")
    assert open_tokenizer(tmp_path / "tok", 5).encode(["good"], 5).tolist() == [[0, 0, 2, 5, 3]]
    assert open_tokenizer(tmp_path / "tok" / "tokenizer.json", 2).encode(["good film"], 2).tolist() == [[2, 3]]


def test_a_padding_token_may_be_an_object_or_a_usual_one(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tok", pad_token={"content": "film"})
    assert open_tokenizer(tmp_path / "tok", 5).padding == 6
    save_tokenizer(tmp_path / "tok", pad_token=None)
    assert open_tokenizer(tmp_path / "tok", 5).padding == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", "{", "is not a tokenizer"),
        ("tokenizer.json", '{"model": 1}', "is not a tokenizer"),
        ("tokenizer_config.json", "[", "is not a JSON object"),
        ("tokenizer.json", None, "no such file; name a folder with tokenizer.json"),
    ],
)
def test_damage_is_told_in_one_line(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    file = save_tokenizer(tmp_path / "tok") / name
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        open_tokenizer(tmp_path / "tok", 5)
    assert "\n" not in str(error.value)


def test_a_network_of_transformers_reads_the_tokens(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    write_config(tmp_path / "tok", "bert", TEXTS["bert"], labels=2)
    save_tokenizer(tmp_path / "tok")
    write_texts(tmp_path)
    text = """\
version: 1
task: classification
model: {architecture: transformers/tok}
input: {shape: [1, 6]}
data:
  train: {table: {path: t.csv, label: y, text: [text]}}
  transform: [tokens: {length: 6, tokenizer: tok}]
"""
    (tmp_path / "m.yaml").write_text(text)
    assert samples(open_dataset(read(tmp_path / "m.yaml").data_sections).split("train")).dtype == np.float32
    result = invoke("train", "-m", tmp_path / "m.yaml", "-o", tmp_path / "out", "--set", "epochs=1", "--quiet")
    assert result.exit_code == 0, result.stderr
