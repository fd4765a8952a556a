"""Bad input to `unlearn`, options that contradict the input; one line, exit code 2, nothing written."""

import os
import shutil
from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    C,
    Case,
    M,
    case,
    late,
    wrong,
)
from tests.commands.damaged_project import (
    UNLEARN,
    both,
    field,
    folder_of,
    noise_file,
    text,
)

CASES = [
    wrong("method unknown", UNLEARN.replace("finetune", "finetun"), "did you mean 'finetune'?"),
    wrong("setting unknown", f"{UNLEARN} --set epoch=1", "--set", "'epoch'", "did you mean 'epochs'?"),
    wrong("setting without =", f"{UNLEARN} --set epochs", "--set epochs", "name=value"),
    wrong("setting without a name", f"{UNLEARN} --set =1", "--set"),
    wrong("setting without a value", f"{UNLEARN} --set lr=", "--set", "lr", "no value"),
    wrong("setting nan", f"{UNLEARN} --set lr=nan", "--set", "lr", "number"),
    wrong("setting .nan", f"{UNLEARN} --set lr=.nan", "--set", "lr", "number"),
    wrong("setting infinite", f"{UNLEARN} --set lr=1e999", "--set", "lr", "finite"),
    wrong("setting negative", f"{UNLEARN} --set lr=-1", "--set", "lr", "greater than 0"),
    wrong("setting 0", f"{UNLEARN} --set epochs=0", "--set", "epochs", "greater than 0"),
    wrong("setting huge", f"{UNLEARN} --set epochs={10**30}", "--set", "epochs", "at most"),
    wrong("setting a word", f"{UNLEARN} --set epochs=many", "--set", "epochs", "integer"),
    wrong("setting a boolean", f"{UNLEARN} --set epochs=true", "--set", "epochs", "integer"),
    wrong("setting half a step", f"{UNLEARN} --set epochs=1.5", "--set", "epochs", "integer"),
    wrong("setting of a closed set", f"{UNLEARN} --set batch_norm=off", "--set", "batch_norm", "'frozen'"),
    wrong("config missing", f"{UNLEARN} --config x.yaml", "x.yaml", "no such file"),
    case("config with an unknown key", text("lr: 0.1\nepoch: 1\n", "x.yaml"), "x.yaml", "did you mean 'epochs'?",
         command=f"{UNLEARN} --config x.yaml"),
    case("config with a wrong value", text("lr: -1\n", "x.yaml"), "x.yaml", "lr", command=f"{UNLEARN} --config x.yaml"),
    case("config is a list", text("- lr\n", "x.yaml"), "x.yaml", "name: value", command=f"{UNLEARN} --config x.yaml"),
    wrong("device is none", f"{UNLEARN} --device gpu", "--device gpu", "cuda:N"),
    wrong("device without a number", f"{UNLEARN} --device cuda:x", "--device cuda:x", "cuda:N"),
    late("device not there", field("version", 1), "--device cuda:99", "no such device",
         command=f"{UNLEARN} --device cuda:99", code=7),
    wrong("noise for another method", f"{UNLEARN} --noise noise.safetensors", "--noise", "does not use noise"),
    wrong("noise missing", f"{UNLEARN.replace('finetune', 'unsir')} --noise x.safetensors", "--noise: x.safetensors"),
    late("noise is a checkpoint", field("version", 1), "train.safetensors", "not a noise file",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise train.safetensors --force"),
    late("noise of another shape", noise_file([1], (5,)), "noise.safetensors", "shape [5]",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise noise.safetensors --force"),
    late("noise for other classes", noise_file([0]), "noise.safetensors", "class",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise noise.safetensors --force"),
    late("noise in which the class is recognised", noise_file([1], kind="minimize"), "noise.safetensors", "maximize",
         command=f"{UNLEARN.replace('finetune', 'unsir')} --noise noise.safetensors --force"),
    wrong("output exists", UNLEARN.replace("--out out", "--out images"), "images", "exists already", "--overwrite"),
    wrong("output lies below a file", UNLEARN.replace("--out out", "--out train.csv/out"), "train.csv", "not a folder"),
    wrong("output replaces a file", UNLEARN.replace("--out out", "--out train.csv --overwrite"), "train.csv"),
    case("output contains the checkpoint", both(folder_of("in"), lambda f: os.replace(f / C, f / "in" / C)), "in",
         "would replace", command=UNLEARN.replace(C, f"in/{C}").replace("--out out", "--out in --overwrite")),
    case("output contains the manifest", both(folder_of("in"), lambda f: shutil.copy(f / M, f / "in" / M), lambda f:
         shutil.copy(f / "train.npz", f / "in"), lambda f: shutil.copy(f / "test.npz", f / "in")), "in",
         "would replace", command=UNLEARN.replace(M, f"in/{M}").replace("--out out", "--out in --overwrite")),
    wrong("output name too long", UNLEARN.replace("--out out", f"--out {'x' * 300}"), "too long"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
