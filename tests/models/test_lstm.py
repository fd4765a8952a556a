"""The two recurrent networks: which samples they take, and what padding and dropout do to them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from unlearn_cli.models.lstm_forecast import lstm_forecast
from unlearn_cli.models.lstm_pair import lstm_pair


def pairs(n: int, words: int = 6) -> Tensor:
    """Pairs of sentences as word numbers; the first words of each are padding."""
    numbers = torch.randint(1, 50, (n, 2, words)).float()
    numbers[:, :, :2] = 0
    return numbers


MADE: list[tuple[Callable[[], nn.Module], Tensor]] = [
    (lambda: lstm_pair(1, (2, 6), buckets=50, embedding=5, hidden=4), pairs(7)),
    (lambda: lstm_forecast(1, (9, 3), hidden=4, layers=2, dropout=0.5), torch.randn(7, 9, 3)),
]


@pytest.mark.parametrize(("build", "x"), MADE)
def test_one_sample_gives_one_row_whatever_the_batch(build: Callable[[], nn.Module], x: Tensor) -> None:
    model = build().eval()
    assert model(x[:1]).shape == (1, 1)
    torch.testing.assert_close(torch.cat([model(sample[None]) for sample in x]), model(x))


@pytest.mark.parametrize(("build", "x"), MADE)
def test_dropout_acts_in_training_alone(build: Callable[[], nn.Module], x: Tensor) -> None:
    torch.manual_seed(0)
    model = build()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(("build", "x"), MADE)
def test_a_sample_of_zeros_gives_a_finite_number(build: Callable[[], nn.Module], x: Tensor) -> None:
    assert build().eval()(torch.zeros(1, *x.shape[1:])).isfinite().all()


def test_whoever_hooks_the_lstm_sees_one_row_a_sample_and_time_second() -> None:
    seen: list[tuple[int, ...]] = []
    model = lstm_pair(1, (2, 6), hidden=4)
    model.lstm.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output[0].shape)))
    model(pairs(7))
    assert seen == [(7, 6, 4), (7, 6, 4)]
    seen.clear()
    forecast = lstm_forecast(1, (9, 3), hidden=5)
    forecast.lstm.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output[0].shape)))
    forecast(torch.randn(7, 9, 3))
    assert seen == [(7, 9, 5)]


def test_a_sentence_is_the_mean_over_its_words_alone() -> None:
    torch.manual_seed(0)
    model = lstm_pair(1, (2, 6), buckets=50, embedding=5, hidden=4).eval()
    numbers = pairs(3)[:, 0]
    steps, _ = model.lstm(model.words(numbers.long()))
    torch.testing.assert_close(model.sentence(numbers), steps[:, 2:].mean(dim=1))


def test_padding_has_a_vector_of_zeros_that_training_leaves_alone() -> None:
    model = lstm_pair(1, (2, 6), buckets=50)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    model(pairs(7)).square().sum().backward()
    optimizer.step()
    assert torch.equal(model.words.weight[0], torch.zeros(64))
    assert model.words.weight.grad is not None
    assert model.words.weight.grad.abs().sum() > 0


def test_equal_sentences_and_swapped_ones_differ_only_in_what_is_not_symmetric() -> None:
    model = lstm_pair(1, (2, 6), buckets=50).eval()
    a, b = model.sentence(pairs(3)[:, 0]), model.sentence(pairs(3)[:, 1])
    assert a.shape == b.shape == (3, 64)
    same = pairs(3)[:, :1].expand(-1, 2, -1)
    torch.testing.assert_close(model(same), model(same.flip(1)))


def test_a_number_beyond_the_buckets_shares_the_vector_of_its_remainder() -> None:
    model = lstm_pair(1, (2, 6), buckets=50).eval()
    x = pairs(3)
    torch.testing.assert_close(model(x), model(torch.where(x > 0, x + 50, x)))


def test_a_sample_that_is_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="expected two sentences"):
        lstm_pair(1, (3, 6))


def test_a_forecast_depends_on_the_order_of_the_past() -> None:
    torch.manual_seed(0)
    model = lstm_forecast(1, (9, 3)).eval()
    x = torch.randn(4, 9, 3)
    assert not torch.allclose(model(x), model(x.flip(1)))


def test_a_forecast_can_have_several_numbers() -> None:
    assert lstm_forecast(24, (9, 3))(torch.randn(2, 9, 3)).shape == (2, 24)
