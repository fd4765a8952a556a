"""Heads on frozen backbones: what `model.frozen` names does not change, whatever the method."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.errors import UserError
from unlearn_cli.models.architectures import build_network
from unlearn_cli.models.frozen import list_frozen
from unlearn_cli.schema.network_sections import Model

FROZEN = MANIFEST.replace("{width: 8}}", "{width: 8}, frozen: [%s]}")


def build(*patterns: str) -> nn.Module:
    return build_network(Model(architecture="resnet20", frozen=list(patterns)), [3, 8, 8], 10)


def test_frozen_parameters_have_no_gradient_and_their_batch_norm_keeps_its_statistics() -> None:
    model = copy.deepcopy(build("conv1", "bn1", "layer[12]*"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frozen = set(list_frozen(model))
    assert {"conv1.weight", "bn1.running_mean"} < frozen
    optimizer = torch.optim.AdamW(model.train().parameters(), 0.1, weight_decay=0.1)
    model(torch.randn(4, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not changed & frozen
    assert changed | frozen == before.keys()


@pytest.mark.parametrize(("pattern", "message"), [
    ("layer4", "no parameter is named 'layer4'; did you mean"),
    ("*", "selects every parameter"),
])  # fmt: skip
def test_patterns_that_freeze_nothing_or_everything_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(pattern)


def frozen_pattern() -> str:
    """Return a pattern for all but the last layer of the tiny network."""
    network = build_network(Model(architecture="allcnn", arguments={"width": 8}), [1, 8, 8], 10)
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name, _ in network.named_parameters()))
    return ", ".join(layers[:-1])


@pytest.mark.parametrize(
    ("method", "setting"),
    [("finetune", "epochs=1"), ("bad_teacher", "impair_steps=2"), ("fisher", "alpha=1e-6"), ("retrain", "epochs=1")],
)
def test_no_method_changes_a_frozen_layer(method: str, setting: str, original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, FROZEN % frozen_pattern())
    command = ("unlearn", original, "-m", manifest, "--method", method, "-o", tmp_path / "out", "--no-evaluate")
    result = invoke(*command, "--set", setting)
    assert result.exit_code == 0, result.stderr
    before, after = checkpoint.load(original).tensors, checkpoint.load(tmp_path / "out").tensors
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    last = list(build_network(Model(architecture="allcnn", arguments={"width": 8}), [1, 8, 8], 10).state_dict())[-1]
    assert {name.rpartition(".")[0] for name in changed} == {last.rpartition(".")[0]}


def test_a_method_that_changes_a_frozen_layer_is_refused(original: Path, tmp_path: Path) -> None:
    names = list(checkpoint.load(original).tensors)
    network = build_network(Model(architecture="allcnn", arguments={"width": 8}), [1, 8, 8], 10)
    last = list(network.state_dict())[-1].rpartition(".")[0]
    assert any(name.startswith(last) for name in names)
    manifest = write_manifest(tmp_path, FROZEN % last)
    result = invoke("unlearn", original, "-m", manifest, "--method", "head", "-o", tmp_path / "out", "--no-evaluate")
    assert result.exit_code == 2
    assert f"the method changes {last}." in result.stderr
    assert not (tmp_path / "out").exists()


def test_training_from_nothing_is_refused(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, FROZEN % frozen_pattern())
    result = invoke("train", "-m", manifest, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "the run has no checkpoint from which the frozen layers are taken" in result.stderr
