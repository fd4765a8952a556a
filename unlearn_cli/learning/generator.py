"""The generator of GKT: a small network that turns random codes z ~ N(0, I) into samples of any shape.

For images, with w = `width`: linear to w maps, twice (enlarge to double; 3x3 convolution, batch norm, leaky ReLU), then
a convolution to the image's channels and batch norm, which gives the samples mean 0 and variance 1 at first, as
standardised inputs have. Other shapes get a perceptron with the same ends.

Source: the authors' code for Chundawat et al., Zero-Shot Machine Unlearning, arXiv 2201.05629 (128 maps, codes of 128).
Its variants for 28x28 and 32x32 are special cases: the maps grow to the next multiple of 8, and the last kernel removes
the surplus. Warning: the running statistics are not trained for eval mode; keep the generator in train mode.
"""

import math

import torch
from torch import Tensor, nn

from unlearn_cli.runtime.seeds import Random

SLOPE = 0.2  # of the leaky ReLU, below 0


def make_generator(
    input_shape: tuple[int, ...], random: Random, *, code_size: int = 128, width: int = 128
) -> nn.Sequential:
    """Build a network from codes (B, code_size) to samples (B, *input_shape), with weights drawn from `random`."""
    seed = int(random.integers(2**31, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build = build_image_generator if len(input_shape) == 3 else build_table_generator
        return build(input_shape, code_size, width).to(random.device)


def build_image_generator(input_shape: tuple[int, ...], code_size: int, width: int) -> nn.Sequential:
    """Build the network for images (channels, height, width)."""
    channels, *sides = input_shape
    starts = [2 * math.ceil(side / 8) for side in sides]
    kernel_height, kernel_width = (4 * start + 3 - side for start, side in zip(starts, sides, strict=True))
    half = max(1, width // 2)
    return nn.Sequential(
        nn.Linear(code_size, width * math.prod(starts)),
        nn.Unflatten(1, (width, *starts)),
        nn.BatchNorm2d(width),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(SLOPE),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(width, half, 3, padding=1),
        nn.BatchNorm2d(half),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(half, channels, (kernel_height, kernel_width), padding=1),
        nn.BatchNorm2d(channels),
    )


def build_table_generator(input_shape: tuple[int, ...], code_size: int, width: int) -> nn.Sequential:
    """Build the network for records of any other shape."""
    numbers = math.prod(input_shape)
    return nn.Sequential(
        nn.Linear(code_size, width),
        nn.BatchNorm1d(width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(width, width),
        nn.BatchNorm1d(width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(width, numbers),
        nn.BatchNorm1d(numbers),
        nn.Unflatten(1, input_shape),
    )


class Memory:
    """The last `size` samples that were added: training on them keeps a student from forgetting earlier samples."""

    def __init__(self, size: int, input_shape: tuple[int, ...], device: torch.device) -> None:
        self.samples = torch.zeros(size, *input_shape, device=device)
        self.added = torch.zeros(1, dtype=torch.long)  # number of samples; a tensor, so that `track` can save it

    def add(self, x: Tensor) -> None:
        """Replace the oldest samples."""
        x = x[max(0, len(x) - len(self.samples)) :]
        positions = (int(self.added) + torch.arange(len(x))) % max(1, len(self.samples))
        self.samples[positions.to(x.device)] = x.to(self.samples)
        self.added += len(x)

    def draw(self, count: int, random: Random) -> Tensor:
        """Return samples drawn with replacement (count, *shape)."""
        return self.samples[random.integers(min(int(self.added), len(self.samples)), count)]
