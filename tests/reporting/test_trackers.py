import importlib.util
from pathlib import Path

import pytest

from tests.tiny import invoke, write_manifest
from unlearn_cli.errors import UserError
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.trackers import destination, exported_numbers


@pytest.mark.parametrize("text", ["tensorboard", "tensorboard:", "comet:x", "wandb:a/b/c", "mlflow"])
def test_a_wrong_destination_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(UserError, match=f"--log-to {text}: expected "):
        destination.parse_destinations([text])


def test_a_folder_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNS", "runs")
    texts = ["tensorboard:~/${RUNS}", "mlflow:~/runs", "mlflow:http://host/~/runs", "wandb:runs"]
    targets = [place.target for place in destination.parse_destinations(texts)]
    assert targets == [f"{tmp_path}/runs", f"{tmp_path}/runs", "http://host/~/runs", "runs"]


def test_a_library_that_is_missing_is_said_before_any_work(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(destination.LIBRARIES, "wandb", "absent_library")
    words = ("-m", write_manifest(tmp_path), "-o", tmp_path / "out", "--log-to", "wandb:project")
    result = invoke("evaluate", original, *words)
    assert result.exit_code == 2
    assert "absent_library is not installed; run: pip install 'unlearn-cli[wandb]'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_numbers_have_intervals_and_counts_and_no_null() -> None:
    report = Report.model_validate(
        {
            "tool_version": "1", "command": "evaluate", "seed": 3, "environment": {}, "method": "unsir",
            "run": {"id": "ab", "started": "", "finished": "", "seconds": {"evaluate": 2.0}},
            "manifest": {"task": "classification", "architecture": "mlp"},
            "settings": {"steps": 5, "batch_norm": "frozen"},
            "metrics": {"subject": {"test": {
                "accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10},
                "loss": {"value": None, "n": 10, "reason": "not finite"},
            }}},
        }
    )  # fmt: skip
    metrics = exported_numbers.list_metrics(report)
    accuracy = {name.removeprefix("subject/test/"): value for name, value in metrics.items() if "test" in name}
    assert accuracy == {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6, "accuracy_n": 10.0}
    assert metrics["seconds/evaluate"] == 2.0
    assert exported_numbers.list_parameters(report) == {
        "method": "unsir", "architecture": "mlp", "seed": "3", "settings/steps": "5", "settings/batch_norm": "frozen"
    }  # fmt: skip
    assert exported_numbers.name_run(report) == "evaluate-unsir-ab"
