"""Networks of transformers: built from a config.json, trained, and loaded by transformers again."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.ecosystem.networks import BLOCKS, IMAGES, SIDE, TEXTS, write_config, write_images
from tests.tiny import invoke, write_manifest
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.errors import UserError
from unlearn_cli.models.architectures import build_network, check_forward
from unlearn_cli.models.saved_names import NamesOfOtherVersions
from unlearn_cli.schema.network_sections import Model

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-6
CLASSES = {"deit": "DeiTForImageClassificationWithTeacher"}  # one of two that transformers has

MANIFEST = """\
version: 1
task: classification
model: {architecture: transformers/vit}
input: {shape: [3, 16, 16], mean: 0.5, std: 0.5}
data: {train: {imagefolder: train}, test: {imagefolder: test}}
forget: {classes: [a]}
"""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def build(folder: Path, shape: list[int], outputs: int = 3, **arguments: Any) -> torch.nn.Module:
    section = Model(architecture=f"transformers/{folder.name}", arguments=arguments)
    return build_network(section, shape, outputs, folder=folder.parent).eval()


def auto(shape: list[int]) -> Any:
    images = len(shape) == 3
    return transformers.AutoModelForImageClassification if images else transformers.AutoModelForSequenceClassification


ALL = [(name, values, [3, SIDE, SIDE]) for name, values in IMAGES.items()]
ALL += [(name, values, [7]) for name, values in TEXTS.items()]


@pytest.mark.parametrize(("name", "values", "shape"), ALL, ids=lambda value: value if isinstance(value, str) else "")
def test_a_network_is_written_and_read_with_the_names_of_save_pretrained(
    name: str, values: dict[str, Any], shape: list[int], tmp_path: Path
) -> None:
    write_config(tmp_path / "folder", name, {**values, "architectures": [CLASSES.get(name, "")]})
    torch.manual_seed(0)
    model = build(tmp_path / "folder", shape)
    check_forward(model, Model(architecture="transformers/folder"), shape, 3, "classification")
    x = torch.randn(2, *shape) if len(shape) == 3 else torch.randint(2, 50, (2, *shape))
    checkpoint.save(tmp_path / "folder", model.state_dict(), {})
    loaded, info = auto(shape).from_pretrained(tmp_path / "folder", output_loading_info=True)
    assert not any(info.values()), info
    with torch.no_grad():
        expected = loaded.eval()(x).logits
        assert (model(x) - expected).abs().max() <= TOLERANCE

    loaded.save_pretrained(tmp_path / "again")
    weights = checkpoint.load(tmp_path / "again")
    assert weights.tensors.keys() == model.state_dict().keys()
    other = build(tmp_path / "folder", shape)
    checkpoint.load_weights(other, weights)
    with torch.no_grad():
        assert (other(x) - expected).abs().max() <= TOLERANCE


def rename_to_gamma(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


@pytest.mark.parametrize(("name", "values", "shape", "rename"), [
    ("bert", TEXTS["bert"], [7], rename_to_gamma),
    ("bert", TEXTS["bert"], [7], lambda name: name.removeprefix("bert.")),
    ("vit", IMAGES["vit"], [3, SIDE, SIDE], None),
])  # fmt: skip
def test_names_of_other_versions_are_accepted_and_kept(
    name: str, values: dict[str, Any], shape: list[int], rename: Any, tmp_path: Path
) -> None:
    write_config(tmp_path / "m", name, values)
    model = build(tmp_path / "m", shape)
    state = model.state_dict()
    if rename:
        stored = {rename(key): tensor for key, tensor in state.items()}
    else:
        stored = {key: parameter.detach() for key, parameter in model.named_parameters()}
    assert stored.keys() != state.keys()
    (tmp_path / "old").mkdir()
    checkpoint.save(tmp_path / "old", stored, {})
    mapping = NamesOfOtherVersions(network=build(tmp_path / "m", shape))
    weights = checkpoint.load(tmp_path / "old", mapping)
    assert all(torch.equal(weights.tensors[key], tensor) for key, tensor in state.items())
    (tmp_path / "new").mkdir()
    checkpoint.save(tmp_path / "new", state, {}, weights)
    assert checkpoint.load(tmp_path / "new").tensors.keys() == stored.keys()


def test_padding_is_not_attended_to(tmp_path: Path) -> None:
    write_config(tmp_path / "bert", "bert", TEXTS["bert"])
    model = build(tmp_path / "bert", [8])
    short = torch.tensor([[5, 6, 7]])
    padded = torch.tensor([[5, 6, 7, 0, 0, 0, 0, 0]])
    with torch.no_grad():
        assert torch.allclose(model(short), model(padded), atol=1e-6)
        assert torch.equal(model(padded.float()[:, None]), model(padded))


def test_the_second_text_of_a_pair_has_its_own_token_type(tmp_path: Path) -> None:
    write_config(tmp_path / "bert", "bert", {**TEXTS["bert"], "type_vocab_size": 2})
    (tmp_path / "bert" / "tokenizer.json").write_text('{"added_tokens": [{"id": 3, "content": "[SEP]"}]}')
    model = build(tmp_path / "bert", [1, 9])
    tokens = torch.tensor([[2, 7, 8, 3, 9, 3, 0, 0, 0], [2, 7, 8, 9, 3, 0, 0, 0, 0]])  # a pair, and one text
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 0, 0, 0], [0] * 9])
    with torch.no_grad():
        expected = model(input_ids=tokens, attention_mask=(tokens != 0).long(), token_type_ids=types)
        assert torch.equal(model(tokens[:, None].float()), expected)


def test_one_logit_is_kept_in_the_config(tmp_path: Path) -> None:
    write_images(tmp_path, count=4)
    for part in ("train", "test"):
        for path in (tmp_path / part / "c").iterdir():
            path.unlink()
        (tmp_path / part / "c").rmdir()
    write_config(tmp_path / "vit", "vit", {**BLOCKS, "image_size": SIDE, "patch_size": 8})
    text = MANIFEST.replace("transformers/vit}", "transformers/vit, arguments: {num_classes: 1}}")
    manifest = write_manifest(tmp_path, text)
    result = invoke("train", "-m", manifest, "-o", tmp_path / "o", "--set", "epochs=1", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    loaded, info = transformers.AutoModelForImageClassification.from_pretrained(
        tmp_path / "o", output_loading_info=True
    )
    assert not any(info.values()), info
    assert loaded.config.num_labels == 1


def test_arguments_replace_values_of_the_config(tmp_path: Path) -> None:
    write_config(tmp_path / "vit", "vit", IMAGES["vit"])
    model: Any = build(tmp_path / "vit", [3, SIDE, SIDE], 5, num_hidden_layers=1)
    assert model.config.num_hidden_layers == 1
    assert model(torch.randn(1, 3, SIDE, SIDE)).shape == (1, 5)
    with pytest.raises(UserError, match=r"vit has no 'num_hiden_layers'; did you mean 'num_hidden_layers'"):
        build(tmp_path / "vit", [3, SIDE, SIDE], num_hiden_layers=1)


@pytest.mark.parametrize(("content", "shape", "message"), [
    ({"model_type": "vitt"}, [3, 16, 16], r"has no model type 'vitt'; did you mean 'vit'"),
    ({"model_type": "bert", **TEXTS["bert"]}, [3, 16, 16], r"no network for image classification of the type 'bert'"),
    ({"model_type": "vit"}, [7], r"no network for text classification of the type 'vit'"),
    ({"architecture": "resnet18"}, [3, 16, 16], r"has no 'model_type'; timm/NAME names a network of timm"),
    ({"model_type": "timm_wrapper", "architecture": "resnet18"}, [3, 16, 16], "set model.architecture: timm/resnet18"),
    ({"model_type": "vit", "hidden_size": "many"}, [3, 16, 16], "transformers refuses it"),
    ([1], [3, 16, 16], "has no 'model_type'; name the config.json of a transformers model"),
])  # fmt: skip
def test_configs_that_are_no_network_of_the_task(content: Any, shape: list[int], message: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        build(tmp_path / "m", shape)


def test_a_missing_folder_and_damaged_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; name a config\.json or the folder with it"):
        build(tmp_path / "m", [3, 16, 16])
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: is not a JSON file"):
        build(tmp_path / "m", [3, 16, 16])


def test_code_of_a_folder_is_never_imported(tmp_path: Path) -> None:
    values = {**IMAGES["vit"], "auto_map": {"AutoModelForImageClassification": "evil.Net", "AutoConfig": "evil.C"}}
    write_config(tmp_path / "vit", "vit", values)
    (tmp_path / "vit" / "evil.py").write_text("raise SystemExit('ran')")
    assert type(build(tmp_path / "vit", [3, SIDE, SIDE])).__name__ == "ViTForImageClassification"


def test_train_and_unlearn_write_a_folder_that_transformers_loads(tmp_path: Path) -> None:
    write_images(tmp_path)
    write_config(tmp_path / "vit", "vit", {**BLOCKS, "image_size": SIDE, "patch_size": 8})
    (tmp_path / "vit" / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    manifest = write_manifest(tmp_path, MANIFEST)
    trained = invoke("train", "-m", manifest, "-o", tmp_path / "o", "--set", "epochs=3", "--device", "cpu")
    assert trained.exit_code == 0, trained.stderr
    forgotten = invoke(
        "unlearn", tmp_path / "o", "-m", manifest, "--method", "finetune", "-o", tmp_path / "u", "--force", "--device",
        "cpu",
    )  # fmt: skip
    assert forgotten.exit_code == 0, forgotten.stderr
    for folder in (tmp_path / "o", tmp_path / "u"):
        loaded, info = transformers.AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        assert loaded.config.id2label == {0: "class 0", 1: "class 1", 2: "class 2"}
        assert (folder / "preprocessor_config.json").read_bytes() == (
            tmp_path / "vit" / "preprocessor_config.json"
        ).read_bytes()
        model = build(tmp_path / "vit", [3, SIDE, SIDE])
        checkpoint.load_weights(model, checkpoint.load(folder))
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, SIDE, SIDE), dtype=np.float32))
        with torch.no_grad():
            assert (model(x) - loaded.eval()(x).logits).abs().max() <= TOLERANCE
