"""Heads as people have them: one logit, several outputs, probabilities."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import invoke, write_manifest
from unlearn_cli.errors import UserError
from unlearn_cli.models.architectures import build_network, check_forward
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.network_sections import Model

OWN = """\
from collections import namedtuple
from types import SimpleNamespace
import torch
from torch import nn

Pair = namedtuple("Pair", "features scores")

class Net(nn.Module):
    def __init__(self, outputs, form="tensor", end="none"):
        super().__init__()
        self.linear, self.form, self.end = nn.Linear(4, outputs), form, end

    def forward(self, x):
        z = self.linear(x)
        z = {"none": lambda: z, "sigmoid": z.sigmoid, "softmax": lambda: z.softmax(1)}[self.end]()
        return {
            "tensor": lambda: z, "flat": lambda: z[:, 0], "dict": lambda: {"emb": x, "out": z},
            "logits": lambda: {"emb": x, "logits": z}, "tuple": lambda: (x, z), "named": lambda: Pair(x, z),
            "object": lambda: SimpleNamespace(emb=x, out=z), "text": lambda: "no tensor",
        }[self.form]()

def net(outputs, **more):
    return Net(outputs, **more)
"""


@pytest.fixture(autouse=True)
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "heads_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("heads_of_a_test", None)


def build(outputs: int, expected: int = 2, task: Any = "classification", **more: Any) -> nn.Module:
    keys = {key: more.pop(key) for key in ("output", "outputs_are") if key in more}
    section = {"architecture": "heads_of_a_test:net", "arguments": {"outputs": outputs, **more}}
    section |= {"output": keys["output"]} if "output" in keys else {}
    section |= {"outputs": keys["outputs_are"]} if "outputs_are" in keys else {}
    model = build_network(Model.model_validate(section), [4], expected, task)
    check_forward(model, Model.model_validate(section), [4], expected, task)
    return model


def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    return model.get_submodule("linear")(x)


X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", ["tensor", "flat"])
def test_one_logit_is_that_of_the_second_of_two_classes(form: str) -> None:
    model = build(1, form=form)
    logits, targets = logits_of(model, X)[:, 0], torch.tensor([0, 1, 1, 0, 1])
    assert torch.equal(model(X), torch.stack([torch.zeros(5), logits], dim=1))
    assert torch.allclose(model(X).softmax(1)[:, 1], logits.sigmoid())
    ours = nn.functional.cross_entropy(model(X), targets)
    assert torch.allclose(ours, nn.functional.binary_cross_entropy_with_logits(logits, targets.float()))


def test_one_number_of_a_regression_stays_one() -> None:
    assert build(1, 1, "regression", form="flat")(X).shape == (5, 1)


@pytest.mark.parametrize(
    ("name", "shape"), [("mlp", [4]), ("resnet20", [3, 8, 8]), ("torchvision/resnet18", [3, 32, 32])]
)
def test_one_logit_of_every_kind_of_architecture(name: str, shape: list[int]) -> None:
    section = Model(architecture=name, arguments={"num_classes": 1})
    check_forward(build_network(section, shape, 2), section, shape, 2, "classification")


def test_two_outputs_are_not_one_logit_and_three_classes_need_three() -> None:
    model = build(2)
    assert torch.equal(model(X), logits_of(model, X))
    with pytest.raises(UserError, match=r"net returns \[1, 1\] for one sample; expected \[1, 3\]"):
        build(1, 3)


@pytest.mark.parametrize(("form", "output"), [
    ("dict", "out"), ("dict", 1), ("logits", None), ("logits", "logits"), ("tuple", 1), ("named", "scores"),
    ("named", 1), ("object", "out"), ("tensor", "logits"),
])  # fmt: skip
def test_one_of_several_outputs_is_chosen(form: str, output: Any) -> None:
    model = build(2, form=form, output=output)
    assert torch.equal(model(X), logits_of(model, X))


@pytest.mark.parametrize(("form", "output", "message"), [
    ("dict", None, "returns a dict; set model.output to one of 0, 1, emb, out"),
    ("tuple", None, "returns a tuple; set model.output to one of 0, 1"),
    ("dict", "outs", "has no output 'outs'; did you mean 'out'"),
    ("tuple", 2, "has no output '2'"),
    ("tensor", "out", "model.output: out: the network returns one tensor; omit it"),
    ("text", None, "returns a str; return a tensor"),
    ("dict", "emb", r"returns \[1, 4\] for one sample; expected \[1, 2\]"),
])  # fmt: skip
def test_a_wrong_choice_is_one_line(form: str, output: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(2, form=form, output=output)


def test_probabilities_are_taken_as_logarithms() -> None:
    model = build(3, 3, end="softmax", outputs_are="probabilities")
    assert torch.allclose(model(X), logits_of(model, X).log_softmax(1), atol=1e-6)
    single = build(1, end="sigmoid", outputs_are="probabilities")
    expected = torch.cat([torch.zeros(5, 1), logits_of(single, X)], dim=1).log_softmax(1)
    assert torch.allclose(single(X), expected, atol=1e-6)


def test_a_probability_of_zero_is_finite() -> None:
    model = build(2, end="softmax", outputs_are="probabilities")
    with torch.no_grad():
        next(model.parameters()).mul_(1e6)
    assert model(X).isfinite().all()


@pytest.mark.parametrize(("outputs", "end"), [(1, "sigmoid"), (2, "softmax"), (2, "sigmoid")])
def test_probabilities_that_are_not_declared_are_refused(outputs: int, end: str) -> None:
    with pytest.raises(
        UserError, match=r"ends in a \w+, but logits are expected.*or set model\.outputs: probabilities"
    ):
        build(outputs, end=end)


@pytest.mark.parametrize(("outputs", "end"), [(2, "none"), (2, "sigmoid")])
def test_outputs_that_are_declared_but_do_not_sum_to_1_are_refused(outputs: int, end: str) -> None:
    with pytest.raises(
        UserError, match=r"model\.outputs: probabilities, but the outputs of .*net are none: .*; omit it"
    ):
        build(outputs, end=end, outputs_are="probabilities")


def test_probabilities_of_a_regression_are_refused() -> None:
    content = {"version": 1, "task": "regression", "input": {"shape": [4]}}
    with pytest.raises(ValueError, match="'outputs: probabilities' is only for classification"):
        Manifest.model_validate({**content, "model": {"architecture": "mlp", "outputs": "probabilities"}})


def test_a_binary_network_of_the_users_own_is_trained_and_unlearned(tmp_path: Path) -> None:
    text = "x,y,z,w,label\n" + "".join(f"{i % 2 + k / 40},{k % 3},{k % 5},1,{'ab'[i % 2]}\n" for i, k in zip(
        range(40), range(40), strict=True
    ))  # fmt: skip
    (tmp_path / "train.csv").write_text(text)
    manifest = write_manifest(tmp_path, """\
version: 1
task: classification
model: {architecture: "heads_of_a_test:net", arguments: {outputs: 1}}
input: {shape: [4]}
data: {train: {table: {path: train.csv, label: label}}, test: {table: {path: train.csv, label: label}}}
forget: {rows: {first: 4}}
""".replace("forget: {rows: {first: 4}}", "forget: {fraction: {share: 0.1, seed: 0}}"))  # fmt: skip
    options = ("--allow-code", "--device", "cpu")
    trained = invoke("train", "-m", manifest, "-o", tmp_path / "o", "--set", "epochs=30", "--set", "lr=0.1", *options)
    assert trained.exit_code == 0, trained.stderr
    result = invoke(
        "unlearn",
        tmp_path / "o",
        "-m",
        manifest,
        "--method",
        "neggrad",
        "-o",
        tmp_path / "u",
        "--set",
        "rewind=last",
        *options,
    )
    assert result.exit_code == 0, result.stderr


def test_a_network_that_expects_token_numbers_as_integers_is_refused_with_the_remedy() -> None:
    model = nn.Sequential(nn.Embedding(20, 3), nn.Flatten(), nn.Linear(18, 2))
    with pytest.raises(UserError, match=r"samples are float32, so call x\.long\(\) before nn\.Embedding"):
        check_forward(model, Model(architecture="mine:net"), [6], 2, "classification")
