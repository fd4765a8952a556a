"""Bad input to `convert`; one line, exit code 2, nothing written."""

import io
import pickle
import zipfile
from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    C,
    Case,
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


def zip_of(*names: str) -> bytes:
    """Return a zip archive with small files of these names."""
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def wrong_file(name: str, content: bytes, *says: str) -> Case:
    """A file that is not a checkpoint is refused before torch is imported where the first bytes show it."""
    command = "convert model.pth y.safetensors"
    return Case(
        f"converting {name}", ("model.pth", *says), text(content, "model.pth"), command, torch=content[:2] == b"PK"
    )


CASES = [
    wrong("converting what is missing", "convert x.pth y.safetensors", "x.pth", "no such file"),
    wrong("converting into another format", "convert train.csv y.pth", "y.pth", ".safetensors"),
    wrong("converting into what exists", f"convert train.csv {C}", C, "--overwrite"),
    wrong("converting onto itself", f"convert {C} {C} --overwrite", C, "another name"),
    late("converting no pickle", text(b"\x80\x02no pickle", "model.pth"), "model.pth", "broken",
         command="convert model.pth y.safetensors"),
    late("converting a plain pickle", text(pickle.dumps({"a": [1.0]}), "model.pth"), "model.pth", "pickle, but not one",
         command="convert model.pth y.safetensors"),
    wrong_file("the message of a server", b'{"error": "Repository not found"}\n', "is a text file"),
    wrong_file("a text with letters across the end of a block", "\ufeff".encode() + b"x" * 508 + "\u00e9".encode() * 9,
               "is a text file"),
    wrong_file("a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git lfs pull"),
    wrong_file("a web page", b"<!DOCTYPE html><html></html>", "is a web page"),
    wrong_file("an empty file", b"", "is empty"),
    wrong_file("an archive that is cut off", zip_of("m/data.pkl")[:-30], "is a damaged archive"),
    wrong_file("an archive of a checkpoint", zip_of("runs/best.pth"), "unpack it", "'runs/best.pth'"),
    wrong_file("an archive of NumPy arrays", zip_of("w.npy"), "npz"),
    wrong_file("an archive of Keras", zip_of("config.json", "model.weights.h5"), "Keras"),
    wrong_file("an archive of something else", zip_of("a.txt"), "with 0 files data.pkl"),
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
    late("converting sparse tensors", pth(sparse), "model.pth", "to_dense()",
         command="convert model.pth y.safetensors"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
