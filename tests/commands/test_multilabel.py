"""Every command on multilabel records: digits with the labels even, large and round."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from tests.tiny import invoke, write_manifest

LABELS = {"even": (0, 2, 4, 6, 8), "large": (5, 6, 7, 8, 9), "round": (0, 6, 8, 9)}
MANIFEST = """\
version: 1
task: multilabel
model: {architecture: mlp, arguments: {hidden: [32]}}
input: {shape: [64], scale: 16}
data:
  train: {table: {path: train.csv, label: tags, id: id}}
  test: {table: {path: test.csv, label: tags, id: id}}
forget: {fraction: {share: 0.2}}
"""
FIT = ("--set", "epochs=10", "--set", "lr=0.01")


def write_digits(folder: Path) -> None:
    pixels, digits = load_digits(return_X_y=True)
    for part, rows in (("train", range(700)), ("test", range(1000, 1400))):
        lines = [",".join(["id", *(f"p{i}" for i in range(64)), "tags"])]
        for row in rows:
            tags = "|".join(name for name, members in LABELS.items() if digits[row] in members)
            lines.append(",".join([f"r{row}", *map(str, pixels[row].astype(int)), tags]))
        (folder / f"{part}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def succeed(*arguments: object) -> None:
    result = invoke(*arguments, "--device", "cpu", "--quiet")
    assert result.exit_code in (0, 3, 4), result.stderr


def read_report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, a manifest, the original and a retrained reference."""
    root = tmp_path_factory.mktemp("multilabel")
    write_digits(root)
    manifest = write_manifest(root, MANIFEST)
    succeed("train", "-m", manifest, "-o", root / "original", *FIT)
    succeed("train", "-m", manifest, "-o", root / "reference", "--split", "retain", "--seed", "1", *FIT)
    return root


@pytest.fixture(scope="module")
def measured(folder: Path) -> dict[str, Any]:
    words = ["evaluate", folder / "original", "-m", folder / "manifest.yaml", "-o", folder / "measured"]
    succeed(*words, "--reference", folder / "reference", "--require", "test.macro_f1 >= 0.5")
    return read_report(folder / "measured")


def predict(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels of a part, from the weights and the file only."""
    lines = (folder / f"{part}.csv").read_text().splitlines()[1:]
    cells = [line.split(",") for line in lines]
    x = np.array([row[1:-1] for row in cells], dtype=np.float64) / 16
    marks = np.array([[name in row[-1].split("|") for name in LABELS] for row in cells], dtype=np.int64)
    weights = {
        name: tensor.double().numpy() for name, tensor in load_file(folder / "original/model.safetensors").items()
    }
    hidden = np.maximum(x @ weights["layers.0.weight"].T + weights["layers.0.bias"], 0)
    return hidden @ weights["head.weight"].T + weights["head.bias"], marks


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_report_has_the_numbers_of_scikit_learn(folder: Path, measured: dict[str, Any], part: str) -> None:
    logits, marks = predict(folder, part)
    found = {name: estimate["value"] for name, estimate in measured["metrics"]["subject"][part].items()}
    losses = np.logaddexp(0, -np.where(marks == 1, logits, -logits))
    expected = {
        "loss": losses.mean(),
        "subset_accuracy": accuracy_score(marks, logits > 0),
        "hamming_accuracy": ((logits > 0) == marks).mean(),
        "micro_f1": f1_score(marks, logits > 0, average="micro"),
        "macro_f1": f1_score(marks, logits > 0, average="macro"),
        "mean_average_precision": average_precision_score(marks, logits),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert "accuracy" not in found and measured["gates"][0]["verdict"] == "passed"
    assert found["subset_accuracy"] > 0.5, "the network learns"


def test_training_has_the_scores_of_every_label_that_evaluation_has(folder: Path, measured: dict[str, Any]) -> None:
    trained = [row for row in read_report(folder / "original")["labels"] if row["split"] == "test"]
    evaluated = [row for row in measured["labels"] if (row["role"], row["split"]) == ("subject", "test")]
    assert [row["label"] for row in trained] == list(LABELS)
    assert trained == evaluated


def test_the_report_has_the_scores_of_every_label(folder: Path, measured: dict[str, Any]) -> None:
    logits, marks = predict(folder, "test")
    scores = [row for row in measured["labels"] if (row["role"], row["split"]) == ("subject", "test")]
    assert [row["label"] for row in scores] == list(LABELS)
    for number, row in enumerate(scores):
        assert row["num_with_label"] == marks[:, number].sum() and row["n"] == len(marks)
        assert row["f1"]["value"] == pytest.approx(f1_score(marks[:, number], logits[:, number] > 0))
        precision = average_precision_score(marks[:, number], logits[:, number])
        assert row["average_precision"]["value"] == pytest.approx(precision, abs=1e-5)
    assert {row["role"] for row in measured["labels"]} == {"subject", "reference"}
    assert measured["confusions"] == [] and measured["manifest"]["forget_classes"] is None


@pytest.mark.parametrize("method", ["retrain", "finetune", "neggrad", "bad_teacher"])
def test_a_method_unlearns_records(folder: Path, method: str, tmp_path: Path) -> None:
    settings = [] if method in ("neggrad", "bad_teacher") else ["--set", "epochs=3"]
    words = ["unlearn", folder / "original", "-m", folder / "manifest.yaml", "-o", tmp_path / "out", "--method", method]
    succeed(*words, *settings)
    report = read_report(tmp_path / "out")
    values = report["metrics"]["subject"]["test"]
    assert values["subset_accuracy"]["value"] > (0.1 if method == "retrain" else 0.5)
    assert report["over_forgetting"]["measure"] == "subset_accuracy"


@pytest.mark.parametrize("method", ["masked", "blindspot", "unsir", "rank_match"])
def test_other_methods_are_refused_with_those_that_suit(folder: Path, method: str, tmp_path: Path) -> None:
    words = ["unlearn", folder / "original", "-m", folder / "manifest.yaml", "-o", tmp_path / "out", "--method", method]
    result = invoke(*words)
    assert result.exit_code == 2 and not (tmp_path / "out").exists()
    assert "but the manifest's task is multilabel; these fit: bad_teacher, finetune, neggrad, retrain" in result.stderr


def test_the_quick_tier_judges_records(folder: Path, tmp_path: Path) -> None:
    words = ["attack", folder / "reference", "-m", folder / "manifest.yaml", "--tier", "quick", "-o", tmp_path / "out"]
    succeed(*words, "--original", folder / "original")
    report = read_report(tmp_path / "out")
    attacks = {attack["name"] for attack in report["attacks"] if attack["role"] == "subject"}
    assert {"population", "population (statistic=entropy)", "learned_loss", "difference"} <= attacks
    assert [item["reason"] for item in report["skipped"]] == ["it is for classification"]
    claims = [gate["condition"] for gate in report["gates"]]
    assert "test subset accuracy at most 0.02 below the original's" in claims
    assert "population AUC within 0.05 of 1/2" in claims
    assert not any("forget accuracy" in claim for claim in claims)


def test_an_attack_for_classes_is_refused(folder: Path, tmp_path: Path) -> None:
    words = ["attack", folder / "reference", "-m", folder / "manifest.yaml", "-o", tmp_path / "out"]
    result = invoke(*words, "--attack", "class_geometry", "--original", folder / "original")
    assert result.exit_code == 2 and "--attack class_geometry: it is for classification" in result.stderr


def test_relearning_reaches_the_loss_of_the_original(folder: Path, tmp_path: Path) -> None:
    words = ["attack", folder / "reference", "-m", folder / "manifest.yaml", "-o", tmp_path / "out"]
    succeed(*words, "--attack", "relearn", "--original", folder / "original", "--set", "max_steps=20")
    finding = next(item for item in read_report(tmp_path / "out")["findings"] if item["role"] == "subject")
    assert finding["curves"][0]["name"] == "loss" and finding["quantities"]["target"]["value"] > 0


def test_a_label_to_forget_selects_its_records_of_train_and_test(folder: Path) -> None:
    manifest = write_manifest(folder, MANIFEST.replace("{fraction: {share: 0.2}}", "{classes: [round]}"), "label.yaml")
    words = ["unlearn", folder / "original", "-m", manifest, "-o", folder / "none", "--method", "neggrad"]
    result = invoke(*words, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    splits = json.loads(result.stdout)["splits"]
    assert splits["forget"]["n"] == splits["train"]["classes"]["round"] == splits["forget"]["classes"]["round"]
    assert splits["retain"]["classes"]["round"] == 0 and splits["retain"]["classes"]["even"] > 0
    assert splits["test_forget"]["n"] == splits["test"]["classes"]["round"]


def test_a_network_that_knows_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    succeed("train", "-m", folder / "manifest.yaml", "-o", tmp_path / "new", "--set", "epochs=1", "--set", "lr=1e-9")
    words = [
        "unlearn",
        tmp_path / "new",
        "-m",
        folder / "manifest.yaml",
        "-o",
        tmp_path / "out",
        "--method",
        "finetune",
    ]
    result = invoke(*words)
    assert result.exit_code == 2 and "is no better than chance on 700 records" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("noise", "original"), "noise is learned for classes, but the manifest's task is multilabel"),
        (("shadow", None, "--canaries", "0.1"), "canaries are records with a wrong class, but the task is multilabel"),
    ],
)
def test_what_needs_classes_is_refused(words: tuple[Any, ...], message: str, folder: Path, tmp_path: Path) -> None:
    command, checkpoint, *more = words
    target = ["--shadows", tmp_path / "shadows"] if command == "shadow" else ["-o", tmp_path / "noise.safetensors"]
    where = [folder / checkpoint] if checkpoint else []
    method = ["--method", "finetune"] if command == "shadow" else []
    result = invoke(command, *where, "-m", folder / "manifest.yaml", *target, *method, *more)
    assert result.exit_code == 2 and message in result.stderr


OWN = """\
import torch
from torch import nn


def network(end: str, num_classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(64, num_classes), nn.Sigmoid() if end == "sigmoid" else nn.Identity())
"""


def test_a_sigmoid_is_refused_or_declared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "own_labels.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    text = MANIFEST.replace("architecture: mlp, arguments: {hidden: [32]}", "architecture: 'own_labels:network', KEYS")
    manifest = write_manifest(folder, text.replace("KEYS", "arguments: {end: sigmoid}"), "sigmoid.yaml")
    words = ["train", "-o", folder / "sigmoid", "--allow-code", "--set", "epochs=1", "--device", "cpu"]
    refused = invoke(*words, "-m", manifest)
    assert refused.exit_code == 2 and "ends in a sigmoid, but logits are expected" in refused.stderr
    assert "training and metrics apply the sigmoid" in refused.stderr
    keys = "arguments: {end: sigmoid}, outputs: probabilities"
    manifest = write_manifest(folder, text.replace("KEYS", keys), "declared.yaml")
    assert invoke(*words, "-m", manifest).exit_code == 0
    keys = "arguments: {end: none}, outputs: probabilities"
    manifest = write_manifest(folder, text.replace("KEYS", keys), "wrong.yaml")
    refused = invoke(*words, "-m", manifest, "--overwrite")
    assert refused.exit_code == 2 and "are not between 0 and 1; omit it" in refused.stderr


def test_a_request_of_a_batch_names_a_label(folder: Path, tmp_path: Path) -> None:
    write_digits(tmp_path)
    labels = f"task: multilabel\nclasses: {sorted(LABELS)}\n"
    write_manifest(tmp_path, MANIFEST[: MANIFEST.index("forget")].replace("task: multilabel\n", labels), "data.yaml")
    deletion = f"version: 1\nmanifest: data.yaml\ninitial: {folder / 'original' / 'model.safetensors'}\n"
    deletion += "methods: [neggrad]\nsettings: {neggrad: {steps: 20}}\nattack: {tier: null}\ncommon: {device: cpu}\n"
    write_manifest(tmp_path, deletion + "gates: [test.macro_f1 >= 0.1]\n", "deletion.yaml")
    requests = tmp_path / "requests"
    requests.mkdir()
    request = {"request": "no-more-round", "received": "2026-11-01T00:00:00Z", "classes": ["round"]}
    (requests / "a.jsonl").write_text(json.dumps(request) + "\n", encoding="utf-8")
    result = invoke("batch", "run", tmp_path / "deletion.yaml", "--quiet")
    assert result.exit_code == 0, result.stderr
    report = read_report(tmp_path / "models" / "v0001")
    _, marks = predict(folder, "train")
    counts = {name: values["loss"]["n"] for name, values in report["metrics"]["subject"].items() if "loss" in values}
    assert counts["forget"] == marks[:, list(LABELS).index("round")].sum()
    assert counts["forget"] + counts["retain"] == len(marks) and counts["test_forget"] > 0
