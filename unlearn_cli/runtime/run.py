"""One run: its device, precision, seed, where its state is kept, what it has cost, and how it reacts to signals."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_cli import console, ranks
from unlearn_cli.errors import Interrupted
from unlearn_cli.runtime import processes
from unlearn_cli.runtime.devices import Precision, choose_device, choose_precision
from unlearn_cli.runtime.profile import Clock
from unlearn_cli.runtime.seeds import Random, derive_seed
from unlearn_cli.stats.results import Cost, Curve

DEFAULT_BATCH_SIZE = 128
SMALL_SAMPLE, SMALL_NETWORK = 256, 10**6  # numbers of a sample, parameters
CLOCKED = {"evaluate": "evaluation", "files": "files"}  # timed phases that are parts of a profile


@dataclass
class Run:
    """What is fixed for a run, and what it counts. Methods never see it."""

    device: torch.device
    precision: torch.dtype
    seed: int
    batch_size: int = DEFAULT_BATCH_SIZE
    memory_budget: int = 2 * 2**30  # bytes held on the device of all sources together; fixed: runs are equal
    partial: Path | None = None  # where state is kept
    identity: str = ""  # of the records and the selection that state is of; never written as it is
    compiled: bool = False
    clock: Clock | None = None
    predicted_in: torch.dtype = torch.float32  # what metrics and attacks read
    curves: list[Curve] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    seconds: dict[str, float] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chosen_settings: dict[str, float] = field(default_factory=dict)
    shown_samples: dict[str, tuple[Tensor, list[int]]] = field(default_factory=dict)
    resumed: bool = False
    stopping: bool = False
    in_step: bool = False
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed, "method", self.device)

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.precision == torch.bfloat16 else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[object]:
        # With the cache on, a weight cast once would be used again after the optimizer changed it.
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=enabled, cache_enabled=False)

    def to_device(self, model: nn.Module, *, whole: bool = False) -> nn.Module:
        """Bring a network to the device, into the run's memory format, and over its processes.

        `whole`: it is not divided, but works alike in every process; for what reaches into it or copies it.
        """
        if whole or ranks.size() == 1:
            model = model.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        else:
            model = processes.distribute(model.to(self.device))  # fully_shard takes contiguous weights alone
        if self.compiled and not whole:
            model.compile()  # in place: the weights keep their names
        return model

    def limit_threads(self, model: nn.Module, numbers_a_sample: int) -> None:
        """Use one thread for a small network on small samples: several would wait for each other more than work.

        240 steps of the demo's network took 24 s with two threads beside another job, and 2 s with one. The rule goes
        by sizes alone, so that equal runs take equal paths.
        """
        parameters = sum(parameter.numel() for parameter in model.parameters())
        if numbers_a_sample <= SMALL_SAMPLE and parameters <= SMALL_NETWORK:
            torch.set_num_threads(1)

    def fresh_weights(self, stream: str) -> AbstractContextManager[None]:
        """Inside, networks that are built draw their weights from the named stream."""
        return _seeded(derive_seed(self.seed, "weights", stream))

    @contextmanager
    def measure_time(self, name: str) -> Iterator[None]:
        """Add the wall time of what happens inside to the report."""
        start = time.perf_counter()
        part = CLOCKED.get(name)
        try:
            with self.clock.only(part) if self.clock and part else nullcontext():
                yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @contextmanager
    def count_samples(self, *models: nn.Module) -> Iterator[None]:
        """Count the samples that go forward and backward through these networks."""
        handles = [model.register_forward_hook(self._count) for model in models]
        if self.clock:
            for model in models:
                self.clock.watch(model)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _count(self, model: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        samples = len(outputs)  # not the inputs: with several processes they are a share of them
        self.cost.samples_forward += samples
        self.cost.samples_backward += samples if outputs.requires_grad else 0


_current: list[Run] = []


def current() -> Run | None:
    """Return the run that is under way; None when a method is called from Python without one."""
    return _current[-1] if _current else None


def default_batch_size() -> int:
    """Return the batch size of `--batch-size`; 128 when a method is called from Python without a run."""
    return _current[-1].batch_size if _current else DEFAULT_BATCH_SIZE


@contextmanager
def inference() -> Iterator[None]:
    """Inside, networks predict: no gradients are kept; in fp32, unless `--precision bf16` asks for less."""
    run = current()
    low = run is not None and run.predicted_in != torch.float32
    with processes.inference(), torch.autocast(run.device.type, run.predicted_in) if run and low else nullcontext():
        yield


def add_samples(samples: int) -> None:
    """Count samples that went forward and backward where hooks cannot see them, such as under vmap."""
    if _current:
        _current[-1].cost.samples_forward += samples
        _current[-1].cost.samples_backward += samples


def note(text: str) -> None:
    """Warn the person who waits, and keep the warning as a caveat of the report."""
    console.warn(text)
    if _current:
        _current[-1].notes.append(text)


def report_setting(name: str, value: float) -> None:
    """Tell the report the value of a setting that the method found by itself; without a run, do nothing."""
    if _current:
        _current[-1].chosen_settings[name] = value


def show_samples(name: str, samples: Tensor, classes: list[int]) -> None:
    """Hand samples (K, B, *shape) made for these classes to the report, which draws them; without a run, do nothing."""
    if _current:
        _current[-1].shown_samples[name] = (samples.detach(), classes)


@contextmanager
def start(
    *,
    device: str = "auto",
    precision: Precision = "auto",
    seed: int = 0,
    batch_size: int = DEFAULT_BATCH_SIZE,
    memory_budget: int = 2 * 2**30,
    partial: Path | None = None,
    identity: str = "",
    shard: bool = False,
    compiled: bool = False,
    profiled: bool = False,
) -> Iterator[Run]:
    """Begin a run: choose device and precision by capability, make torch deterministic, listen to signals.

    Raises:
        ResourceError: the device asked for is not there.
    """
    chosen = choose_device(device)
    run = Run(chosen, choose_precision(precision, chosen), seed, batch_size, memory_budget, partial, identity)
    run.compiled, run.clock = compiled, Clock(chosen) if profiled else None
    run.predicted_in = torch.bfloat16 if precision == "bf16" else torch.float32
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic CUDA matrix products need
    num_threads = torch.get_num_threads()
    handlers = {number: signal.signal(number, make_signal_handler(run)) for number in (signal.SIGTERM, signal.SIGINT)}
    _current.append(run)
    try:
        with (
            _deterministic(chosen),
            processes.start(chosen, sharded=shard),
            _seeded(derive_seed(seed, "everything else")),
        ):
            yield run
    finally:
        _current.remove(run)
        if run.clock:
            run.clock.close()
        torch.set_num_threads(num_threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Inside, torch computes the same bits every time, or on a GPU warns where it has no way to.

    It would also fill memory that is not written yet, so that what reads it is found; nothing here does, and filling
    takes 6 % of a training step of ResNet-20.
    """
    settings: Any = torch.utils.deterministic  # torch makes its attribute anew each time, and types do not show it
    were, filled = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(were)
        settings.fill_uninitialized_memory = filled


def make_signal_handler(run: Run):  # noqa: ANN201 - the type of signal handlers has no public name
    """Return a signal handler: the first signal ends the run after the step, a second one at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if run.in_step and not run.stopping:
            run.stopping = True
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            kept = run.partial is not None and run.partial.exists()
            raise Interrupted(f"stopped by a signal; the same command {'goes on' if kept else 'starts again'}")

    return handle


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Inside, operations on tensors like `x` are not cast to a lower precision: for what torch.func cannot cast."""
    return torch.autocast(x.device.type, enabled=False)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
