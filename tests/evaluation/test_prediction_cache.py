"""Stored predictions: read instead of computed, never stale, never trusted where they are damaged."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.data.stores import UnreadSamples
from unlearn_cli.evaluation import session
from unlearn_cli.evaluation.prediction_cache import shrink
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.leftovers import PREDICTIONS

USED = "predictions of an earlier run are used"


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the splits that networks predict, without those whose predictions are read."""
    names: list[str] = []
    for function in ("predict", "observe"):
        original = getattr(session, function)

        def count(model: Any, batches: Any, *arguments: Any, original: Any = original) -> Any:
            names.append(batches.split.name)
            return original(model, batches, *arguments)

        monkeypatch.setattr(session, function, count)
    yield names


def run(command: str, weights: Path, out: Path, *words: object, manifest: str = MANIFEST) -> tuple[str, dict[str, Any]]:
    path = write_manifest(out.parent, manifest)
    result = invoke(command, weights, "-m", path, "-o", out, "--device", "cpu", *words)
    assert result.exit_code in (0, 3, 4), result.stderr
    return result.stderr, json.loads((out / "report.json").read_text())


def without_run(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "run"}


def test_a_second_run_reads_what_the_first_predicted_and_reports_the_same(
    original: Path, tmp_path: Path, predicted: list[str]
) -> None:
    _, first = run("evaluate", original, tmp_path / "first")
    assert set(predicted) >= {"forget", "retain", "test_forget", "test_retain"}
    predicted.clear()
    notes, second = run("evaluate", original, tmp_path / "second")
    assert predicted == ["retain"] and notes.count(USED) == 1  # the sample on which the checkpoint is checked
    assert without_run(first) == without_run(second)
    assert first["cost"]["samples_forward"] > 0


def test_the_original_is_predicted_once_for_several_methods(
    original: Path, tmp_path: Path, predicted: list[str]
) -> None:
    run("unlearn", original, tmp_path / "first", "--method", "finetune", "--set", "steps=1", "--force")
    before = len(predicted)
    predicted.clear()
    notes, second = run("unlearn", original, tmp_path / "second", "--method", "neggrad", "--set", "steps=1", "--force")
    assert USED in notes and 0 < len(predicted) < before
    fresh, third = run(
        "unlearn", original, tmp_path / "third", "--method", "neggrad", "--set", "steps=1", "--force", "--no-cache"
    )
    assert USED not in fresh and second["metrics"] == third["metrics"]


def test_an_attack_reads_outputs_and_features(original: Path, tmp_path: Path, predicted: list[str]) -> None:
    _, first = run("attack", original, tmp_path / "first", "--attack", "population", "--attack", "linear_probe")
    predicted.clear()
    notes, second = run("attack", original, tmp_path / "second", "--attack", "population", "--attack", "linear_probe")
    assert USED in notes and predicted == ["retain"]
    assert without_run(first) == without_run(second)


@pytest.mark.parametrize(
    "change",
    [
        MANIFEST.replace("mean: 0.305", "mean: 0.306"),
        MANIFEST.replace("{classes: [3]}", "{classes: [4]}"),
        MANIFEST.replace("part: test}", "part: test}, rows: {every: 2}"),
    ],
    ids=["normalisation", "selection", "records"],
)  # fmt: skip
def test_another_input_is_predicted_again(original: Path, tmp_path: Path, predicted: list[str], change: str) -> None:
    run("evaluate", original, tmp_path / "first")
    predicted.clear()
    run("evaluate", original, tmp_path / "second", manifest=change)
    assert set(predicted) >= {"forget", "test_forget"}


def test_a_network_that_was_changed_in_place_is_predicted(original: Path, tmp_path: Path) -> None:
    from unlearn_cli.checkpoints import checkpoint
    from unlearn_cli.commands.manifest_inputs import open_inputs
    from unlearn_cli.plugins.run_options import RunOptions

    opened = open_inputs(write_manifest(tmp_path), RunOptions(device="cpu"))
    with session.start(opened, out=tmp_path / "out") as current:
        network = current.load(checkpoint.load(original))
        before = current.outputs(network, "test").values
        with torch.no_grad():
            next(network.parameters()).add_(1)
        assert not np.array_equal(before, current.outputs(network, "test").values)


def test_damaged_files_are_computed_again_and_clean_lists_the_folder(original: Path, tmp_path: Path) -> None:
    _, first = run("evaluate", original, tmp_path / "first")
    files = sorted((tmp_path / PREDICTIONS).iterdir())
    assert files and all(file.stat().st_mode & 0o077 == 0 for file in files)
    for file in files:
        file.write_bytes(file.read_bytes()[:-40])
    notes, second = run("evaluate", original, tmp_path / "second")
    assert "stored predictions are damaged; they are computed again" in notes
    assert without_run(first) == without_run(second)
    (listed,) = [each for each in leftovers.scan(tmp_path) if each.kind == "predictions"]
    assert listed.path == tmp_path / PREDICTIONS and listed.kept_because is None
    assert invoke("clean", tmp_path, "--remove").exit_code == 0 and not (tmp_path / PREDICTIONS).exists()


def test_samples_are_read_into_memory_only_to_be_predicted(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither stored predictions nor the check on a sample need all samples."""
    sizes: list[int] = []
    read = UnreadSamples.read
    monkeypatch.setattr(UnreadSamples, "read", lambda self: sizes.append(len(self.inputs)) or read(self))
    run("evaluate", original, tmp_path / "first")
    assert len(sizes) == 2  # train and test
    run("evaluate", original, tmp_path / "second")
    manifest = tmp_path / "manifest.yaml"
    assert invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "third", "--dry-run").exit_code == 0
    assert len(sizes) == 2


def test_without_an_output_or_with_no_cache_nothing_is_stored(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    assert invoke("evaluate", original, "-m", manifest, "--device", "cpu").exit_code == 0
    run("evaluate", original, tmp_path / "out", "--no-cache")
    assert not (tmp_path / PREDICTIONS).exists()


def test_numbers_are_stored_in_half_the_size_only_without_loss() -> None:
    exact, inexact = np.array([0.5, np.nan]), np.array([0.1])
    assert shrink(exact).dtype == np.float32 and shrink(inexact).dtype == np.float64
