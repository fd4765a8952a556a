"""The report next to a checkpoint: it counts only if it belongs to the checkpoint; what a plan takes from it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from unlearn_cli.commands.attack_plan import plan_trainings, read_expectations
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.training_cost import read_report_of
from unlearn_cli.verdict.situation import Expectations


def write_checkpoint(folder: Path, accuracy: float, *, seconds: float = 12.0, digest: str = "abc") -> Path:
    folder.mkdir()
    metadata = {"format": "pt", "unlearn_cli.tensor_digest": "abc"}
    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors", metadata)
    splits = {"test": {"accuracy": {"value": accuracy, "n": 9}}, "retain": {"accuracy": {"value": 0.99, "n": 9}}}
    document: dict[str, Any] = {
        "subject": {"tensor_digest": digest},
        "run": {"seconds": {"train": seconds, "load": 1.0}},
        "cost": {"samples_forward": 100, "samples_backward": 100, "optimizer_steps": 10},
        "metrics": {"subject": splits},
    }
    (folder / "report.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "model.safetensors"


def describe_data(task: str = "classification") -> RunInputs:
    return cast(RunInputs, SimpleNamespace(dataset=SimpleNamespace(task=task, splits={"test": (), "retain": ()})))


def test_a_report_counts_only_for_its_checkpoint(tmp_path: Path) -> None:
    report = read_report_of(write_checkpoint(tmp_path / "own", 0.9))
    assert report is not None and report.get_metric("test", "accuracy") == 0.9
    assert (report.get_cost().seconds, report.get_cost().samples) == (12.0, 200)
    assert report.get_metric("test", "auroc") is None and report.get_metric("train", "accuracy") is None
    assert read_report_of(write_checkpoint(tmp_path / "other", 0.9, digest="def")) is None
    assert read_report_of(tmp_path / "own") is not None  # a folder names the checkpoint in it
    (tmp_path / "own" / "report.json").unlink()
    assert read_report_of(tmp_path / "own") is None


def test_expectations_are_read_from_the_reports_of_the_references(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path / str(number), accuracy) for number, accuracy in enumerate((0.94, 0.96))]
    reports = [report for report in map(read_report_of, paths) if report is not None]
    expected = read_expectations(describe_data(), reports)
    assert expected.accuracy == pytest.approx(0.95) and expected.gain_on_retain == pytest.approx(0.04)
    assert expected.accuracy_sd == pytest.approx(0.02 / 2**0.5) and "2 reports" in expected.source
    assert read_expectations(describe_data("regression"), reports) == Expectations()
    assert read_expectations(describe_data(), []) == Expectations()


def test_further_references_cost_what_the_given_ones_did(tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path / str(seconds), 0.9, seconds=seconds) for seconds in (10.0, 20.0, 90.0)]
    plan = plan_trainings(3, [report for report in map(read_report_of, paths) if report is not None])
    assert plan is not None and (plan.seconds_each, plan.seconds, plan.samples_each) == (20.0, 60.0, 200)
    unknown = plan_trainings(3, [])
    assert unknown is not None and (unknown.num_trainings, unknown.seconds) == (3, None)
    assert plan_trainings(0, []) is None
