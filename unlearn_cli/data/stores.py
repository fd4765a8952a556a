"""Stores of the samples of a source, which is held on the device or streamed from disk."""

import gc
import math
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unlearn_cli.data.records import ArrayInputs, Inputs
from unlearn_cli.errors import UserError
from unlearn_cli.runtime.processes import gather_batch, shard_rows
from unlearn_cli.runtime.seeds import to_device

PART = 4096  # records that are read together
# A forked worker shares paths, labels and mapped files with the run. With Python 3.14's default start method, each
# worker would receive a copy of them in every epoch; this is accepted only where forking is not safe (macOS).
WORKERS_START_BY = "fork" if sys.platform == "linux" else None


class Store(Protocol):
    @property
    def num_bytes(self) -> int:
        """The bytes of samples on the device."""
        ...

    def load(self) -> object:
        """Read what is held in memory, if it is not read yet."""
        ...

    def for_sample(self) -> "Store":
        """Return a store that reads a few samples without all others."""
        ...

    def fetch(self, chunks: list[np.ndarray]) -> Iterator[Tensor]:
        """Yield the stored samples of each chunk of rows, on the device."""
        ...


def open_store(inputs: Inputs, shape: tuple[int, ...], device: torch.device, memory_budget: int) -> Store:
    """Hold a source on the device in its stored type if it fits the budget (bytes); otherwise stream it.

    The choice depends only on sizes, never on free memory, so that equal runs are computed equally. The source is read
    when the first of its samples is needed.
    """
    first = torch.from_numpy(inputs.take(np.arange(1)))
    if first.itemsize * math.prod(shape) * len(inputs) > memory_budget:
        return StreamedStore(inputs, device)
    if isinstance(inputs, ArrayInputs) and device.type == "cpu" and (array := inputs.without_copy()) is not None:
        return MemoryStore(torch.from_numpy(array))
    return MemoryStore(UnreadSamples(inputs, first, device))


@dataclass(frozen=True)
class UnreadSamples:
    """The samples of a source that is not read yet; `first` (1, ...) is one of them."""

    inputs: Inputs
    first: Tensor
    device: torch.device

    @property
    def nbytes(self) -> int:
        return self.first.nbytes * len(self.inputs)

    def read(self) -> Tensor:
        """Return all samples, on the device."""
        n = len(self.inputs)
        samples = torch.empty((n, *self.first.shape[1:]), dtype=self.first.dtype, device=self.device)
        for rows in np.array_split(np.arange(n), -(-n // PART)):
            samples[rows[0] : rows[-1] + 1] = torch.from_numpy(self.inputs.take(rows))
        return samples


@dataclass
class MemoryStore:
    """All samples of a source as one tensor, read on first use: never, if all predictions on them are stored."""

    held: Tensor | UnreadSamples

    @property
    def num_bytes(self) -> int:
        return self.held.nbytes

    @property
    def samples(self) -> Tensor:
        if isinstance(self.held, UnreadSamples):
            self.held = self.held.read()
        return self.held

    def load(self) -> Tensor:
        return self.samples

    def fetch(self, chunks: list[np.ndarray]) -> Iterator[Tensor]:
        samples = self.samples
        for rows in chunks:
            yield samples[to_device(torch.from_numpy(rows), samples.device)]

    def for_sample(self) -> Store:
        """Return a store that reads a few samples without all others."""
        unread = self.held
        return StreamedStore(unread.inputs, unread.device, workers=0) if isinstance(unread, UnreadSamples) else self


@dataclass(frozen=True)
class StreamedStore:
    """Samples that are read, and images decoded, in worker processes while the device computes."""

    inputs: Inputs
    device: torch.device
    workers: int = 2

    @property
    def num_bytes(self) -> int:
        return 0

    def load(self) -> None:
        """Do nothing: samples are read when they are needed."""

    def for_sample(self) -> Store:
        return self

    def fetch(self, chunks: list[np.ndarray]) -> Iterator[Tensor]:
        on_gpu, workers = self.device.type == "cuda", self.workers if len(chunks) > 1 else 0
        loader: DataLoader[Tensor | UserError] = DataLoader(
            _cut(self.inputs, [shard_rows(rows) for rows in chunks]),
            batch_size=None,
            num_workers=workers,
            multiprocessing_context=WORKERS_START_BY if workers else None,
            pin_memory=on_gpu,
            worker_init_fn=_ignore_signals,
            generator=torch.Generator(),  # a separate one: the run's random numbers must not depend on the store
        )
        for rows, samples in zip(chunks, _start_workers(loader), strict=True):
            if isinstance(samples, UserError):
                raise samples
            yield gather_batch(samples.to(self.device, non_blocking=on_gpu), len(rows))


def _start_workers(loader: "DataLoader[Tensor | UserError]") -> "Iterator[Tensor | UserError]":
    """Start the workers with all existing objects excluded from their garbage collection.

    A worker that collects a DuckDB connection in a reference cycle would crash, because it has no threads of it.
    """
    gc.freeze()
    try:
        return iter(loader)
    finally:
        gc.unfreeze()


def _ignore_signals(worker: int) -> None:
    """Ignore the signals that stop a run: the whole process group receives them, and the run ends its workers."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _cut(inputs: Inputs, chunks: list[np.ndarray]) -> "_Chunks":
    """Join the rows of all chunks in one array; with a list, a worker would copy the memory page of each array."""
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *chunks])
    return _Chunks(inputs, rows, np.cumsum([0, *map(len, chunks)]))


@dataclass(frozen=True)
class _Chunks(Dataset[Tensor | UserError]):
    """Items are whole batches, so that a worker reads one batch at a time; batch i is rows[ends[i] : ends[i + 1]]."""

    inputs: Inputs
    rows: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: Any) -> Tensor | UserError:
        try:
            return torch.from_numpy(self.inputs.take(self.rows[self.ends[index] : self.ends[index + 1]]))
        except UserError as error:  # if raised in a worker, its message would contain a traceback
            return error
