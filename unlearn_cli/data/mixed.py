"""Mixed batches of two splits, with a flag for the split of each record."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.batches import Batches, BatchSequence, UnlabelledBatches
from unlearn_cli.data.dataset import count_batches
from unlearn_cli.runtime.seeds import stream_generator, to_device

Batch = tuple[Tensor, Tensor, Tensor]


def mix(
    forget: Batches | UnlabelledBatches, retain: Batches | UnlabelledBatches, forget_share: float | None = None
) -> "MixedBatches":
    """Return the records of both splits as mixed batches (x, y, is_forget): x (B, *shape), y (B,), is_forget (B,) bool.

    The order is random over both splits; within a batch, the records of forget come first. Without labels, y is NaN
    (numbers) or -100 (class numbers). With `forget_share` (below 1), each record of forget is repeated in every epoch,
    so that forget is about that share of the epoch, or more if forget is already larger.
    """
    forget, retain = (part.batches if isinstance(part, UnlabelledBatches) else part for part in (forget, retain))
    if forget_share is None:
        return MixedBatches(forget, retain)
    repeats = round(forget_share / (1 - forget_share) * retain.num_samples / forget.num_samples)
    return MixedBatches(forget, retain, max(1, repeats))


@dataclass(frozen=True)
class MixedBatches(BatchSequence[Batch]):
    """The records of two splits; each record of `forget` occurs `repeats` times per epoch."""

    forget: Batches
    retain: Batches
    repeats: int = 1

    @property
    def num_samples(self) -> int:
        return self.repeats * self.forget.num_samples + self.retain.num_samples

    def __len__(self) -> int:
        return count_batches(self.num_samples, self.retain.batch_size)

    def order(self, phase: str, epoch: int) -> list[np.ndarray]:
        """Return the positions of each batch of an epoch, in random order; `retain` is numbered after `forget`."""
        names = ("mixed", self.forget.split.name, self.retain.split.name, phase, epoch)
        order = torch.randperm(self.num_samples, generator=stream_generator(self.retain.seed, *names))
        return np.array_split(order.numpy(), len(self))

    def read(self, chunks: list[np.ndarray], phase: str, epoch: int) -> Iterator[Batch]:
        n = self.repeats * self.forget.num_samples
        first, second = [chunk[chunk < n] for chunk in chunks], [chunk[chunk >= n] - n for chunk in chunks]
        readers = (
            self.forget.read([chunk for chunk in first if len(chunk)], phase, epoch, self.repeats),
            self.retain.read([chunk for chunk in second if len(chunk)], phase, epoch),
        )
        for forgotten, retained in zip(first, second, strict=True):
            sizes = len(forgotten), len(retained)
            pairs = [next(reader) for reader, size in zip(readers, sizes, strict=True) if size]
            flags = [flag for flag, size in zip((True, False), sizes, strict=True) for flag in repeat(flag, size)]
            x, y = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
            yield x, y, to_device(torch.tensor(flags), x.device)
