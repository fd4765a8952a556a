"""The Python API: the same programs, from paths or memory, with typed results, errors raised and nothing printed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import unlearn_cli
from tests.tiny import MANIFEST, ROOT, invoke, same, write_manifest
from unlearn_cli.errors import UserError
from unlearn_cli.models.allcnn import allcnn
from unlearn_cli.schema import strict_yaml

OPTIONS: dict[str, Any] = {"device": "cpu", "seed": 3, "pages": False}
FAST = {"epochs": 1, "lr": 1e-3}


def mapping() -> dict[str, Any]:
    return strict_yaml.parse(MANIFEST, Path()).value


def test_from_memory_and_from_paths_the_weights_are_those_of_the_command_line(original: Path, tmp_path: Path) -> None:
    weights = load_file(original)
    in_memory = unlearn_cli.unlearn(weights, mapping(), method="finetune", settings=FAST, evaluate=False, **OPTIONS)
    manifest = write_manifest(tmp_path)
    from_paths = unlearn_cli.unlearn(
        str(original), manifest, method="finetune", settings=FAST, evaluate=False, out=tmp_path / "api", **OPTIONS
    )
    flags = ["--set", "epochs=1", "--set", "lr=0.001", "--no-evaluate", "--seed", 3, "--device", "cpu"]
    shell = invoke("unlearn", original, "-m", manifest, "--method", "finetune", *flags, "-o", tmp_path / "shell")
    assert shell.exit_code == 0, shell.output
    expected = load_file(tmp_path / "shell" / "model.safetensors")
    assert same(in_memory.state_dict, expected)
    assert same(from_paths.state_dict, expected)
    assert (in_memory.folder, from_paths.folder) == (None, tmp_path / "api")
    assert from_paths.report.method == "finetune"
    assert unlearn_cli.read_report(tmp_path / "api") == from_paths.report
    assert not (tmp_path / "api" / "report.html").exists()


def test_a_network_is_a_checkpoint_and_is_not_changed(original: Path) -> None:
    network = allcnn(10, (1, 8, 8), width=8)
    network.load_state_dict(load_file(original), strict=False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    result = unlearn_cli.unlearn(network, mapping(), method="neggrad", settings={"steps": 2}, evaluate=False, **OPTIONS)
    assert same(before, dict(network.state_dict()))
    network.load_state_dict(result.state_dict)
    assert not same(before, dict(network.state_dict()))


def test_it_evaluates_attacks_and_prints_nothing(original: Path, capfd: pytest.CaptureFixture[str]) -> None:
    measured = unlearn_cli.evaluate(original, mapping(), require=["test.accuracy >= 2"], **OPTIONS)
    assert measured.exit_code == 3
    assert measured.report.metrics["subject"]["test"]["accuracy"].n > 0
    attacked = unlearn_cli.attack(original, mapping(), attacks=["population"], **OPTIONS)
    assert [attack.name for attack in attacked.report.attacks] == ["population"]
    with pytest.raises(UserError, match=r"margin 0\.5: expected a number from 0\.01 to 0\.25"):
        unlearn_cli.attack(original, mapping(), tier="quick", margin=0.5, **OPTIONS)
    assert capfd.readouterr() == ("", "")
    unlearn_cli.evaluate(original, mapping(), verbose=True, **OPTIONS)
    assert "evaluate" in capfd.readouterr().err


def test_it_trains_and_learns_noise(tmp_path: Path) -> None:
    reference = unlearn_cli.train(mapping(), split="retain", settings={"epochs": 1}, **OPTIONS)
    assert reference.report.command == "train"
    noise = unlearn_cli.noise(
        reference.state_dict,
        mapping(),
        settings={"steps": 2},
        out=tmp_path / "noise.safetensors",
        force=True,
        **OPTIONS,
    )
    assert noise.samples.shape[0] == len(noise.classes) == 1
    assert noise.path == tmp_path / "noise.safetensors"
    assert torch.isfinite(noise.samples).all()


def test_relative_paths_of_a_mapping_start_from_the_working_folder(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = {**mapping(), "data": {"train": {"npz": "nowhere.npz"}}}
    with pytest.raises(UserError, match=r"^manifest\.yaml: data\.train: nowhere\.npz: no such file"):
        unlearn_cli.evaluate(original, manifest, **OPTIONS)


def test_errors_are_raised_and_name_no_temporary_file(original: Path) -> None:
    with pytest.raises(UserError, match=r"^manifest\.yaml:\d+:\d+: unknown: unknown key"):
        unlearn_cli.evaluate(original, {**mapping(), "unknown": 1}, **OPTIONS)
    with pytest.raises(UserError, match="unknown method 'unsirr'; did you mean 'unsir'"):
        unlearn_cli.unlearn(original, mapping(), method="unsirr", **OPTIONS)
    with pytest.raises(UserError, match="finetune has no setting 'epoch'"):
        unlearn_cli.unlearn(original, mapping(), method="finetune", settings={"epoch": 1}, **OPTIONS)
    with pytest.raises(UserError, match="unknown argument 'sed'; did you mean 'seed'"):
        unlearn_cli.train(mapping(), sed=1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(UserError, match="seed=-1: expected greater than or equal to 0"):
        unlearn_cli.train(mapping(), seed=-1)
    with pytest.raises(UserError, match="does not fit the architecture"):
        unlearn_cli.evaluate(nn.Linear(2, 2), mapping(), **OPTIONS)


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(UserError, match="is not a report of this version"):
        unlearn_cli.read_report(tmp_path)
    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="is not a report"):
        unlearn_cli.read_report(tmp_path / "w.safetensors")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, unlearn_cli; dir(unlearn_cli); "
        "print([name for name in ('torch', 'numpy', 'pydantic', 'typer', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'forget'"):
        unlearn_cli.forget  # noqa: B018  # pyright: ignore
