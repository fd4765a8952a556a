"""Two splits in the same batches, with a flag that says which part a record is of."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.batches import Batches, Epochs, Unlabelled
from unlearn_cli.runtime.seeds import generator, sent

Batch = tuple[Tensor, Tensor, Tensor]


def mix(forget: Batches | Unlabelled, retain: Batches | Unlabelled, forget_share: float | None = None) -> "Mixed":
    """Return the records of both as mixed batches (x, y, is_forget): x (B, *shape), y (B,), is_forget (B,) bool.

    The order is random over both, so a batch has forgotten records as often as the whole has. Within a batch they come
    first. y of a part without labels is NaN (numbers) or -100 (class numbers). With `forget_share` (under 1) each
    forgotten record comes several times an epoch, so that they are about that share of it; never fewer than they are.
    """
    forget, retain = (part.batches if isinstance(part, Unlabelled) else part for part in (forget, retain))
    if forget_share is not None:
        times = round(forget_share / (1 - forget_share) * retain.num_samples / forget.num_samples)
        forget = forget.take(np.tile(np.arange(forget.num_samples), max(1, times)))
    return Mixed(forget, retain)


@dataclass(frozen=True)
class Mixed:
    """What `mix` returns."""

    forget: Batches
    retain: Batches

    @property
    def num_samples(self) -> int:
        return self.forget.num_samples + self.retain.num_samples

    def __len__(self) -> int:
        """Return the number of batches of an epoch; as in a split, none has fewer than two records."""
        count = self.num_samples
        return min(count, max(1, min(-(-count // self.retain.batch_size), count // 2)))

    def epochs(self, count: int) -> Epochs[Batch]:
        """Return the batches of several epochs, each in its own random order, as one sequence of steps for `track`."""
        return Epochs(self, count)

    def steps(self, count: int) -> Epochs[Batch]:
        """Return a given number of batches: as many epochs as they take, the last one cut."""
        return Epochs(self, -(-count // len(self)), count)

    def order(self, phase: str, epoch: int) -> list[np.ndarray]:
        """Return the positions of each batch of an epoch, at random; those of `retain` follow those of `forget`."""
        names = ("mixed", self.forget.split.name, self.retain.split.name, phase, epoch)
        order = torch.randperm(self.num_samples, generator=generator(self.retain.seed, *names))
        return np.array_split(order.numpy(), len(self))

    def read(self, chunks: list[np.ndarray], phase: str, epoch: int) -> Iterator[Batch]:
        """Yield the batches at the given positions."""
        n = self.forget.num_samples
        first, second = [chunk[chunk < n] for chunk in chunks], [chunk[chunk >= n] - n for chunk in chunks]
        parts = (self.forget, first), (self.retain, second)
        readers = [part.read([chunk for chunk in own if len(chunk)], phase, epoch) for part, own in parts]
        for forgotten, retained in zip(first, second, strict=True):
            sizes = len(forgotten), len(retained)
            read = [next(reader) for reader, size in zip(readers, sizes, strict=True) if size]
            flags = [flag for flag, size in zip((True, False), sizes, strict=True) for flag in repeat(flag, size)]
            x, y = (torch.cat(tensors) for tensors in zip(*read, strict=True))
            yield x, y, sent(torch.tensor(flags), x.device)
