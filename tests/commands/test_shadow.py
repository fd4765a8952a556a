"""Shadow runs: independent, repeatable, in any order and side by side; what the audit reads of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.forked import start
from tests.shared import make_once
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.attacks.retained import retained
from unlearn_cli.commands import shadow_run
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.commands.shadow import Game, parse_cells
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.session import Session
from unlearn_cli.learning.shadows import MIN_RUNS, draw_canaries, draw_membership, load_runs
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.reporting.html.roles import title_roles
from unlearn_cli.reporting.report import Report

FAST = ("--method", "finetune", "--set", "epochs=1", "--train-set", "epochs=1", "--train-set", "lr=0.01")
PERCEPTRON = MANIFEST.replace("{architecture: allcnn, arguments: {width: 8}}", "{architecture: mlp}")
SMALL = PERCEPTRON.replace("forget: {classes: [3]}", "forget: {fraction: {share: 0.1, seed: 0}}")


def shadow(manifest: Path, folder: Path, cells: str, *more: str) -> dict[str, np.ndarray]:
    result = invoke("shadow", "-m", manifest, "--shadows", folder, "--cells", cells, *FAST, *more)
    assert result.exit_code == 0, result.stderr
    return {path.name: path.read_bytes() for path in sorted(folder.glob("cell-*.safetensors"))}  # type: ignore[misc]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def fill(folder: Path) -> None:
        shadow(write_manifest(folder, SMALL), folder / "cells", f"0-{2 * MIN_RUNS - 1}", "--canaries", "0.5")

    return make_once(tmp_path_factory, "shadows", fill)


@pytest.fixture(scope="module")
def perceptron(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a network of the shadow runs' kind that was trained on all records."""

    def fill(folder: Path) -> None:
        recipe = ("--set", "epochs=4", "--set", "lr=0.01", "--seed", "0")
        assert invoke("train", "-m", runs / "manifest.yaml", "-o", folder / "out", *recipe).exit_code == 0

    return make_once(tmp_path_factory, "perceptron", fill) / "out" / "model.safetensors"


def test_runs_are_the_same_in_any_order_and_are_not_done_twice(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, SMALL)
    forward = shadow(manifest, tmp_path / "a", "0-1")
    backward = shadow(manifest, tmp_path / "b", "1,0")
    assert forward == backward
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "a").glob("cell-*"))]
    assert shadow(manifest, tmp_path / "a", "0-1") == forward
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "a").glob("cell-*"))] == times
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*forward, "plan.json"}


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    manifest, folder = write_manifest(tmp_path, SMALL), tmp_path / "cells"
    words = ("shadow", "-m", manifest, "--shadows", folder, *FAST, "--cells", "0-2")
    both = [start(*words) for _ in range(2)]
    assert [process.wait().exit_code for process in both] == [0, 0]
    assert sorted(path.name for path in folder.glob("cell-*")) == [f"cell-0000{i}.safetensors" for i in range(3)]
    assert load_file(folder / "cell-00000.safetensors").keys() == {
        "members", "canaries", "before", "after", "retrain",
        "retained_members", "retained_before", "retained_after", "retained_retrain",
    }  # fmt: skip


def test_membership_is_a_coin_for_each_record_and_run() -> None:
    drawn = np.stack([draw_membership(0, run, 500) for run in range(100)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.01)
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.25
    assert np.array_equal(drawn[3], draw_membership(0, 3, 500))
    assert not np.array_equal(drawn[3], draw_membership(1, 3, 500))


def test_canaries_have_another_label_and_the_others_their_own() -> None:
    labels = np.arange(1000) % 10
    mask, changed = draw_canaries(0, 0.3, labels, 10)
    assert mask.sum() == 300
    assert (changed[mask] != labels[mask]).all()
    assert (changed[~mask] == labels[~mask]).all()
    assert len(np.unique((changed - labels)[mask] % 10)) == 9
    assert not draw_canaries(0, 0.0, labels, 10)[0].any()


def test_the_audit_tier_reads_them(runs: Path, perceptron: Path) -> None:
    manifest = runs / "manifest.yaml"
    flags = ["-m", manifest, "--original", perceptron, "--tier", "audit", "--shadows", runs / "cells", "--json"]
    document = json.loads(invoke("attack", perceptron, *flags).stdout)
    probes = {(one["name"], one["role"]): one["quantities"] for one in document["findings"]}
    for name in ("lira", "ulira", "retained", "canaries", "forgetting_score"):
        assert (name, "subject") in probes
        assert (name, "original") in probes
    assert 0 < probes["ulira", "subject"]["auc"]["low"] < probes["ulira", "subject"]["auc"]["high"] < 1
    assert probes["canaries", "subject"]["epsilon"]["value"] >= 0
    assert 0 < probes["retained", "original"]["auc"]["value"] < 1
    assert probes["forgetting_score", "subject"]["retrain_retrain"]["value"] > 0
    blocks = [one for one in document["attacks"] if one["name"] == "ulira"]
    assert {one["epsilon_kind"] for one in blocks} == {"pipeline_unlearning"}
    gates = [gate["condition"] for gate in document["gates"] if gate["role"] == "subject"]
    assert any("ulira AUC" in gate for gate in gates)
    assert any("epsilon" in gate for gate in gates)


def test_the_control_of_retrained_shadow_runs_is_not_a_reference(runs: Path, perceptron: Path, tmp_path: Path) -> None:
    manifest, recipe = runs / "manifest.yaml", ["--set", "epochs=4", "--set", "lr=0.01"]
    for seed in (1, 2):
        words = ["train", "-m", manifest, "--split", "retain", "--seed", seed, "-o", tmp_path / f"{seed}", *recipe]
        assert invoke(*words).exit_code == 0
    references = ["--reference", tmp_path / "1", "--reference", tmp_path / "2"]
    words = ["attack", perceptron, "-m", manifest, *references, "--attack", "ulira", "--shadows", runs / "cells"]
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.stderr
    report = Report.model_validate_json(result.stdout)
    roles = ["subject", "retrained_shadow_runs"]
    assert [finding.role for finding in report.findings] == [block.role for block in report.attacks] == roles
    assert title_roles(report)["retrained_shadow_runs"] == "Retrained shadow runs"


def test_of_the_sample_of_retain_members_alone_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[int]] = {}

    def remember(game: Game, current: Session, split: str) -> torch.nn.Module:
        seen[split] = current.opened.dataset.split(split).rows.tolist()
        return current.fresh("fresh")

    monkeypatch.setattr(shadow_run, "fit", remember)
    shadow(write_manifest(tmp_path, SMALL), tmp_path / "cells", "0", "--retained", "40")
    cell = load_file(tmp_path / "cells" / "cell-00000.safetensors")
    kept = int(cell["retained_members"].sum())
    assert 10 < kept < 30
    assert len(seen["train"]) - len(seen["retain"]) == cell["members"].sum()
    assert set(seen["retain"]) < set(seen["train"])
    total = load_split(tmp_path / "manifest.yaml", "retain")
    assert len(set(total) - set(seen["retain"])) == 40 - kept


def load_split(manifest: Path, name: str) -> list[int]:
    return open_inputs(manifest, RunOptions()).dataset.split(name).rows.tolist()


def test_without_a_sample_of_retain_the_attack_says_why(tmp_path: Path) -> None:
    shadow(write_manifest(tmp_path, SMALL), tmp_path / "cells", "0-7", "--retained", "0")
    runs = load_runs(tmp_path / "cells", {})
    assert runs.retained is None
    assert "--retained" in (retained(None).quantities["auc"].reason or "")


def test_wrong_use_is_refused(runs: Path, perceptron: Path, tmp_path: Path) -> None:
    manifest, cells = runs / "manifest.yaml", runs / "cells"
    refused = invoke("attack", perceptron, "-m", manifest, "--tier", "audit")
    assert (refused.exit_code, "needs --shadows" in refused.stderr) == (2, True)
    refused = invoke("attack", perceptron, "-m", manifest, "--tier", "audit", "--shadows", tmp_path)
    assert (refused.exit_code, "there are no shadow runs" in refused.stderr) == (2, True)
    other = write_manifest(tmp_path, PERCEPTRON)
    refused = invoke("attack", perceptron, "-m", other, "--tier", "audit", "--shadows", cells)
    assert (refused.exit_code, "another data" in refused.stderr) == (2, True)
    refused = invoke("shadow", "-m", manifest, "--shadows", cells, *FAST[:2], "--set", "epochs=2")
    assert (refused.exit_code, "settings" in refused.stderr) == (2, True)
    refused = invoke("shadow", "-m", manifest, "--shadows", tmp_path / "new", "--method", "unsir")
    assert (refused.exit_code, "whole classes" in refused.stderr) == (2, True)
    refused = invoke("shadow", "-m", manifest, "--shadows", tmp_path / "new", *FAST, "--retained", "100000")
    assert (refused.exit_code, "more than half" in refused.stderr) == (2, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "5-2", "0-99999", "1.5"])
def test_cells_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--cells"):
        parse_cells(text)


def test_cells_are_numbers_and_ranges() -> None:
    assert parse_cells("0-2, 7,2") == [0, 1, 2, 7]


def test_too_few_runs_are_told(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="0 runs are finished, at least 8 are needed"):
        load_runs(tmp_path, {})


def test_a_dry_run_says_what_it_would_cost(tmp_path: Path) -> None:
    manifest, folder = write_manifest(tmp_path, SMALL), tmp_path / "cells"
    result = invoke("shadow", "-m", manifest, "--shadows", folder, "--dry-run", *FAST)
    assert result.exit_code == 0
    assert "32 of 32 runs left, each two trainings and one finetune" in result.stderr
    assert not folder.exists()
