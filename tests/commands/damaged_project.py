"""One tiny valid project, and functions that damage it. Arrays of four numbers and images of 4x4 pixels, in three
classes; a perceptron made without torch.
"""

import builtins
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from safetensors.numpy import load_file, save_file

UNLEARN = "unlearn model.safetensors --manifest manifest.yaml --method finetune --out out"
EVALUATE = "evaluate model.safetensors --manifest manifest.yaml --force"
TABLE = EVALUATE.replace("manifest.yaml", "table.yaml")
TRAIN_IMAGES = "train --manifest images.yaml --out out --set epochs=1"
REGRESSION = "train --manifest regression.yaml --out out --set epochs=1"

Damage = Callable[[Path], Any]


MANIFEST: dict[str, Any] = {
    "version": 1,
    "task": "classification",
    "model": {"architecture": "mlp", "arguments": {"hidden": [8]}},
    "input": {"shape": [4]},
    "classes": ["cat", "dog", "owl"],
    "data": {"train": {"npz": "train.npz"}, "test": {"npz": "test.npz"}},
    "forget": {"classes": ["dog"]},
}


def write_project(folder: Path) -> None:
    """Write manifests, data in every format and a checkpoint."""
    random = np.random.default_rng(0)
    for name, n in (("train", 30), ("test", 15)):
        save_arrays(folder / f"{name}.npz", arrays(n, random))
    save_file(arrays(30, random) | {"name": np.zeros(30)}, folder / "train.safetensors")
    write_table(folder / "train.csv", 30, random)
    for label in ("cat", "dog", "owl"):
        (folder / "images" / label).mkdir(parents=True)
        for i in range(4):
            image(random.integers(0, 256, (4, 4), np.uint8)).save(folder / "images" / label / f"{i}.png")
    (folder / "images.csv").write_text("file,label\nimages/cat/0.png,cat\nimages/dog/0.png,dog\nimages/owl/0.png,owl\n")
    (folder / "images.idx").write_bytes(idx(np.zeros((6, 4, 4), np.uint8)))
    (folder / "labels.idx").write_bytes(idx(np.arange(6, dtype=np.uint8) % 3))
    save_file(perceptron(), folder / "model.safetensors")
    for name, manifest in manifests().items():
        write_manifest(folder / name, manifest)


def arrays(n: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    labels = np.arange(n) % 3
    return {
        "x": random.normal(size=(n, 4)).astype(np.float32), "y": labels, "age": np.arange(n) * 1.0,
        "name": np.array([f"person {i}" for i in range(n)]), "twice": np.arange(n) // 2,
    }  # fmt: skip


def save_arrays(path: Path, named: dict[str, Any]) -> None:
    np.savez(path, **named)


def write_table(path: Path, n: int, random: np.random.Generator) -> None:
    rows = [
        ["id", "a", "b", "c", "d", "age", "note", "label"],
        *([f"r{i}", *random.normal(size=4).round(3), i, f"note {i}", ("cat", "dog", "owl")[i % 3]] for i in range(n)),
    ]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


def image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def perceptron() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    shapes = {"layers.0.weight": (8, 4), "layers.0.bias": (8,), "head.weight": (3, 8), "head.bias": (3,)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def manifests() -> dict[str, dict[str, Any]]:
    """Return the manifests by file name."""
    features = {"path": "train.csv", "label": "label", "id": "id", "features": ["a", "b", "c", "d"]}
    one_number = {"npz": {"path": "train.npz", "labels": "age"}}
    pictures = {"input": {"shape": [1, 4, 4]}, "data": {"train": {"imagefolder": "images"}}}
    return {
        "manifest.yaml": MANIFEST,
        "table.yaml": MANIFEST | {"data": {"train": {"table": features}}},
        "images.yaml": MANIFEST | pictures,
        "regression.yaml": {
            "version": 1, "task": "regression", "model": MANIFEST["model"], "input": {"shape": [4]},
            "data": {"train": one_number}, "forget": {"where": [{"column": "age", "op": "<", "value": 5}]},
        },
        "zero.yaml": {key: MANIFEST[key] for key in ("version", "task", "model", "input", "classes", "forget")},
    }  # fmt: skip


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))


# Ways to damage it.


def field(place: str, value: Any, file: str = "manifest.yaml") -> Damage:
    """Set one field of a manifest, 'input.std' for example; None removes it."""

    def damage(folder: Path) -> None:
        manifest = yaml.safe_load((folder / file).read_text())
        *parents, last = place.split(".")
        section = manifest
        for key in parents:
            section = section.setdefault(key, {})
        section[last] = value
        if value is None:
            del section[last]
        write_manifest(folder / file, manifest)

    return damage


def both(*damages: Damage) -> Damage:
    return lambda folder: [damage(folder) for damage in damages]


def text(content: str | bytes, file: str = "manifest.yaml") -> Damage:
    return lambda folder: (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)


def added(content: str, file: str = "manifest.yaml") -> Damage:
    return lambda folder: text((folder / file).read_text() + content, file)(folder)


def removed(file: str) -> Damage:
    return lambda folder: (folder / file).unlink()


def cut(file: str, size: int) -> Damage:
    """Keep only the first bytes of a file; a negative size cuts off the end."""
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:size])


def array(file: str = "train.npz", **changes: np.ndarray) -> Damage:
    """Replace arrays of an npz file."""

    def damage(folder: Path) -> None:
        with np.load(folder / file) as found:
            changed = dict(found) | changes
        save_arrays(folder / file, changed)

    return damage


def value(name: str, row: int, number: float) -> Damage:
    """Replace one value in an array of train.npz, which becomes one of floats unless the value is whole."""

    def damage(folder: Path) -> None:
        with np.load(folder / "train.npz") as found:
            changed = found[name].copy() if isinstance(number, int) else found[name].astype(np.float64)
        changed[row] = number
        array(**{name: changed})(folder)

    return damage


def flipped(file: str, place: int) -> Damage:
    """Change one byte of a file."""

    def damage(folder: Path) -> None:
        data = bytearray((folder / file).read_bytes())
        data[place] ^= 0xFF
        (folder / file).write_bytes(data)

    return damage


def compressed_and_corrupt(folder: Path) -> None:
    np.savez_compressed(folder / "train.npz", x=np.ones((300, 40)), y=np.zeros(300, np.int64))
    with zipfile.ZipFile(folder / "train.npz") as file:
        start = file.infolist()[0].header_offset + 60
    for place in range(start, start + 40):
        flipped("train.npz", place)(folder)


def source(**spec: Any) -> Damage:
    return both(field("data.train", spec), field("data.test", None))


def weights(**changes: np.ndarray | None) -> Damage:
    """Replace tensors of the checkpoint ('__' stands for a dot); None removes one."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        for name, tensor in changes.items():
            tensors.pop(name.replace("__", "."), None)
            if tensor is not None:
                tensors[name.replace("__", ".")] = tensor
        save_file(tensors, folder / "model.safetensors")

    return damage


def header(content: str, data: bytes = b"") -> Damage:
    """Replace the checkpoint by a file with this safetensors header."""
    padded = content.encode().ljust(-(-len(content) // 8) * 8)
    return text(struct.pack("<Q", len(padded)) + padded + data, "model.safetensors")


def index(weight_map: Any, **files_of_tensors: list[str]) -> Damage:
    """Make a sharded checkpoint below `sharded/`."""

    def damage(folder: Path) -> None:
        (folder / "sharded").mkdir()
        tensors = perceptron()
        for name, names in files_of_tensors.items():
            save_file({key: tensors[key] for key in names}, folder / "sharded" / f"{name}.safetensors")
        content = weight_map if isinstance(weight_map, str) else json.dumps({"weight_map": weight_map})
        (folder / "sharded" / "model.safetensors.index.json").write_text(content)

    return damage


def big_png(side: int) -> Damage:
    """Make a small file that unpacks to a huge image: one bit a pixel, all black."""
    return lambda folder: Image.new("1", (side, side)).save(folder / "images" / "dog" / "0.png")


def noise_file(classes: list[int], shape: tuple[int, ...] = (4,), kind: str = "maximize") -> Damage:
    def damage(folder: Path) -> None:
        facts = {"classes": json.dumps(classes), "kind": kind, "curve": "[]"}
        save_file({"samples": np.zeros((len(classes), 2, *shape), np.float32)}, folder / "noise.safetensors", facts)

    return damage


def pth(content: Callable[[], Any]) -> Damage:
    """Write what `content` returns with torch.save."""

    def damage(folder: Path) -> None:
        import torch

        torch.save(content(), folder / "model.pth")

    return damage


def good_state_dict() -> dict[str, Any]:
    import torch

    return {"weight": torch.zeros(2)}


class Malicious:
    """Creates a file when it is unpickled by somebody who lets it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, ("HACKED", "w")


def sparse() -> dict[str, Any]:
    import torch

    return {"weight": torch.zeros(2, 2).to_sparse()}


def numbered() -> dict[Any, Any]:
    import torch

    return {1: torch.zeros(2)}


def own_network(folder: Path) -> None:
    """A manifest of code that makes a network with the wrong number of outputs."""
    (folder / "own_network.py").write_text("from torch import nn\ndef net(): return nn.Linear(4, 7)\n")
    field("model", {"architecture": "own_network:net"})(folder)


def folder_of(name: str) -> Damage:
    return lambda folder: (folder / name).mkdir()


ALIASES = "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 25))
BOMB = f"a0: &a0 [1, 1]\n{ALIASES}"
BILLION = "a: &a [1, 1]\nb: [" + "*a, " * 60 + "]\n"
