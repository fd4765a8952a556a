"""What methods iterate over: batches of one split, normalised, in an order that seed, phase and epoch decide."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, NoReturn, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.augment import Augmentation, augment, draw
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.stores import Store
from unlearn_cli.runtime.seeds import generator, sent


@dataclass(frozen=True)
class Scaling:
    """How stored values become inputs of the network: (x / scale - mean) / std, one number each or one a channel."""

    scale: float
    mean: Tensor
    std: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return (x.float() / self.scale - self.mean) / self.std


@dataclass(frozen=True)
class Batches:
    """The records of one split as pairs (x, y): x (B, *shape) float32, y (B,) class numbers or standardised targets."""

    split: Split
    store: Store
    scaling: Scaling
    targets: Tensor  # (n,) on the device; (n, K) if a method wants distributions
    shape: tuple[int, ...]  # of one sample
    num_outputs: int
    batch_size: int
    seed: int
    memory_format: torch.memory_format = torch.contiguous_format
    augmentations: tuple[Augmentation, ...] = ()

    @property
    def num_samples(self) -> int:
        return len(self.split)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.split.num_batches(self.batch_size)

    def epochs(self, count: int) -> "Epochs[tuple[Tensor, Tensor]]":
        """Return the batches of several epochs, each in its own random order, as one sequence of steps for `track`."""
        return Epochs(self, count)

    def steps(self, count: int) -> "Epochs[tuple[Tensor, Tensor]]":
        """Return a given number of batches: as many epochs as they take, the last one cut."""
        return Epochs(self, -(-count // len(self)), count)

    def sequential(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once in the split's own order, without augmentation: what predictions are made on."""
        chunks = np.array_split(np.arange(self.num_samples), max(1, -(-self.num_samples // batch_size)))
        plain = replace(self, augmentations=())
        return plain.read([chunk for chunk in chunks if len(chunk)], "", 0)

    def per_class(self, count: int) -> "Batches":
        """Return the batches of at most `count` records a class, drawn at random but always the same with one seed."""
        order = torch.randperm(self.num_samples, generator=generator(self.seed, "subset", self.split.name)).numpy()
        labels = self.split.labels[order]
        kept = np.sort(np.concatenate([order[labels == label][:count] for label in np.unique(labels)]))
        return self.take(kept)

    def share(self, fraction: float) -> "Batches":
        """Return the batches of this share of the records, drawn at random but always the same with one seed."""
        order = torch.randperm(self.num_samples, generator=generator(self.seed, "share", self.split.name)).numpy()
        return self.take(np.sort(order[: max(1, round(fraction * self.num_samples))]))

    def relabelled(self, targets: Tensor) -> "Batches":
        """Return the batches of the same records with other targets (n,)."""
        assert targets.shape == self.targets.shape, "one target a record"
        return replace(self, targets=targets.to(self.targets))

    def take(self, kept: np.ndarray) -> "Batches":
        """Return the batches of some of the records, by their positions in the split."""
        rows = torch.from_numpy(kept).to(self.targets.device)
        return replace(self, split=self.split.take(kept), targets=self.targets[rows])

    def order(self, phase: str, epoch: int) -> list[np.ndarray]:
        """Return the positions of each batch of an epoch, at random; their sizes differ by one at most."""
        order = torch.randperm(self.num_samples, generator=generator(self.seed, "order", self.split.name, phase, epoch))
        return np.array_split(order.numpy(), len(self))

    def read(self, chunks: list[np.ndarray], phase: str, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches at the given positions of the split."""
        rows = [self.split.rows[chunk] for chunk in chunks]
        # Drawn once an epoch: there are as many as the source has rows, however few a batch has.
        draws = draw(len(self.split.records), (self.seed, phase, epoch)) if self.augmentations else None
        for chunk, row, stored in zip(chunks, rows, self.store.fetch(rows), strict=True):
            if draws is not None:
                stored = augment(stored, draws[:, torch.from_numpy(row)], self.augmentations)
            x = self.scaling(stored)
            if x.dim() == 4:
                x = x.contiguous(memory_format=self.memory_format)
            yield x, self.targets[sent(torch.from_numpy(chunk), self.targets.device)]


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Ordered(Protocol[T_co]):
    """Something with batches in an order that phase and epoch decide, and that can be read from any of them."""

    def __len__(self) -> int: ...

    def order(self, phase: str, epoch: int) -> list[np.ndarray]: ...

    def read(self, chunks: list[np.ndarray], phase: str, epoch: int) -> Iterator[T_co]: ...


@dataclass(frozen=True)
class Epochs(Generic[T]):
    """The batches of several epochs one after the other; can begin at any step, which is what resuming needs."""

    batches: Ordered[T]
    count: int
    limit: int | None = None

    def __len__(self) -> int:
        total = self.count * len(self.batches)
        return total if self.limit is None else min(total, self.limit)

    def from_step(self, phase: str, first: int) -> Iterator[T]:
        size = len(self.batches)
        for epoch in range(first // size, self.count):
            skipped = first % size if epoch == first // size else 0
            left = len(self) - epoch * size
            yield from self.batches.read(self.batches.order(phase, epoch)[skipped:left], phase, epoch)

    def __iter__(self) -> Iterator[T]:
        return self.from_step("", 0)


@dataclass(frozen=True)
class Unlabelled:
    """The records of one split as samples x alone (B, *shape): who holds it cannot see a label."""

    batches: Batches  # `without_labels` took theirs away

    @property
    def num_samples(self) -> int:
        return self.batches.num_samples

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.batches)

    def epochs(self, count: int) -> Epochs[Tensor]:
        """Return the batches of several epochs, each in its own random order, as one sequence of steps for `track`."""
        return Epochs(self, count)

    def steps(self, count: int) -> Epochs[Tensor]:
        """Return a given number of batches: as many epochs as they take, the last one cut."""
        return Epochs(self, -(-count // len(self)), count)

    def sequential(self, batch_size: int) -> Iterator[Tensor]:
        """Iterate once in the split's own order, without augmentation."""
        return (x for x, _ in self.batches.sequential(batch_size))

    def share(self, fraction: float) -> "Unlabelled":
        """Return the batches of this share of the records, drawn at random but always the same with one seed."""
        return Unlabelled(self.batches.share(fraction))

    def take(self, kept: np.ndarray) -> "Unlabelled":
        """Return the batches of some of the records, by their positions in the split."""
        return Unlabelled(self.batches.take(kept))

    def with_distributions(self, wanted: Tensor) -> Batches:
        """Return the batches of these records with distributions over the classes (n, K) as their targets."""
        assert wanted.shape == (self.num_samples, self.batches.num_outputs), "one distribution a record"
        return replace(self.batches, targets=wanted)

    @property
    def augmented(self) -> bool:
        """Say whether a record looks different each time it is read."""
        return bool(self.batches.augmentations)

    def order(self, phase: str, epoch: int) -> list[np.ndarray]:
        return self.batches.order(phase, epoch)

    def read(self, chunks: list[np.ndarray], phase: str, epoch: int) -> Iterator[Tensor]:
        return (x for x, _ in self.batches.read(chunks, phase, epoch))


def without_labels(batches: Batches) -> Unlabelled:
    """Take the labels away: what is left in their place makes any loss that reads it NaN, or any index fail."""
    blank = torch.full_like(batches.targets, torch.nan if batches.targets.is_floating_point() else -100)
    labels = np.zeros(len(batches.split.records), dtype=np.int64)
    records = replace(batches.split.records, labels=labels, column=_no_columns, where=_no_columns)
    split = replace(batches.split, records=records, labels=np.zeros_like(batches.split.labels))
    return Unlabelled(replace(batches, split=split, targets=blank))


def _no_columns(asked: object) -> NoReturn:
    raise AssertionError("a method that asked for inputs alone looked for a label or a column")
