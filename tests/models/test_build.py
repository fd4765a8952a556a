"""From a manifest to a network: bundled ones, torchvision's, and the user's own."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unlearn_cli.errors import UserError
from unlearn_cli.models.architectures import build_network
from unlearn_cli.plugins import discovery
from unlearn_cli.runtime.run import start
from unlearn_cli.schema.manifest import Manifest

SHAPES: dict[str, list[list[int]]] = {
    "allcnn": [[1, 8, 8], [3, 32, 32], [1, 4, 5]],
    "lenet5": [[1, 28, 28], [3, 32, 32], [1, 20, 24]],
    "lstm_forecast": [[12, 5], [168, 1]],
    "lstm_pair": [[2, 7], [2, 24]],
    "mlp": [[7], [1, 8, 8]],
    "resnet20": [[3, 32, 32], [1, 28, 28]],
    "text_numbers": [[9], [2]],
}


def build(
    architecture: str,
    shape: list[int],
    num_outputs: int,
    *,
    stem: str | None = None,
    task: str = "classification",
    **arguments: Any,
) -> nn.Module:
    """Build the network of a manifest with this `model` section and input shape."""
    model = {"architecture": architecture, "arguments": arguments, **({"stem": stem} if stem else {})}
    manifest = Manifest.model_validate({"version": 1, "task": task, "model": model, "input": {"shape": shape}})
    return build_network(manifest.model, manifest.input.shape, num_outputs, manifest.task)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_bundled_architecture_has_its_shapes_here() -> None:
    assert SHAPES.keys() == discovery.entries("models").keys()


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name, shapes in SHAPES.items() for shape in shapes])
@pytest.mark.parametrize(("task", "outputs"), [("classification", 10), ("classification", 3), ("regression", 1)])
def test_a_bundled_network_gives_one_output_a_class_or_one_number(
    name: str, shape: list[int], task: str, outputs: int
) -> None:
    model = build(name, shape, outputs, task=task)
    x = torch.randn(2, *shape)
    assert model(x).shape == (2, outputs)
    model.eval()
    first, both = model(x[:1]), model(x)
    torch.testing.assert_close(first, both[:1])
    model.train()(x).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "count"),
    [
        ("resnet20", [3, 32, 32], {}, 269_722),  # 0.27 M in the paper
        ("allcnn", [3, 32, 32], {"width": 96}, 1_620_010),
        ("lenet5", [1, 28, 28], {}, 61_706),
        ("mlp", [4], {"hidden": [5, 3]}, 4 * 5 + 5 + 5 * 3 + 3 + 3 * 10 + 10),
    ],
)
def test_the_number_of_parameters_is_the_published_one(
    name: str, shape: list[int], arguments: dict[str, Any], count: int
) -> None:
    assert parameters(build(name, shape, 10, **arguments)) == count


def test_the_small_image_stem_keeps_32x32_maps_before_the_first_block() -> None:
    for stem, side in ((None, 8), ("cifar", 32)):
        model = build("torchvision/resnet18", [3, 32, 32], 10, stem=stem)
        x = torch.randn(2, 3, 32, 32)
        assert model(x).shape == (2, 10)
        before_the_blocks = nn.Sequential(*list(model.children())[:4])  # conv1, bn1, relu, maxpool
        assert before_the_blocks(x).shape == (2, 64, side, side)


def test_the_small_image_stem_takes_grey_images() -> None:
    model = build("torchvision/resnet18", [1, 28, 28], 4, stem="cifar")
    assert model(torch.randn(2, 1, 28, 28)).shape == (2, 4)


@pytest.mark.parametrize("task_outputs", [7, 1])
def test_a_network_of_torchvision_is_built_by_name(task_outputs: int) -> None:
    model = build("torchvision/mobilenet_v3_small", [3, 32, 32], task_outputs, dropout=0.1)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, task_outputs)


def test_a_network_with_auxiliary_outputs_gives_its_main_one_while_it_trains() -> None:
    model = build("torchvision/googlenet", [3, 64, 64], 5, init_weights=False).train()
    outputs = model(torch.randn(2, 3, 64, 64))
    assert isinstance(outputs, Tensor)
    assert outputs.shape == (2, 5)


def test_a_name_that_torchvision_does_not_know_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no classification model 'resnet81'; did you mean 'resnet18'\?"):
        build("torchvision/resnet81", [3, 32, 32], 10)


@pytest.mark.parametrize("name", ["raft_large", "fcn_resnet50", "fasterrcnn_resnet50_fpn", "r3d_18"])
def test_networks_for_other_tasks_are_not_offered(name: str) -> None:
    with pytest.raises(UserError, match=f"no classification model '{name}'"):
        build(f"torchvision/{name}", [3, 32, 32], 10)


def test_arguments_that_do_not_suit_are_told() -> None:
    with pytest.raises(UserError, match=r"allcnn cannot be built with .*depth=3.*fix model\.arguments"):
        build("allcnn", [1, 8, 8], 10, depth=3)
    with pytest.raises(UserError, match="lenet5 cannot be built with"):
        build("lenet5", [5], 10)


@pytest.mark.parametrize(("name", "folder"), [("timm", "resnet18"), ("transformers", "vit")])
def test_a_library_that_is_not_installed_is_named_with_the_command(
    name: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(
        UserError, match=rf"{name} is not installed; install it with: pip install 'unlearn-cli\[{name}\]'"
    ):
        build(f"{name}/{folder}", [3, 32, 32], 10)


@pytest.mark.parametrize(("architecture", "message"), [
    ("timn/resnet18", "expected an architecture such as torchvision/resnet18, timm/resnet18, transformers/FOLDER"),
    ("timm/local-dir:x", "expected timm/<name>, such as timm/resnet18"),
    ("timm/hf-hub:x/y", "expected timm/<name>"),
    ("transformers/", "expected transformers/<name>"),
])  # fmt: skip
def test_other_libraries_and_names_are_refused_by_the_manifest(architecture: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(architecture, [3, 32, 32], 10)


OWN = """\
from torch import nn


def small(num_classes, scale=1):
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * scale, num_classes))


def nothing(num_classes):
    return "a network"
"""


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own_networks.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_networks", None)


@pytest.mark.usefixtures("own_code")
def test_a_network_of_the_users_own_is_built_with_the_arguments_of_the_manifest() -> None:
    model = build("own_networks:small", [2, 4], 3, num_classes=3, scale=2)
    assert model(torch.randn(5, 2, 4)).shape == (5, 3)


@pytest.mark.usefixtures("own_code")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_networks:absent", "set PYTHONPATH"), ("no_such_module:small", "set PYTHONPATH"),
        ("own_networks:nothing", "returned a str; expected a torch.nn.Module"),
    ],
)  # fmt: skip
def test_code_that_is_not_there_or_no_network_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(name, [4], 3, num_classes=3)


@pytest.mark.parametrize("name", discovery.entries("models"))
def test_fresh_weights_are_a_function_of_the_seed_and_the_stream(name: str) -> None:
    def weights(seed: int, stream: str) -> Tensor:
        with start(device="cpu", seed=seed) as run, run.fresh_weights(stream):
            model = build(name, SHAPES[name][0], 4)
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    first = weights(1, "fresh")
    torch.randn(3)
    assert torch.equal(weights(1, "fresh"), first)
    assert not torch.equal(weights(2, "fresh"), first)
    assert not torch.equal(weights(1, "incompetent_teacher"), first)


def test_building_fresh_weights_leaves_the_random_numbers_around_it_alone() -> None:
    with start(device="cpu", seed=0) as run:
        before = torch.get_rng_state()
        with run.fresh_weights("fresh"):
            build("mlp", [4], 2)
        assert torch.equal(torch.get_rng_state(), before)
