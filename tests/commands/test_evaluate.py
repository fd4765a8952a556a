"""The command `evaluate` beside references: distances, noise floor, whole-network metrics, gates on them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.references import given
from tests.tiny import invoke, write_manifest


def evaluated(*arguments: object) -> dict[str, Any]:
    result = invoke("evaluate", *arguments, "--json")
    assert result.exit_code in (0, 3), result.stderr
    return json.loads(result.stdout)


def test_beside_references_every_distance_has_its_noise_floor(
    original: Path, references: list[Path], tmp_path: Path
) -> None:
    flags = ["-m", write_manifest(tmp_path), "--original", original]
    document = evaluated(references[4], *flags, *given(references[:4]))
    subject = document["metrics"]["subject"]
    assert subject["forget"]["js_divergence"]["runs"] == 4
    assert subject["model"]["tug_of_war"]["value"] > 0.9
    found = {(one["split"], one["metric"]): one for one in document["comparisons"]}
    floor = found["forget", "js_divergence"]
    assert floor["n_references"] == 4
    assert floor["reference"] > 0
    assert floor["normalised"] < 0.5  # a retrained network is nearer to the floor than to the original
    unchanged = evaluated(original, *flags, *given(references[:4]))
    found = {(one["split"], one["metric"]): one for one in unchanged["comparisons"]}
    assert found["forget", "js_divergence"]["normalised"] == pytest.approx(1)


def test_a_network_beside_itself_has_moved_nowhere(original: Path, tmp_path: Path) -> None:
    document = evaluated(original, "-m", write_manifest(tmp_path), "--original", original)
    assert document["metrics"]["subject"]["model"]["weight_distance"]["value"] == 0
    assert {layer["distance"] for layer in document["layers"]} == {0}
    forgotten = next(one for one in document["confusions"] if (one["split"], one["role"]) == ("forget", "subject"))
    assert sum(forgotten["counts"].values()) == forgotten["n"] == 135


def test_what_unlearning_cost_stands_beside_what_retraining_cost(
    original: Path, references: list[Path], tmp_path: Path
) -> None:
    manifest, out = write_manifest(tmp_path), tmp_path / "out"
    invoke("unlearn", original, "-m", manifest, "--method", "finetune", "-o", out, "--set", "epochs=3")
    document = evaluated(out / "model.safetensors", "-m", manifest, *given(references[:1]))
    whole = document["metrics"]["subject"]["model"]
    assert whole["sample_efficiency"]["value"] == pytest.approx(3 / 6)
    assert whole["run_time_efficiency"]["value"] > 0


def test_metrics_that_need_what_is_not_given_are_left_out_or_refused_by_name(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    document = evaluated(original, "-m", manifest)
    assert "js_divergence" not in document["metrics"]["subject"]["forget"]
    refused = invoke("evaluate", original, "-m", manifest, "--metric", "js_divergence")
    assert (refused.exit_code, "--reference" in refused.stderr) == (2, True)


def test_a_gate_may_be_about_a_distance_or_the_whole_network(
    original: Path, references: list[Path], tmp_path: Path
) -> None:
    gates = ["--require", "forget.js_divergence <= 0.2", "--require", "model.tug_of_war >= 0.5"]
    manifest = write_manifest(tmp_path)
    assert invoke("evaluate", references[4], "-m", manifest, *given(references[:2]), *gates).exit_code == 0
    assert invoke("evaluate", original, "-m", manifest, *given(references[:2]), *gates).exit_code == 3


def test_zrf_is_computed_with_random_networks_when_asked_for(original: Path, tmp_path: Path) -> None:
    document = evaluated(original, "-m", write_manifest(tmp_path), "--metric", "zrf")
    measured = document["metrics"]["subject"]
    assert measured.keys() == {"forget", "test_forget"}
    assert 0 < measured["forget"]["zrf"]["value"] < 1
    assert measured["forget"]["zrf"]["runs"] == 5
    refused = invoke("evaluate", original, "-m", write_manifest(tmp_path), "--metric", "zrf", "--set", "variant=x")
    assert refused.exit_code == 2


def test_unlearn_measures_beside_its_references_too(original: Path, references: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--method", "finetune", "--set", "epochs=1", *given(references[:2])]
    assert invoke("unlearn", original, "-m", write_manifest(tmp_path), "-o", out, *flags).exit_code == 0
    document = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert document["metrics"]["subject"]["forget"]["js_divergence"]["runs"] == 2
    assert document["comparisons"]
    assert document["layers"]
