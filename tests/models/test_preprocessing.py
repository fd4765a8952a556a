"""The preprocessing that files next to a checkpoint state, in the forms that older and newer versions write."""

import json
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.errors import UserError
from unlearn_cli.models.preprocessing import read_preprocessing

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CROP = {"resize": 256, "crop": "centre_floor", "shape": [3, 224, 224], "interpolation": "bicubic"}


def read(folder: Path, content: Any, name: str = "preprocessor_config.json") -> Any:
    (folder / name).write_text(json.dumps(content))
    return read_preprocessing(folder)


@pytest.mark.parametrize(("content", "keys"), [
    ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2},
     {"resize": [224, 224], "shape": [3, 224, 224], "interpolation": "bilinear"}),
    ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 256, "do_center_crop": True, "crop_size": 224,
      "resample": 3}, CROP),
    ({"feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "do_center_crop": True, "crop_size": 224,
      "resample": 3}, {**CROP, "resize": [256, 256]}),
    ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3}, CROP),
    ({"feature_extractor_type": "MobileViTFeatureExtractor", "size": 256, "do_center_crop": True, "crop_size": 224,
      "resample": 3, "do_flip_channel_order": True, **HALF}, {**CROP, "mode": "bgr"}),
    ({"size": {"height": 32, "width": 48}, "do_rescale": False, **HALF},
     {"resize": [32, 48], "shape": [3, 32, 48], "interpolation": "bilinear", "scale": 1.0, "mean": [0.5] * 3,
      "std": [0.5] * 3}),
    ({"do_resize": False, "size": 224, "do_center_crop": True, "crop_size": {"height": 20, "width": 30}},
     {"crop": "centre_floor", "shape": [3, 20, 30]}),
    ({"image_processor": {"size": 32, "do_normalize": False}},
     {"resize": [32, 32], "shape": [3, 32, 32], "interpolation": "bilinear"}),
])  # fmt: skip
def test_files_of_transformers(content: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    stated = read(tmp_path, content)
    assert dict(stated.keys) == keys
    assert not stated.remarks


@pytest.mark.parametrize("size", [{"shortest_edge": 800, "longest_edge": 1333}, {"shortest_edge": 224}])
def test_a_size_that_depends_on_the_image_is_a_remark(size: dict[str, int], tmp_path: Path) -> None:
    stated = read(tmp_path, {"size": size, **HALF})
    assert dict(stated.keys) == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert stated.remarks == [f"size {size} cannot be expressed: set input.shape and input.resize"]


def test_files_of_other_inputs_state_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000}) is None
    assert read_preprocessing(tmp_path / "nothing") is None


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="states a preprocessing of an unknown form"):
        read(tmp_path, {"size": {"height": "many", "width": 3}})
    with pytest.raises(UserError, match="is not a JSON object"):
        read(tmp_path, [1])
