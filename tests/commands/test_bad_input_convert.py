"""Bad input to `convert`; one line, exit code 2, nothing written."""

import pickle
from pathlib import Path

import pytest

from tests.commands.bad_input_cases import (
    C,
    Case,
    check,
    late,
    wrong,
)
from tests.commands.damaged_project import (
    Malicious,
    both,
    cut,
    numbered,
    pth,
    sparse,
    text,
)

CASES = [
    wrong("converting what is missing", "convert x.pth y.safetensors", "x.pth", "no such file"),
    wrong("converting into another format", "convert train.csv y.pth", "y.pth", ".safetensors"),
    wrong("converting into what exists", f"convert train.csv {C}", C, "--overwrite"),
    wrong("converting onto itself", f"convert {C} {C} --overwrite", C, "another name"),
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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, project: Path) -> None:
    check(case, project.parent)
