"""The smallest real batch: digits of a table with ids, a network that knows them, and a method that takes moments."""

import csv
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits
from typer.testing import Result

from tests.shared import make_once
from tests.tiny import invoke, write_manifest
from unlearn_cli.batch.ledger.store import Event, open_ledger

MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [16]}}
input: {shape: [16], scale: 64}
classes: [0, 1, 2]
data:
  train: {table: {path: train.csv, label: digit, id: record, ignore: [person]}}
  test: {table: {path: test.csv, label: digit, id: record, ignore: [person]}}
"""
DELETION = """\
version: 1
manifest: data.yaml
initial: original/model.safetensors
methods: [finetune]
settings: {finetune: {epochs: 1}}
gates: [test_retain.accuracy >= 0.5]
attack: {tier: null}
common: {device: cpu}
"""


@cache
def data() -> dict[str, str]:
    """Return two tables of handwritten digits from 0 to 2, as csv."""
    images, digits = load_digits(return_X_y=True)
    images = images.reshape(-1, 4, 2, 4, 2).sum(axis=(2, 4)).reshape(-1, 16)  # fewer columns are read faster
    rows = [(number, x, y) for number, (x, y) in enumerate(zip(images, digits, strict=True)) if y < 3]
    header = ",".join(["record", "person", "digit", *(f"p{i}" for i in range(images.shape[1]))])
    lines = {"train": [header], "test": [header]}
    for position, (number, x, y) in enumerate(rows):
        line = [f"rec-{number}", f"person-{number % 50}", str(y), *(str(int(value)) for value in x)]
        lines["test" if position % 3 == 0 else "train"].append(",".join(line))
    return {name: "\n".join(table) + "\n" for name, table in lines.items()}


def write_project(folder: Path, manifest: str = MANIFEST, deletion: str = DELETION) -> Path:
    """Write data, manifest and deletion.yaml, whose path is returned; the first checkpoint is still missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in data().items():
        (folder / f"{name}.csv").write_text(table, encoding="utf-8")
    write_manifest(folder, manifest, "data.yaml")
    (folder / "requests").mkdir(exist_ok=True)
    return write_manifest(folder, deletion, "deletion.yaml")


def train(folder: Path) -> Path:
    """Train the first checkpoint."""
    write_project(folder)
    result = invoke(
        "train", "-m", folder / "data.yaml", "-o", folder / "original", "--set", "epochs=20", "--set", "lr=0.05",
        "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder


def change(folder: Path, old: str, new: str, name: str = "deletion.yaml") -> None:
    """Change what a file says; what is changed must be there."""
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text, old
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")


def ask(folder: Path, name: str, **content: Any) -> Path:
    """Drop a request into the inbox, as its writer should: under another name first."""
    said = {"request": name, "received": "2025-11-20T09:30:00Z", **content}
    half = folder / "requests" / f".{name}.yaml"
    half.write_text(json.dumps(said), encoding="utf-8")
    return half.rename(folder / "requests" / f"{name}.yaml")


def ids_of(folder: Path, column: str, value: str) -> list[str]:
    """Return the ids of the training records that have a value in a column."""
    with (folder / "train.csv").open(encoding="utf-8", newline="") as file:
        return [row["record"] for row in csv.DictReader(file) if row[column] == value]


def ledger_of(folder: Path) -> list[Event]:
    with open_ledger(folder / "ledger.sqlite", create_missing=False) as ledger:
        return ledger.events()


def batch(folder: Path, subcommand: str = "run", *arguments: str) -> Result:
    """Run a sub-command of `batch`, without notes."""
    return invoke("batch", subcommand, folder / "deletion.yaml", "--quiet", *arguments)


def document(folder: Path, subcommand: str = "run", *arguments: str) -> dict[str, Any]:
    """Run a sub-command that must go well, and return its document."""
    result = batch(folder, subcommand, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def promoted_project(factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which one request, for rec-1, was carried out; to be copied with its links."""

    def fill(folder: Path) -> None:
        shutil.copytree(make_once(factory, "batch-project", train), folder, dirs_exist_ok=True)
        ask(folder, "DSR-1", ids=["rec-1"])
        document(folder)

    return make_once(factory, "batch-promoted-rec-1", fill)
