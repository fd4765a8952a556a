"""Commands on records that come in groups: windows of recordings, of which a few are forgotten."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import invoke, write_manifest
from unlearn_cli.reporting.report import Report

MANIFEST = """\
version: 1
task: {task}
model: {{architecture: mlp, arguments: {{hidden: [8]}}}}
input: {{shape: [4]}}
data:
  train: {{npz: train.npz}}
  test: {{npz: test.npz}}
{group}
forget:
  groups: {{column: recording, values: [0, 1, 2, 3, 4]}}
"""


def write(path: Path, recordings: range, task: str) -> None:
    random = np.random.default_rng(recordings.start)
    groups = np.repeat(np.array(recordings), 20)
    x = np.repeat(random.normal(size=(len(recordings), 4)), 20, axis=0) + random.normal(size=(len(groups), 4)) / 2
    noise = np.repeat(random.normal(size=len(recordings)), 20) + random.normal(size=len(groups)) / 2
    value = x[:, 0] + noise / 2
    labels = value if task == "regression" else (value > 0).astype(np.int64)
    np.savez(path, allow_pickle=False, x=x.astype(np.float32), y=labels, recording=groups)


@pytest.fixture(scope="module", params=["classification", "regression"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    write(folder / "train.npz", range(15), request.param)
    write(folder / "test.npz", range(100, 125), request.param)
    write_manifest(folder, MANIFEST.format(task=request.param, group=""))
    write_manifest(folder, MANIFEST.format(task=request.param, group="  group: id"), "alone.yaml")
    for name, split, seed in (
        ("original", "train", 0),
        ("one", "retain", 1),
        ("two", "retain", 2),
        ("three", "retain", 3),
    ):
        result = invoke("train", "-m", folder / "manifest.yaml", "--split", split, "--seed", seed, "-o", folder / name,
                        "--set", "epochs=5", "--set", "lr=0.01")  # fmt: skip
        assert result.exit_code == 0, result.stderr
    return folder


def report_of(command: str, project: Path, *more: object, name: str = "manifest.yaml") -> Report:
    result = invoke(command, project / "one", "-m", project / name, "--original", project / "original",
                    "--reference", project / "two", "--reference", project / "three", "--json", *more)  # fmt: skip
    assert result.exit_code in (0, 3, 4), result.stderr
    return Report.model_validate(json.loads(result.stdout))


def test_every_interval_of_a_metric_goes_by_recording(project: Path) -> None:
    for role, splits in report_of("evaluate", project).metrics.items():
        for split, found in splits.items():
            for name, estimate in found.items() if split != "model" else ():
                assert estimate.clusters == {"forget": 5, "retain": 10, "train": 15, "test": 25}[split], (role, name)
                assert estimate.low is not None, (role, split, name)


@pytest.mark.usefixtures("short_attacks")
def test_attack_and_verdict_go_by_recording(project: Path) -> None:
    document = report_of("attack", project, "--tier", "standard", "--half", "all")
    assert document.judgement is not None
    assert "<5 values withheld>" in (document.manifest.text or "")
    assert str(project) not in document.model_dump_json()  # the command has no absolute path
    assert document.judgement.clusters == {"forget": 5, "retain": 10, "test": 25, "holdout": 25}
    block = next(one for one in document.attacks if (one.name, one.role) == ("population", "subject"))
    assert document.judgement.design_effect == block.auc.design_effect
    assert block.auc.clusters == 30
    assert all(one.auc.clusters for one in document.attacks), [one.name for one in document.attacks]
    assert {gate.condition: gate.value.clusters for gate in document.gates if gate.value.value is not None and
            not gate.value.clusters} == {}  # fmt: skip


def test_every_record_by_itself_gives_narrower_intervals(project: Path) -> None:
    widths = []
    for name in ("manifest.yaml", "alone.yaml"):
        document = report_of("attack", project, "--tier", "quick", name=name)
        area = next(one.auc for one in document.attacks if (one.name, one.role) == ("population", "subject"))
        assert area.low is not None and area.high is not None
        widths.append(area.high - area.low)
    assert widths[0] > 1.3 * widths[1]


def test_two_recordings_can_pass_nothing(project: Path) -> None:
    text = (project / "manifest.yaml").read_text(encoding="utf-8").replace("[0, 1, 2, 3, 4]", "[0, 1]")
    write_manifest(project, text, "two.yaml")
    document = report_of("attack", project, "--tier", "quick", "--force", name="two.yaml")
    gate = next(gate for gate in document.gates if "population AUC" in gate.condition and gate.role == "subject")
    assert (gate.verdict, gate.value.low) == ("inconclusive", None)
    assert gate.value.value is not None
    assert gate.reason and "2 clusters are too few" in gate.reason
    dry = invoke("attack", project / "one", "-m", project / "two.yaml", "--dry-run", "--json", "--force")
    told: dict[str, Any] = json.loads(dry.stdout)
    assert any("no gate can pass" in line for line in told["advice"])
