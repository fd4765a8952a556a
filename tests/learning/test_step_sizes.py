"""Learning rates that suit the network."""

import pytest
import torch
from torch import nn

from unlearn_cli.learning.step_sizes import TUNED, choose_rate, measure_sensitivity, suit_rate
from unlearn_cli.models import resnet20


def make_layer(inputs: int, outputs: int, size: float) -> nn.Linear:
    """A layer whose weights are all plus or minus `size`."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(size * torch.sign(layer.weight))
    return layer


def test_sensitivity_of_one_layer_is_the_root_of_its_inputs_by_the_size_of_its_weights() -> None:
    assert measure_sensitivity(make_layer(64, 5, 0.02)) == pytest.approx(8 / 0.02)


def test_a_convolution_has_channels_times_kernel_inputs() -> None:
    convolution = nn.Conv2d(4, 6, 3)
    nn.init.constant_(convolution.weight, 0.1)
    assert measure_sensitivity(convolution) == pytest.approx(6 / 0.1)


def test_layers_count_by_their_numbers_of_weights() -> None:
    network = nn.Sequential(make_layer(100, 3, 0.1), make_layer(4, 50, 0.5))
    assert measure_sensitivity(network) == pytest.approx((300 * 100 + 200 * 4) / 500)


def test_embeddings_biases_and_weights_of_zero_do_not_count() -> None:
    blank = nn.Linear(8, 8)
    nn.init.zeros_(blank.weight)
    network = nn.Sequential(nn.Embedding(1000, 16), blank, nn.BatchNorm1d(8), make_layer(9, 2, 0.3))
    assert measure_sensitivity(network) == pytest.approx(10)
    assert measure_sensitivity(nn.BatchNorm1d(8)) == 1.0


def test_sensitivity_is_how_far_a_signed_step_moves_an_output_relative_to_itself() -> None:
    """A step along the inputs: the ratio of the root mean squares of change and output, for random weights."""
    generator = torch.Generator().manual_seed(0)
    layer, rate = nn.Linear(400, 2000, bias=False), 1e-4
    with torch.no_grad():
        layer.weight.copy_(0.03 * torch.randn(2000, 400, generator=generator))
        x = torch.sign(torch.randn(400, generator=generator))
        before = layer(x)
        layer.weight.add_(rate * torch.sign(x))
        moved = (layer(x) - before).square().mean().sqrt() / before.square().mean().sqrt()
    assert float(moved) / rate == pytest.approx(measure_sensitivity(layer), rel=0.05)


def test_the_usual_rate_holds_up_to_the_sensitivity_that_it_was_chosen_on() -> None:
    narrow, wide = make_layer(16, 2, 0.1), make_layer(10_000, 2, 0.01)
    assert suit_rate(1e-3, narrow) == 1e-3
    assert suit_rate(1e-3, wide) == pytest.approx(1e-3 * TUNED / 10_000)


def test_a_chosen_rate_is_taken_as_it_is() -> None:
    wide = make_layer(10_000, 2, 0.01)
    assert choose_rate("lr", 0.5, 1e-3, wide) == 0.5
    assert choose_rate("lr", None, 1e-3, wide) == suit_rate(1e-3, wide)


def test_a_resnet_18_is_several_times_as_sensitive_as_a_resnet_20() -> None:
    from torchvision.models import resnet18

    narrow = measure_sensitivity(resnet20.resnet20(10, (3, 32, 32)))
    assert measure_sensitivity(resnet18(num_classes=10)) > 4 * narrow
