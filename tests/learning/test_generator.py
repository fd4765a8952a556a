import pytest
import torch

from tests.tiny import same
from unlearn_cli.learning.generator import Memory, make_generator
from unlearn_cli.runtime.seeds import Random


@pytest.mark.parametrize(("shape", "count"), [((3, 32, 32), 1_280_521), ((1, 28, 28), 1_281_923)])
def test_it_has_the_shapes_and_the_parameters_of_the_paper(shape: tuple[int, ...], count: int) -> None:
    generator = make_generator(shape, Random(0, "t"))
    assert sum(parameter.numel() for parameter in generator.parameters()) == count
    assert generator(torch.randn(2, 128)).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 45), (2, 1, 1), (7,), (5, 4), (1, 33, 28), (2, 3, 4, 5)])
def test_it_makes_samples_of_any_shape(shape: tuple[int, ...]) -> None:
    generator = make_generator(shape, Random(0, "t"), code_size=6, width=3)
    assert generator(torch.randn(4, 6)).shape == (4, *shape)


@pytest.mark.parametrize("shape", [(3, 16, 12), (9,)])
def test_at_first_its_samples_are_standardised(shape: tuple[int, ...]) -> None:
    x = make_generator(shape, Random(0, "t"), width=8)(torch.randn(256, 128)).transpose(0, 1).flatten(1)
    assert torch.allclose(x.mean(dim=1), torch.zeros(shape[0]), atol=1e-4)
    assert torch.allclose(x.std(dim=1), torch.ones(shape[0]), atol=1e-2)


def test_its_weights_come_from_the_random_that_is_given_and_disturb_no_other_draw() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second, other = (make_generator((4,), Random(seed, "t"), width=5).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert same(first, second)
    assert not same(first, other)


def test_the_memory_keeps_the_last_samples_and_draws_only_what_was_added() -> None:
    random, memory = Random(0, "t"), Memory(5, (1,), torch.device("cpu"))
    memory.add(torch.tensor([[1.0], [2.0]]))
    assert set(memory.draw(50, random).flatten().tolist()) == {1.0, 2.0}
    memory.add(torch.tensor([[3.0], [4.0], [5.0], [6.0]]))
    assert set(memory.draw(100, random).flatten().tolist()) == {2.0, 3.0, 4.0, 5.0, 6.0}
    memory.add(torch.arange(10.0, 20.0)[:, None])
    assert set(memory.samples.flatten().tolist()) == {15.0, 16.0, 17.0, 18.0, 19.0}


def test_a_memory_of_no_samples_takes_what_is_added_and_keeps_nothing() -> None:
    memory = Memory(0, (1,), torch.device("cpu"))
    memory.add(torch.ones(3, 1))
    assert memory.samples.shape == (0, 1)
