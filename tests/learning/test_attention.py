import pytest
import torch
from torch import nn

from unlearn_cli.errors import UserError
from unlearn_cli.learning.attention import attention_loss, attention_map, choose_layers, find_layers, record
from unlearn_cli.models.allcnn import allcnn
from unlearn_cli.models.lenet5 import lenet5
from unlearn_cli.models.mlp import mlp
from unlearn_cli.models.resnet20 import resnet20


def test_a_map_of_an_image_is_the_mean_over_channels_of_squares_made_to_length_one() -> None:
    activation = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # (1, 2, 1, 2)
    expected = torch.tensor([[5.0, 2.0]])  # (1 + 9) / 2 and (4 + 0) / 2
    assert torch.allclose(attention_map(activation), expected / expected.norm())


@pytest.mark.parametrize(("shape", "places"), [((3, 4, 5, 6), 30), ((3, 7, 5), 7), ((3, 8), 8)])
def test_the_places_are_pixels_moments_or_units(shape: tuple[int, ...], places: int) -> None:
    maps = attention_map(torch.randn(*shape))
    assert maps.shape == (3, places)
    assert torch.allclose(maps.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("shape", [(16, 64), (16, 10, 64)])
def test_the_loss_of_flat_and_of_sequence_activations_is_not_identically_zero(shape: tuple[int, ...]) -> None:
    """The authors' code averages over the units of (B, H), which leaves the number 1 for every sample (bug R1)."""
    assert attention_loss([torch.randn(*shape)], [torch.randn(*shape)]) > 0


def test_the_loss_sums_layers_and_averages_places() -> None:
    a, b = torch.randn(5, 3, 4, 4), torch.randn(5, 7)
    c, d = torch.randn(5, 3, 4, 4), torch.randn(5, 7)
    expected = ((attention_map(a) - attention_map(c)) ** 2).sum() / (5 * 16)
    expected += ((attention_map(b) - attention_map(d)) ** 2).sum() / (5 * 7)
    assert torch.allclose(attention_loss([a, b], [c, d]), expected)
    assert attention_loss([a, b], [a, b]) == 0


def test_activations_that_are_all_zero_give_no_nan() -> None:
    activation = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = attention_loss([activation], [torch.randn(2, 3, 4, 4)])
    loss.backward()
    assert loss.isfinite()
    assert activation.grad is not None
    assert activation.grad.isfinite().all()


def test_layers_are_found_after_the_relu_where_it_is_a_module() -> None:
    found = find_layers(model := allcnn(10, (3, 32, 32)), (3, 32, 32))
    with record(model, found) as seen:
        model.eval()(torch.randn(2, 3, 32, 32))
    activations = seen.take()
    assert len(activations) == 8  # every convolution of the paper's AllCNN
    assert all((activation >= 0).all() for activation in activations)


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (lenet5(10, (1, 28, 28)), (1, 28, 28), ["conv1", "conv2", "fc1", "fc2"]),
        (mlp(3, (5,)), (5,), ["layers.1", "layers.3"]),
        (nn.Linear(5, 3), (5,), [""]),
    ],
)
def test_the_head_is_left_out_unless_there_is_nothing_else(
    model: nn.Module, shape: tuple[int, ...], expected: list[str]
) -> None:
    assert find_layers(model, shape) == expected


def test_finding_layers_leaves_the_network_as_it_was() -> None:
    model = resnet20(10, (3, 32, 32)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert len(find_layers(model, (3, 32, 32))) >= 19
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers_are_recorded_with_the_sample_first(batch_first: bool) -> None:
    """Time-first activations would average over the batch and index moments by sample (bug R3)."""
    model = nn.Sequential(nn.LSTM(3, 6, batch_first=batch_first))
    with record(model, ["0"]) as seen:
        model(torch.randn(4, 9, 3) if batch_first else torch.randn(9, 4, 3))
    assert [tuple(activation.shape) for activation in seen.take()] == [(4, 9, 6)]


def test_a_recording_ends_with_its_block_and_is_emptied_by_take() -> None:
    model = mlp(3, (5,))
    with record(model, ["layers.0"]) as seen:
        model(torch.randn(2, 5))
        assert len(seen.take()) == 1
        assert seen.take() == []
    model(torch.randn(2, 5))
    assert seen.take() == []


def test_an_unknown_layer_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no layer 'layer\.0'.*layers\.0"), record(mlp(3, (5,)), ["layer.0"]):
        pass


def test_activations_of_other_layers_are_refused() -> None:
    with pytest.raises(UserError, match="name other layers"):
        attention_loss([torch.randn(2, 3)], [torch.randn(2, 4)])


def test_a_network_without_a_known_layer_is_refused_in_words() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    with pytest.raises(UserError, match="none could be found"):
        find_layers(Bare(), (3,))


def test_what_is_overwritten_in_place_counts_once() -> None:
    """A ResNet block adds to the output of its batch norm and rectifies it in place: one map, not two."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x).add_(1))

    with record(model := Block(), ["first", "second"]) as seen:
        outputs = model(torch.randn(2, 3))
    (activation,) = seen.take()
    assert torch.equal(activation, outputs)


def test_named_layers_are_checked_and_kept_in_their_order() -> None:
    model = mlp(3, (5,))
    assert choose_layers(model, (5,), ["layers.3", "layers.1"]) == ["layers.3", "layers.1"]
    assert choose_layers(model, (5,), None) == find_layers(model, (5,))
    with pytest.raises(UserError, match="no layer 'nope'"):
        choose_layers(model, (5,), ["nope"])
