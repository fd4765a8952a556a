"""The scale of a regression belongs to its weights: `train` records it, and every command reads it from there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.tiny import invoke, write_manifest

MANIFEST = """\
version: 1
task: regression
model: {architecture: mlp, arguments: {hidden: []}}
input: {shape: [2]}
data:
  train: {table: {path: train.csv, label: y, id: id, features: [a, b]}}
  test: {table: {path: test.csv, label: y, id: id, features: [a, b]}}
forget: {where: [{column: id, op: '<', value: 60}]}
"""
MEAN, STD = 1000.0, 50.0
TARGET = f"target: {{mean: {MEAN}, std: {STD}}}\n"
RECORDED = {"unlearn_cli.target_mean": repr(MEAN), "unlearn_cli.target_std": repr(STD)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Labels far from 0: y = 1000 + 50 (a + b / 2) and some noise; the first 60 records lie higher."""
    for name, seed in (("train", 0), ("test", 1)):
        random = np.random.default_rng(seed)
        x = random.normal(size=(300, 2))
        y = MEAN + STD * (x[:, 0] + x[:, 1] / 2) + random.normal(size=300) + 30.0 * (np.arange(300) < 60)
        rows = [f"{i},{x[i, 0]:.5f},{x[i, 1]:.5f},{y[i]:.4f}" for i in range(300)]
        (tmp_path / f"{name}.csv").write_text("id,a,b,y\n" + "\n".join(rows) + "\n")
    write_manifest(tmp_path, MANIFEST)
    return tmp_path


def write_network(path: Path, scale: float, shift: float, metadata: dict[str, str] | None = None) -> Path:
    """Write a network whose outputs are scale (a + b / 2) + shift."""
    weights = {"head.weight": torch.tensor([[scale, scale / 2]]), "head.bias": torch.tensor([shift])}
    save_file(weights, path, metadata)
    return path


def labels_of(project: Path, first: int = 0) -> np.ndarray:
    lines = (project / "train.csv").read_text().splitlines()[1 + first :]
    return np.array([float(line.rsplit(",", 1)[1]) for line in lines])


def recorded(folder: Path) -> tuple[float, float]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    return float(metadata["unlearn_cli.target_mean"]), float(metadata["unlearn_cli.target_std"])


def run(*arguments: object, code: int = 0) -> dict[str, Any]:
    result = invoke(*arguments, "--json", "--device", "cpu")
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)


def mae(document: dict[str, Any], role: str = "subject") -> float:
    return document["metrics"][role]["test"]["mae"]["value"]


def test_without_a_target_train_takes_the_retained_labels_and_every_command_reads_them(project: Path) -> None:
    manifest, out = project / "manifest.yaml", project / "out"
    trained = run("train", "-m", manifest, "-o", out, "--set", "epochs=60", "--set", "lr=0.05")
    assert mae(trained) < 20  # the labels themselves vary by 56
    retained = labels_of(project, 60)
    assert recorded(out) == pytest.approx((retained.mean(), retained.std()))
    evaluated = run("evaluate", out / "model.safetensors", "-m", manifest)
    assert mae(evaluated) == pytest.approx(mae(trained), rel=1e-6)
    unlearned = run("unlearn", out / "model.safetensors", "-m", manifest, "--method", "finetune", "-o", project / "u")
    assert recorded(project / "u") == recorded(out)
    assert mae(unlearned, "original") == pytest.approx(mae(trained), rel=1e-6)
    attacked = invoke("attack", project / "u", "-m", manifest, "--original", out, "--device", "cpu")
    assert attacked.exit_code in (0, 3, 4), attacked.stderr


def test_where_nothing_is_forgotten_train_takes_all_labels_and_of_equal_ones_the_deviation_is_1(project: Path) -> None:
    everything = MANIFEST[: MANIFEST.index("forget:")]
    manifest = write_manifest(project, everything, "all.yaml")
    run("train", "-m", manifest, "-o", project / "all", "--set", "epochs=1")
    assert recorded(project / "all") == pytest.approx((labels_of(project).mean(), labels_of(project).std()))
    (project / "equal.csv").write_text("id,a,b,y\n" + "".join(f"{i},{i},1,7\n" for i in range(20)))
    manifest = write_manifest(project, everything.replace("train.csv", "equal.csv"), "equal.yaml")
    run("train", "-m", manifest, "-o", project / "equal", "--set", "epochs=1")
    assert recorded(project / "equal") == (7, 1)


def test_a_target_in_the_manifest_gives_the_same_tensors_as_ever_and_is_recorded(project: Path) -> None:
    manifest = write_manifest(project, MANIFEST + TARGET)
    run("train", "-m", manifest, "-o", project / "out", "--set", "epochs=1")
    assert recorded(project / "out") == (MEAN, STD)


def test_each_network_has_its_own_scale(project: Path) -> None:
    """Two checkpoints of one function, on other scales: their outputs are the same."""
    one = write_network(project / "one.safetensors", 1.0, 0.0, RECORDED)
    other = {"unlearn_cli.target_mean": "900.0", "unlearn_cli.target_std": "25.0"}
    two = write_network(project / "two.safetensors", 2.0, 4.0, other)
    document = run("evaluate", one, "-m", project / "manifest.yaml", "--reference", two, "--original", two)
    errors = [mae(document, role) for role in ("subject", "reference", "original")]
    assert errors[1:] == pytest.approx([errors[0]] * 2, rel=1e-5)
    assert errors[0] < 10


def test_a_manifest_that_contradicts_the_checkpoint_is_refused(project: Path) -> None:
    model = write_network(project / "m.safetensors", 1.0, 0.0, RECORDED)
    manifest = write_manifest(project, MANIFEST + "target: {mean: 900, std: 50}\n")
    for command in (["evaluate"], ["attack"], ["unlearn", "--method", "finetune", "-o", project / "o"]):
        result = invoke(command[0], model, "-m", manifest, *command[1:])
        assert (result.exit_code, "was trained with target mean 1000 and std 50" in result.stderr) == (2, True)
    result = invoke("train", "--from", model, "-m", manifest, "-o", project / "o")
    assert (result.exit_code, "remove 'target' from the manifest" in result.stderr) == (2, True)
    run("evaluate", model, "-m", write_manifest(project, MANIFEST + TARGET))


@pytest.mark.parametrize("mean_of_labels", [MEAN, 0.0])
def test_outputs_on_another_scale_that_nothing_names_are_refused_with_the_key_to_set(
    mean_of_labels: float, project: Path
) -> None:
    for name in ("train", "test"):
        lines = (project / f"{name}.csv").read_text().splitlines()
        rows = [line.rsplit(",", 1) for line in lines[1:]]
        shifted = [f"{start},{float(y) - MEAN + mean_of_labels:.4f}" for start, y in rows]
        (project / f"{name}.csv").write_text("\n".join([lines[0], *shifted]) + "\n")
    model, manifest = write_network(project / "m.safetensors", 1.0, 0.0), project / "manifest.yaml"
    for command in (["evaluate"], ["attack"], ["unlearn", "--method", "finetune", "-o", project / "o"]):
        result = invoke(command[0], model, "-m", manifest, *command[1:])
        assert (result.exit_code, "set 'target: {mean: ..., std: ...}'" in result.stderr) == (2, True)
        assert not (project / "o").exists()
    assert run("evaluate", model, "-m", manifest, "--force")
    given = write_manifest(project, f"{MANIFEST}target: {{mean: {mean_of_labels}, std: {STD}}}\n", "given.yaml")
    assert mae(run("evaluate", model, "-m", given)) < 10
    in_the_unit = write_network(project / "unit.safetensors", STD, mean_of_labels)
    assert mae(run("evaluate", in_the_unit, "-m", manifest)) < 10


@pytest.mark.parametrize("std", ["0", "nan", "many", None])
def test_a_damaged_record_is_refused(std: str | None, project: Path) -> None:
    metadata = {"unlearn_cli.target_mean": "1", **({"unlearn_cli.target_std": std} if std else {})}
    model = write_network(project / "m.safetensors", 1.0, 0.0, metadata)
    result = invoke("evaluate", model, "-m", project / "manifest.yaml")
    assert (result.exit_code, "a finite mean and a std above 0" in result.stderr) == (2, True)
