"""Checkpoints with names of another program: read by `model.prefix` and `model.rename`, written with the same names."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from tests.tiny import MANIFEST, invoke, write_manifest

NAMES = "model: {architecture: allcnn, prefix: model., rename: {stem: conv1}, arguments: {width: 8}}"


def as_stored(name: str) -> str:
    return f"model.{name.replace('conv1', 'stem')}"


def unlearn(model: Path, manifest: Path, out: Path) -> dict[str, torch.Tensor]:
    result = invoke(
        "unlearn", model, "-m", manifest, "--method", "finetune", "--set", "epochs=1", "-o", out, "--device", "cpu"
    )
    assert result.exit_code == 0, result.stderr
    return load_file(out / "model.safetensors")


def test_the_result_has_the_names_of_the_checkpoint_and_the_weights_of_the_plain_run(
    original: Path, tmp_path: Path
) -> None:
    weights = load_file(original)
    assert any("conv1" in name for name in weights)
    foreign = {as_stored(name): tensor for name, tensor in weights.items()}
    save_file({**foreign, "loss.weight": torch.ones(3)}, tmp_path / "foreign.safetensors", {"author": "me"})
    plain = unlearn(original, write_manifest(tmp_path), tmp_path / "plain")
    text = MANIFEST.replace("model: {architecture: allcnn, arguments: {width: 8}}", NAMES)
    manifest = write_manifest(tmp_path, text, "foreign.yaml")
    result = unlearn(tmp_path / "foreign.safetensors", manifest, tmp_path / "out")
    assert torch.equal(result.pop("loss.weight"), torch.ones(3))
    assert result.keys() == {as_stored(name) for name in plain}
    assert all(torch.equal(result[as_stored(name)], plain[name]) for name in plain)
    evaluated = invoke(
        "evaluate", tmp_path / "out", "-m", manifest, "--original", original, "--device", "cpu"
    )  # the original has the network's own names
    assert evaluated.exit_code == 0, evaluated.stderr


@pytest.mark.parametrize("rename", ["{9: features}", "{stem: features, linear: }"])
def test_parts_that_look_like_numbers_or_nothing_are_text(rename: str, original: Path, tmp_path: Path) -> None:
    text = MANIFEST.replace("{architecture: allcnn,", f"{{architecture: allcnn, rename: {rename},")
    result = invoke("evaluate", original, "-m", write_manifest(tmp_path, text), "--device", "cpu", "--dry-run")
    assert result.exit_code == (2 if "linear" in rename else 0), result.stderr


class Tied(nn.Module):
    """Two layers that share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.b(self.a(x.flatten(1)).relu()))


@pytest.fixture
def tied_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    text = MANIFEST.replace(
        "{architecture: allcnn, arguments: {width: 8}}", '{architecture: "tests.commands.test_stored_names:Tied"}'
    )
    return write_manifest(tmp_path, text)


def test_shared_tensors_are_read_and_written_as_save_model_does(tied_manifest: Path, tmp_path: Path) -> None:
    arguments = ("--allow-code", "--device", "cpu", "-m", tied_manifest)
    trained = invoke("train", *arguments, "-o", tmp_path / "trained", "--set", "epochs=2", "--set", "lr=0.01")
    assert trained.exit_code == 0, trained.stderr
    with safe_open(tmp_path / "trained" / "model.safetensors", "pt") as file:
        assert "b.weight" not in set(file.keys()) and file.metadata()["b.weight"] == "a.weight"
    network = Tied()
    assert load_model(network, tmp_path / "trained" / "model.safetensors") == (set(), [])
    save_model(network, str(tmp_path / "theirs.safetensors"))
    save_file({name: t.clone() for name, t in network.state_dict().items()}, tmp_path / "both.safetensors")
    for name, count in (("theirs", 5), ("both", 6)):
        result = invoke(
            "unlearn", tmp_path / f"{name}.safetensors", *arguments, "--method", "finetune", "--set", "epochs=1",
            "-o", tmp_path / name,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        written = load_file(tmp_path / name / "model.safetensors")
        assert len(written) == count
        Tied().load_state_dict(written, strict=name == "both")


def test_shared_tensors_that_differ_are_refused(tied_manifest: Path, tmp_path: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in Tied().state_dict().items()}
    tensors["b.weight"] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    result = invoke("evaluate", tmp_path / "model.safetensors", "-m", tied_manifest, "--allow-code", "--dry-run")
    assert (result.exit_code, "a.weight and b.weight differ" in result.stderr) == (2, True)
