"""The smallest real project that every command works on: 8x8 digits of three classes, a network that learns them."""

from pathlib import Path

import torch
from typer.testing import CliRunner, Result

from tests import one_tree  # noqa: F401
from unlearn_cli.cli.app import app

ROOT = Path(__file__).parents[1]  # of the repository

MANIFEST = """\
version: 1
task: classification
model: {architecture: allcnn, arguments: {width: 8}}
input: {shape: [1, 8, 8], scale: 16, mean: 0.305, std: 0.376}
data:
  train: {sklearn: {name: digits, part: train}}
  test: {sklearn: {name: digits, part: test}}
forget: {classes: [3]}
"""


def invoke(*arguments: object) -> Result:
    """Run a command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def write_manifest(folder: Path, text: str = MANIFEST, name: str = "manifest.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def train_tiny(folder: Path) -> None:
    """Train the tiny network into `original`."""
    manifest = write_manifest(folder)
    result = invoke("train", "-m", manifest, "-o", folder / "original", "--set", "epochs=6", "--set", "lr=0.01")
    assert result.exit_code == 0, result.stderr


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Say whether two state dicts are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
