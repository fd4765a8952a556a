"""Bad input of every kind: one line that names the file and says what to do, the right exit code, nothing written.

Each case damages a copy of one tiny valid project, then runs a real command line in it. What needs torch to be noticed
is marked; all other cases run a second time in a process of their own, in which torch must never be imported.
"""

import builtins
import errno
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner, Result

from tests.tiny import ROOT
from unlearn_cli.cli.app import app

UNLEARN = "unlearn model.safetensors --manifest manifest.yaml --method finetune --out out"
EVALUATE = "evaluate model.safetensors --manifest manifest.yaml --force"
TABLE = EVALUATE.replace("manifest.yaml", "table.yaml")
TRAIN_IMAGES = "train --manifest images.yaml --out out --set epochs=1"
REGRESSION = "train --manifest regression.yaml --out out --set epochs=1"

Damage = Callable[[Path], Any]


# The valid project. Arrays of four numbers and images of 4x4 pixels, in three classes; a perceptron made without torch.


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


@dataclass(frozen=True)
class Case:
    """What is done to the project, the command line, and what the message must contain."""

    name: str
    says: tuple[str, ...]
    damage: Damage = lambda folder: None
    command: str = UNLEARN
    code: int = 2
    torch: bool = False


def case(name: str, damage: Damage, *says: str, command: str = UNLEARN) -> Case:
    """A case that is noticed without torch."""
    return Case(name, says, damage, command)


def late(name: str, damage: Damage, *says: str, command: str = UNLEARN, code: int = 2) -> Case:
    """A case that only torch notices."""
    return Case(name, says, damage, command, code, torch=True)


def asked(name: str, command: str, *says: str) -> Case:
    """A case in which the command line is wrong, not the project."""
    return Case(name, says, command=command)


M = "manifest.yaml"

MANIFEST_CASES = [
    case("manifest missing", removed(M), M, "no such file"),
    case("manifest is a folder", both(removed(M), folder_of(M)), M, "is a folder; expected a regular file"),
    case("manifest empty", text(""), M, "version: 1"),
    case("manifest is a list", text("- version: 1\n"), M, "mapping"),
    case("manifest not UTF-8", text(b"version: 1\ntask: \xff\xfe\n"), M, "UTF-8"),
    case("manifest of control characters", text("version: \0\1"), M, "not valid YAML"),
    case("manifest is the checkpoint", lambda f: shutil.copy(f / "model.safetensors", f / M), M),
    case("manifest too large", text("#" * (2**20 + 1)), M, "at most"),
    case("yaml broken", text("version: [1\n"), f"{M}:2:1", "not valid YAML"),
    case("yaml of two documents", added("---\nversion: 1\n"), M, "not valid YAML"),
    case("yaml key twice", added("task: classification\n"), M, "'task' is there twice"),
    case("yaml tag that runs code", added("a: !!python/object/apply:os.system ['touch HACKED']\n"), M, "tag"),
    case("yaml tag of our own", added("a: !secret x\n"), M, "tag !secret"),
    case("yaml tag on no number", added("a: !!int many\n"), M, "tag"),
    case("yaml number with 5000 digits", added(f"a: {'9' * 5000}\n"), M, "digits"),
    case("yaml too deep", text("a: " + "[" * 3000), M, "levels"),
    case("yaml with too many aliases", text(BILLION), M, "aliases"),
    case("yaml alias bomb", text(BOMB), M, "values"),
    case("yaml alias to itself", text("a: &a [*a]\n"), M, "levels"),
    case("version missing", field("version", None), f"{M}:1:1: version: is missing"),
    case("version 2", field("version", 2), f"{M}:1:1: version: expected 1"),
    case("task unknown", field("task", "clustering"), f"{M}:2:1: task: expected", "'regression'"),
    case("several mistakes at once", both(field("version", 2), field("task", "x")), "version: expected", "; ", "task:"),
    case("unknown key at the top", field("clases", ["a"]), M, "clases: unknown key; did you mean 'classes'?"),
    case("unknown key inside", field("input.shap", [4]), M, "input.shap: unknown key; did you mean 'shape'?"),
    case("unknown key in a source", field("data.train.npz", {"path": "train.npz", "label": "y"}), M,
         "data.train.npz.label: unknown key; did you mean 'labels'?"),
    case("unknown key in a condition", field("forget", {"where": [{"col": "age", "op": "<", "value": 1}]}), M,
         "forget.where.0.col: unknown key; did you mean 'column'?"),
    case("architecture unknown", field("model.architecture", "alcnn"), M, "did you mean 'allcnn'?"),
    case("architecture of another library", field("model.architecture", "timm/vit"), M, "torchvision/<name>"),
    case("architecture with a path", field("model.architecture", "torchvision/../x"), M, "torchvision/<name>"),
    case("architecture is code without a module", field("model.architecture", ":net"), M, "package.module:function"),
    case("architecture is relative code", field("model.architecture", "..a:net"), M, "package.module:function"),
    case("architecture is code not allowed", field("model.architecture", "mine:net"), M, "--allow-code"),
    case("weights would be downloaded", field("model.arguments", {"weights": "DEFAULT"}), M, "download"),
    case("number of classes is a word", field("model.arguments", {"num_classes": "ten"}), M, "num_classes"),
    case("number of classes is 0", both(field("model.arguments.num_classes", 0), field("classes", None)), M,
         "num_classes"),
    case("number of classes is another", field("model.arguments.num_classes", 7), M, "num_classes is 7", "3 classes"),
    case("stem on no resnet", field("model.stem", "cifar"), M, "leave 'stem' out"),
    case("shape empty", field("input.shape", []), M, "input.shape"),
    case("shape of zero", field("input.shape", [0]), M, "input.shape"),
    case("shape is not that of the data", field("input.shape", [5]), M, "train.npz", "shape [4]", "[5]"),
    case("mean of another length", field("input.mean", [0.1, 0.2]), M, "mean has 2 numbers"),
    case("mean infinite", text("version: 1\ninput: {shape: [4], mean: .inf}\n"), M, "input.mean", "finite"),
    case("std 0", field("input.std", 0), M, "input.std", "greater than 0"),
    case("scale negative", field("input.scale", -255), M, "input.scale", "greater than 0"),
    case("resize smaller than the shape", field("input.resize", 2, "images.yaml"), "images.yaml", "input", "resize",
         command=TRAIN_IMAGES),
    case("augmentation of a table", field("data.augment", ["horizontal_flip"]), M, "augment", "images"),
    case("crop larger than the image", field("data.augment", [{"random_crop": 9}], "images.yaml"), "images.yaml",
         "random_crop", command=TRAIN_IMAGES),
    case("classes empty", field("classes", []), M, "classes"),
    case("class listed twice", field("classes", ["cat", "dog", "dog"]), M, "'classes' lists", "twice"),
    case("class listed as text and number", field("classes", ["cat", 1, "1"]), M, "'classes' lists", "twice"),
    case("classes of a regression", field("classes", ["a"], "regression.yaml"), "regression.yaml", "no classes",
         command=REGRESSION),
    case("no format in a source", field("data.train", {"rows": {"every": 2}}), M, "data.train", "names 0 formats"),
    case("two formats in a source", field("data.train.idx", {"images": "a", "labels": "b"}), M, "names 2 formats"),
    case("format unknown", field("data.train", {"nzp": "train.npz"}), M, "did you mean 'npz'?"),
    case("rows in two ways", field("data.train.rows", {"every": 2, "first": 0.5}), M, "one of every"),
    case("rows every 0", field("data.train.rows", {"every": 0}), M, "data.train.rows.every"),
    case("rows share of 1", field("data.train.rows", {"first": 1.0}), M, "less than 1"),
    case("rows keep nothing", field("data.train.rows", {"first": 0.001}), M, "'rows' keeps none"),
    case("gate without an operator", field("gates", ["test.accuracy"]), M, "gates", "SPLIT.METRIC"),
    case("gate on an unknown split", field("gates", ["tset.accuracy > 0"]), M, "did you mean 'test'?"),
    case("gate on an unknown metric", field("gates", ["test.acuracy > 0"]), M, "did you mean 'accuracy'?"),
    case("gate with nan", field("gates", ["test.accuracy > nan"]), M, "gates", "SPLIT.METRIC"),
    case("gate with infinity", field("gates", ["test.accuracy > 1e999"]), M, "finite"),
    case("gate of another task", field("gates", ["test.r2 > 0"]), M, "not defined for classification"),
]  # fmt: skip

FORGET_CASES = [
    case("forget is missing", field("forget", None), M, "'forget'"),
    case("forget selects nothing", field("forget", {}), M, "selects nothing"),
    case("forget an unknown class", field("forget.classes", ["dgo"]), M, "no class 'dgo'; did you mean 'dog'?"),
    case("forget a class with a negative number", field("forget.classes", [-1]), M, "no class '-1'"),
    case("forget a class beyond the last", field("forget.classes", [3]), M, "no class '3'"),
    case("forget a class twice", field("forget.classes", ["dog", "dog"]), M, "twice"),
    case("forget a class without records", both(field("classes", ["cat", "dog", "owl", "elk"]),
                                                field("forget.classes", ["elk"])), M, "selects none of 30"),
    case("forget all classes", field("forget.classes", [0, 1, 2]), M, "selects all 30"),
    case("forget an unknown id", field("forget", {"ids": [3, 4711]}), M, "'4711'"),
    case("forget an id that two records have", both(field("forget", {"ids": [3]}), source(
        npz={"path": "train.npz", "ids": "twice"})), M, "not unique"),
    case("forget ids of a missing file", field("forget", {"ids_file": {"path": "ids.csv"}}), M, "ids.csv", "no such"),
    case("forget ids of a wrong column", both(text("record\n1\n", "ids.csv"), field(
        "forget", {"ids_file": {"path": "ids.csv"}})), M, "ids.csv", "no column 'id'"),
    case("forget an unknown group", field("forget", {"groups": {"column": "age", "values": [99]}}), M, "age = 99"),
    case("forget groups of an unknown column", field("forget", {"groups": {"column": "agee", "values": [1]}}), M,
         "did you mean 'age'?"),
    case("condition on an unknown column", field("forget", {"where": [{"column": "agee", "op": "<", "value": 1}]}), M,
         "did you mean 'age'?"),
    case("condition compares numbers with text", field(
        "forget", {"where": [{"column": "age", "op": "<", "value": "old"}]}), M, "'age' holds numbers"),
    case("condition compares text with a number", field(
        "forget", {"where": [{"column": "name", "op": "<", "value": 1}]}), M, "'name' holds text"),
    case("condition with an unknown operator", field("forget", {"where": [{"column": "age", "op": "~", "value": 1}]}),
         M, "forget.where.0.op", "'<='"),
    case("condition 'in' without a list", field("forget", {"where": [{"column": "age", "op": "in", "value": 1}]}), M,
         "take a list"),
    case("condition on a table compares numbers with text", field(
        "forget", {"where": [{"column": "age", "op": "<", "value": "old"}]}, "table.yaml"), "train.csv", "old",
        command=TABLE),
    case("condition with an injection", field(
        "forget", {"where": [{"column": 'age" or 1=1 --', "op": "<", "value": 1}]}, "table.yaml"), "train.csv",
        "no column", command=TABLE),
    case("fraction 0", field("forget", {"fraction": {"share": 0}}), M, "share", "greater than 0"),
    case("fraction 1.5", field("forget", {"fraction": {"share": 1.5}}), M, "share", "less than or equal to 1"),
    case("fraction of everything", field("forget", {"fraction": {"share": 1.0}}), M, "selects all 30"),
    case("fraction of no record", field("forget", {"fraction": {"share": 0.001}}), M, "selects none"),
    case("expected fewer", field("forget.expect", {"max": 3}), M, "expect.max: is 3, but 'forget' selects 10 records"),
    case("expected more", field("forget.expect", {"min": 30}), M, "expect.min: is 30"),
    case("expected a smaller share", field("forget.expect", {"max_share": 0.2}), M, "expect.max_share: is 0.2"),
    case("class-only method for part of a class", field("forget", {"ids": [1]}), M, "whole classes", "finetune",
         command=UNLEARN.replace("finetune", "unsir")),
    asked("class-only method for a regression", UNLEARN.replace(M, "regression.yaml").replace("finetune", "unsir"),
          "regression.yaml", "is for classification", "finetune"),
    asked("method that needs data without any", UNLEARN.replace(M, "zero.yaml").replace("finetune", "unsir"),
          "zero.yaml", "unsir needs retain", "no data"),
    asked("training without data", "train --manifest zero.yaml --out out", "zero.yaml", "'data'"),
    asked("evaluating without data", EVALUATE.replace(M, "zero.yaml"), "zero.yaml", "'data'"),
    asked("attacking without data", "attack model.safetensors --manifest zero.yaml", "zero.yaml", "no data"),
    case("retain without forget", field("forget", None), M, "'forget'",
         command="train --manifest manifest.yaml --split retain --out out"),
    case("forgetting every class without data", field("forget", {"classes": MANIFEST["classes"]}, "zero.yaml"),
         "zero.yaml", "nothing would be left", command=UNLEARN.replace(M, "zero.yaml").replace("finetune", "emmn")),
    case("no data and no classes", field("classes", None, "zero.yaml"), "zero.yaml", "list 'classes'",
         command="noise model.safetensors --manifest zero.yaml --out noise.safetensors"),
]  # fmt: skip


def steps(*listed: Any, shape: list[int] | None = None, file: str = M) -> Damage:
    """List transforms, and perhaps another shape after them."""
    shaped = [field("input.shape", shape, file)] if shape else []
    return both(field("data.transform", list(listed), file), *shaped)


def text_table(*columns: str, **more: Any) -> Damage:
    table = {"path": "train.csv", "label": "label", "text": list(columns), **more}
    return field("data.train", {"table": table}, "table.yaml")


WINDOW = {"window": {"length": 7}}
TOKENS = {"tokens": {"length": 5, "buckets": 50}}
T, P, R = "table.yaml", "images.yaml", "regression.yaml"
TRANSFORM_CASES = [
    case("transform unknown", steps({"windw": {"length": 3}}), M, "transform.0.windw", "did you mean 'window'?"),
    case("transform is no list", field("data.transform", {"enlarge": 2}), M, "data.transform", "list"),
    case("two transforms in one", steps({"enlarge": 2, **WINDOW}), M, "transform.0", "exactly one of tokens, window"),
    case("transform of nothing", steps({"window": None}), M, "transform.0", "exactly one"),
    case("transform twice", steps(WINDOW, WINDOW, shape=[7, 4]), M, "window is there twice"),
    case("tokens of numbers", steps(TOKENS, shape=[1, 5]), M, "data.train has no columns of text", "take tokens out"),
    case("text without tokens", text_table("note"), T, "data.train has columns of text; add tokens", command=TABLE),
    case("text beside features", text_table("note", features=["a"]), T, "columns of text, or features", command=TABLE),
    case("tokens beside another transform", steps(TOKENS, WINDOW), M, "tokens stands alone"),
    case("tokens of another length", steps(TOKENS, shape=[1, 6]), M, "[columns of text, 5]", "[1, 6]"),
    case("tokens of another number of columns", both(text_table("note"), steps(TOKENS, shape=[2, 5], file=T)), T,
         "train.csv", "1 columns of text", "asks for 2", command=TABLE),
    case("tokens scaled like quantities", both(text_table("note"), steps(TOKENS, shape=[1, 5], file=T),
                                               field("input.std", 2, T)), T, "input.std", command=TABLE),
    case("tokens of an unknown column", both(text_table("nte"), steps(TOKENS, shape=[1, 5], file=T)), T, "train.csv",
         "did you mean 'note'?", command=TABLE),
    case("tokens in one bucket", steps({"tokens": {"length": 5, "buckets": 1}}), M, "transform.0.tokens.buckets"),
    case("window of no rows", steps({"window": {"length": 0}}), M, "transform.0.window.length"),
    case("window of another shape", steps(WINDOW), M, "window makes samples of [7, features]", "input.shape is [4]"),
    case("window over other features", steps(WINDOW, shape=[7, 5]), M, "train.npz", "have shape [4]", "expect [5]"),
    case("window longer than the data", steps({"window": {"length": 31}}, shape=[31, 4]), M, "30 rows are too few",
         "31 rows"),
    case("label as a feature", field("data.train", {"table": {
        "path": "train.csv", "label": "age", "features": ["a", "age"]}}, T), T, "label 'age' as a feature", "ahead: 1",
        command=TABLE),
    case("standardise images", steps({"standardise": {}}, file=P), P, "input.mean", command=TRAIN_IMAGES),
    case("standardise by too few numbers", steps({"standardise": {"mean": [0.0], "std": [1.0]}}), M, "has 1 numbers",
         "4 features"),
    case("standardise by no numbers", steps({"standardise": {"mean": [], "std": []}}), M, "standardise.mean"),
    case("standardise without std", steps({"standardise": {"mean": [0.0] * 4}}), M, "mean and std together"),
    case("standardise by a negative std", steps({"standardise": {"mean": [0.0] * 4, "std": [-1.0] * 4}}), M,
         "transform.0.standardise.std"),
    case("enlarge a table", steps({"enlarge": 2}), M, "enlarge makes images", "input.shape is [4]"),
    case("enlarge to no multiple", steps({"enlarge": 3}, file=P), P, "divisible by 3", command=TRAIN_IMAGES),
    case("enlarge by 1", steps({"enlarge": 1}, file=P), P, "transform.0.enlarge", command=TRAIN_IMAGES),
    case("empty cell that nothing fills", both(added("r30,,1,2,3,4,n,cat\n", "train.csv"), steps(
        {"standardise": {}}, file=T)), T, "'a' is empty in row 30", command=TABLE),
    case("infinite value beside gaps", both(value("x", 2, float("inf")), steps({"standardise": {"missing": "mean"}})),
         M, "train.npz", "first in row 2"),
    case("no row has a label", both(text("a,y\n1,\n2,\n", "none.csv"), field("input.shape", [1], R), field(
        "data.train", {"table": {"path": "none.csv", "label": "y", "unlabelled": "drop"}}, R)), R, "data.train",
        "no records", command=REGRESSION),
    case("what is missing in a parquet file", field("data.train", {"table": {
        "path": "train.parquet", "label": "y", "missing": ["NA"]}}, T), T, "'missing' is for csv", command=TABLE),
    case("rows where a column is unknown", field("data.train.rows", {"where": [{
        "column": "agee", "op": "<", "value": 3}]}), M, "did you mean 'age'?"),
    case("rows where nothing holds", field("data.train.rows", {"where": [{
        "column": "age", "op": "not in", "value": list(range(30))}]}), M, "'rows' keeps none"),
    case("rows where not in one value", field("data.train.rows", {"where": [{
        "column": "age", "op": "not in", "value": 3}]}), M, "take a list"),
    case("rows where without conditions", field("data.train.rows", {"where": []}), M, "data.train.rows.where"),
]  # fmt: skip

DATA_CASES = [
    case("npz missing", removed("train.npz"), M, "data.train", "train.npz", "no such file"),
    case("npz truncated", cut("train.npz", -100), M, "train.npz", "npz"),
    case("npz empty", text("", "train.npz"), M, "train.npz", "npz"),
    case("npz corrupt", compressed_and_corrupt, M, "train.npz", "npz"),
    case("npz without the array", field("data.train", {"npz": {"path": "train.npz", "inputs": "X"}}), M, "train.npz",
         "no array 'X'"),
    case("npz with ids of another length", both(array(few=np.zeros(3)), field("data.train", {
        "npz": {"path": "train.npz", "ids": "few"}})), M, "train.npz", "ids 'few' have shape [3]"),
    case("npz of pickled objects", array(x=np.array([{}] * 30, dtype=object)), M, "train.npz", "plain arrays"),
    case("npz of one array", lambda f: np.save(f / "train.npy", np.zeros(3)) or os.replace(
        f / "train.npy", f / "train.npz"), M, "train.npz", "one array"),
    case("npz of a scalar", array(x=np.array(1.0)), M, "train.npz", "samples"),
    case("npz of text", array(x=np.full((30, 4), "a")), M, "train.npz", "expected numbers"),
    case("npz without records", array(x=np.zeros((0, 4)), y=np.zeros(0, np.int64)), M, "data.train", "no records"),
    case("safetensors missing", source(safetensors="x.safetensors"), M, "x.safetensors", "no such file"),
    case("safetensors of data truncated", both(source(safetensors="train.safetensors"), cut("train.safetensors", 300)),
         M, "train.safetensors", "no intact safetensors file"),
    case("imagefolder missing", source(imagefolder="pictures"), M, "pictures", "no such folder"),
    case("imagefolder empty", both(source(imagefolder="empty"), field("input.shape", [1, 4, 4]), folder_of("empty")), M,
         "empty", "no images"),
    case("imagefolder for another shape", source(imagefolder="images"), M, "[1 or 3, height, width]"),
    case("table missing", removed("train.csv"), "table.yaml", "train.csv", "no such file", command=TABLE),
    case("table of an unknown kind", source(table={"path": "train.xlsx", "label": "y"}), M, "train.xlsx", ".parquet"),
    case("table is no parquet", both(text("a,b\n", "train.parquet"), source(
        table={"path": "train.parquet", "label": "y"})), M, "train.parquet"),
    case("table is no jsonl", both(text("{a: 1\n", "train.jsonl"), source(
        table={"path": "train.jsonl", "label": "y"})), M, "train.jsonl"),
    case("table is no csv", text(b"\x00\xff\xfe,,\n\"", "train.csv"), "table.yaml", "train.csv", command=TABLE),
    case("table without the label", field("data.train.table.label", "lable", "table.yaml"), "train.csv",
         "did you mean 'label'?", command=TABLE),
    case("table without rows", text("id,a,b,c,d,age,note,label\n", "train.csv"), "train.csv", "no records",
         command=TABLE),
    case("table without features", both(text("id,label\n1,cat\n", "train.csv"), field(
        "data.train.table.features", None, "table.yaml")), "train.csv", "features", command=TABLE),
    case("table with an empty label", added("r99,1,2,3,4,5,note,\n", "train.csv"), "train.csv",
         "'label' is empty in row 30", command=TABLE),
    case("table with an empty feature", added("r99,1,,3,4,5,note,cat\n", "train.csv"), "train.csv",
         "'b' is empty in row 30", command=TABLE),
    case("table with text as feature", field("data.train.table.features", ["a", "b", "c", "note"], "table.yaml"),
         "train.csv", "'note' holds text", command=TABLE),
    case("table with a huge number", added("r99,1e300,2,3,4,5,note,cat\n", "train.csv"), "train.csv", "row 30",
         command=TABLE),
    case("table with images and features", field("data.train.table.image", "note", "table.yaml"), "table.yaml",
         "not both", command=TABLE),
    case("image missing that a csv lists", both(removed("images/dog/0.png"), source(
        table={"path": "images.csv", "label": "label", "image": "file"}), field("input.shape", [1, 4, 4])), M,
        "images.csv", "images/dog/0.png"),
    case("image path that leaves its folder", both(text("file,label\n../../etc/x.png,cat\n", "images.csv"), source(
        table={"path": "images.csv", "label": "label", "image": "file"}), field("input.shape", [1, 4, 4])), M,
        "images.csv", "outside"),
    case("idx missing", source(idx={"images": "images.idx", "labels": "x.idx"}), M, "x.idx", "no such file"),
    case("idx truncated", both(source(idx={"images": "images.idx", "labels": "labels.idx"}), cut("images.idx", -1)), M,
         "images.idx", "truncated"),
    case("idx with a truncated header", both(source(idx={"images": "images.idx", "labels": "labels.idx"}),
                                             cut("images.idx", 6)), M, "images.idx", "truncated"),
    case("idx with a truncated gzip", both(source(idx={"images": "images.idx", "labels": "labels.idx"}),
                                           text(b"\x1f\x8b\x08\x00", "images.idx")), M, "images.idx", "unpacked"),
    case("idx of no dimension", both(source(idx={"images": "images.idx", "labels": "labels.idx"}),
                                     text(b"\0\0\x08\0\1", "labels.idx")), M, "labels.idx"),
    case("idx that is something else", both(source(idx={"images": "train.csv", "labels": "labels.idx"})), M,
         "train.csv", "idx"),
    case("idx images as labels", both(source(idx={"images": "images.idx", "labels": "images.idx"}), field(
        "input.shape", [1, 4, 4])), M, "images.idx", "labels"),
    case("idx of other lengths", both(source(idx={"images": "images.idx", "labels": "labels.idx"}), text(
        idx(np.zeros(5, np.uint8)), "labels.idx")), M, "6 images", "5 labels"),
    case("torchvision set missing", source(torchvision={"name": "MNIST", "root": "x", "part": "train"}), M, "no such"),
    late("torchvision set of no files", source(torchvision={"name": "CIFAR10", "root": ".", "part": "train"}), M,
         "original files of CIFAR10"),
    case("torchvision set unknown", source(torchvision={"name": "SVHN", "root": "x", "part": "train"}), M, "'MNIST'"),
    case("sklearn set unknown", source(sklearn="iris"), M, "data.train.sklearn"),
    case("sklearn set of that name unknown", source(sklearn={"name": "iris"}), M, "'digits'"),
    case("data has NaN", value("x", 7, np.nan), M, "train.npz", "NaN", "row 7"),
    case("data has numbers too large", value("x", 7, 1e300), M, "train.npz", "row 7"),
    case("label out of range", value("y", 7, 3), M, "label '3' is none of the 3 classes"),
    case("label negative", value("y", 7, -1), M, "label '-1'"),
    case("label huge", both(value("y", 7, 1e12), field("classes", None), field("forget.classes", [1])), M, "label",
         "classes"),
    case("label infinite", both(value("y", 7, np.inf), field("classes", None), field("forget.classes", [1])), M,
         "whole numbers"),
    case("label text unknown", added("r99,1,2,3,4,5,note,cow\n", "train.csv"), "label 'cow'", "'classes'",
         command=TABLE),
    case("label in test unknown", both(field("classes", None), field("forget.classes", [1]), array(
        "test.npz", y=np.full(15, 9))), M, "data.test", "label '9'"),
    case("label complex", array(y=np.zeros(30, np.complex64)), M, "train.npz", "labels"),
    case("labels of floats", both(value("y", 7, 0.5), field("classes", None), field("forget.classes", [1])), M,
         "whole numbers", "task: regression"),
    case("labels of floats with classes", value("y", 7, 0.5), M, "label '0.5'"),
    case("labels fewer than samples", array(y=np.zeros(29, np.int64)), M, "[30, 4]", "[29]", "one label per sample"),
    case("labels of two columns", array(y=np.zeros((30, 2), np.int64)), M, "labels of shape [30, 2]"),
    case("labels of a regression are text", field("data.train.npz.labels", "name", "regression.yaml"),
         "regression.yaml", "numbers", command=REGRESSION),
    case("label of a regression is NaN", value("age", 7, np.nan), "regression.yaml", "NaN", "row 7",
         command=REGRESSION),
    late("image empty", text("", "images/dog/0.png"), "images/dog/0.png", "is empty", command=TRAIN_IMAGES),
    late("image unreadable", text("no image", "images/dog/0.png"), "images/dog/0.png", "not an image",
         command=TRAIN_IMAGES),
    late("image truncated", cut("images/dog/0.png", 50), "images/dog/0.png", "replace", command=TRAIN_IMAGES),
    late("image is a decompression bomb", big_png(14000), "images/dog/0.png", "pixels", command=TRAIN_IMAGES),
    late("image is a smaller bomb", big_png(10000), "images/dog/0.png", "pixels", command=TRAIN_IMAGES),
    late("image of another size", lambda f: image(np.zeros((5, 4), np.uint8)).save(f / "images/dog/0.png"),
         "images/dog/0.png", "4x5", "input.resize", command=TRAIN_IMAGES),
    late("image too long for the crop", both(field("input.resize", 4, "images.yaml"), field(
        "input.shape", [1, 4, 8], "images.yaml")), "images/cat/0.png", "4x4", command=TRAIN_IMAGES),
]  # fmt: skip

NAMES = ["layers.0.weight", "layers.0.bias", "head.weight", "head.bias"]
SHARDED = UNLEARN.replace("model.safetensors", "sharded")
C = "model.safetensors"

CHECKPOINT_CASES = [
    case("checkpoint missing", removed(C), C, "no such checkpoint"),
    case("checkpoint is an empty folder", folder_of("sharded"), "sharded", "no model.safetensors", command=SHARDED),
    case("checkpoint empty", text("", C), C, "no intact safetensors"),
    case("checkpoint truncated", cut(C, -20), C, "no intact safetensors"),
    case("checkpoint with a corrupt header", flipped(C, 8), C, "no intact safetensors"),
    case("checkpoint with a huge header", text(struct.pack("<Q", 2**60) + b"{}", C), C, "no intact safetensors"),
    case("checkpoint with a deep header", header("[" * 100_000), C, "no intact safetensors"),
    case("checkpoint of no tensors", header("{}"), C, "no tensors"),
    case("checkpoint is a pickle renamed", text(pickle.dumps({"weight": [1.0]}), C), C, "no intact", "convert"),
    case("checkpoint is a zip renamed", lambda f: np.savez(f / "a.npz", x=1) or os.replace(f / "a.npz", f / C), C,
         "no intact", "convert"),
    case("checkpoint is a .pth", lambda f: os.replace(f / C, f / "model.pth"), "model.pth", "unlearn-cli convert",
         command=UNLEARN.replace(C, "model.pth")),
    case("checkpoint with a tensor twice", header(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4)), C, "'a' is in it twice"),
    case("index missing its file", index({"a": "x.safetensors"}), "x.safetensors", "no such file", command=SHARDED),
    case("index missing a tensor", index({**dict.fromkeys(NAMES, "a.safetensors"), "extra": "a.safetensors"}, a=NAMES),
         "index.json", "extra", command=SHARDED),
    case("index that leaves its folder", index({"head.bias": "../model.safetensors"}), "index.json", "same folder",
         command=SHARDED),
    case("index to an absolute path", index({"head.bias": "/etc/model.safetensors"}), "index.json", "same folder",
         command=SHARDED),
    case("index to a pickle", index({"head.bias": "model.bin"}), "index.json", ".safetensors", command=SHARDED),
    case("index of nothing", index({}), "index.json", "no tensors", command=SHARDED),
    case("index that is no JSON", index("weight_map"), "index.json", "weight_map", command=SHARDED),
    case("index that is a list", index("[]"), "index.json", "weight_map", command=SHARDED),
    case("index too deep", index("[" * 200_000), "index.json", "weight_map", command=SHARDED),
    case("index with a tensor twice", index('{"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}}'),
         "index.json", "twice", command=SHARDED),
    case("index beside a stale tensor", index(dict(zip(NAMES, ["a.safetensors"] * 3 + ["b.safetensors"], strict=True)),
                                              a=NAMES, b=NAMES[3:]), "index.json", "head.bias", command=SHARDED),
    case("reference missing", field("version", 1), "gold.safetensors", "no such checkpoint",
         command=f"{UNLEARN} --reference gold.safetensors"),
    case("original missing", field("version", 1), "before.safetensors", "no such checkpoint",
         command=f"{EVALUATE} --original before.safetensors"),
    late("weights are NaN", weights(head__bias=np.full(3, np.nan, np.float32)), C, "NaN", "head.bias"),
    late("weights are infinite", weights(head__bias=np.full(3, np.inf, np.float16)), C, "infinite", "head.bias"),
    late("weights are whole numbers", weights(head__bias=np.zeros(3, np.int8)), C, "head.bias", "int8"),
    late("tensor missing", weights(head__bias=None), C, "missing: head.bias"),
    late("tensor unexpected", weights(extra=np.zeros(3, np.float32)), C, "unexpected: extra"),
    late("tensor of another shape", weights(head__bias=np.zeros(4, np.float32)), C, "head.bias [4] instead of [3]"),
    late("architecture is another", field("model", {"architecture": "lenet5"}), "model"),
    late("architecture not in torchvision", field("model", {"architecture": "torchvision/resnet81"}), M,
         "did you mean 'resnet18'?"),
    late("architecture for another shape", field("model", {"architecture": "allcnn", "arguments": {"width": 4}}), M,
         "input.shape", command="train --manifest manifest.yaml --out out"),
    late("argument unknown", field("model.arguments", {"hiden": [8]}), M, "hiden", "model.arguments"),
    late("argument of a wrong type", field("model.arguments", {"hidden": "wide"}), M, "model.arguments"),
    late("argument negative", field("model.arguments", {"hidden": [-8]}), M, "model.arguments"),
    late("argument huge", field("model.arguments", {"hidden": [10**13]}), M, "model.arguments"),
    late("own code missing", field("model", {"architecture": "nowhere:net"}), M, "nowhere", "PYTHONPATH",
         command=f"{UNLEARN} --allow-code"),
    late("own function missing", field("model", {"architecture": "json:net"}), M, "json:net",
         command=f"{UNLEARN} --allow-code"),
    late("own function is none", field("model", {"architecture": "json:__name__"}), M, "json:__name__",
         command=f"{UNLEARN} --allow-code"),
    late("own function makes no network", field("model", {"architecture": "time:time"}), M, "float", "torch.nn.Module",
         command=f"{UNLEARN} --allow-code"),
    late("own network of another shape", own_network, M, "[1, 7]", "[1, 3]", command=f"{UNLEARN} --allow-code"),
    late("checkpoint no better than chance", weights(head__weight=np.zeros((3, 8), np.float32)), C, "chance",
         "--force"),
]  # fmt: skip

ATTACK = f"attack {C} --manifest {M}"
SHADOW = f"shadow --manifest {M} --shadows cells --method finetune"

OPTION_CASES = [
    asked("method unknown", UNLEARN.replace("finetune", "finetun"), "did you mean 'finetune'?"),
    asked("tier unknown", f"attack {C} --manifest {M} --tier quik", "--tier", "did you mean 'quick'?"),
    asked("attack unknown", f"attack {C} --manifest {M} --attack populaton", "did you mean 'population'?"),
    asked("tier required unknown", f"{ATTACK} --require-tier quik", "--require-tier quik", "quick, standard, audit"),
    asked("tier required of none", f"{ATTACK} --attack population --require-tier quick", "--require-tier", "--tier"),
    asked("audit without shadow runs", f"{ATTACK} --tier audit", "--shadows", "unlearn-cli shadow"),
    asked("shadow runs missing", f"{ATTACK} --shadows nowhere", "--shadows nowhere", "there are no shadow runs"),
    asked("pictures without a folder", f"{ATTACK} --attack population --pictures", "--pictures", "--out"),
    asked("setting of an attack that is not run", f"{ATTACK} --set rmia.a=1", "--set rmia.a=1", "no attack 'rmia'"),
    asked("setting of no attack", f"{ATTACK} --set statistik=loss", "--set", "did you mean 'statistic'?"),
    asked("attack that needs references", f"{ATTACK} --attack rmia", "--attack rmia", "--reference"),
    asked("attack of another task", f"{ATTACK} --attack svc_l1", "--attack svc_l1", "regression"),
    asked("JUnit file in no folder that may be written", f"{ATTACK} --junit {M}", M, "--overwrite"),
    asked("metric that needs a reference", f"{EVALUATE} --metric agreement", "--metric agreement", "--reference"),
    asked("metric that needs the original", f"{EVALUATE} --metric relearn_time", "--metric relearn_time", "--original"),
    asked("setting of no metric", f"{EVALUATE} --set bin=3", "--set", "did you mean 'bins'?"),
    asked("setting of a metric wrong", f"{EVALUATE} --set bins=0", "--set", "bins", "greater than 0"),
    asked("shadow cells of letters", f"{SHADOW} --cells all", "--cells all", "0-31"),
    asked("shadow cells backwards", f"{SHADOW} --cells 5-1", "--cells 5-1"),
    asked("shadow method unknown", f"{SHADOW} --method finetun", "did you mean 'finetune'?"),
    asked("shadow training unknown", f"{SHADOW} --train-set epoch=1", "did you mean 'epochs'?"),
    asked("metric unknown", f"{EVALUATE} --metric acuracy", "did you mean 'accuracy'?"),
    asked("metric of another task", f"{EVALUATE} --metric rmse", "rmse", "accuracy"),
    asked("requirement without grammar", f"{EVALUATE} --require accuracy", "--require", "SPLIT.METRIC"),
    asked("setting unknown", f"{UNLEARN} --set epoch=1", "--set", "'epoch'", "did you mean 'epochs'?"),
    asked("setting without =", f"{UNLEARN} --set epochs", "--set epochs", "name=value"),
    asked("setting without a name", f"{UNLEARN} --set =1", "--set"),
    asked("setting without a value", f"{UNLEARN} --set lr=", "--set", "lr", "number"),
    asked("setting nan", f"{UNLEARN} --set lr=nan", "--set", "lr", "number"),
    asked("setting .nan", f"{UNLEARN} --set lr=.nan", "--set", "lr", "number"),
    asked("setting infinite", f"{UNLEARN} --set lr=1e999", "--set", "lr", "finite"),
    asked("setting negative", f"{UNLEARN} --set lr=-1", "--set", "lr", "greater than 0"),
    asked("setting 0", f"{UNLEARN} --set epochs=0", "--set", "epochs", "greater than 0"),
    asked("setting huge", f"{UNLEARN} --set epochs={10**30}", "--set", "epochs", "at most"),
    asked("setting a word", f"{UNLEARN} --set epochs=many", "--set", "epochs", "integer"),
    asked("setting a boolean", f"{UNLEARN} --set epochs=true", "--set", "epochs", "integer"),
    asked("setting half a step", f"{UNLEARN} --set epochs=1.5", "--set", "epochs", "integer"),
    asked("setting of a closed set", f"{UNLEARN} --set batch_norm=off", "--set", "batch_norm", "'frozen'"),
    asked("setting of the noise", f"noise {C} --manifest {M} --out n.safetensors --set size=0", "--set", "size"),
    asked("config missing", f"{UNLEARN} --config x.yaml", "x.yaml", "no such file"),
    case("config with an unknown key", text("lr: 0.1\nepoch: 1\n", "x.yaml"), "x.yaml", "did you mean 'epochs'?",
         command=f"{UNLEARN} --config x.yaml"),
    case("config with a wrong value", text("lr: -1\n", "x.yaml"), "x.yaml", "lr", command=f"{UNLEARN} --config x.yaml"),
    case("config is a list", text("- lr\n", "x.yaml"), "x.yaml", "name: value", command=f"{UNLEARN} --config x.yaml"),
    asked("device is none", f"{UNLEARN} --device gpu", "--device gpu", "cuda:N"),
    asked("device without a number", f"{UNLEARN} --device cuda:x", "--device cuda:x", "cuda:N"),
    late("device not there", field("version", 1), "--device cuda:99", "no such device",
         command=f"{UNLEARN} --device cuda:99", code=7),
    asked("noise for a method that takes none", f"{UNLEARN} --noise noise.safetensors", "--noise", "takes no noise"),
    asked("noise missing", f"{UNLEARN.replace('finetune', 'unsir')} --noise x.safetensors", "--noise: x.safetensors"),
    late("noise is a checkpoint", field("version", 1), "train.safetensors", "no file of noise",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise train.safetensors --force"),
    late("noise of another shape", noise_file([1], (5,)), "noise.safetensors", "shape [5]",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise noise.safetensors --force"),
    late("noise for other classes", noise_file([0]), "noise.safetensors", "class",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise noise.safetensors --force"),
    late("noise in which the class is recognised", noise_file([1], kind="minimize"), "noise.safetensors", "maximize",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise noise.safetensors --force"),
    asked("noise for an unknown class", f"noise {C} --manifest {M} --class dgo --out n.safetensors", "'dog'"),
    asked("noise as a picture", f"noise {C} --manifest {M} --out n.png", "--out n.png", ".safetensors"),
    asked("noise for a regression", f"noise {C} --manifest regression.yaml --out n.safetensors", "regression.yaml"),
    case("noise would replace a picture", text("", "n.png"), "n.png", "--overwrite",
         command=f"noise {C} --manifest {M} --out n.safetensors"),
    asked("output exists", UNLEARN.replace("--out out", "--out images"), "images", "exists already", "--overwrite"),
    asked("output lies below a file", UNLEARN.replace("--out out", "--out train.csv/out"), "train.csv", "not a folder"),
    asked("output replaces a file", UNLEARN.replace("--out out", "--out train.csv --overwrite"), "train.csv"),
    asked("output file replaces a folder", f"noise {C} --manifest {M} --out {C} --overwrite", C),
    case("output is a folder", folder_of("n.safetensors"), "n.safetensors", "is no file",
         command=f"noise {C} --manifest {M} --out n.safetensors --overwrite"),
    case("output contains the checkpoint", both(folder_of("in"), lambda f: os.replace(f / C, f / "in" / C)), "in",
         "would replace", command=UNLEARN.replace(C, f"in/{C}").replace("--out out", "--out in --overwrite")),
    case("output contains the manifest", both(folder_of("in"), lambda f: shutil.copy(f / M, f / "in" / M), lambda f:
         shutil.copy(f / "train.npz", f / "in"), lambda f: shutil.copy(f / "test.npz", f / "in")), "in",
         "would replace", command=UNLEARN.replace(M, f"in/{M}").replace("--out out", "--out in --overwrite")),
    asked("output contains the data", TRAIN_IMAGES.replace("--out out", "--out images --overwrite"), "images",
          "would replace"),
    asked("output is where we are", f"train --manifest ../project/{M} --out . --overwrite", "would replace"),
    asked("output name too long", UNLEARN.replace("--out out", f"--out {'x' * 300}"), "too long"),
    asked("converting what is missing", "convert x.pth y.safetensors", "x.pth", "no such file"),
    asked("converting into another format", "convert train.csv y.pth", "y.pth", ".safetensors"),
    asked("converting into what exists", f"convert train.csv {C}", C, "--overwrite"),
    asked("converting onto itself", f"convert {C} {C} --overwrite", C, "another name"),
    late("converting no pickle", text("no pickle", "model.pth"), "model.pth", "broken",
         command="convert model.pth y.safetensors"),
    late("converting a truncated file", both(pth(lambda: {"a": 1}), cut("model.pth", 200)), "model.pth",
         command="convert model.pth y.safetensors"),
    late("converting a pickle with code", text(pickle.dumps(Malicious()), "model.pth"), "model.pth",
         command="convert model.pth y.safetensors"),
    late("converting a zip with code", pth(lambda: {"weight": Malicious()}), "model.pth",
         command="convert model.pth y.safetensors"),
    late("converting what holds no tensors", pth(lambda: {"epoch": 3}), "model.pth", "state dict",
         command="convert model.pth y.safetensors"),
    late("converting tensors without names", pth(numbered), "model.pth", "state dict",
         command="convert model.pth y.safetensors"),
    late("converting sparse tensors", pth(sparse), "model.pth", "state dict",
         command="convert model.pth y.safetensors"),
]  # fmt: skip

CASES = [*MANIFEST_CASES, *FORGET_CASES, *TRANSFORM_CASES, *DATA_CASES, *CHECKPOINT_CASES, *OPTION_CASES]


# The check.


def run(command: str) -> Result:
    return CliRunner().invoke(app, command.split(), catch_exceptions=False)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return all that lies in a folder: relative paths, hidden ones too, with the contents of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def check(case: Case, place: Path) -> str:
    """Damage the project in `place`, run the command there, check all that was promised, and return the message."""
    case.damage(place / "project")
    before = tree(place)
    result = run(case.command)
    *notes, message = result.stderr.splitlines() or [""]
    assert result.exit_code == case.code, result.stderr
    assert message.startswith("error: "), result.stderr
    assert case.torch or not notes, "the error is one line"
    assert not any("error" in note or "Traceback" in note or "Warning" in note for note in notes), result.stderr
    assert result.stdout == ""
    assert tree(place) == before, "nothing may be written"
    missing = [words for words in case.says if words not in message]
    assert not missing, f"{missing} not in: {message}"
    return message


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_project(folder)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the valid project, entered; code of one's own is found in it."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, project: Path) -> None:
    check(case, project.parent)


@pytest.mark.parametrize("name", list(manifests()))
def test_the_project_is_valid_before_it_is_damaged(name: str, project: Path) -> None:
    command = "noise model.safetensors --class dog --set steps=1 --out n.safetensors" if name == "zero.yaml" else (
        "train --set epochs=1 --out out")  # fmt: skip
    assert run(f"{command} --manifest {name}").exit_code == 0


def test_no_error_that_can_be_found_without_torch_imports_torch(template: Path, tmp_path: Path) -> None:
    script = "import sys; from tests.test_bad_input import without_torch; without_torch(*sys.argv[1:])"
    command, root = [sys.executable, "-c", script, template, tmp_path], ROOT
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def without_torch(template: str, place: str) -> None:
    """Check all cases that need no torch, and what only prints, in this process; torch must never be imported."""
    for command in ("--help", "--version", "schema", "unlearn --help", "attack --help", "evaluate --help"):
        assert run(command).exit_code == 0
        assert "torch" not in sys.modules, command
    for number, case in enumerate(case for case in CASES if not case.torch):
        folder = Path(place, str(number))
        shutil.copytree(template, folder / "project")
        os.chdir(folder / "project")
        check(case, folder)
        assert "torch" not in sys.modules, case.name


@pytest.mark.parametrize(
    "option", ["--batch-size 0", "--seed -1", "--precision fp8", "--memory-budget 0", "--log-format xml", "--nonsense"]
)
def test_an_option_that_is_wrong_by_itself_is_a_usage_error(option: str, project: Path) -> None:
    before = tree(project.parent)
    result = run(f"{UNLEARN} {option}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert option.split()[0] in result.stderr
    assert tree(project.parent) == before


def full_disk(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


WRITERS = {
    "unlearn": UNLEARN + " --set epochs=1 --force",
    "train": TRAIN_IMAGES,
    "evaluate": EVALUATE + " --out out",
    "noise": f"noise {C} --manifest {M} --set steps=1 --out n.safetensors",
    "convert": "convert model.pth n.safetensors",
    "into new folders": TRAIN_IMAGES.replace("--out out", "--out new/folders/out"),
}
DISK_FULL = [
    *((name, "unlearn_cli.storage.atomic_files.fsync", full_disk) for name in WRITERS),
    ("unlearn", "unlearn_cli.runtime.tensor_file.content", full_disk),
    ("train", "unlearn_cli.reporting.report.write", full_disk),
    ("noise", "unlearn_cli.runtime.tensor_file.content", full_disk),
    ("convert", "unlearn_cli.runtime.tensor_file.content", full_disk),
]


@pytest.mark.parametrize(("name", "target", "failure"), DISK_FULL, ids=lambda value: getattr(value, "__name__", value))
def test_a_full_disk_leaves_nothing_behind(
    name: str, target: str, failure: Callable[..., None], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pth(good_state_dict)(project)
    monkeypatch.setattr(target, failure)
    check(Case("full disk", ("the disk is full", "free some space"), command=WRITERS[name], code=7, torch=True),
          project.parent)  # fmt: skip


def test_memory_that_is_not_there_is_told(project: Path) -> None:
    field("input.shape", [10**5], "zero.yaml")(project)
    weights(layers__0__weight=np.zeros((8, 10**5), np.float32))(project)
    command = f"noise {C} --manifest zero.yaml --class dog --set size={10**9} --out n.safetensors"
    check(Case("memory", ("out of memory", "--batch-size"), command=command, code=7, torch=True), project.parent)


def test_an_array_too_large_for_memory_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*args: object, **kwargs: object) -> None:
        raise MemoryError

    monkeypatch.setattr("numpy.lib.format.read_array", too_large)
    check(Case("memory", ("out of memory",), command=UNLEARN, code=7), project.parent)


def test_a_folder_that_may_not_be_written_is_told_before_any_work(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write everywhere
    check(asked("unwritable", UNLEARN, "out", "not writable", "--out"), project.parent)


def test_a_folder_that_turns_out_unwritable_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    check(
        Case("denied", ("out", "nothing can be made", "Permission denied"), command=TRAIN_IMAGES, torch=True),
        project.parent,
    )


def test_a_bad_image_is_told_in_one_line_from_a_reading_process(project: Path) -> None:
    shape = [1, 512, 512]  # twelve of them are more than the budget, so that other processes read them
    write_manifest(project / "images.yaml", MANIFEST | {
        "model": {"architecture": "mlp", "arguments": {"hidden": [1]}}, "input": {"shape": shape},
        "data": {"train": {"imagefolder": "images"}},
    })  # fmt: skip
    for path in (project / "images").rglob("*.png"):
        image(np.zeros(shape[1:], np.uint8)).save(path)
    cut("images/owl/3.png", 100)(project)
    command = f"{TRAIN_IMAGES} --memory-budget 1 --batch-size 4"
    check(Case("streamed", ("images/owl/3.png", "replace"), command=command, torch=True), project.parent)


@pytest.mark.usefixtures("pages")
def test_names_of_classes_are_text_on_the_page(project: Path) -> None:
    names = ["<script>alert(1)</script>", "dog & <b>cat</b>", "\"owl'"]
    both(field("classes", names), field("forget.classes", [names[0]]))(project)
    result = run(f"{UNLEARN} --set epochs=1 --force")
    assert result.exit_code == 0, result.stderr
    page = (project / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "<b>cat" not in page
    assert "&lt;script&gt;" in page


def test_with_json_logs_the_error_is_one_object(project: Path) -> None:
    result = run(f"{UNLEARN} --log-format json --set lr=-1")
    line = json.loads(result.stderr)
    assert (result.exit_code, line["level"], line["exit_code"]) == (2, "error", 2)
    assert "lr=-1" in line["message"]


def test_a_line_break_in_a_name_does_not_break_the_line(project: Path) -> None:
    field("forget.classes", ["d\no\ng"])(project)
    check(asked("line break", UNLEARN, "no class 'd\\no\\ng'"), project.parent)


def test_with_overwrite_only_folders_of_ours_are_replaced(project: Path) -> None:
    assert run(TRAIN_IMAGES).exit_code == 0
    assert run(f"{TRAIN_IMAGES} --overwrite").exit_code == 0
    (project / "other" / "precious").mkdir(parents=True)
    command = f"{TRAIN_IMAGES.replace('--out out', '--out other')} --overwrite"
    check(asked("precious", command, "other", "no folder that unlearn-cli wrote"), project.parent)


@pytest.mark.parametrize("command", ["schema", "--help", "--version"])
def test_a_reader_that_goes_away_is_no_traceback(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([sys.executable, "-m", "unlearn_cli", command], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert result.stderr == b""
