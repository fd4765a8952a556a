"""The network for numbers followed by words."""

import pytest
import torch

from unlearn_cli.models.text_numbers import text_numbers


def test_padding_and_the_order_of_words_do_not_matter_but_words_and_numbers_do() -> None:
    model = text_numbers(2, (6,), numbers=2, buckets=16).eval()
    x = torch.tensor([[0.5, -1, 0, 0, 3, 4]])
    for same in ([0.5, -1, 4, 3, 0, 0], [0.5, -1, 0, 0, 19, 4]):
        torch.testing.assert_close(model(x), model(torch.tensor([same])))
    for other in ([0.5, -2, 0, 0, 3, 4], [0.5, -1, 0, 0, 3, 5], [0.5, -1, 0, 0, 0, 0]):
        assert not torch.allclose(model(x), model(torch.tensor([other], dtype=torch.float32)))


@pytest.mark.parametrize("shape", [(2,), (1,), (2, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected more than the 2 numbers"):
        text_numbers(2, shape, numbers=2)
