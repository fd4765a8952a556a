"""`init` on what people bring: networks of torchvision, timm, transformers and Lightning, and data in four forms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.ecosystem.networks import BLOCKS, IMAGES, TIMM
from tests.tiny import invoke

pytest.importorskip("timm")  # the file takes minutes, so it runs only with the extras
LABELS = ("cat", "dog", "owl")


def write_folders(folder: Path) -> Path:
    for part in ("train", "test"):
        for number, label in enumerate(LABELS):
            (folder / part / label).mkdir(parents=True)
            for image in range(4):
                pixels = np.random.default_rng(10 * number + image).integers(0, 256, (40, 36, 3), np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{part}{image}.png")
    return folder


def write_table_of_images(folder: Path) -> Path:
    paths = sorted(write_folders(folder).rglob("*.png"))
    rows = [f"{path.relative_to(folder)},{path.parent.name},{path.parent.parent.name}" for path in paths]
    (folder / "images.csv").write_text("file,label,split\n" + "\n".join(rows) + "\n")
    return folder / "images.csv"


def write_arrays(folder: Path) -> Path:
    folder.mkdir()
    arrays = {}
    for number, part in enumerate(("train", "test")):
        arrays[f"{part}_images"] = np.random.default_rng(number).integers(0, 256, (12, 32, 32, 3), np.uint8)
        arrays[f"{part}_labels"] = np.arange(12) % 3
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def write_columns(folder: Path) -> Path:
    """Write a parquet file of numbers."""
    import duckdb

    folder.mkdir()
    rows = ", ".join(f"({n % 7}.5, {n % 5}, {n % 3})" for n in range(30))
    target = folder / "columns.parquet"
    duckdb.sql(f"COPY (SELECT * FROM (VALUES {rows}) AS t(a, b, label)) TO '{target}' (FORMAT parquet)")
    return target


def write_texts(folder: Path) -> Path:
    import duckdb

    folder.mkdir()
    rows = ", ".join(f"('a very good film number {n}', {n % 3})" for n in range(30))
    target = folder / "texts.parquet"
    duckdb.sql(f"COPY (SELECT * FROM (VALUES {rows}) AS t(text, label)) TO '{target}' (FORMAT parquet)")
    return target


def make_torchvision(name: str, **arguments: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from torchvision.models import get_model

        network = get_model(name, weights=None, num_classes=3, **arguments)
        return write_weights(folder, network)

    return write


def write_weights(folder: Path, network: nn.Module) -> Path:
    folder.mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    return folder / "model.safetensors"


def make_timm(name: str) -> Callable[[Path], Path]:
    """Write a folder as `timm.models.push_to_hf_hub` does."""

    def write(folder: Path) -> Path:
        timm = pytest.importorskip("timm")
        side, _ = TIMM.get(name, (32, {}))
        network = timm.create_model(name, num_classes=3)
        path = write_weights(folder, network)
        stated = {"input_size": [3, side, side], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9,
                  "interpolation": "bicubic"}  # fmt: skip
        config = {"architecture": name, "num_classes": 3, "pretrained_cfg": stated, "label_names": list(LABELS)}
        (folder / "config.json").write_text(json.dumps(config))
        return path

    return write


def make_transformers(model_type: str) -> Callable[[Path], Path]:
    """Write a folder with `save_pretrained`."""

    def write(folder: Path) -> Path:
        transformers = pytest.importorskip("transformers")
        names = dict(enumerate(LABELS))
        config = transformers.CONFIG_MAPPING[model_type](**IMAGES[model_type], id2label=names, architectures=[])
        transformers.AutoModelForImageClassification.from_config(config).save_pretrained(folder)
        size = IMAGES[model_type].get("image_size", 32)
        numbers = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        processor = {"size": {"height": size, "width": size}, "resample": 3, **numbers}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return folder

    return write


def write_bert(folder: Path) -> Path:
    """Write a tiny BERT with `save_pretrained`, and its tokenizer."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("tokenizers")
    from tests.ecosystem.test_tokenizers import save_tokenizer

    values = {**BLOCKS, "vocab_size": 50, "max_position_embeddings": 40, "num_labels": 3, "architectures": []}
    config = transformers.BertConfig(**values)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return save_tokenizer(folder)


def write_lightning(folder: Path) -> Path:
    """Write a checkpoint of Lightning: the network below `model.`, and hyper-parameters next to it."""
    from torchvision.models import squeezenet1_1

    folder.mkdir()
    state = {f"model.{name}": tensor for name, tensor in squeezenet1_1(num_classes=3).state_dict().items()}
    content = {"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 0.1}, "pytorch-lightning_version": "2.4.0"}
    torch.save(content, folder / "last.ckpt")
    return folder / "last.ckpt"


def write_perceptron(folder: Path) -> Path:
    from unlearn_cli.models.mlp import mlp

    return write_weights(folder, mlp(3, (2,), hidden=[8]))


COMBINATIONS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Path]]] = {
    "torchvision resnet, folders": (make_torchvision("resnet18"), write_folders),
    "torchvision vit, folders": (
        make_torchvision("vit_b_32", image_size=64), write_folders
    ),
    "torchvision efficientnet, table": (make_torchvision("efficientnet_b0"), write_table_of_images),
    "torchvision convnext, arrays": (make_torchvision("convnext_tiny"), write_arrays),
    "timm resnet, folders": (make_timm("resnet10t"), write_folders),
    "timm vit, arrays": (make_timm("test_vit"), write_arrays),
    "timm mobilenet, table": (make_timm("mobilenetv3_small_050"), write_table_of_images),
    "transformers vit, folders": (make_transformers("vit"), write_folders),
    "transformers deit, table": (make_transformers("deit"), write_table_of_images),
    "transformers resnet, arrays": (make_transformers("resnet"), write_arrays),
    "transformers bert, texts": (write_bert, write_texts),
    "Lightning, folders": (write_lightning, write_folders),
    "bundled, columns": (write_perceptron, write_columns),
}  # fmt: skip
END_TO_END = ("torchvision resnet, folders", "timm resnet, folders", "transformers vit, folders", "bundled, columns")


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_manifest_needs_only_the_section_forget(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_model, write_data = COMBINATIONS[name]
    model, data, out = write_model(tmp_path / "model"), write_data(tmp_path / "data"), tmp_path / "data.yaml"
    result = invoke("init", model, data, "--out", out, "--device", "cpu", "--yes", "--json")
    assert result.exit_code == 0, result.stderr
    assert "cannot be used yet" not in result.stderr
    out.write_text(out.read_text().replace("# forget:\n", "forget:\n") + "  fraction: {share: 0.2}\n")
    weights = json.loads(result.stdout)["checkpoint"]
    words = ("-m", out, "--device", "cpu", "--method", "finetune", "--set", "steps=1", "--batch-size", "4", "--force")
    planned = invoke("unlearn", weights, *words, "-o", tmp_path / "out", "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    if name in END_TO_END:
        done = invoke("unlearn", weights, *words, "-o", tmp_path / "out")
        assert done.exit_code == 0, done.stderr
        measured = invoke("evaluate", tmp_path / "out", "-m", out, "--original", weights, "--device", "cpu", "--force")
        assert measured.exit_code == 0, measured.stderr
