"""Bad input to `unlearn`, a manifest with mistakes; one line, exit code 2, nothing written."""

import shutil
from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    Case,
    M,
    case,
)
from tests.commands.damaged_project import (
    BILLION,
    BOMB,
    added,
    both,
    field,
    folder_of,
    removed,
    text,
)

CASES = [
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
    case("yaml key twice", added("task: classification\n"), M, "duplicate key 'task'"),
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
    case("architecture of another library", field("model.architecture", "keras/vit"), M, "torchvision/"),
    case("architecture with a path", field("model.architecture", "torchvision/../x"), M, "torchvision/<name>"),
    case("architecture is code without a module", field("model.architecture", ":net"), M, "package.module:function"),
    case("architecture is relative code", field("model.architecture", "..a:net"), M, "package.module:function"),
    case("architecture is code not allowed", field("model.architecture", "mine:net"), M, "--allow-code"),
    case("weights would be downloaded", field("model.arguments", {"weights": "DEFAULT"}), M, "download"),
    case("number of classes is a word", field("model.arguments", {"num_classes": "ten"}), M, "num_classes"),
    case("number of classes is 0", both(field("model.arguments.num_classes", 0), field("classes", None)), M,
         "num_classes"),
    case("number of classes is another", field("model.arguments.num_classes", 7), M, "num_classes is 7", "3 classes"),
    case("stem on no resnet", field("model.stem", "cifar"), M, "'stem' is only for torchvision's ResNets"),
    case("shape empty", field("input.shape", []), M, "input.shape"),
    case("shape of zero", field("input.shape", [0]), M, "input.shape"),
    case("shape is not that of the data", field("input.shape", [5]), M, "train.npz", "shape [4]", "[5]"),
    case("mean of another length", field("input.mean", [0.1, 0.2]), M, "mean has 2 numbers"),
    case("mean infinite", text("version: 1\ninput: {shape: [4], mean: .inf}\n"), M, "input.mean", "finite"),
    case("std 0", field("input.std", 0), M, "input.std", "greater than 0"),
    case("scale negative", field("input.scale", -255), M, "input.scale", "greater than 0"),
    case("augmentation of a table", field("data.augment", ["horizontal_flip"]), M, "augment", "images"),
    case("classes empty", field("classes", []), M, "classes"),
    case("class listed twice", field("classes", ["cat", "dog", "dog"]), M, "'classes' lists", "twice"),
    case("class listed as text and number", field("classes", ["cat", 1, "1"]), M, "'classes' lists", "twice"),
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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
