"""Two splits in the same batches, with a flag that says which part a record belongs to."""

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
    """Return the records of both as mixed batches (x, y, is_forget): x (B, *shape), y (B,), is_forget (B,) bool.

    The order is random over both, so forgotten records are as frequent in a batch as in the whole. Within a batch they
    come first. y of a part without labels is NaN (numbers) or -100 (class numbers). With `forget_share` (under 1) each
    forgotten record comes several times per epoch, so that they are about that share of it; never fewer than they are.
    """
    forget, retain = (part.batches if isinstance(part, UnlabelledBatches) else part for part in (forget, retain))
    if forget_share is None:
        return MixedBatches(forget, retain)
    repeats = round(forget_share / (1 - forget_share) * retain.num_samples / forget.num_samples)
    return MixedBatches(forget, retain, max(1, repeats))


@dataclass(frozen=True)
class MixedBatches(BatchSequence[Batch]):
    """The records of two splits; each record of `forget` comes `repeats` times per epoch."""

    forget: Batches
    retain: Batches
    repeats: int = 1

    @property
    def num_samples(self) -> int:
        return self.repeats * self.forget.num_samples + self.retain.num_samples

    def __len__(self) -> int:
        return count_batches(self.num_samples, self.retain.batch_size)

    def order(self, phase: str, epoch: int) -> list[np.ndarray]:
        """Return the positions of each batch of an epoch, at random; those of `retain` follow those of `forget`."""
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
