"""A run: its device, precision, seed, saved state and cost, and its reaction to signals."""

import functools
import os
import signal
import time
from collections import Counter
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
from unlearn_cli.plugins.run_options import DEFAULT_BATCH_SIZE
from unlearn_cli.runtime import processes
from unlearn_cli.runtime.devices import Precision, choose_device, choose_precision
from unlearn_cli.runtime.profile import Clock
from unlearn_cli.runtime.seeds import Random, derive_seed
from unlearn_cli.stats.results import Cost, Curve

SMALL_SAMPLE, SMALL_NETWORK = 256, 10**6  # numbers of a sample, parameters
CLOCKED = {"evaluate": "evaluation", "files": "files"}  # measured phases -> parts of the profile


@dataclass
class Run:
    """The settings of a run, and its counters. Methods have no access to it."""

    device: torch.device
    precision: torch.dtype
    seed: int
    batch_size: int = DEFAULT_BATCH_SIZE
    memory_budget: int = 2 * 2**30  # bytes of all sources on the device; fixed, so that runs are equal
    partial: Path | None = None  # folder of the saved state
    identity: str = ""  # of the records and the selection of the state; only a salted digest is written
    compiled: bool = False
    clock: Clock | None = None
    predicted_in: torch.dtype = torch.float32  # dtype of outputs that metrics and attacks read
    curves: list[Curve] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    backward: Counter[str] = field(default_factory=Counter)  # samples, by the name that the network is counted under
    counted: set[nn.Module] = field(default_factory=set)  # networks whose samples are counted at the moment
    seconds: dict[str, float] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chosen_settings: dict[str, float] = field(default_factory=dict)
    has_new_weights: bool = False  # whether a method returned a network that started from new weights
    shown_samples: dict[str, tuple[Tensor, list[int], str]] = field(default_factory=dict)
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
        # With the cache, the cast of a weight would be reused after the optimizer changed the weight.
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=enabled, cache_enabled=False)

    def to_device(self, model: nn.Module, *, whole: bool = False) -> nn.Module:
        """Move a network to the device, convert it to the run's memory format, and distribute it over the processes.

        With `whole` it is not divided, and every process has all of it: for code that accesses its parts or copies it.
        """
        if whole or ranks.size() == 1:
            model = model.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        else:
            model = processes.distribute(model.to(self.device))  # fully_shard takes only contiguous weights
        if self.compiled and not whole:
            model.compile()  # in place, so that the weights keep their names
        return model

    def limit_threads(self, model: nn.Module, sample_size: int) -> None:
        """Use one thread for a small network on small samples, for which several threads mostly wait for each other.

        While another job was running, 240 steps of the demo's network took 24 s with two threads, and 2 s with one. The
        rule uses only sizes, so that equal runs use the same number. `sample_size`: numbers per sample.
        """
        parameters = sum(parameter.numel() for parameter in model.parameters())
        if sample_size <= SMALL_SAMPLE and parameters <= SMALL_NETWORK:
            torch.set_num_threads(1)

    def fresh_weights(self, stream: str) -> AbstractContextManager[None]:
        """Inside, new networks draw their weights from the named stream."""
        return _seeded(derive_seed(self.seed, "weights", stream))

    @contextmanager
    def measure_time(self, name: str) -> Iterator[None]:
        """Add the wall time of the block to the report."""
        start = time.perf_counter()
        part = CLOCKED.get(name)
        try:
            with self.clock.only(part) if self.clock and part else nullcontext():
                yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def prepare_optimizers(self) -> None:
        """Create an optimizer, in a phase of its own: the first of a process imports the compiler of torch, 1 to 4 s.

        These seconds are neither those of a training nor of a method.
        """
        with self.measure_time("optimizers"):
            torch.optim.SGD([torch.zeros(1)], lr=1.0)

    @contextmanager
    def count_samples(self, **networks: nn.Module) -> Iterator[None]:
        """Count the samples that go forward and backward through these networks."""
        handles = [
            network.register_forward_hook(functools.partial(self._count, name=name))
            for name, network in networks.items()
        ]
        if self.clock:
            for network in networks.values():
                self.clock.watch(network)
        self.counted |= set(networks.values())
        try:
            yield
        finally:
            self.counted -= set(networks.values())
            for handle in handles:
                handle.remove()

    def count_forward(self, network: nn.Module, samples: int) -> None:
        """Count predictions that were read instead of computed, so that the report does not depend on it."""
        if network in self.counted:
            self.cost.samples_forward += samples

    def _count(self, network: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor, *, name: str) -> None:
        samples = len(outputs)  # not the inputs, which are only a share with several processes
        self.cost.samples_forward += samples
        if outputs.requires_grad:
            self.cost.samples_backward += samples
            self.backward[name] += samples


_current: list[Run] = []


def current() -> Run | None:
    """Return the current run; None if a method is called from Python without a run."""
    return _current[-1] if _current else None


def default_batch_size() -> int:
    """Return the batch size of `--batch-size`; 128 if a method is called from Python without a run."""
    return _current[-1].batch_size if _current else DEFAULT_BATCH_SIZE


@contextmanager
def inference() -> Iterator[None]:
    """Inside, no gradients are recorded, and networks predict in fp32, or in bf16 with `--precision bf16`."""
    run = current()
    low = run is not None and run.predicted_in != torch.float32
    with processes.inference(), torch.autocast(run.device.type, run.predicted_in) if run and low else nullcontext():
        yield


def add_samples(samples: int) -> None:
    """Count samples of forward and backward passes that hooks do not see, such as under vmap."""
    if _current:
        _current[-1].cost.samples_forward += samples
        _current[-1].cost.samples_backward += samples


def note(text: str) -> None:
    """Show a warning, and add it to the caveats of the report."""
    console.warn(text)
    if _current:
        _current[-1].notes.append(text)


def remark(text: str) -> None:
    """Show a line, and add it to the caveats of the report."""
    console.say(text)
    if _current:
        _current[-1].notes.append(text)


def report_setting(name: str, value: float) -> None:
    """Add the value of a setting that the method chose to the report; without a run, do nothing."""
    if _current:
        _current[-1].chosen_settings[name] = value


def show_samples(name: str, samples: Tensor, classes: list[int], kind: str = "") -> None:
    """Add samples (K, B, *shape) of these classes to the pictures of the report; without a run, do nothing.

    `kind` distinguishes samples of the same name for the caption, such as maximize and minimize.
    """
    if _current:
        _current[-1].shown_samples[name] = (samples.detach(), classes, kind)


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
    """Start a run: choose device and precision, make torch deterministic, install signal handlers.

    Raises:
        ResourceError: the machine does not have the device.
    """
    chosen = choose_device(device)
    run = Run(chosen, choose_precision(precision, chosen), seed, batch_size, memory_budget, partial, identity)
    run.compiled, run.clock = compiled, Clock(chosen) if profiled else None
    run.predicted_in = torch.bfloat16 if precision == "bf16" else torch.float32
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required for deterministic CUDA matrix products
    num_threads = torch.get_num_threads()
    handlers = {number: signal.signal(number, make_signal_handler(run)) for number in (signal.SIGTERM, signal.SIGINT)}
    _current.append(run)
    try:
        with (
            _deterministic(chosen, compiled=compiled),
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
def _deterministic(device: torch.device, *, compiled: bool) -> Iterator[None]:
    """Inside, torch uses deterministic algorithms; on a GPU it warns of operations that have none.

    Filling uninitialised memory, which reveals code that reads it, is disabled: no code here reads it, and filling
    takes 6 % of a training step of ResNet-20.

    `use_deterministic_algorithms` also tells torch's compiler, and imports it for this, which takes about as long as to
    import torch; `set_deterministic_debug_mode` does the same without it.
    """
    settings: Any = torch.utils.deterministic  # a dynamic attribute that has no type
    before, filled = torch.get_deterministic_debug_mode(), settings.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    if compiled:
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        if compiled:
            torch.use_deterministic_algorithms(False)
        torch.set_deterministic_debug_mode(before)
        settings.fill_uninitialized_memory = filled


def make_signal_handler(run: Run):  # noqa: ANN201 - the type of signal handlers has no public name
    """Return a signal handler: the first signal ends the run after the current step, a second one immediately."""

    def handle(number: int, frame: FrameType | None) -> None:
        if run.in_step and not run.stopping:
            run.stopping = True
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            has_state = run.partial is not None and run.partial.exists()
            raise Interrupted(f"stopped by a signal; the same command {'continues' if has_state else 'starts again'}")

    return handle


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Inside, operations on the device of `x` are not cast to a lower precision, which torch.func cannot do."""
    return torch.autocast(x.device.type, enabled=False)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
