"""Exports to the real trackers, offline."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import invoke, write_manifest

NAME = "subject/test_forget/accuracy"


def evaluate(original: Path, folder: Path, destination: str) -> dict[str, Any]:
    manifest = write_manifest(folder)
    result = invoke("evaluate", original, "-m", manifest, "--device", "cpu", "--json", "--log-to", destination)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_tensorboard(original: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore[reportMissingImports]

    report = evaluate(original, tmp_path, f"tensorboard:{tmp_path / 'runs'}")
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == f"evaluate-{report['run']['id']}"
    events = EventAccumulator(str(folder)).Reload()
    value = report["metrics"]["subject"]["test_forget"]["accuracy"]
    assert events.Scalars(NAME)[0].value == pytest.approx(value["value"])
    assert events.Scalars(f"{NAME}_n")[0].value == value["n"]


def test_tensorboard_has_the_curves_of_a_method(original: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore[reportMissingImports]

    words = ("--method", "finetune", "--set", "steps=3", "--device", "cpu", "-o", tmp_path / "out", "--force")
    destination = f"tensorboard:{tmp_path / 'runs'}"
    result = invoke("unlearn", original, "-m", write_manifest(tmp_path), *words, "--log-to", destination)
    assert result.exit_code == 0, result.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("curves/finetune/loss")] == [0, 1, 2]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "log-to" not in report["run"]["command_line"]


def test_mlflow(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder needs no server and no database
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

    uri = f"file:{tmp_path / 'mlruns'}"
    report = evaluate(original, tmp_path, f"mlflow:{uri}")
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("unlearn-cli").experiment_id])
    value = report["metrics"]["subject"]["test_forget"]["accuracy"]["value"]
    assert run.data.metrics[NAME] == pytest.approx(value)
    assert run.data.params["architecture"] == "allcnn"
    assert run.data.tags["unlearn_cli.command"] == "evaluate" and run.info.status == "FINISHED"


def test_wandb_offline(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    evaluate(original, tmp_path, "wandb:tests")
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert NAME.encode() in content and b"allcnn" in content
    assert str(tmp_path).encode() not in content


def test_a_tracker_that_cannot_be_reached_is_one_line_after_the_result(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = ("--device", "cpu", "-o", tmp_path / "out", "--log-to", "mlflow:http://127.0.0.1:9")
    result = invoke("evaluate", original, "-m", write_manifest(tmp_path), *words)
    assert result.exit_code == 7
    assert "the numbers could not be exported" in result.stderr and "Traceback" not in result.stderr
    assert (tmp_path / "out" / "report.json").is_file()
