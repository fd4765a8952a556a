"""The level of lost outputs: from references, from the lineage, or learned anew."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.evaluation import levels
from unlearn_cli.evaluation.recipes import read_recipe


def unlearn(weights: Path, out: Path, *words: object, classes: str = "[3]") -> dict[str, Any]:
    out.parent.mkdir(exist_ok=True)
    manifest = write_manifest(out.parent, MANIFEST.replace("[3]", classes), f"{out.name}.yaml")
    command = [
        "unlearn",
        weights,
        "-m",
        manifest,
        "--method",
        "masked",
        "--set",
        "steps=20",
        "-o",
        out,
        "--device",
        "cpu",
        *words,
    ]
    result = invoke(*command)
    assert result.exit_code == 0, result.stderr
    return json.loads((out / "report.json").read_text())


def read_metadata(folder: Path) -> dict[str, str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return file.metadata()


def caveat(report: dict[str, Any]) -> str:
    return next(line for line in report["caveats"] if line.startswith("The level"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    words = ("--split", "retain", "--set", "epochs=4", "--set", "lr=0.01")
    assert invoke("train", "-m", write_manifest(folder), "-o", folder / "out", *words).exit_code == 0
    return folder / "out" / "model.safetensors"


def test_without_references_the_rows_are_learned_anew_by_the_originals_recipe(original: Path, tmp_path: Path) -> None:
    report = unlearn(original, tmp_path / "out")
    assert "by the recipe of the original" in caveat(report)
    assert report["cost"]["epochs"] > 0 and report["cost"]["epochs_reason"] is None
    recorded = json.loads(read_metadata(tmp_path / "out")["unlearn_cli.recipe"])
    assert (recorded["epochs"], recorded["lr"], recorded["batch_size"]) == (6, 0.01, 128)


def test_a_reference_gives_the_level(original: Path, reference: Path, tmp_path: Path) -> None:
    report = unlearn(original, tmp_path / "out", "--reference", reference)
    assert "that of the references" in caveat(report)
    judged = unlearn(reference, tmp_path / "again", "--set", "level_step=none", "--force")
    assert judged["found"].get("level") is None


def test_a_later_run_takes_the_level_of_the_lineage_and_a_reference_goes_before(
    original: Path, reference: Path, tmp_path: Path
) -> None:
    first = unlearn(original, tmp_path / "first")
    level = first["found"]["level"]
    assert float(read_metadata(tmp_path / "first")["unlearn_cli.level"]) == pytest.approx(level, abs=1e-3)
    second = unlearn(tmp_path / "first" / "model.safetensors", tmp_path / "second", classes="[5]")
    assert "that of an earlier run" in caveat(second)
    assert second["found"]["level"] == pytest.approx(level, abs=0.01)
    third = unlearn(tmp_path / "first" / "model.safetensors", tmp_path / "third", "--reference", reference)
    assert "that of the references" in caveat(third)


def test_a_method_without_the_level_step_keeps_the_lineage(original: Path, tmp_path: Path) -> None:
    unlearn(original, tmp_path / "first")
    manifest = write_manifest(tmp_path, MANIFEST.replace("[3]", "[5]"))
    words = ("--method", "finetune", "--set", "epochs=1", "--device", "cpu")
    weights = tmp_path / "first" / "model.safetensors"
    assert invoke("unlearn", weights, "-m", manifest, "-o", tmp_path / "second", *words).exit_code == 0
    first, second = (read_metadata(tmp_path / name) for name in ("first", "second"))
    assert second["unlearn_cli.level"] == first["unlearn_cli.level"]
    assert second["unlearn_cli.recipe"] == first["unlearn_cli.recipe"]


def test_a_level_or_recipe_that_is_not_a_finite_number_is_ignored() -> None:
    for text in ("nan", "inf", "high", ""):
        assert levels.as_lineage({}, {"unlearn_cli.level": text}) == {}
    recorded = '{"epochs":6,"lr":LR,"optimizer":"adam","weight_decay":0,"momentum":0.9,"schedule":"cosine"}'
    for number, is_known in (("0.01", True), ("Infinity", False), ("-1", False)):
        metadata = {"unlearn_cli.recipe": recorded.replace("LR", number)}
        weights = Checkpoint(Path("absent"), {}, metadata, {}, "", "")
        assert read_recipe(weights).is_known is is_known


def test_in_bf16_the_level_is_set_in_fp32(original: Path, tmp_path: Path) -> None:
    report = unlearn(original, tmp_path / "out", "--precision", "bf16")
    assert "by the recipe of the original" in caveat(report)


@pytest.mark.parametrize(("keep", "given"), [("none", set()), ("held_out", {"held_out"})])
def test_without_records_of_retain_there_is_no_level_step(
    keep: str, given: set[str], original: Path, tmp_path: Path
) -> None:
    report = unlearn(original, tmp_path / "out", "--set", f"keep={keep}")
    assert {"retain_inputs", "held_out"} & set(report["inputs"]) == given
    assert "level" not in report["found"]
    assert (report["cost"]["epochs"], report["cost"]["epochs_reason"]) == (None, "the method does not read retain")
    assert report["metrics"]["subject"]["test_forget"]["accuracy"]["value"] == 0.0
