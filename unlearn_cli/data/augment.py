"""Label-preserving augmentation; its random numbers depend only on seed, phase, epoch, row and repeat of a sample."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn_cli.runtime.seeds import stream_generator, to_device


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror an image with probability 1/2."""


@dataclass(frozen=True)
class RandomCrop:
    """Pad with zeros (black), then crop to the original size at a random position."""

    padding: int


Augmentation = HorizontalFlip | RandomCrop


def draw(count: int, key: tuple[int, str, int] | tuple[int, str, int, str]) -> Tensor:
    """Draw the random numbers (3, count) of an epoch: flip, down, right; `key` is (seed, phase, epoch, ...)."""
    return torch.rand(3, count, generator=stream_generator(key[0], "augment", *key[1:]))


def augment(x: Tensor, draws: Tensor, augmentations: tuple[Augmentation, ...]) -> Tensor:
    """Augment the stored images x (B, C, H, W) with their random numbers (3, B)."""
    flip, down, right = to_device(draws, x.device)
    for augmentation in augmentations:
        if isinstance(augmentation, HorizontalFlip):
            x = torch.where((flip < 0.5)[:, None, None, None], x.flip(-1), x)
        else:
            x = _crop(x, augmentation.padding, down, right)
    return x


def _crop(x: Tensor, padding: int, down: Tensor, right: Tensor) -> Tensor:
    height, width = x.shape[2:]
    padded = F.pad(x, (padding, padding, padding, padding))
    num_positions = 2 * padding + 1
    top, left = (down * num_positions).long(), (right * num_positions).long()
    vertical = top[:, None, None, None] + torch.arange(height, device=x.device)[None, None, :, None]
    horizontal = left[:, None, None, None] + torch.arange(width, device=x.device)[None, None, None, :]
    samples = torch.arange(len(x), device=x.device)[:, None, None, None]
    channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return padded[samples, channels, vertical, horizontal]
