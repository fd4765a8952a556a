"""The files next to a result: copied from the original or the architecture, and a config.json that fits the network."""

import json
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.models.companion_files import Result, write_companions
from unlearn_cli.schema.data_sections import Input
from unlearn_cli.schema.network_sections import Model, NetworkSections


def write(folder: Path, architecture: str, task: Any = "classification", **more: Any) -> dict[str, Any]:
    """Write the files of a result of two classes into `out`, and return its config.json."""
    section = Model(architecture=architecture, arguments=more.pop("arguments", {}))
    sections = NetworkSections(
        model=section, input=Input(shape=[3, 32, 32], resize=36), target=None, loss="mse", augment=[], folder=folder
    )
    (folder / "out").mkdir()
    write_companions(folder / "out", Result(sections, ["a", "b"], 2, "Net", more.get("original"), task))
    path = folder / "out" / "config.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def write_config(folder: Path, **content: Any) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", **content}))
    (folder / "vocab.txt").write_text("words")
    (folder / "train.py").write_text("code")


LABELS = {"id2label": {"0": "x", "1": "y"}, "label2id": {"x": 0, "y": 1}}


def test_labels_of_the_original_stay_and_only_known_files_are_copied(tmp_path: Path) -> None:
    write_config(tmp_path / "vit", **LABELS)
    assert write(tmp_path, "transformers/vit") == {"model_type": "vit", "architectures": ["Net"], **LABELS}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "vocab.txt"}


def test_labels_of_another_number_are_replaced_by_the_classes(tmp_path: Path) -> None:
    write_config(tmp_path / "vit", id2label={"0": "x"}, label2id={"x": 0}, hidden_size=4)
    config = write(tmp_path, "transformers/vit", arguments={"hidden_size": 8})
    assert config["id2label"] == {"0": "a", "1": "b"}
    assert config["label2id"] == {"a": 0, "b": 1}
    assert config["hidden_size"] == 8


@pytest.mark.parametrize(("task", "problem"), [("multilabel", "multi_label_classification"), ("classification", None)])
def test_the_problem_of_the_task_is_in_the_config(task: str, problem: str | None, tmp_path: Path) -> None:
    write_config(tmp_path / "vit", **LABELS)
    assert write(tmp_path, "transformers/vit", task).get("problem_type") == problem


def test_one_logit_of_a_timm_network(tmp_path: Path) -> None:
    config = write(tmp_path, "timm/resnet18.tag", arguments={"num_classes": 1})
    assert config["architecture"] == "resnet18"
    assert config["model_args"] == {"num_classes": 1, "in_chans": 3}
    assert "label_names" not in config
    assert config["pretrained_cfg"]["crop_pct"] == 32 / 36


@pytest.mark.parametrize("architecture", ["resnet20", "timm/resnet18"])
def test_files_next_to_the_original_are_copied(architecture: str, tmp_path: Path) -> None:
    write_config(tmp_path / "before", architecture="resnet18")
    (tmp_path / "before" / "model.safetensors").touch()
    config = write(tmp_path, architecture, original=tmp_path / "before" / "model.safetensors")
    assert config == {"model_type": "vit", "architecture": "resnet18"}


def test_a_network_without_such_files_gets_none(tmp_path: Path) -> None:
    assert write(tmp_path, "resnet20") == {}
