"""The architectures of the benchmark of methods."""

import torch

from benchmarks.methods.architectures import resnet32, small_vit


def test_resnet32_has_the_size_of_the_paper() -> None:
    network = resnet32(10)
    assert sum(each.numel() for each in network.parameters()) == 464154  # 0.46 M in the table of He et al. 2015
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_small_vit_has_less_than_half_a_million_parameters() -> None:
    network = small_vit(100)
    assert sum(each.numel() for each in network.parameters()) < 500_000
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 100)
