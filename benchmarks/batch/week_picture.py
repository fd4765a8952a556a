"""The picture of the week that `week.py` simulates: accuracy and forgetting over the runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot is imported: there may be no screen

from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.batch.week_data import CLASS_RUN

PANELS = {
    "kept": "test, without the class", "deleted": "all records deleted so far,\nwithout the class",
    "class": "the class, records of train",
}  # fmt: skip


def draw(week: Any, references: Sequence[dict[str, Any]], original: dict[str, Any], path: Path) -> None:
    """Draw the three accuracies with their 95 % intervals, with the references retrained after each run."""
    figure, axes = pyplot.subplots(len(PANELS), 1, figsize=(7, 7.5), sharex=True, layout="constrained")
    for ax, (name, title) in zip(axes, PANELS.items(), strict=True):
        curve(ax, [one[name] for one in week.measured], f"unlearned ({week.method})", "C0", "o")
        curve(ax, [one[name] for one in references], "retrained without them", "C1", "s")
        ax.axhline(100 * original[name]["value"], color="0.5", linestyle=":", label="original")
        ax.axvline(CLASS_RUN + 1, color="0.85", zorder=0)
        ax.set_ylabel("accuracy, %")
        ax.set_title(title.replace("\n", " "), fontsize="medium", loc="left")
    axes[-1].legend(loc="center left", fontsize="small")
    axes[-1].set_xlabel("run; the class is deleted in the one with the line")
    axes[-1].set_xticks(range(1, len(references) + 1))
    figure.savefig(path, dpi=90)


def curve(ax: Axes, found: Sequence[dict[str, Any]], label: str, color: str, marker: str) -> None:
    runs, values = range(1, len(found) + 1), [100 * one["value"] for one in found]
    below = [100 * (one["value"] - one["low"]) for one in found]
    above = [100 * (one["high"] - one["value"]) for one in found]
    ax.errorbar(runs, values, (below, above), label=label, color=color, marker=marker, markersize=4, capsize=2)
