"""What all commands have in common: no torch before it is needed, full disks, missing memory, unreadable images."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.commands.bad_input_cases import (
    C,
    Case,
    M,
    check,
    run,
    tree,
    wrong,
)
from tests.commands.damaged_project import (
    EVALUATE,
    MANIFEST,
    TRAIN_IMAGES,
    UNLEARN,
    both,
    cut,
    field,
    good_state_dict,
    image,
    manifests,
    pth,
    weights,
    write_manifest,
)
from tests.commands.torch_free import TorchFreeProcess


@pytest.mark.parametrize("name", list(manifests()))
def test_the_project_is_valid_before_it_is_damaged(name: str, project: Path) -> None:
    command = "noise model.safetensors --class dog --set steps=1 --out n.safetensors" if name == "zero.yaml" else (
        "train --set epochs=1 --out out")  # fmt: skip
    assert run(f"{command} --manifest {name}").exit_code == 0


@pytest.mark.parametrize(
    "command", ["--help", "--version", "schema", "unlearn --help", "attack --help", "evaluate --help"]
)
def test_what_only_prints_does_not_import_torch(command: str, torch_free: TorchFreeProcess) -> None:
    torch_free.run_command(command)


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
    ("unlearn", "unlearn_cli.runtime.tensor_file.tensor_bytes", full_disk),
    ("train", "unlearn_cli.reporting.report.write", full_disk),
    ("noise", "unlearn_cli.runtime.tensor_file.tensor_bytes", full_disk),
    ("convert", "unlearn_cli.runtime.tensor_file.tensor_bytes", full_disk),
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
    check(wrong("unwritable", UNLEARN, "out", "not writable", "--out"), project.parent)


def test_a_folder_that_turns_out_unwritable_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    check(
        Case("denied", ("out", "cannot write in", "Permission denied"), command=TRAIN_IMAGES, torch=True),
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
    check(wrong("line break", UNLEARN, "no class 'd\\no\\ng'"), project.parent)


def test_with_overwrite_only_folders_of_ours_are_replaced(project: Path) -> None:
    assert run(TRAIN_IMAGES).exit_code == 0
    assert run(f"{TRAIN_IMAGES} --overwrite").exit_code == 0
    (project / "other" / "precious").mkdir(parents=True)
    command = f"{TRAIN_IMAGES.replace('--out out', '--out other')} --overwrite"
    check(wrong("precious", command, "other", "was not written by unlearn-cli"), project.parent)


@pytest.mark.parametrize("command", ["schema", "--help", "--version"])
def test_a_reader_that_goes_away_is_no_traceback(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([sys.executable, "-m", "unlearn_cli", command], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert result.stderr == b""
