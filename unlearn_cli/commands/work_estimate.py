"""How many samples a method takes forward and backward, estimated from its settings before it runs.

The names of settings say what they count: `epochs` and `steps`, with the phase in front where a method has several.
`steps` that are given take the place of the phase's `epochs`; noise is learned from no record, so `noise_steps` do not
count. Where null means that a method chooses the number, STEPS_CHOSEN has the bounds; those of other methods are open.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

RETAIN_PHASES = ("repair_", "blindspot_")  # phases on retain only; all others take every split that the method asks for
NO_RECORDS = "none on records of the data, only on noise or generated samples"
UNSIR_ROUNDS, UNSIR_JUDGED = 6, 0.22  # most rounds, and the share of the repair steps that each of them takes

Bounds = tuple[int, int | None]  # least and most; None: not known

# method: setting that may be null: bounds of the steps, by the number of steps in an epoch of retain
STEPS_CHOSEN: dict[str, dict[str, Callable[[int], Bounds]]] = {
    "amnesiac": {"repair_steps": lambda epoch: _sorted_bounds(120, max(150, 6 * epoch))},
    "bad_teacher": {
        "impair_steps": lambda epoch: (40, 75),
        "repair_steps": lambda epoch: _sorted_bounds(60, max(150, 6 * epoch)),
    },
}


@dataclass(frozen=True)
class WorkEstimate:
    """Samples forward and backward through the network that is trained, in numbers and in words."""

    least: int
    most: int | None  # None: the method chooses without a bound
    text: str

    def as_data(self) -> dict[str, Any]:
        return {"work": self.text, "samples_at_least": self.least, "samples_at_most": self.most}


@dataclass(frozen=True)
class Records:
    """How many records of each split a method works on, and the batch size."""

    splits: Mapping[str, int]
    batch_size: int

    def count(self, phase: str) -> int:
        """Return the number of records that a phase goes over."""
        if phase.startswith(RETAIN_PHASES) and "retain" in self.splits:
            return self.splits["retain"]
        return sum(self.splits.values())

    def samples(self, steps: int, phase: str) -> int:
        """Return the samples of a number of steps; the batches of an epoch are equally large."""
        count = self.count(phase)
        return round(steps * count / self.steps_per_epoch(phase))

    def steps_per_epoch(self, phase: str) -> int:
        return max(1, math.ceil(self.count(phase) / self.batch_size))


def estimate_work(
    method: str, settings: Mapping[str, Any], counts: Mapping[str, Mapping[str, Any]], batch_size: int
) -> WorkEstimate:
    """Estimate the work of a method on splits; `counts` has for each split it reads `n` and the count per class."""
    if not counts:
        return WorkEstimate(0, 0, NO_RECORDS)
    records = Records(_numbers_read(settings, counts), batch_size)
    names = " and ".join(records.splits)
    phases = _phases(settings)
    if not phases:  # one pass, such as that of `fisher`
        total = sum(records.splits.values())
        count = min(total, settings.get("max_records", total))
        return WorkEstimate(count, None, f"{count} records of {names}, once or once per class")
    bounds = [_phase_bounds(method, settings, phase, records) for phase in phases]
    if method == "unsir" and settings.get("impair_lr") is None:
        bounds = _unsir_bounds(bounds)
    least = sum(low for low, _ in bounds)
    most = None if any(high is None for _, high in bounds) else sum(high or 0 for _, high in bounds)
    chosen = [f"{phase}steps" for phase in phases if _is_chosen(settings, phase)]
    more = f"; the method chooses {' and '.join(chosen)}" if chosen else ""
    amount = f"about {least}" if least == most else f"about {least} to {most}" if most else f"at least about {least}"
    return WorkEstimate(least, most, f"{amount} samples of {names} forward and backward{more}")


def _numbers_read(settings: Mapping[str, Any], counts: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return how many records of each split are read, of which a setting may take a part."""
    numbers = {split: int(count["n"]) for split, count in counts.items()}
    if "retain" in numbers and "retain_share" in settings:
        numbers["retain"] = max(1, round(settings["retain_share"] * numbers["retain"]))
    if "retain" in numbers and "retain_per_class" in settings and counts["retain"].get("classes"):
        numbers["retain"] = sum(min(n, settings["retain_per_class"]) for n in counts["retain"]["classes"].values())
    return numbers


def _phases(settings: Mapping[str, Any]) -> list[str]:
    """Return the phases that go over records, by the part of the settings' names before `steps` or `epochs`."""
    named = [name.removesuffix(unit) for name in settings for unit in ("steps", "epochs") if name.endswith(unit)]
    return [phase for phase in dict.fromkeys(named) if not phase.startswith("noise")]


def _is_chosen(settings: Mapping[str, Any], phase: str) -> bool:
    return settings.get(f"{phase}steps") is None and settings.get(f"{phase}epochs") is None


def _phase_bounds(method: str, settings: Mapping[str, Any], phase: str, records: Records) -> Bounds:
    """Return the least and the most samples of one phase."""
    steps, epochs = settings.get(f"{phase}steps"), settings.get(f"{phase}epochs")
    if steps is not None:
        samples = records.samples(steps, phase)
        return samples, samples
    if epochs is not None:
        samples = epochs * records.count(phase)
        return samples, samples
    choose = STEPS_CHOSEN.get(method, {}).get(f"{phase}steps")
    least, most = choose(records.steps_per_epoch("repair_")) if choose else (1, None)
    return records.samples(least, phase), None if most is None else records.samples(most, phase)


def _unsir_bounds(bounds: list[Bounds]) -> list[Bounds]:
    """Without `impair_lr` unsir goes in rounds of an impair phase and a part of the repair; one at least."""
    (impair, _), (repair, _) = bounds
    begun = round(UNSIR_JUDGED * repair)
    return [(impair, UNSIR_ROUNDS * impair), (repair, UNSIR_ROUNDS * begun + repair - begun)]


def _sorted_bounds(one_value: int, other_value: int) -> Bounds:
    return min(one_value, other_value), max(one_value, other_value)
