"""Shorter attacks of the standard tier, for tests that are not about the precision of their numbers."""

from collections.abc import Callable
from typing import Any

from unlearn_cli.attacks import before_after, label_inference
from unlearn_cli.learning import relearning
from unlearn_cli.stats import sign_flip

PROBE_STEPS = 10
confident_inputs, run_repeats = label_inference.confident_inputs, relearning.run_repeats


def shorten_attacks(set_attribute: Callable[[object, str, Any], object]) -> None:
    """Use fewer trees, permutations, sign flips and optimisation steps, and one repeat of relearning.

    Settings keep their values: an attack with other settings than the defaults does not decide a gate.
    """
    set_attribute(before_after, "TREES", 10)
    set_attribute(before_after, "PERMUTATIONS", 50)
    set_attribute(sign_flip, "RESAMPLES", 999)
    set_attribute(label_inference, "confident_inputs", optimize_shortly)
    set_attribute(relearning, "run_repeats", run_once)


def optimize_shortly(model: Any, x: Any, targets: Any, steps: int, lr: float) -> Any:
    return confident_inputs(model, x, targets, min(steps, PROBE_STEPS), lr)


def run_once(repeats: int, *arguments: Any) -> Any:
    return run_repeats(min(repeats, 1), *arguments)
