"""One line about why a checkpoint does not fit a network, and what to do about it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.checkpoints.network_fit import complete_tied, describe_misfit, find_name_changes
from unlearn_cli.checkpoints.tensor_names import NameMapping
from unlearn_cli.errors import UserError
from unlearn_cli.models.resnet20 import resnet20


def expected() -> dict[str, Tensor]:
    with torch.device("meta"):
        return resnet20(num_classes=3, input_shape=(3, 32, 32)).state_dict()


def renamed(tensors: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def test_equal_names_and_shapes_fit() -> None:
    assert describe_misfit(expected(), expected()) == ""


@pytest.mark.parametrize("prefix", ["model.", "module.net.", "student.backbone.encoder."])
def test_a_prefix_is_named_once_with_the_key_and_the_option(prefix: str) -> None:
    tensors = {f"{prefix}{name}": tensor for name, tensor in expected().items()}
    text = describe_misfit(expected(), tensors)
    assert text == (
        f"all names start with `{prefix}`: add 'prefix: {prefix}' to 'model' in the manifest, or --prefix {prefix} "
        "to 'convert'"
    )


def test_a_prefix_of_some_names_is_named_with_their_number() -> None:
    tensors = {**{f"model.{name}": t for name, t in expected().items()}, "loss.weight": torch.zeros(3)}
    text = describe_misfit(expected(), tensors)
    assert text.startswith(f"{len(tensors) - 1} of {len(tensors)} names start with `model.`: add 'prefix: model.'")


def test_a_prefix_and_another_head_are_both_named() -> None:
    tensors = {f"model.{name}": tensor for name, tensor in expected().items()}
    head = next(name for name in expected() if name.endswith("weight") and expected()[name].dim() == 2)
    tensors[f"model.{head}"] = torch.zeros(10, 64)
    assert describe_misfit(expected(), tensors).endswith(f"then wrong shape: {head} [10, 64] instead of [3, 64]")


def test_another_number_of_outputs_is_named_with_what_to_do() -> None:
    network = {"embed.weight": torch.zeros(7, 4), "fc.weight": torch.zeros(3, 4), "fc.bias": torch.zeros(3)}
    other = {**network, "fc.weight": torch.zeros(5, 4), "fc.bias": torch.zeros(5)}
    text = describe_misfit(network, other, "list them")
    assert (
        text.startswith("it has 5 outputs instead of 3 (fc.bias [5] instead of [3], fc.weight") and "list them" in text
    )
    vocabulary = {**network, "embed.weight": torch.zeros(9, 4)}
    assert describe_misfit(network, vocabulary) == "wrong shape: embed.weight [9, 4] instead of [7, 4]"


def test_a_network_with_an_outer_name_gets_the_empty_part() -> None:
    network = {f"net.{name}": tensor for name, tensor in expected().items()}
    assert "add 'rename: {\"\": net}'" in describe_misfit(network, expected())


def test_renamed_modules_are_suggested() -> None:
    names = list(expected())
    first, last = names[0].split(".")[0], names[-1].split(".")[0]
    tensors = renamed(renamed(expected(), f"{first}.", "stem."), f"{last}.", "linear.")
    text = describe_misfit(expected(), tensors)
    assert text.startswith("names differ: add 'rename: {")
    assert f"linear: {last}" in text and f"stem: {first}" in text and len(text) < 200


def name_modules(name: str) -> str:
    """Return the name in a Sequential of the network's parts, next to the head."""
    first, _, rest = name.partition(".")
    parts = ["conv1", "bn1", "relu", "layer1", "layer2", "layer3"]
    return name if first == "fc" else f"features.{parts.index(first)}.{rest}"


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        (lambda name: name, NameMapping()),
        (lambda name: name.replace("fc.", "linear."), NameMapping("", {"linear": "fc"})),
        (lambda name: name.replace("fc.", "fc.1."), NameMapping("", {"fc.1": "fc"})),
        (lambda name: name.replace("fc.", "head.fc."), NameMapping("", {"head": ""})),
        (lambda name: f"model.{name}".replace("fc.", "linear."), NameMapping("model.", {"linear": "fc"})),
        (
            lambda name: "classifier." + name[3:] if name.startswith("fc.") else f"backbone.{name}",
            NameMapping("", {"backbone": "", "classifier": "fc"}),
        ),
        (
            name_modules,
            NameMapping("", {"features.3": "layer1", "features.4": "layer2", "features.5": "layer3",
                             "features.1": "bn1", "features.0": "conv1"}),
        ),
        (
            lambda name: name.replace(".bn1", ".norm1").replace(".bn2", ".norm2"),
            NameMapping("", {"norm1": "bn1", "norm2": "bn2"}),
        ),
        (lambda name: name.replace("layer1.0.conv1", "a").replace("layer1.1.conv1", "b"), None),  # ambiguous
    ],
)  # fmt: skip
def test_changes_of_names_with_which_all_tensors_fit(change: Callable[[str], str], changes: NameMapping | None) -> None:
    tensors = {change(name): tensor for name, tensor in expected().items()}
    assert find_name_changes(expected(), tensors) == changes
    if changes:
        assert {changes.apply(tensors)[change(name)]: name for name in expected()} == {n: n for n in expected()}


def test_a_head_without_the_prefix_of_the_others_is_renamed_not_left_out() -> None:
    names = {name: name.replace("fc.", "head.") if name.startswith("fc.") else f"net.{name}" for name in expected()}
    text = describe_misfit(expected(), {names[name]: tensor for name, tensor in expected().items()})
    assert text.startswith("names differ: add 'rename: {net: \"\", head: fc}'")


def test_another_architecture_is_one_short_line() -> None:
    tensors = {f"block{i}.attention.weight": torch.zeros(7, 7) for i in range(150)}
    text = describe_misfit(expected(), tensors)
    assert text.startswith("no tensor fits: another architecture? missing: ")
    assert "and 145 more" in text and len(text) < 500


def test_a_tensor_that_the_network_shares_is_present_under_both_names() -> None:
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    network["b"].weight = network["a"].weight
    tensors = dict(network.state_dict())
    del tensors["a.weight"]
    assert describe_misfit(network.state_dict(), complete_tied(network, tensors)) == ""


def test_an_adapter_is_named() -> None:
    network = nn.Linear(2, 2)
    tensors = {"base_model.model.linear.lora_A.default.weight": torch.zeros(1, 2), "weight": torch.zeros(2, 2)}
    message = describe_misfit(network.state_dict(), tensors)
    assert message.startswith(
        "1 of 2 tensors belong to an adapter (LoRA or another of PEFT): adapters are not supported"
    )


def test_a_folder_with_an_adapter_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"contains an adapter .* without its network; adapters are not supported"):
        read_header(tmp_path)
