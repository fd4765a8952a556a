"""The network that a config.json states, in the forms that transformers and timm write."""

import json
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.errors import UserError
from unlearn_cli.models.stated_network import StatedNetwork, read_stated_network

NAMES = {"10": "owl", "2": "dog", "0": "cat"}


@pytest.mark.parametrize(("content", "network"), [
    ({"model_type": "vit", "id2label": NAMES, "image_size": 32},
     StatedNetwork("transformers", "vit", 3, ["cat", "dog", "owl"], [3, 32, 32])),
    ({"model_type": "beit", "image_size": [8, 6], "num_channels": 1, "num_labels": 4},
     StatedNetwork("transformers", "beit", 4, [], [1, 8, 6])),
    ({"model_type": "bert", "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "max_position_embeddings": 64,
      "problem_type": "multi_label_classification"},
     StatedNetwork("transformers", "bert", 2, [], None, 64, is_multilabel=True)),
    ({"model_type": "vit", "architectures": ["ViTModel"]},
     StatedNetwork("transformers", "vit", None, [], other_use="ViTModel")),
    ({"model_type": "vit", "architectures": ["ViTForImageClassification"]},
     StatedNetwork("transformers", "vit", None, [])),
    ({"architecture": "resnet18", "pretrained_cfg": {"num_classes": 5, "input_size": [3, 32, 32]},
      "label_names": ["a", "b"]}, StatedNetwork("timm", "resnet18", 5, ["a", "b"], [3, 32, 32])),
])  # fmt: skip
def test_a_config_of_transformers_or_timm(content: dict[str, Any], network: StatedNetwork, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_stated_network(tmp_path) == network


def test_other_folders_state_nothing(tmp_path: Path) -> None:
    assert read_stated_network(tmp_path) is None
    (tmp_path / "config.json").write_text('{"lr": 0.1}')
    assert read_stated_network(tmp_path) is None


@pytest.mark.parametrize("content", [
    {"model_type": "vit", "id2label": {"a": "b"}},
    {"model_type": "vit", "id2label": [1]},
    {"model_type": "vit", "image_size": "large"},
    {"architecture": "x", "num_classes": "many"},
])  # fmt: skip
def test_values_of_another_form_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"config.json: states a network in an unknown form"):
        read_stated_network(tmp_path)
