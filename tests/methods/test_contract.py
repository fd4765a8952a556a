"""What holds for every method in the table, run as the command line runs it."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.tiny import invoke, same, write_manifest
from unlearn_cli import plugin
from unlearn_cli.methods import TABLE

FAST = {"retrain": ["epochs=4", "lr=0.01"], "finetune": ["epochs=1"]}


def unlearned(method: str, original: Path, folder: Path, out: str) -> Path:
    settings = [word for setting in FAST.get(method, []) for word in ("--set", setting)]
    manifest = write_manifest(folder)
    result = invoke(
        "unlearn", original, "-m", manifest, "--method", method, "-o", folder / out, "--device", "cpu", *settings
    )
    assert result.exit_code == 0, result.stderr
    return folder / out


@pytest.mark.parametrize("method", TABLE)
def test_it_keeps_what_it_should_and_changes_the_weights_the_same_way_each_time(
    method: str, original: Path, tmp_path: Path
) -> None:
    first, second = (unlearned(method, original, tmp_path, out) for out in ("first", "second"))
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    before, after = load_file(original), load_file(first / "model.safetensors")
    assert not same(before, after)
    assert {name: tensor.shape for name, tensor in before.items()} == {
        name: tensor.shape for name, tensor in after.items()
    }
    report = json.loads((first / "report.json").read_text())
    assert report["metrics"]["subject"]["test_retain"]["accuracy"]["value"] > 0.85
    assert report["metrics"]["original"]["test_forget"]["accuracy"]["value"] > 0.85
    assert report["inputs"] == sorted(plugin.load("methods", method).needs)
    assert report["curves"]
    assert report["cost"]["samples_backward"] > 0


@pytest.mark.parametrize("method", [name for name in TABLE if name != "finetune"])
def test_forgotten_classes_are_no_longer_recognised(method: str, original: Path, tmp_path: Path) -> None:
    report = json.loads((unlearned(method, original, tmp_path, "out") / "report.json").read_text())
    for split in ("test_forget", "forget"):
        assert report["metrics"]["subject"][split]["accuracy"]["value"] <= 0.05
