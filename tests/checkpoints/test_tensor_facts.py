"""The last layer and the channels of images, from names and shapes."""

import itertools

import pytest
import torch
import torchvision
from torch import Tensor

from unlearn_cli.checkpoints.tensor_facts import (
    find_channels,
    find_head,
    list_input_counts,
    list_output_counts,
    natural_key,
)
from unlearn_cli.models.bare_networks import BareNetworks

HEADS = {
    "resnet18": "fc",
    "vgg11": "classifier.6",
    "squeezenet1_1": "classifier.1",
    "densenet121": "classifier",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "convnext_tiny": "classifier.2",
    "vit_b_32": "heads.head",
    "swin_t": "head",
    "regnet_y_400mf": "fc",
    "shufflenet_v2_x0_5": "fc",
    "mnasnet0_5": "classifier.1",
}


@pytest.mark.parametrize("name", HEADS)
def test_the_head_of_torchvisions_networks(name: str) -> None:
    with BareNetworks():
        tensors: dict[str, Tensor] = torchvision.models.get_model_builder(name)(num_classes=7).state_dict()
    head = find_head(dict(sorted(tensors.items())))
    assert head is not None and (head.name, head.num_outputs) == (HEADS[name], 7)
    assert find_channels(tensors) == 3


def test_numbers_in_names_are_sorted_as_numbers() -> None:
    assert sorted(["layer10.a", "layer2.b", "10", "9"], key=natural_key) == ["9", "10", "layer2.b", "layer10.a"]


def test_the_likeliest_numbers_of_outputs_come_first() -> None:
    tensors = {"body.weight": torch.zeros(8, 4), "fc1.weight": torch.zeros(6, 8), "fc2.weight": torch.zeros(3, 6)}
    assert list_output_counts(tensors, expected=8) == [8, 3, 6]
    assert list_output_counts(tensors, expected=10) == [3, 6, 8]
    assert list_output_counts({"a.bias": torch.zeros(3)}, expected=3) == []


@pytest.mark.parametrize(("widths", "inputs"), [((5, 4, 2), [5]), ((2, 4, 2), [2]), ((4, 4, 2), [4]), ((7, 3), [7])])
def test_the_inputs_of_a_perceptron(widths: tuple[int, ...], inputs: list[int]) -> None:
    *hidden, last = list(itertools.pairwise(widths))
    tensors = {f"layers.{2 * i}.weight": torch.zeros(b, a) for i, (a, b) in enumerate(hidden)}
    assert list_input_counts({"head.weight": torch.zeros(last[1], last[0]), **tensors}) == inputs


def test_networks_of_images_have_no_number_of_features() -> None:
    assert list_input_counts({"conv.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(2, 4)}) == []
