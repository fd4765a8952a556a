"""The charts of numbers per record: their distributions and those of references, and what both versions show."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from unlearn_cli.reporting.html.drawing import BAND, BLUE, GREEN, INK, ORANGE, QUIET, draw_svg, place_legend
from unlearn_cli.reporting.html.roles import pool_references
from unlearn_cli.reporting.html.words import format_level, replace_underscores
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Distribution, Estimate, Finding

PERCENT = FuncFormatter(lambda value, _: format_level(round(value, 12)))
FLOORS = ("floor", "left-out references")  # in the names of series: dashed, in the colour of their records
COLORS = {"forget": BLUE, "holdout": ORANGE, "never_seen": ORANGE, "retain": GREEN}
MOST_COMPLETENESS = (-1.0, 2.0)  # shown; records beyond are in the counts
EXPOSURE_ROWS = {
    "recall_forgotten": "forgotten: recall",
    "recall_retained": "retained: recall",
    "recall_never_seen": "never seen: recall",
    "macro_auc": "macro AUC",
    "auc_retained": "retained: AUC",
    "auc_retained_original_only": "same, original only",
}


class RecordChart(NamedTuple):
    """A chart with its title and the caption that says how to read it."""

    title: str
    caption: str
    svg: Markup


CAPTIONS = {
    "completeness": "Share of the records up to each completeness: 0 is as the original, 1 as retrained. A network "
    "that is like a retrained one is on the dashed line of left-out references; records near 0 are still known. Only "
    "records on which the original and the references differ measurably count.",
    "distance": "Share of the records up to each distance from the references' mean. The shaded tenth is the worst "
    "decile. Where the line of forget is right of its dashed floor but that of the hold-out is not, something of the "
    "forgotten records is left or too much was removed; on both sides it is another training recipe.",
    "KLoM": "Share of the records up to each divergence from retrained networks, over shadow runs; the line at 95 % is "
    "the percentile of the table. A perfect method is on its dashed floor: two halves of the retrained networks.",
}
EXPOSURE_CAPTION = (
    "How well an attacker with both versions recognises the three kinds of records, on records that were not used for "
    "fitting. Grey: chance. Exact retraining exposes forgotten records as well, so compare with the reference. If the "
    "AUC of retained records is above that with the original only, giving access to both versions exposes them."
)


def list_record_charts(report: Report, titles: Mapping[str, str]) -> list[RecordChart]:
    """Return the distributions of the checkpoint under test, and what both versions show of each kind of records."""
    shown = [finding for finding in report.findings if finding.role == "subject" and finding.distributions]
    charts = [draw_distributions(finding.distributions) for finding in shown]
    exposure = {finding.role: finding for finding in report.findings if finding.name == "before_after"}
    return charts + ([draw_exposure(exposure, titles)] if collect_roles(exposure, "macro_auc") else [])


def draw_distributions(distributions: list[Distribution]) -> RecordChart:
    """Draw the share of records up to each value: a solid line per group of records, dashed for its floor."""
    quantity = distributions[0].quantity
    decorate = DECORATIONS.get(quantity, lambda axes: axes.set_xlabel(quantity))
    paint = partial(paint_distributions, distributions=distributions, decorate=decorate)
    title = f"{quantity[0].upper()}{quantity[1:]} of each record"
    return RecordChart(title, CAPTIONS.get(quantity, ""), draw_svg(title, paint))


def paint_distributions(axes: Axes, distributions: list[Distribution], decorate: Callable[[Axes], object]) -> None:
    for series in distributions:
        is_floor = any(name in series.series for name in FLOORS)
        color = COLORS.get(series.series.partition(",")[0], QUIET)
        label = replace_underscores(series.series).replace("left-out references", "floor")
        axes.plot(series.values, series.levels, "--" if is_floor else "-", color=color, label=label, linewidth=1.8)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylabel("share of the records")
    decorate(axes)
    place_legend(axes)


def mark_completeness(axes: Axes) -> None:
    """Mark the original and the references, and limit the axis, because a few records may be far outside."""
    for x in (0, 1):
        axes.axvline(x, color=INK, linewidth=0.8, linestyle=":")
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, MOST_COMPLETENESS[0]), min(max(high, 1.2), MOST_COMPLETENESS[1]))
    axes.set_xlabel("completeness (0: as the original, 1: as retrained)")


def mark_worst_decile(axes: Axes) -> None:
    axes.axhspan(0.9, 1, color=BAND, linewidth=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("distance from the references")


def mark_percentile(axes: Axes) -> None:
    """Use a logarithmic axis, and mark the 95th percentile; a divergence of 0 has no place on it."""
    axes.set_xscale("log")
    largest = max(float(np.max(np.asarray(line.get_xdata(), dtype=np.float64))) for line in axes.get_lines())
    axes.set_xlim(left=max(largest * 1e-4, 1e-6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axhline(0.95, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("KLoM (nats)")


DECORATIONS: dict[str, Callable[[Axes], object]] = {
    "completeness": mark_completeness,
    "distance": mark_worst_decile,
    "KLoM": mark_percentile,
}


def draw_exposure(findings: dict[str, Finding], titles: Mapping[str, str]) -> RecordChart:
    """Draw recalls and AUCs of an attacker with both versions, of this network and of the references."""
    paint = partial(paint_exposure, findings=findings, titles=titles)
    title = "Records recognised from both versions"
    return RecordChart(title, EXPOSURE_CAPTION, draw_svg(title, paint, height=1.3 + 0.45 * len(EXPOSURE_ROWS)))


def paint_exposure(axes: Axes, findings: dict[str, Finding], titles: Mapping[str, str]) -> None:
    rows = [pool_references(collect_roles(findings, name)) for name in EXPOSURE_ROWS]
    roles = [role for role in titles if any(role in by_role for by_role in rows)]
    offsets = np.linspace(-0.15, 0.15, len(roles)) if len(roles) > 1 else np.zeros(1)
    for role, offset in zip(roles, offsets, strict=True):
        marker, color = ("D", BLUE) if role == "subject" else ("s", GREEN)
        paint_role(axes, [by_role.get(role) for by_role in rows], offset, marker, color, titles[role])
    paint_chance(axes, findings)
    axes.set_yticks(range(len(EXPOSURE_ROWS)), list(EXPOSURE_ROWS.values()))
    axes.set_ylim(len(EXPOSURE_ROWS) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("recall or AUC")
    place_legend(axes)


def collect_roles(findings: dict[str, Finding], name: str) -> dict[str, Estimate]:
    """Return the estimates of a quantity by role, those with a value."""
    estimates = {role: finding.quantities.get(name) for role, finding in findings.items()}
    return {
        role: estimate for role, estimate in estimates.items() if estimate is not None and estimate.value is not None
    }


def paint_role(
    axes: Axes, estimates: list[Estimate | None], offset: float, marker: str, color: str, title: str
) -> None:
    """Draw one network's values with their intervals, shifted from the middle of the rows by an offset."""
    points = [
        (row + offset, estimate.value, estimate.low, estimate.high)
        for row, estimate in enumerate(estimates)
        if estimate is not None and estimate.value is not None
    ]
    for row, value, low, high in points:
        axes.hlines(row, value if low is None else low, value if high is None else high, color=color, linewidth=2)
    x, y = [value for _, value, _, _ in points], [row for row, _, _, _ in points]
    axes.plot(x, y, marker, color=color, label=title, zorder=3, clip_on=False)


def paint_chance(axes: Axes, findings: dict[str, Finding]) -> None:
    """Draw the value by chance of each row: the null that was measured, or 1/2."""
    quantities = (findings.get("subject") or next(iter(findings.values()))).quantities
    nulls = [quantities.get(f"{name}_null") for name in EXPOSURE_ROWS]
    x = [0.5 if null is None or null.value is None else null.value for null in nulls]
    rows = np.arange(len(x))
    axes.vlines(x, rows - 0.35, rows + 0.35, color=QUIET, linewidth=2, label="chance", zorder=1)
