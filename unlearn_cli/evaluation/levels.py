"""The known level of lost outputs: of the references, or of an earlier run in the lineage of the checkpoint."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from unlearn_cli.data.batches import without_labels
from unlearn_cli.evaluation.lineage import PREFIX
from unlearn_cli.evaluation.recipes import read_recipe
from unlearn_cli.learning.level import Level, measure_level, set_level
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.runtime.run import remark

if TYPE_CHECKING:
    from torch import nn

    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.evaluation.session import Session

KEY = "level"  # in the lineage, and among the settings that a method chose
KNOWN = "known_level"  # among these settings: that of references or of an earlier run, if there is one


def apply_level_step(
    session: "Session",
    model: "nn.Module",
    method: Plugin,
    settings: BaseModel,
    weights: "Checkpoint",
    references: "Sequence[Checkpoint]",
) -> None:
    """Set the level of the lost outputs after a method, if whole classes are forgotten and the settings ask for it.

    Records are read only if the method reads them, too: without those of retain the level is not set.
    """
    classes, given = session.opened.dataset.forget_classes, set(method.list_inputs(settings))
    if not (method.level_step and classes) or getattr(settings, "level_step", "none") == "none":
        return
    if not given & {"retain", "retain_inputs"}:
        remark("The level of the lost outputs was not set, because the method reads no retained record.")
        return
    forget = session.batches("forget") if given & {"forget", "forget_inputs"} else None
    set_level(
        model,
        session.batches("retain"),
        classes,
        read_recipe(weights),
        session.run.random,
        find_level(session, weights, references),
        without_labels(forget) if forget else None,
    )


def find_level(session: "Session", weights: "Checkpoint", references: "Sequence[Checkpoint]") -> Level | None:
    """Return the mean level of the references; without any, that of an earlier run; None if there is neither."""
    classes = session.opened.dataset.forget_classes
    if not classes:
        return None
    if references:
        return _average(session, classes, references)
    recorded = _read(weights.metadata)
    return None if recorded is None else Level(dict.fromkeys(classes, recorded), "lineage")


def _average(session: "Session", classes: list[int], references: "Sequence[Checkpoint]") -> Level:
    retain = session.batches("retain")
    levels = [measure_level(session.load(reference), retain, classes) for reference in references]
    means = {number: sum(level[number] for level in levels) / len(levels) for number in classes}
    return Level(means, "reference")


def _read(metadata: Mapping[str, str]) -> float | None:
    try:
        level = float(metadata[PREFIX + KEY])
    except (KeyError, ValueError):  # none, or that of another version
        return None
    return level if math.isfinite(level) else None


def as_lineage(chosen: Mapping[str, float], metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the lineage entry of a new checkpoint: the known level, else that which was set, or that of its parent.

    The level that was set may lie below the known one, which is that of retrained networks.
    """
    level = chosen.get(KNOWN, chosen.get(KEY, _read(metadata)))
    return {} if level is None else {KEY: f"{level:g}"}
