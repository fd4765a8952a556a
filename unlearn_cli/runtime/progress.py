"""`track`: an iterator that is both the progress bar and the resume point of a phase."""

import math
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

from torch import Tensor

from unlearn_cli import console, ranks
from unlearn_cli.errors import Interrupted
from unlearn_cli.runtime import state
from unlearn_cli.runtime.processes import max_over_processes
from unlearn_cli.runtime.run import Run, current
from unlearn_cli.runtime.seeds import TorchRandom
from unlearn_cli.runtime.state import Stateful
from unlearn_cli.stats.results import Curve

SAVE_EVERY_SECONDS = 60.0  # work that a killed process may lose; it does not affect results
SAVE, STOP = 1, 2  # actions after a step
WORTH_SAVING_SECONDS = 2.0  # a shorter phase is run again, not saved


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Restartable(Protocol[T_co]):
    """A sequence of steps that can start at any step, such as the batches of several epochs."""

    def __len__(self) -> int: ...

    def from_step(self, phase: str, first: int) -> Iterator[T_co]: ...


def track(steps: Sequence[T] | Restartable[T], phase: str, *stateful: Stateful | Tensor) -> "Steps[T]":
    """Iterate over the steps of a phase with a progress bar; continue where an interrupted run of the command stopped.

    `stateful` are all objects that the steps change: networks, optimizers, tensors. Their state is saved next to the
    output. Without a run (a method called from Python) this is a plain iterator.
    """
    return Steps(steps, phase, list(stateful))


class Steps(Generic[T]):
    """The steps of a phase: iterate over them, and `log` numbers for the curves of the report."""

    def __init__(self, steps: Sequence[T] | Restartable[T], phase: str, stateful: list[Stateful | Tensor]) -> None:
        self.steps, self.stateful, self.run = steps, stateful, current()
        self.logged: dict[str, list[Any]] = {}
        self.done = 0
        self.phase = _number_phase(phase, self.run)

    def log(self, **values: Tensor | float) -> None:
        """Record numbers of this step. Tensors are read at the end of the phase, to avoid synchronising the device."""
        for name, value in values.items():
            self.logged.setdefault(name, []).append(value.detach() if isinstance(value, Tensor) else value)

    @property
    def share_done(self) -> float:
        """The share of the phase that is done, from 0 to just under 1: the argument of learning-rate schedules."""
        return self.done / len(self.steps)

    def __iter__(self) -> Iterator[T]:
        run, total = self.run, len(self.steps)
        self.done = self._restore()
        start = saved = time.monotonic()
        with console.bar(self.phase, total, self.done) as bar:
            for item in self._measure_loading(self._iterate_from(self.done)):
                if run:
                    run.in_step = True
                yield item
                self.done += 1
                bar.advance()
                late = time.monotonic() - saved > SAVE_EVERY_SECONDS
                due = max_over_processes(STOP if run and run.stopping else SAVE if late else 0)
                if due == STOP:
                    self._stop()
                if due == SAVE:
                    self._save()
                    saved = time.monotonic()
        if run:
            run.in_step = False
            if max_over_processes(int(time.monotonic() - start > WORTH_SAVING_SECONDS)):
                self._save()
            run.cost.optimizer_steps += total
            run.curves += [Curve(phase=self.phase, name=name, values=curve) for name, curve in self._curves().items()]

    def _measure_loading(self, items: Iterator[T]) -> Iterator[T]:
        """Count the time for loading the next batch in the profile."""
        clock = self.run.clock if self.run else None
        if clock is None:
            yield from items
            return
        clock.start_part("data")
        for item in items:
            clock.start_part("other")
            yield item
            clock.start_part("data")
        clock.start_part("other")

    def _iterate_from(self, first: int) -> Iterator[T]:
        if hasattr(self.steps, "from_step"):
            return cast(Restartable[T], self.steps).from_step(self.phase, first)
        return iter(cast(Sequence[T], self.steps)[first:])

    def _curves(self) -> dict[str, list[float | None]]:
        return {name: [_finite(value) for value in values] for name, values in self.logged.items()}

    @property
    def _file(self) -> Path | None:
        return self.run.partial / f"{self.phase}.safetensors" if self.run and self.run.partial else None

    def _save(self) -> None:
        if self._file and self.run:
            facts = {
                "done": self.done,
                "curves": self._curves(),
                "cost": self.run.cost.model_dump(),
                "backward": self.run.backward,
            }
            facts |= state.salt_identity(self.run.identity)
            state.save(self._file, [*self.stateful, self.run.random, TorchRandom()], facts)

    def _restore(self) -> int:
        if not (self._file and self.run) or max_over_processes(int(not self._file.exists())):
            return 0
        if max_over_processes(int(not state.is_intact(self._file))):
            self._discard(self._file, "is truncated or was changed")
            return 0
        if max_over_processes(int(not state.matches_identity(self._file, self.run.identity))):
            self._discard(self._file, "belongs to other records or another selection")
            return 0
        facts = state.load(self._file, [*self.stateful, self.run.random, TorchRandom()])
        self.logged = facts["curves"]
        self.run.cost = type(self.run.cost)(**facts["cost"])
        self.run.backward = Counter(facts["backward"])
        self.run.resumed = True
        console.say(f"{self.phase}: continues after step {facts['done']} of {len(self.steps)}")
        return facts["done"]

    def _discard(self, file: Path, reason: str) -> None:
        """Remove a state from which this run cannot continue."""
        name = f"{file.parents[1].name}/{file.name}"
        console.warn(f"{name}: this saved state {reason}; it is removed, and {self.phase} starts again")
        if ranks.is_first():
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)

    def _stop(self) -> None:
        self._save()
        saved = f"its state is saved in {self._file.parents[1].name}; " if self._file else ""
        step = f"step {self.done} of {self.phase}"
        raise Interrupted(f"stopped by a signal after {step}; {saved}the same command continues")


def _number_phase(phase: str, run: Run | None) -> str:
    """Add a number to the name of a repeated phase, so that each has its own state and curve."""
    if run is None:
        return phase
    run.phases.append(phase)
    count = run.phases.count(phase)
    return phase if count == 1 else f"{phase}-{count}"


def _finite(value: Tensor | float | None) -> float | None:
    """Return a plain number; None, which is null in a report, for NaN and infinity."""
    number = None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None
