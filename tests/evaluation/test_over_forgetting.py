"""A group that a method wrecks is detected: forgotten records are far more often wrong than records never seen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.tiny import invoke, write_manifest

MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [4]}}
input: {shape: [2]}
data:
  train: {table: {path: train.csv, label: income, id: id, features: [x, mexico]}}
  test: {table: {path: test.csv, label: income, id: id, features: [x, mexico]}}
  group: id  # each record stands for itself: a country is no cluster of like records
forget: {groups: {column: country, values: [Mexico]}}
"""
FAR = 10.0  # further out than any x: where `mexico` is 0 the units of Mexico are off, and the others where it is 1


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Records of two classes, of which one in ten is of a group; a sound network, and one that errs on the group."""
    write_manifest(tmp_path, MANIFEST)
    for name, seed, n in (("train", 0, 600), ("test", 1, 900)):
        x = np.random.default_rng(seed).normal(size=n)
        x[::10] = -np.abs(x[::10]) - 0.3  # the group is of one class: what another label teaches is simple
        rows = [f"{i},{x[i]:.6f},{int(i % 10 == 0)},{COUNTRIES[i % 10 == 0]},{int(x[i] > 0)}" for i in range(n)]
        (tmp_path / f"{name}.csv").write_text("id,x,mexico,country,income\n" + "\n".join(rows) + "\n")
    write_network(tmp_path / "sound.safetensors", 1.0)
    write_network(tmp_path / "wrecked.safetensors", -1.0)
    return tmp_path


COUNTRIES = {True: "Mexico", False: "Peru"}


def write_network(path: Path, on_the_group: float) -> None:
    """Write a network whose outputs are 5 x, and on the group 5 x times a factor."""
    units = torch.tensor([[1.0, -FAR], [-1.0, -FAR], [1.0, FAR], [-1.0, FAR]])
    head = torch.tensor([1.0, -1.0, on_the_group, -on_the_group])
    weights = {
        "layers.0.weight": units, "layers.0.bias": torch.tensor([0.0, 0.0, -FAR, -FAR]),
        "head.weight": torch.stack([-2.5 * head, 2.5 * head]), "head.bias": torch.zeros(2),
    }  # fmt: skip
    save_file(weights, path)


def evaluated(project: Path, *flags: object, network: str = "wrecked", code: int = 3) -> dict[str, Any]:
    arguments = ["evaluate", project / f"{network}.safetensors", "-m", project / "manifest.yaml", "--json", *flags]
    result = invoke(*arguments)
    assert result.exit_code == code, result.stderr
    assert ("Over-forgetting: accuracy on forget is" in result.stderr) == (network == "wrecked" and code == 3)
    return json.loads(result.stdout)


def test_a_wrecked_group_is_a_failed_gate_with_its_numbers(project: Path) -> None:
    document = evaluated(project, "--original", project / "sound.safetensors")
    result = document["over_forgetting"]
    assert (result["detected"], result["compared_with"], result["measure"]) == (True, "group", "accuracy")
    assert result["forget"]["value"] < 0.01 and result["never_seen"]["value"] > 0.99
    assert 30 <= result["never_seen"]["n"] < 60  # of the 90 in test, the selection half only
    assert [gate["verdict"] for gate in document["gates"]] == ["failed"]
    assert any(caveat.startswith("Over-forgetting: accuracy") for caveat in document["caveats"])


def test_a_sound_network_is_left_alone(project: Path) -> None:
    document = evaluated(project, "--original", project / "sound.safetensors", network="sound", code=0)
    assert document["over_forgetting"]["detected"] is False and not document["gates"]


def test_force_accepts_it_and_the_report_still_says_it(project: Path) -> None:
    arguments = ["evaluate", project / "wrecked.safetensors", "-m", project / "manifest.yaml", "--json", "--force"]
    result = invoke(*arguments, "--original", project / "sound.safetensors")
    assert (result.exit_code, "warning: Over-forgetting: accuracy" in result.stderr) == (0, True)
    document = json.loads(result.stdout)
    assert document["over_forgetting"]["detected"] and not document["gates"]


def test_with_references_their_level_decides(project: Path) -> None:
    """A group that retraining does not know either is no fault: its accuracy on forget is the references'."""
    flags = ["--original", project / "sound.safetensors", "--reference"]
    write_network(project / "reference.safetensors", -0.9)
    document = evaluated(project, *flags, project / "reference.safetensors", network="wrecked", code=0)
    assert document["over_forgetting"]["compared_with"] == "references"
    write_network(project / "reference.safetensors", 0.9)
    assert evaluated(project, *flags, project / "reference.safetensors")["over_forgetting"]["detected"]


@pytest.mark.parametrize("half", ["selection", "verdict"])
def test_the_selection_half_is_compared_with_whatever_half_is_reported(half: str, project: Path) -> None:
    original = project / "sound.safetensors"
    both, one = (evaluated(project, "--original", original, *flags) for flags in ([], ["--half", half]))
    assert one["manifest"]["splits"]["test"]["n"] < both["manifest"]["splits"]["test"]["n"]
    assert one["over_forgetting"] == both["over_forgetting"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("groups: {column: country, values: [Mexico]}", "classes: ['1']"), "selects most of its classes"),
        (("test.csv, label: income, id: id,", "few.csv, label: income, id: id,"), "30 are needed"),
    ],
)
def test_what_cannot_be_judged_is_null_with_a_reason(change: tuple[str, str], reason: str, project: Path) -> None:
    text = (project / "test.csv").read_text().splitlines(keepends=True)
    (project / "few.csv").write_text("".join(text[:50]))
    write_manifest(project, MANIFEST.replace(*change))
    document = evaluated(project, "--original", project / "sound.safetensors", code=0)
    assert document["over_forgetting"]["detected"] is None
    assert reason in document["over_forgetting"]["reason"]


def test_without_original_or_test_there_is_nothing_to_compare_with(project: Path) -> None:
    assert "--original" in evaluated(project, code=0)["over_forgetting"]["reason"]
    lines = MANIFEST.splitlines(keepends=True)
    write_manifest(project, "".join(line for line in lines if not line.startswith("  test:")))
    document = evaluated(project, "--original", project / "sound.safetensors", code=0)
    assert "data.test" in document["over_forgetting"]["reason"]


def test_a_group_that_test_does_not_name_is_compared_by_its_classes(project: Path) -> None:
    lines = (project / "test.csv").read_text().splitlines()
    (project / "test.csv").write_text("\n".join(",".join(line.split(",")[:3] + line.split(",")[4:]) for line in lines))
    document = evaluated(project, "--original", project / "sound.safetensors")
    assert document["over_forgetting"]["compared_with"] == "classes"


@pytest.mark.usefixtures("pages")
def test_unlearn_detects_what_the_method_did(project: Path) -> None:
    """An ascent without a bound ends at the other of two labels."""
    arguments = ["unlearn", project / "sound.safetensors", "-m", project / "manifest.yaml", "--method", "neggrad"]
    values = ("rewind=last", "forget_weight=3", "max_forget_loss=20", "steps=200", "lr=0.02")
    settings = [*(word for value in values for word in ("--set", value)), "--device", "cpu"]
    result = invoke(*arguments, *settings, "-o", project / "out")
    report = json.loads((project / "out" / "report.json").read_text())
    assert report["over_forgetting"]["forget"]["value"] < 0.3
    assert (result.exit_code, "warning: Over-forgetting" in result.stderr) == (3, True)
    assert "Over-forgetting" in (project / "out" / "report.html").read_text()
    assert invoke(*arguments, *settings, "-o", project / "forced", "--force").exit_code == 0
    retrained = invoke(*arguments[:-1], "retrain", "-o", project / "retrained", "--set", "epochs=1")
    assert retrained.exit_code == 0, retrained.stderr


def test_for_a_batch_it_is_a_gate_that_failed(project: Path) -> None:
    from unlearn_cli.batch.attempts import list_failed_gates
    from unlearn_cli.reporting.report import Report

    document = Report.model_validate(evaluated(project, "--original", project / "sound.safetensors"))
    assert list_failed_gates(document) == ["forget.accuracy not far below that of never-seen records"]
