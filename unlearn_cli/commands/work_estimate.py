"""Estimates how many samples a method takes forward and backward, from its settings before it runs.

Settings whose names end in `steps` or `epochs` count steps or epochs of a phase; the prefix is the phase. `steps`
replace the phase's `epochs` if both are given. `noise_steps` do not count, because noise is learned without records.
If a method chooses a number itself (null), its file may have a function `bound_steps`; otherwise there is no bound.
A phase uses every split among the inputs; `repair`, and RETAIN_PHASES of the method's file, use retain only.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unlearn_cli.plugins.plugin import Plugin

NO_RECORDS = "none on records of the data, only on noise or generated samples"

Bounds = tuple[int, int | None]  # minimum and maximum; None: unknown
# Returns bounds of the steps by setting, from the settings and the number of steps in an epoch of retain.
BoundSteps = Callable[[Mapping[str, Any], int], Mapping[str, Bounds]]


@dataclass(frozen=True)
class WorkEstimate:
    """Samples forward and backward through the trained network, as numbers and as text."""

    least: int
    most: int | None  # None: the method's choice has no bound
    text: str

    def as_data(self) -> dict[str, Any]:
        return {"work": self.text, "samples_at_least": self.least, "samples_at_most": self.most}


@dataclass(frozen=True)
class Records:
    """How many records of each split a method works on, and the batch size."""

    splits: Mapping[str, int]
    batch_size: int
    retain_phases: tuple[str, ...]

    def count(self, phase: str) -> int:
        """Return the number of records in an epoch of a phase."""
        if phase.removesuffix("_") in self.retain_phases and "retain" in self.splits:
            return self.splits["retain"]
        return sum(self.splits.values())

    def samples(self, steps: int, phase: str) -> int:
        """Return the number of samples in some steps; the batches of an epoch have equal sizes."""
        count = self.count(phase)
        return round(steps * count / self.count_steps_per_epoch(phase))

    def count_steps_per_epoch(self, phase: str) -> int:
        return max(1, math.ceil(self.count(phase) / self.batch_size))


def estimate_work(
    settings: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, Any]],
    batch_size: int,
    method: Plugin | None = None,
) -> WorkEstimate:
    """Estimate the work of a method; `counts` has `n` and the counts per class of each split that it reads."""
    if not counts:
        return WorkEstimate(0, 0, NO_RECORDS)
    retain_phases = ("repair", *(method.import_companion("RETAIN_PHASES") or () if method else ()))
    records = Records(_count_records_read(settings, counts), batch_size, retain_phases)
    names = " and ".join(records.splits)
    phases = _list_phases(settings)
    if not phases:  # one pass, such as that of `fisher`
        total = sum(records.splits.values())
        count = min(total, settings.get("max_records", total))
        return WorkEstimate(count, None, f"{count} records of {names}, once or once per class")
    bound_steps: BoundSteps | None = method.import_companion("bound_steps") if method else None
    step_bounds = bound_steps(settings, records.count_steps_per_epoch("repair_")) if bound_steps else {}
    bounds = [_bound_phase(settings, phase, records, step_bounds) for phase in phases]
    least = sum(low for low, _ in bounds)
    most = None if any(high is None for _, high in bounds) else sum(high or 0 for _, high in bounds)
    chosen = [f"{phase}steps" for phase in phases if _is_chosen(settings, phase)]
    more = f"; the method chooses {' and '.join(chosen)}" if chosen else ""
    amount = f"about {least}" if least == most else f"about {least} to {most}" if most else f"at least about {least}"
    return WorkEstimate(least, most, f"{amount} samples of {names} forward and backward{more}")


def _count_records_read(settings: Mapping[str, Any], counts: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return how many records of each split an epoch has; some settings limit or repeat them."""
    numbers = {split: int(count["n"]) for split, count in counts.items()}
    if "retain" in numbers and "retain_share" in settings:
        numbers["retain"] = max(1, round(settings["retain_share"] * numbers["retain"]))
    if "retain" in numbers and "retain_per_class" in settings and counts["retain"].get("classes"):
        numbers["retain"] = sum(min(n, settings["retain_per_class"]) for n in counts["retain"]["classes"].values())
    if settings.get("forget_share") and numbers.keys() >= {"forget", "retain"}:
        numbers["forget"] *= _count_repeats(settings["forget_share"], numbers["forget"], numbers["retain"])
    return numbers


def _count_repeats(forget_share: float, forget: int, retain: int) -> int:
    """Return how often each record of forget occurs in an epoch, as `data.mixed.mix` repeats it."""
    return max(1, round(forget_share / (1 - forget_share) * retain / forget))


def _list_phases(settings: Mapping[str, Any]) -> list[str]:
    """Return the phases that train on records: the prefixes of the settings that end in `steps` or `epochs`."""
    named = [name.removesuffix(unit) for name in settings for unit in ("steps", "epochs") if name.endswith(unit)]
    return [phase for phase in dict.fromkeys(named) if not phase.startswith("noise")]


def _is_chosen(settings: Mapping[str, Any], phase: str) -> bool:
    return settings.get(f"{phase}steps") is None and settings.get(f"{phase}epochs") is None


def _bound_phase(
    settings: Mapping[str, Any], phase: str, records: Records, step_bounds: Mapping[str, Bounds]
) -> Bounds:
    """Return the minimum and maximum number of samples of one phase."""
    if f"{phase}steps" in step_bounds:
        least, most = step_bounds[f"{phase}steps"]
        return records.samples(least, phase), None if most is None else records.samples(most, phase)
    steps, epochs = settings.get(f"{phase}steps"), settings.get(f"{phase}epochs")
    if steps is not None:
        samples = records.samples(steps, phase)
        return samples, samples
    if epochs is not None:
        samples = epochs * records.count(phase)
        return samples, samples
    return records.samples(1, phase), None
