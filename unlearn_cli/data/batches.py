"""Batches of one split, over which methods iterate: normalised, in an order that depends on seed, phase and epoch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, NoReturn, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from unlearn_cli.data.augment import Augmentation, augment, draw
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.stores import Store
from unlearn_cli.runtime.seeds import stream_generator, to_device

T = TypeVar("T")


@dataclass(frozen=True)
class Scaling:
    """Converts stored values to inputs of the network: (x / scale - mean) / std, one number or one per channel."""

    scale: float
    mean: Tensor
    std: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return (x.float() / self.scale - self.mean) / self.std


class BatchSequence(ABC, Generic[T]):
    """Batches in an order that depends on phase and epoch; reading can start at any batch."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    @abstractmethod
    def order(self, phase: str, epoch: int) -> list[np.ndarray]:
        """Return the positions of each batch of an epoch, in random order; batch sizes differ by at most one."""

    @abstractmethod
    def read(self, chunks: list[np.ndarray], phase: str, epoch: int) -> Iterator[T]:
        """Yield the batches at the given positions."""

    def epochs(self, count: int) -> "Epochs[T]":
        """Return the batches of several epochs, each in another random order, as one sequence of steps for `track`."""
        return Epochs(self, count)

    def steps(self, count: int) -> "Epochs[T]":
        """Return a given number of batches, over as many epochs as needed; the last epoch may be incomplete."""
        return Epochs(self, -(-count // len(self)), count)


@dataclass(frozen=True)
class Epochs(Generic[T]):
    """The batches of several epochs in sequence; iteration can start at any step, as resuming needs."""

    batches: BatchSequence[T]
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


class SplitSequence(BatchSequence[T]):
    """Batches of the records of one split, or of some of them."""

    @property
    @abstractmethod
    def num_samples(self) -> int: ...

    @abstractmethod
    def take(self, positions: np.ndarray) -> Self:
        """Return the batches of some of the records, by their positions in the split."""

    @abstractmethod
    def permutation(self, purpose: str, *names: str | int) -> np.ndarray:
        """Return a random permutation of all positions, which depends on seed, split, purpose and names."""

    def share(self, fraction: float) -> Self:
        """Return the batches of a random share of the records; it depends only on the seed."""
        count = max(1, round(fraction * self.num_samples))
        return self.take(np.sort(self.permutation("share")[:count]))

    def order(self, phase: str, epoch: int) -> list[np.ndarray]:
        return np.array_split(self.permutation("order", phase, epoch), len(self))


@dataclass(frozen=True)
class Batches(SplitSequence[tuple[Tensor, Tensor]]):
    """The records of one split as pairs (x, y): x (B, *shape) float32, y (B,) class numbers or standardised targets.

    Of multilabel records, y (B, K) float32 is 1 for each label of a record, else 0.
    """

    split: Split
    store: Store
    scaling: Scaling
    targets: Tensor  # (n,) on the device; (n, K) of multilabel records, and if a method needs distributions
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
        return self.split.count_batches(self.batch_size)

    def permutation(self, purpose: str, *names: str | int) -> np.ndarray:
        stream = stream_generator(self.seed, purpose, self.split.name, *names)
        return torch.randperm(self.num_samples, generator=stream).numpy()

    def take(self, positions: np.ndarray) -> Self:
        rows = torch.from_numpy(positions).to(self.targets.device)
        return replace(self, split=self.split.take(positions), targets=self.targets[rows])

    def per_class(self, count: int) -> Self:
        """Return the batches of at most `count` random records per class; they depend only on the seed."""
        order = self.permutation("subset")
        labels = self.split.labels[order]
        return self.take(np.sort(np.concatenate([order[labels == label][:count] for label in np.unique(labels)])))

    def relabelled(self, targets: Tensor) -> Self:
        """Return the batches of the same records with other targets, of the shape of these."""
        assert targets.shape == self.targets.shape, "one target per record"
        return replace(self, targets=targets.to(self.targets))

    def sequential(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once in the split's order, without augmentation, as predictions need."""
        chunks = np.array_split(np.arange(self.num_samples), max(1, -(-self.num_samples // batch_size)))
        return replace(self, augmentations=()).read([chunk for chunk in chunks if len(chunk)], "", 0)

    def read(
        self, chunks: list[np.ndarray], phase: str, epoch: int, repeats: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches at the given positions.

        With `repeats`, each record occurs that many times per epoch: position p stands for record p modulo n, and the
        repeats are augmented independently.
        """
        positions = [chunk % self.num_samples for chunk in chunks]
        stored_chunks = self.store.fetch([self.split.rows[records] for records in positions])
        draws = self._draws(phase, epoch, repeats) if self.augmentations else None
        for chunk, records, stored in zip(chunks, positions, stored_chunks, strict=True):
            if draws is not None:
                stored = augment(stored, draws[:, torch.from_numpy(chunk)], self.augmentations)
            x = self.scaling(stored)
            if x.dim() == 4:
                x = x.contiguous(memory_format=self.memory_format)
            yield x, self.targets[to_device(torch.from_numpy(records), self.targets.device)]

    def _draws(self, phase: str, epoch: int, repeats: int) -> Tensor:
        """Return the augmentation's random numbers (3, repeats * n) of an epoch, by position.

        They are drawn once per epoch, so that they do not depend on the batches. The first n belong to rows of the
        source and are equal in every split that contains the row.
        """
        of_rows = draw(len(self.split.records), (self.seed, phase, epoch))[:, torch.from_numpy(self.split.rows)]
        if repeats == 1:
            return of_rows
        return torch.cat([of_rows, draw((repeats - 1) * self.num_samples, (self.seed, phase, epoch, "repeats"))], dim=1)


@dataclass(frozen=True)
class UnlabelledBatches(SplitSequence[Tensor]):
    """The records of one split as samples x (B, *shape) without labels, so that a method cannot read a label."""

    batches: Batches  # with blank targets, see `without_labels`

    @property
    def num_samples(self) -> int:
        return self.batches.num_samples

    @property
    def augmented(self) -> bool:
        """Whether a record differs each time it is read."""
        return bool(self.batches.augmentations)

    def __len__(self) -> int:
        return len(self.batches)

    def permutation(self, purpose: str, *names: str | int) -> np.ndarray:
        return self.batches.permutation(purpose, *names)

    def take(self, positions: np.ndarray) -> Self:
        return replace(self, batches=self.batches.take(positions))

    def sequential(self, batch_size: int) -> Iterator[Tensor]:
        """Iterate once in the split's order, without augmentation."""
        return (x for x, _ in self.batches.sequential(batch_size))

    def read(self, chunks: list[np.ndarray], phase: str, epoch: int) -> Iterator[Tensor]:
        return (x for x, _ in self.batches.read(chunks, phase, epoch))

    def with_distributions(self, distributions: Tensor) -> Batches:
        """Return the batches of these records with distributions over the classes (n, K) as their targets."""
        assert distributions.shape == (self.num_samples, self.batches.num_outputs), "one distribution per record"
        return replace(self.batches, targets=distributions)


def is_multilabel(batches: Batches) -> bool:
    """Return whether labelled batches have one target per label, (n, K)."""
    return batches.split.labels.ndim == 2


def without_labels(batches: Batches) -> UnlabelledBatches:
    """Remove the labels: the blanks in their place make a loss NaN, or an index fail."""
    blank = torch.full_like(batches.targets, torch.nan if batches.targets.is_floating_point() else -100)
    labels = np.zeros(len(batches.split.records), dtype=np.int64)
    records = replace(batches.split.records, labels=labels, column=_refuse_columns, where=_refuse_columns)
    split = replace(batches.split, records=records, labels=np.zeros_like(batches.split.labels))
    return UnlabelledBatches(replace(batches, split=split, targets=blank))


def _refuse_columns(name: object) -> NoReturn:
    raise AssertionError("a method that receives only inputs tried to read a label or a column")
