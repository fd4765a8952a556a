"""Bad input to `unlearn`, damaged checkpoints, and those of other networks; one line, exit code 2, nothing written."""

import os
import pickle
import struct
from collections.abc import Callable

import numpy as np
import pytest

from tests.commands.bad_input_cases import (
    NAMES,
    SHARDED,
    C,
    Case,
    M,
    case,
    late,
)
from tests.commands.damaged_project import (
    UNLEARN,
    cut,
    field,
    flipped,
    folder_of,
    header,
    index,
    own_network,
    removed,
    text,
    weights,
)

CASES = [
    case("checkpoint missing", removed(C), C, "no such checkpoint"),
    case("checkpoint is an empty folder", folder_of("sharded"), "sharded", "no model.safetensors", command=SHARDED),
    case("checkpoint empty", text("", C), C, "not an intact safetensors"),
    case("checkpoint is a pointer", text("version https://git-lfs.github.com/spec/v1", C), C, "not an intact", "lfs"),
    case("checkpoint truncated", cut(C, -20), C, "not an intact safetensors"),
    case("checkpoint with a corrupt header", flipped(C, 8), C, "not an intact safetensors"),
    case("checkpoint with a huge header", text(struct.pack("<Q", 2**60) + b"{}", C), C, "not an intact safetensors"),
    case("checkpoint with a deep header", header("[" * 100_000), C, "not an intact safetensors"),
    case("checkpoint of no tensors", header("{}"), C, "no tensors"),
    case("checkpoint is a pickle renamed", text(pickle.dumps({"weight": [1.0]}), C), C, "not an intact", "convert"),
    case("checkpoint is a zip renamed", lambda f: np.savez(f / "a.npz", x=1) or os.replace(f / "a.npz", f / C), C,
         "not an intact", "convert"),
    case("checkpoint is a .pth", lambda f: os.replace(f / C, f / "model.pth"), "model.pth", "unlearn-cli convert",
         command=UNLEARN.replace(C, "model.pth")),
    case("checkpoint with a tensor twice", header(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4)), C, "duplicate key 'a'"),
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
         "index.json", "duplicate key", command=SHARDED),
    case("index beside a stale tensor", index(dict(zip(NAMES, ["a.safetensors"] * 3 + ["b.safetensors"], strict=True)),
                                              a=NAMES, b=NAMES[3:]), "index.json", "head.bias", command=SHARDED),
    case("reference missing", field("version", 1), "gold.safetensors", "no such checkpoint",
         command=f"{UNLEARN} --reference gold.safetensors"),
    late("weights are NaN", weights(head__bias=np.full(3, np.nan, np.float32)), C, "NaN", "head.bias"),
    late("weights are infinite", weights(head__bias=np.full(3, np.inf, np.float16)), C, "infinite", "head.bias"),
    late("weights are whole numbers", weights(head__bias=np.zeros(3, np.int8)), C, "head.bias", "int8"),
    late("tensor missing", weights(head__bias=None), C, "missing: head.bias"),
    late("tensor unexpected", weights(extra=np.zeros(3, np.float32)), C, "unexpected: extra"),
    late("tensor of another shape", weights(head__bias=np.zeros(4, np.float32)), C, "head.bias [4] instead of [3]"),
    late("architecture is another", field("model", {"architecture": "lenet5"}), "model"),
    late("architecture not in torchvision", field("model", {"architecture": "torchvision/resnet81"}), M,
         "did you mean 'resnet18'?"),
    late("argument unknown", field("model.arguments", {"hiden": [8]}), M, "hiden", "model.arguments"),
    late("argument of a wrong type", field("model.arguments", {"hidden": "wide"}), M, "model.arguments"),
    late("argument negative", field("model.arguments", {"hidden": [-8]}), M, "model.arguments"),
    late("argument huge", field("model.arguments", {"hidden": [10**13]}), C, "instead of [10000000000000]"),
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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
