"""`init`: a manifest that works, from a checkpoint and data as people have them."""

import io
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn

from tests.tiny import invoke
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands.manifest_draft import ManifestDraft, Value
from unlearn_cli.commands.model_draft import draft_model
from unlearn_cli.commands.size_draft import list_sizes
from unlearn_cli.data.images import image_check
from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.models.resnet20 import resnet20


def write_digits(path: Path, classes: int = 10) -> Path:
    """Write the digits of the tiny project as people have them: x_train, y_train, x_test, y_test."""
    x, labels = load_digits(return_X_y=True)
    images = np.asarray(x).reshape(-1, 8, 8).astype(np.uint8)
    test = np.arange(len(labels)) % 5 == 0
    parts = {"train": ~test, "test": test}
    arrays: dict[str, Any] = {f"x_{name}": images[part] for name, part in parts.items()}
    arrays |= {f"y_{name}": np.asarray(labels)[part] for name, part in parts.items()}
    np.savez(path, **arrays)
    return path


def draft(
    model: Path, data: Path, out: Path, *words: object, code: int = 0
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return the manifest, the result and what was printed."""
    result = invoke("init", model, data, "--out", out, "--device", "cpu", "--json", *words)
    assert result.exit_code == code, result.stderr
    if code:
        return {}, {}, result.stderr
    return yaml.safe_load(out.read_text()), json.loads(result.stdout), out.read_text()


def fill_in(manifest: Path, entry: str) -> None:
    """Make the one edit that is left: the section forget."""
    text = manifest.read_text().replace("# forget:\n", "forget:\n")
    manifest.write_text(text + f"  {entry}\n")


def test_from_a_checkpoint_and_arrays_to_an_evaluated_result(original: Path, tmp_path: Path) -> None:
    data, out = write_digits(tmp_path / "digits.npz"), tmp_path / "data.yaml"
    manifest, document, text = draft(original, data, out)
    assert manifest["model"] == {"architecture": "allcnn", "arguments": {"width": 8}}
    assert manifest["data"]["train"] == {"npz": {"path": "digits.npz", "inputs": "x_train", "labels": "y_train"}}
    assert manifest["input"]["shape"] == [1, 8, 8] and "classes" in manifest
    assert document["trial"]["score"] > 0.5 and document["guessed"] == []
    assert "guessed: check" not in text.split("version:")[1]
    fill_in(out, "classes: [3]")
    words = ("-m", out, "--device", "cpu", "--method", "finetune", "--set", "steps=1")
    assert invoke("unlearn", original, *words, "-o", tmp_path / "unlearned", "--dry-run").exit_code == 0
    assert invoke("unlearn", original, *words, "-o", tmp_path / "unlearned").exit_code == 0
    assert invoke("evaluate", tmp_path / "unlearned", "-m", out, "--original", original).exit_code == 0


def test_names_with_a_prefix(original: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    save_file({f"model.{name}": tensor for name, tensor in load_file(original).items()}, model)
    manifest, _, _ = draft(model, write_digits(tmp_path / "digits.npz"), tmp_path / "data.yaml")
    assert manifest["model"]["prefix"] == "model." and manifest["model"]["architecture"] == "allcnn"


def test_classes_in_another_order_are_recognised_by_the_predictions(original: Path, tmp_path: Path) -> None:
    order, tensors = [4, 2, 0, 1, 3, 9, 8, 7, 6, 5], load_file(original)
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name][order].contiguous()
    save_file(tensors, tmp_path / "model.safetensors")
    manifest, document, _ = draft(
        tmp_path / "model.safetensors", write_digits(tmp_path / "digits.npz"), tmp_path / "data.yaml"
    )
    assert [int(name) for name in manifest["classes"]] == order and document["guessed"] == ["classes"]


def test_a_network_of_torchvision_and_folders_of_images(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    save_file(squeezenet1_1(num_classes=2).state_dict(), tmp_path / "model.safetensors")
    for part in ("train", "val"):
        for number, label in enumerate(("cat", "dog")):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for image in range(3):
                Image.new("RGB", (40 + 4 * image, 48), (80 * number, 9, 9)).save(folder / f"{image}.png")
    manifest, document, _ = draft(tmp_path / "model.safetensors", tmp_path / "images", tmp_path / "data.yaml")
    assert manifest["model"] == {"architecture": "torchvision/squeezenet1_1"}
    assert manifest["input"]["shape"] == [3, 224, 224] and manifest["input"]["resize"] == [224, 224]
    assert set(document["guessed"]) >= {"data.test", "input.resize"}
    fill_in(tmp_path / "data.yaml", "ids: [cat/0.png]")
    words = ("-m", tmp_path / "data.yaml", "--device", "cpu", "--method", "finetune", "--force")
    assert invoke("unlearn", tmp_path / "model.safetensors", *words, "-o", tmp_path / "out", "--dry-run").exit_code == 0


def write_images(folder: Path, *sizes: tuple[int, int], mode: str = "RGB") -> Path:
    """Write one image of each size for each of two classes."""
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number, size in enumerate(sizes):
            Image.new(mode, size).save(folder / label / f"{number}.png")
    return folder


def list_shown(folder: Path, network: str, data: Path) -> list[tuple[list[int], Any]]:
    """Return shape and resize of all sizes that are tried, the likeliest first."""
    layout = recognise(data)
    values = {"shape": Value(layout.shape)}
    model = {"architecture": Value(f"torchvision/{network}")}
    drafts = list_sizes(ManifestDraft("", layout, model, values), 2, folder)
    return [(each.input["shape"].value, each.input["resize"].value if "resize" in each.input else None)
            for each in drafts]  # fmt: skip


def test_sizes_that_a_network_of_torchvision_may_have_been_trained_with(tmp_path: Path) -> None:
    small, grey = write_images(tmp_path / "a", (32, 32)), write_images(tmp_path / "b", (8, 8), (8, 8), mode="L")
    large, several = write_images(tmp_path / "c", (320, 240)), write_images(tmp_path / "d", (64, 48), (48, 64))
    both, crop, colour = ([3, 224, 224], [224, 224]), ([3, 224, 224], 256), "squeezenet1_1"
    assert list_shown(tmp_path, colour, small) == [([3, 32, 32], None), both]
    assert list_shown(tmp_path, "alexnet", small) == [both]  # its strides need larger images
    assert list_shown(tmp_path, colour, large) == [both, crop]
    assert list_shown(tmp_path, colour, several) == [both]
    assert list_shown(tmp_path, "efficientnet_b3", large) == [([3, 300, 300], [300, 300]), ([3, 300, 300], 320)]
    save_file(make_small_network(), tmp_path / "m.safetensors")
    manifest, document, _ = draft(tmp_path / "m.safetensors", grey, tmp_path / "data.yaml")
    assert manifest["input"]["shape"] == [3, 224, 224] and "input.resize" in document["guessed"]
    fill_in(tmp_path / "data.yaml", "classes: [cat]")
    run_dry(tmp_path / "m.safetensors", tmp_path / "data.yaml", tmp_path / "o")


def test_images_are_listed_and_checked_once_for_all_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    check = image_check.check_images
    monkeypatch.setattr(
        image_check, "check_images", lambda each, **how: checked.append(each.name) or check(each, **how)
    )
    images = write_images(tmp_path / "a", (32, 32))
    save_file(make_small_network(), tmp_path / "m.safetensors")
    draft(tmp_path / "m.safetensors", images, tmp_path / "data.yaml")
    assert sorted(checked) == ["data.test", "data.train"]


@pytest.mark.parametrize("outputs", [3, 4])
def test_labels_that_start_at_1(outputs: int, tmp_path: Path) -> None:
    """They are the classes 1 to K, unless the network has an output for 0, too."""
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((30, 2), dtype=np.float32), y=np.arange(30) % 3 + 1)
    save_file({"head.weight": torch.zeros(outputs, 2), "head.bias": torch.zeros(outputs)}, tmp_path / "m.safetensors")
    manifest, *_ = draft(tmp_path / "m.safetensors", tmp_path / "d.npz", tmp_path / "data.yaml")
    assert manifest["classes"] == ["0", "1", "2", "3"][-outputs:]


def test_names_of_classes_with_line_breaks(tmp_path: Path) -> None:
    rows = [f'{number},"a\nclass {number % 2}"' for number in range(20)]
    (tmp_path / "t.csv").write_text("x,label\n" + "\n".join(rows) + "\n")
    save_file({"head.weight": torch.zeros(2, 1), "head.bias": torch.zeros(2)}, tmp_path / "m.safetensors")
    manifest, *_ = draft(tmp_path / "m.safetensors", tmp_path / "t.csv", tmp_path / "data.yaml")
    assert manifest["classes"] == ["a\nclass 0", "a\nclass 1"]


def test_equal_labels_of_a_regression(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,z,label\n" + "".join(f"{number},{number % 3},1.5\n" for number in range(20)))
    weights = {"layers.0.weight": torch.ones(4, 2), "layers.0.bias": torch.zeros(4), "head.weight": torch.ones(1, 4)}
    save_file({**weights, "head.bias": torch.zeros(1)}, tmp_path / "m.safetensors")
    _, document, _ = draft(tmp_path / "m.safetensors", tmp_path / "t.csv", tmp_path / "data.yaml", "--label", "label")
    assert document["trial"]["score"] == 0


def test_the_order_of_classes_is_stated(tmp_path: Path) -> None:
    rows = ", ".join(f"({number}, {number % 2})" for number in range(20))
    features = '{"info": {"features": {"label": {"names": ["b", "a"], "_type": "ClassLabel"}}}}'
    options = f"KV_METADATA {{huggingface: '{features}'}}"
    duckdb.sql(f"COPY (FROM (VALUES {rows}) AS t(x, label)) TO '{tmp_path / 't.parquet'}' ({options})")
    save_file({"head.weight": torch.zeros(2, 1), "head.bias": torch.zeros(2)}, tmp_path / "m.safetensors")
    draft(tmp_path / "m.safetensors", tmp_path / "t.parquet", tmp_path / "data.yaml")
    (line,) = [line for line in (tmp_path / "data.yaml").read_text().splitlines() if line.startswith("classes:")]
    assert line.startswith("classes: [b, a]") and "here as the data lists them" in line


def test_a_table_and_a_perceptron_on_standardised_columns(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, person = random.normal(50, 9, (200, 3)), np.arange(200) % 20
    y = (x[:, 0] > 50).astype(int)
    rows = [f"{p},{a:.3f},{b:.3f},{c:.3f},{label}" for p, (a, b, c), label in zip(person, x, y, strict=True)]
    (tmp_path / "t.csv").write_text("patient,a,b,c,ill\n" + "\n".join(rows) + "\n")
    layer, head = nn.Linear(3, 2), nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 0, 0], [-2, 0, 0]]))
        head.weight.copy_(torch.tensor([[-2.0, 2], [2, -2]]))
        [part.bias.zero_() for part in (layer, head)]
    names = {"layers.0": layer, "head": head}
    save_file({f"{name}.{k}": v for name, part in names.items() for k, v in part.state_dict().items()},
              tmp_path / "model.safetensors")  # fmt: skip
    manifest, document, _ = draft(
        tmp_path / "model.safetensors", tmp_path / "t.csv", tmp_path / "data.yaml", "--label", "ill"
    )
    assert manifest["model"]["architecture"] == "mlp" and manifest["model"]["arguments"] == {"hidden": [2]}
    assert manifest["data"]["transform"] == [{"standardise": {}}] and manifest["data"]["group"] == "patient"
    assert document["trial"]["score"] > 0.95
    fill_in(tmp_path / "data.yaml", "groups: {column: patient, values: [3]}")
    words = ("-m", tmp_path / "data.yaml", "--device", "cpu", "--method", "finetune")
    assert invoke("unlearn", tmp_path / "model.safetensors", *words, "-o", tmp_path / "o", "--dry-run").exit_code == 0


def save_renamed(path: Path, network: nn.Module, prefix: str, **renames: str) -> Path:
    """Save a network with other names of its parts."""
    tensors = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    for old, new in renames.items():
        tensors = {name.replace(f"{old}.", f"{new}."): tensor for name, tensor in tensors.items()}
    save_file(tensors, path)
    return path


def test_a_head_with_another_name(tmp_path: Path) -> None:
    model = save_renamed(tmp_path / "m.safetensors", resnet20(10, (1, 8, 8)), "model.", fc="linear")
    data = write_digits(tmp_path / "d.npz")
    for words in ((), ("--architecture", "resnet20")):
        manifest, document, text = draft(model, data, tmp_path / "data.yaml", "--overwrite", *words)
        section = {"architecture": "resnet20", "prefix": "model.", "rename": {"linear": "fc"}}
        assert manifest["model"] == section and "model.rename" in document["guessed"]
        assert "rename: {linear: fc}  # guessed: check (names in the checkpoint" in text
    fill_in(tmp_path / "data.yaml", "classes: [3]")
    words = ("-m", tmp_path / "data.yaml", "--device", "cpu", "--force", "--method", "finetune")
    assert invoke("unlearn", model, *words, "-o", tmp_path / "o", "--dry-run").exit_code == 0
    described = invoke("inspect", model).stdout
    assert "resnet20 (rename: {'linear': 'fc'}, prefix: model.)" in " ".join(described.split())


@pytest.mark.parametrize("positions", [(0, 1, 2, 3), (1, 3, 5, 7), (0, 3, 6, 9)])
def test_a_perceptron_as_a_sequence_of_layers(positions: tuple[int, ...], tmp_path: Path) -> None:
    layers = [nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)]
    tensors = {f"net.{number}.{name}": tensor for number, layer in zip(positions, layers, strict=True)
               for name, tensor in layer.state_dict().items()}  # fmt: skip
    rows = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(tmp_path / "d.npz", x=rows, y=np.arange(40) % 2)
    save_file(tensors, tmp_path / "m.safetensors")
    manifest, _, _ = draft(tmp_path / "m.safetensors", tmp_path / "d.npz", tmp_path / "data.yaml")
    names = [f"net.{number}" for number in positions]
    assert manifest["model"]["arguments"] == {"hidden": [4, 4, 4]}
    assert manifest["model"]["rename"] == dict(zip(names, ["layers.0", "layers.2", "layers.4", "head"], strict=True))


def test_what_no_architecture_fits_is_said_and_the_rest_is_drafted(tmp_path: Path) -> None:
    save_file({"a.weight": torch.zeros(10, 7), "b": torch.zeros(3)}, tmp_path / "model.safetensors")
    result = invoke(
        "init", tmp_path / "model.safetensors", write_digits(tmp_path / "d.npz"), "--out", tmp_path / "data.yaml"
    )
    assert result.exit_code == 0 and "no known architecture fits the tensors" in result.stderr
    text = (tmp_path / "data.yaml").read_text()
    assert "architecture: package.module:function  # guessed: check (no known architecture fits" in text


def test_more_classes_than_outputs_leave_nothing(original: Path, tmp_path: Path) -> None:
    torch.save({name: tensor[:4] if name.startswith("classifier") else tensor
                for name, tensor in load_file(original).items()}, tmp_path / "last.ckpt")  # fmt: skip
    data = write_digits(tmp_path / "d.npz")
    _, _, message = draft(tmp_path / "last.ckpt", data, tmp_path / "data.yaml", code=2)
    assert "d.npz: has 10 classes (0, 1, 2, 3, 4, ...), but the network has 4 outputs (layer classifier)" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.npz", "last.ckpt"]


@pytest.mark.parametrize(("config", "message"), [
    ({"model_type": "vit", "architectures": ["ViTModel"]}, "config.json names ViTModel, which has no last layer"),
    ({"model_type": "vit", "id2label": {"0": "a", "1": "b"}},
     "config.json states 2 classes (id2label), but the last layer of the weights, classifier, has 10 outputs"),
])  # fmt: skip
def test_a_config_that_does_not_fit_the_weights(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    save_file(
        {"classifier.weight": torch.zeros(10, 7), "classifier.bias": torch.zeros(10)},
        tmp_path / "m" / "model.safetensors",
    )
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    *_, stderr = draft(tmp_path / "m", write_digits(tmp_path / "d.npz"), tmp_path / "data.yaml", code=2)
    assert message in stderr


def test_the_number_of_outputs_in_a_config_of_timm_is_that_of_the_weights(tmp_path: Path) -> None:
    weights = checkpoint.load(save_head(tmp_path / "model.safetensors"))
    config = {"architecture": "resnet18", "num_classes": 1000, "label_names": ["a"] * 1000}
    (tmp_path / "config.json").write_text(json.dumps(config))
    layout = recognise(write_digits(tmp_path / "d.npz"))
    model = draft_model(tmp_path, weights, layout, tmp_path)
    assert (model.num_outputs, list(model.names)) == (10, [])


def save_head(path: Path, name: str = "fc") -> Path:
    save_file({f"{name}.weight": torch.zeros(10, 7), f"{name}.bias": torch.zeros(10)}, path)
    return path


def write_classes(folder: Path) -> Path:
    """Write a folder with two images of each of two classes."""
    for number, label in enumerate(("cat", "dog")):
        (folder / label).mkdir(parents=True)
        for image in range(2):
            Image.new("RGB", (32, 32), (80 * number, 9, image)).save(folder / label / f"{image}.png")
    return folder


def test_weights_without_a_last_layer_and_images_that_cannot_be_read(tmp_path: Path) -> None:
    images, model = write_classes(tmp_path / "images"), tmp_path / "model.safetensors"
    save_file({"conv.weight": torch.zeros(4, 3, 3, 3)}, model)
    _, _, message = draft(model, images, tmp_path / "data.yaml", code=2)
    assert "images: the checkpoint has no linear layer for 2 outputs" in message
    (images / "dog" / "1.png").write_bytes(b"x")
    _, _, message = draft(model, images, tmp_path / "data.yaml", code=2)
    assert "images: 1 of 4 images that were opened cannot be read, the first is" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "model.safetensors"]


def test_messages_do_not_name_temporary_files(original: Path, tmp_path: Path) -> None:
    data = write_digits(tmp_path / "d.npz")
    words = ("--architecture", "torchvision/nosuch")
    _, _, message = draft(original, data, tmp_path / "data.yaml", *words, code=2)
    assert "error: the drafted manifest: model.architecture: torchvision has no classification model" in message


def test_a_converted_checkpoint_is_written_with_the_manifest(original: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": load_file(original), "epoch": 3}, tmp_path / "model_best.pth.tar")
    out = tmp_path / "drafts" / "data.yaml"
    _, document, _ = draft(tmp_path / "model_best.pth.tar", write_digits(tmp_path / "d.npz"), out)
    assert document["checkpoint"] == str(out.parent / "model_best.safetensors")
    assert sorted(path.name for path in out.parent.iterdir()) == ["data.yaml", "model_best.safetensors"]
    fill_in(out, "classes: ['3']")
    run_dry(out.parent / "model_best.safetensors", out, tmp_path / "o")


def test_a_part_of_the_numbered_classes(original: Path, tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    few = np.asarray(y) < 8
    np.savez(tmp_path / "d.npz", x=np.asarray(x).reshape(-1, 8, 8).astype(np.uint8)[few], y=np.asarray(y)[few])
    manifest, document, _ = draft(original, tmp_path / "d.npz", tmp_path / "data.yaml")
    assert [int(name) for name in manifest["classes"]] == list(range(10)) and document["trial"]["score"] > 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent.safetensors", "d.npz"), "absent.safetensors: no such checkpoint"),
        (("model.safetensors", "absent"), "absent: no such file or folder"),
        (
            ("model.safetensors", "d.npz", "--architecture", "alcnn"),
            "--architecture: 'alcnn' is not a bundled architec",
        ),
        (("model.safetensors", "d.npz", "--out", "data.txt"), "use the suffix .yaml"),
        (("model.safetensors", "d.npz", "--label", "z"), "no samples and labels are recognised"),
    ],
)
def test_wrong_inputs_are_one_line_and_write_nothing(
    words: tuple[str, ...], message: str, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_digits(Path("d.npz"))
    Path("model.safetensors").write_bytes(original.read_bytes())
    result = invoke("init", *words)
    assert result.exit_code == 2 and message in result.stderr
    assert not list(tmp_path.glob("data.*"))


def test_data_that_are_not_recognised_leave_no_converted_checkpoint(original: Path, tmp_path: Path) -> None:
    torch.save(load_file(original), tmp_path / "last.ckpt")
    _, _, message = draft(tmp_path / "last.ckpt", tmp_path / "absent", tmp_path / "data.yaml", code=2)
    assert "absent: no such file or folder" in message
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_an_existing_manifest_is_not_replaced(original: Path, tmp_path: Path) -> None:
    out = tmp_path / "data.yaml"
    out.write_text("mine")
    _, _, message = draft(original, write_digits(tmp_path / "d.npz"), out, code=2)
    assert "--overwrite" in message and out.read_text() == "mine"


def write_perceptron(path: Path, inputs: int, outputs: int) -> Path:
    """Write an untrained perceptron with one hidden layer."""
    torch.manual_seed(0)
    parts = {"layers.0": nn.Linear(inputs, 4), "head": nn.Linear(4, outputs)}
    save_file({f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}, path)
    return path


def run_dry(model: Path, manifest: Path, out: Path) -> None:
    """Check that a manifest is accepted."""
    words = ("-m", manifest, "--device", "cpu", "--method", "finetune", "--force", "-o", out, "--dry-run")
    result = invoke("unlearn", model, *words)
    assert result.exit_code == 0, result.stderr


MARKS = [(int(n % 2 == 0), int(n % 3 == 0), int(n % 5 == 0)) for n in range(40)]
TAGS = ["|".join(name for name, mark in zip("abc", marks, strict=True) if mark) for marks in MARKS]


@pytest.mark.parametrize("form", ["columns", "cells", "array", "lists"])
def test_records_with_several_labels(form: str, tmp_path: Path) -> None:
    model, data = write_perceptron(tmp_path / "model.safetensors", 2, 3), tmp_path / "t.csv"
    numbers = [(n * 0.5, n % 7) for n in range(40)]
    if form == "array":
        data = tmp_path / "t.npz"
        np.savez(data, x=np.array(numbers, np.float32), y=np.array(MARKS))
    elif form == "columns":
        rows = [",".join(map(str, (*x, *marks))) for x, marks in zip(numbers, MARKS, strict=True)]
        data.write_text("p,q,label_a,label_b,label_c\n" + "\n".join(rows) + "\n")
    elif form == "cells":
        rows = [f"{p},{q},{tags}" for (p, q), tags in zip(numbers, TAGS, strict=True)]
        data.write_text("p,q,tags\n" + "\n".join(rows) + "\n")
    else:
        data = tmp_path / "t.jsonl"
        rows = [
            {"p": p, "q": q, "labels": [*filter(None, t.split("|"))]} for (p, q), t in zip(numbers, TAGS, strict=True)
        ]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest, document, _ = draft(model, data, tmp_path / "data.yaml")
    assert manifest["task"] == "multilabel" and manifest["model"]["architecture"] == "mlp"
    assert document["trial"]["n"] == 32 and 0 <= document["trial"]["score"] <= 1
    fill_in(tmp_path / "data.yaml", f"classes: [{manifest['classes'][0]!r}]")
    run_dry(model, tmp_path / "data.yaml", tmp_path / "o")


def test_one_hot_labels_of_arrays_are_classes(tmp_path: Path) -> None:
    model, data = write_perceptron(tmp_path / "model.safetensors", 2, 3), tmp_path / "t.npz"
    np.savez(data, x=np.random.default_rng(0).random((40, 2)), y=np.eye(3)[np.arange(40) % 3])
    manifest, _, _ = draft(model, data, tmp_path / "data.yaml")
    assert manifest["task"] == "classification"
    fill_in(tmp_path / "data.yaml", "classes: ['1']")
    run_dry(model, tmp_path / "data.yaml", tmp_path / "o")


def write_categories(path: Path) -> Path:
    """Write a table with two numbers and a column of three categories, which decides the label."""
    random = np.random.default_rng(0)
    kinds, numbers = random.integers(0, 3, 120), random.normal(size=(120, 2))
    rows = [f"{a:.3f},{'xyz'[k]},{b:.3f},{int(k == 1)}" for k, (a, b) in zip(kinds, numbers, strict=True)]
    path.write_text("a,kind,b,label\n" + "\n".join(rows) + "\n")
    return path


def test_categories_as_the_network_was_trained_with_them(tmp_path: Path) -> None:
    """A network on pandas' get_dummies: all numbers first, then one column per category."""
    data, model = write_categories(tmp_path / "t.csv"), tmp_path / "model.safetensors"
    layer, head = nn.Linear(5, 2), nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 3, 0], [0, 0, 3, 0, 3]]))
        head.weight.copy_(torch.tensor([[-2.0, 2], [2, -2]]))
        [part.bias.zero_() for part in (layer, head)]
    names = {"layers.0": layer, "head": head}
    save_file({f"{name}.{k}": v for name, part in names.items() for k, v in part.state_dict().items()}, model)
    manifest, document, text = draft(model, data, tmp_path / "data.yaml")
    table = manifest["data"]["train"]["table"]
    assert (table["features"], table["one_hot"]) == (["a", "b"], {"kind": ["x", "y"]})
    assert document["trial"]["score"] == 1 and "data.train" in document["guessed"]
    assert "guessed: check (one column per category, numbers first: the network has 5 inputs)" in text
    fill_in(tmp_path / "data.yaml", "fraction: {share: 0.1}")
    run_dry(model, tmp_path / "data.yaml", tmp_path / "o")


def test_categories_that_the_checkpoint_records(tmp_path: Path) -> None:
    data, out = write_categories(tmp_path / "t.csv"), tmp_path / "data.yaml"
    (tmp_path / "by_hand.yaml").write_text(
        "version: 1\ntask: classification\nmodel: {architecture: mlp, arguments: {hidden: [4]}}\ninput: {shape: [6]}\n"
        "data: {train: {table: {path: t.csv, label: label, one_hot: [kind]}}}\n"
    )
    words = ("-m", tmp_path / "by_hand.yaml", "-o", tmp_path / "m", "--set", "epochs=1", "--device", "cpu")
    assert invoke("train", *words).exit_code == 0
    manifest, document, _ = draft(tmp_path / "m", data, out)
    assert manifest["data"]["train"]["table"]["one_hot"] == ["kind"] and "data.train" not in document["guessed"]
    fill_in(out, "fraction: {share: 0.1}")
    run_dry(tmp_path / "m", out, tmp_path / "o")
    data.write_text(data.read_text().replace("kind", "sort"))
    _, _, message = draft(tmp_path / "m", data, tmp_path / "other.yaml", code=2)
    assert "t.csv: lacks 1 column of categories with which the checkpoint was trained: kind" in message


def test_columns_that_no_reading_fits_are_one_line(tmp_path: Path) -> None:
    data, model = write_categories(tmp_path / "t.csv"), write_perceptron(tmp_path / "model.safetensors", 9, 2)
    _, _, message = draft(model, data, tmp_path / "data.yaml", code=2)
    assert "t.csv: the network takes 9 inputs, but the data gives 6 features with one_hot, 5 features with" in message
    assert not (tmp_path / "data.yaml").exists()
    _, _, message = draft(model, data, tmp_path / "data.yaml", "--architecture", "my:net", code=2)
    assert "my:net is your own code; allow it with --allow-code" in message


@pytest.mark.parametrize(
    ("stated", "remark"),
    [
        (
            {"architecture": "n", "pretrained_cfg": {"input_size": [3, 64, 64], "crop_mode": "border"}},
            "crop_mode border of timm cannot be expressed, this is a centre crop",
        ),
        (
            {"architecture": "n", "image_mean": [0.5], "image_std": [0.5], "size": {"longest_edge": 64}},
            "size {'longest_edge': 64} cannot be expressed: set input.shape and input.resize",
        ),
    ],
)
def test_sizes_that_no_key_expresses_are_guesses(stated: dict[str, Any], remark: str, tmp_path: Path) -> None:
    folder, images = tmp_path / "model", write_classes(tmp_path / "images")
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_text(json.dumps(stated))
    save_file({"fc.weight": torch.ones(2, 4)}, folder / "model.safetensors")
    model = draft_model(folder, checkpoint.load(folder / "model.safetensors"), recognise(images), tmp_path)
    assert model.size_remark == remark
    assert all(
        model.input[key].guessed and remark in model.input[key].reason for key in ("resize",) if key in model.input
    )


def test_columns_of_numbers_next_to_texts_for_a_network_of_numbers(tmp_path: Path) -> None:
    rows = [f"a name of passenger {n},{n},{n % 7},{n % 2}" for n in range(40)]
    (tmp_path / "t.csv").write_text("Name,Age,Fare,label\n" + "\n".join(rows) + "\n")
    model = write_perceptron(tmp_path / "model.safetensors", 2, 2)
    manifest, _, _ = draft(model, tmp_path / "t.csv", tmp_path / "data.yaml")
    assert manifest["input"]["shape"] == [2] and manifest["data"]["train"]["table"]["ignore"] == ["Name"]
    fill_in(tmp_path / "data.yaml", "fraction: {share: 0.1}")
    run_dry(model, tmp_path / "data.yaml", tmp_path / "o")


def write_embedded_images(path: Path) -> Path:
    """Write a parquet file with images of two classes, as Hugging Face's datasets do."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t(image STRUCT(bytes BLOB, path VARCHAR), label BIGINT)")
    for number in range(10):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), (9 * number, 9, 9)).save(file, "PNG")
        row = [file.getvalue(), f"{number}.png", number % 2]
        connection.execute("INSERT INTO t VALUES ({'bytes': ?, 'path': ?}, ?)", row)
    connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path


def make_small_network() -> dict[str, Any]:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    return squeezenet1_1(num_classes=2).state_dict()


def test_images_inside_a_table(tmp_path: Path) -> None:
    save_file(make_small_network(), tmp_path / "model.safetensors")
    data, out = write_embedded_images(tmp_path / "t.parquet"), tmp_path / "data.yaml"
    manifest, _, _ = draft(tmp_path / "model.safetensors", data, out)
    assert manifest["data"]["train"] == {
        "table": {"path": "t.parquet", "label": "label", "image": "image"}, "rows": {"not_every": 5}
    }  # fmt: skip
    fill_in(out, "classes: ['1']")
    run_dry(tmp_path / "model.safetensors", out, tmp_path / "o")


def test_a_checkpoint_of_lightning_with_averages_and_other_tensors(tmp_path: Path) -> None:
    state = {f"model.{name}": tensor for name, tensor in make_small_network().items()}
    content = {"state_dict": {**state, "criterion.weight": torch.ones(2)}, "state_dict_ema": state, "epoch": 1}
    torch.save(content, tmp_path / "last.ckpt")
    data, out = write_classes(tmp_path / "images"), tmp_path / "data.yaml"
    _, _, message = draft(tmp_path / "last.ckpt", data, out, code=2)
    assert "contains 2 sets of weights; choose one with --key state_dict or --key state_dict_ema or --ema" in message
    manifest, _, _ = draft(tmp_path / "last.ckpt", data, out, "--key", "state_dict")
    assert manifest["model"] == {"architecture": "torchvision/squeezenet1_1"}
    names = load_file(tmp_path / "last.safetensors")
    assert "classifier.1.weight" in names and "criterion.weight" not in names


def test_as_many_labels_as_the_network_has_outputs(tmp_path: Path) -> None:
    model, out = write_perceptron(tmp_path / "model.safetensors", 3, 3), tmp_path / "data.yaml"
    rows = [",".join(map(str, (n * 0.5, n % 2, n % 7, *marks))) for n, marks in enumerate(MARKS)]
    (tmp_path / "t.csv").write_text("p,flag,q,beach,sea,sun\n" + "\n".join(rows) + "\n")
    manifest, document, text = draft(model, tmp_path / "t.csv", out)
    assert manifest["task"] == "multilabel" and manifest["classes"] == ["beach", "sea", "sun"]
    assert "label" in document["guessed"] and "the last 3 columns of 0 and 1" in text
    fill_in(out, "classes: [sea]")
    run_dry(model, out, tmp_path / "o")


TEXT_NETWORK = """\
from torch import nn


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(50, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.words(x.long()).mean(1))
"""


def test_a_network_for_texts_without_a_tokenizer_gets_a_draft_to_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_words.py").write_text(TEXT_NETWORK, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    save_file({"words.weight": torch.zeros(50, 8), "head.weight": torch.zeros(2, 8), "head.bias": torch.zeros(2)},
              tmp_path / "m.safetensors")  # fmt: skip
    texts = ("the very bad plot", "a good film")
    rows = [f"{number},{texts[number % 2]} {number},{number % 2}" for number in range(60)]
    (tmp_path / "reviews.csv").write_text("id,review,label\n" + "\n".join(rows) + "\n")
    out = tmp_path / "data.yaml"
    words = ("--architecture", "own_words:Words", "--allow-code", "--out", out, "--device", "cpu")
    result = invoke("init", tmp_path / "m.safetensors", tmp_path / "reviews.csv", *words)
    assert result.exit_code == 0 and "nothing states how the texts become numbers" in result.stderr
    table = yaml.safe_load(out.read_text())["data"]["train"]["table"]
    assert (table["text"], table["label"]) == (["review"], "label")
