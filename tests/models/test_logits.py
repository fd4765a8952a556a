"""A network that ends in a softmax is refused before it is trained or used, wherever one is loaded."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.evaluation.predict import are_probabilities

NETWORKS = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, ending):
        super().__init__()
        self.main, self.ending = nn.Linear(64, 10), ending

    def forward(self, x):
        return self.ending(self.main(x.flatten(1)))


def softmax(): return Net(nn.Softmax(dim=1))
def viewed(): return Net(lambda z: z.softmax(1).unsqueeze(2).squeeze(2))
def by_hand(): return Net(lambda z: z.exp() / z.exp().sum(1, keepdim=True))
def sigmoid(): return Net(torch.sigmoid)
def log_softmax(): return Net(nn.LogSoftmax(dim=1))
def plain(): return Net(nn.Identity())
def whole(): return Net(lambda z: z.long())
def complex_numbers(): return Net(lambda z: z.to(torch.complex64))
"""


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with networks of the user's own, and the weights of one that was trained without an ending."""
    (tmp_path / "networks_with_ends.py").write_text(NETWORKS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    result = invoke("train", "-m", manifest(tmp_path, "plain"), "--allow-code", "-o", tmp_path / "o", *RECIPE)
    assert result.exit_code == 0, result.stderr
    return tmp_path / "o" / "model.safetensors"


RECIPE = ("--set", "epochs=3", "--device", "cpu")


def manifest(folder: Path, network: str) -> Path:
    own = "{architecture: 'networks_with_ends:" + network + "'}"
    text = MANIFEST.replace("{architecture: allcnn, arguments: {width: 8}}", own)
    return write_manifest(folder, text, f"{network}.yaml")


@pytest.mark.parametrize("network", ["softmax", "viewed", "by_hand", "sigmoid"])
def test_it_is_refused_by_every_command(network: str, plain: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", manifest(tmp_path, network)
    commands = (
        ["train", "-o", out, *RECIPE], ["unlearn", plain, "-o", out, "--method", "finetune"],
        ["unlearn", plain, "-o", out, "--method", "finetune", "--force"], ["evaluate", plain], ["attack", plain],
        ["noise", plain, "-o", tmp_path / "noise.safetensors"],
        ["shadow", "--shadows", out, "--method", "finetune", "--cells", "0"],
    )  # fmt: skip
    for command in commands:
        result = invoke(*command, "-m", path, "--allow-code")
        assert result.exit_code == 2, (command, result.stderr)
        assert "but logits are expected" in result.stderr and "remove the" in result.stderr
        assert not (out / "model.safetensors").exists() and not list(out.glob("cell-*"))


@pytest.mark.parametrize(("network", "kind"), [("whole", "int64"), ("complex_numbers", "complex64")])
def test_outputs_must_be_floating_point_numbers(network: str, kind: str, plain: Path, tmp_path: Path) -> None:
    path = manifest(tmp_path, network)
    for command in (["evaluate", plain], ["train", "-o", tmp_path / "out", *RECIPE]):
        result = invoke(*command, "-m", path, "--allow-code")
        assert result.exit_code == 2
        assert f"returns numbers of type {kind}; expected floating-point numbers" in result.stderr.splitlines()[-1]


def test_log_probabilities_are_logits(plain: Path, tmp_path: Path) -> None:
    flags = ["-m", manifest(tmp_path, "log_softmax"), "--allow-code", "--device", "cpu"]
    assert invoke("evaluate", plain, *flags).exit_code == 0
    assert invoke("train", *flags, "-o", tmp_path / "trained", *RECIPE).exit_code == 0


def test_a_constant_network_whose_outputs_sum_to_1_is_not_taken_for_a_softmax(plain: Path, tmp_path: Path) -> None:
    weights = {name: tensor * 0 for name, tensor in load_file(plain).items()}
    weights["main.bias"][3] = 1.0
    save_file(weights, tmp_path / "constant.safetensors")
    flags = ["-m", manifest(tmp_path, "plain"), "--allow-code"]
    result = invoke("evaluate", tmp_path / "constant.safetensors", *flags)
    assert (result.exit_code, "outputs are equal for all" in result.stderr) == (2, True)
    assert invoke("evaluate", tmp_path / "constant.safetensors", *flags, "--force").exit_code == 0


def test_what_counts_as_probabilities() -> None:
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(5), 20)
    assert are_probabilities(shares)
    assert are_probabilities(np.full((20, 5), 0.2))  # a softmax over zeros
    assert not are_probabilities(shares[:3])  # too few
    assert not are_probabilities(np.log(shares))
    assert not are_probabilities(np.ones((20, 1)))
    assert not are_probabilities(shares - 0.01)
    assert not are_probabilities(random.normal(size=(20, 5)))
