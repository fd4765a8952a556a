"""The charts of the page: metrics per split, curves per phase, score histogram and ROC of an attack."""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from unlearn_cli.reporting.html.drawing import (
    BAND,
    BLUE,
    FAINT,
    GREEN,
    INK,
    LINES,
    ORANGE,
    QUIET,
    draw_svg,
    place_legend,
)
from unlearn_cli.reporting.html.roles import REFERENCES, is_reference
from unlearn_cli.reporting.html.words import format_level, is_share, replace_underscores
from unlearn_cli.stats.results import AttackResult, Confusion, Curve, Estimate

MARKERS = {"original": ("o", QUIET), "reference": ("s", GREEN), "subject": ("D", BLUE)}
MAX_POINTS = 400
MAX_CLASSES = 12  # in the chart of predicted classes; the others are one row
PERCENT = FuncFormatter(lambda value, _: format_level(round(value, 12)))


def draw_metric(name: str, splits: dict[str, dict[str, Estimate]], titles: Mapping[str, str]) -> Markup | None:
    """Draw one metric of every checkpoint on every split, with intervals; return None if there is no value."""
    if all(estimate.value is None for roles in splits.values() for estimate in roles.values()):
        return None
    paint = partial(paint_metric, name=name, splits=splits, titles=titles)
    return draw_svg(f"{name} per split, with 95 % intervals", paint, height=1.3 + 0.5 * len(splits))


def paint_metric(axes: Axes, name: str, splits: dict[str, dict[str, Estimate]], titles: Mapping[str, str]) -> None:
    """Draw points, not bars: a bar of height 0, the usual value of a forgotten class, is invisible."""
    roles = [role for role in titles if any(role in estimates for estimates in splits.values())]
    lanes = list(dict.fromkeys(map(name_lane, roles)))
    offsets = dict(zip(lanes, np.linspace(-0.2, 0.2, len(lanes)) if len(lanes) > 1 else [0.0], strict=True))
    labels = {name_lane(role): titles[role] for role in reversed(roles)} | {"reference": title_references(titles)}
    for role in roles:
        lane = name_lane(role)
        rows = [
            (row + offsets[lane], estimates[role]) for row, estimates in enumerate(splits.values()) if role in estimates
        ]
        points = [(row, e.value, e.low, e.high) for row, e in rows if e.value is not None]
        marker, color = MARKERS.get(lane, ("^", ORANGE))
        for row, value, low, high in points:
            axes.hlines(row, value if low is None else low, value if high is None else high, color=color, linewidth=2)
        y, x = [point[0] for point in points], [point[1] for point in points]
        axes.plot(x, y, marker, color=color, label=labels.pop(lane, None), clip_on=False, zorder=3)
    axes.set_yticks(range(len(splits)), [replace_underscores(split) for split in splits])
    axes.set_ylim(len(splits) - 0.5, -0.5)
    axes.set_xlabel(replace_underscores(name))
    axes.grid(visible=False, axis="y")
    if is_share(name):
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PERCENT)
    place_legend(axes)


def name_lane(role: str) -> str:
    """Return the position of a checkpoint within a row of the chart: references share one."""
    return "reference" if is_reference(role) else role


def title_references(titles: Mapping[str, str]) -> str:
    return titles.get(REFERENCES) or titles.get("reference", "Reference")


def draw_confusion(split: str, rows: list[Confusion], titles: Mapping[str, str]) -> Markup:
    """Draw the share of each predicted class of a split: one row per class, one bar per checkpoint.

    Several references share one bar, their mean.
    """
    by_lane: dict[str, list[Confusion]] = {}
    for row in rows:
        by_lane.setdefault(name_lane(row.role), []).append(row)
    classes = min(len(rows[0].counts), MAX_CLASSES + 1)
    height = 1.2 + 0.16 * classes * (len(by_lane) + 1)
    title = f"Predicted classes of {replace_underscores(split)}"
    return draw_svg(title, partial(paint_confusion, by_lane=by_lane, titles=titles), height=height)


def paint_confusion(axes: Axes, by_lane: dict[str, list[Confusion]], titles: Mapping[str, str]) -> None:
    all_shares = {lane: average_shares(rows) for lane, rows in by_lane.items()}
    names = pick_classes(list(all_shares.values()))
    left_out = len(next(iter(all_shares.values()))) - len(names)
    labels = [*names, f"{left_out} others"] if left_out else names
    thickness = 0.8 / len(by_lane)
    for index, (lane, rows) in enumerate(by_lane.items()):
        heights = np.arange(len(labels)) - 0.4 + thickness * (index + 0.5)
        shares = [all_shares[lane][name] for name in names]
        shares += [max(0.0, 1.0 - sum(shares))] if left_out else []
        color = MARKERS.get(lane, ("^", ORANGE))[1]
        title = title_references(titles) if lane == "reference" else titles.get(lane, lane)
        axes.barh(heights, shares, thickness, color=color, label=f"{title}, n = {rows[0].n:,}")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.grid(visible=False, axis="y")
    place_legend(axes)


def average_shares(rows: list[Confusion]) -> dict[str, float]:
    """Return the share of each predicted class, averaged over the networks."""
    return {name: float(np.mean([row.counts[name] / max(1, row.n) for row in rows])) for name in rows[0].counts}


def pick_classes(all_shares: list[dict[str, float]]) -> list[str]:
    """Return the classes with the largest shares, in the order of the outputs."""
    largest = {name: max(shares[name] for shares in all_shares) for name in all_shares[0]}
    picked = sorted(largest, key=lambda name: -largest[name])[:MAX_CLASSES]
    return [name for name in largest if name in picked]


def draw_curves_of_roles(title: str, lines: list[Curve], titles: Mapping[str, str]) -> Markup | None:
    """Draw one line per checkpoint, named by its role; return None if no value is finite."""
    lines = [line for line in lines if any(value is not None for value in line.values)]
    return draw_svg(f"Curves of {title}", partial(paint_curves_of_roles, lines=lines, titles=titles)) if lines else None


def paint_curves_of_roles(axes: Axes, lines: list[Curve], titles: Mapping[str, str]) -> None:
    """Draw the references in one colour, behind the others."""
    labels = {name_lane(line.name): titles.get(line.name, line.name) for line in reversed(lines)}
    labels |= {"reference": title_references(titles)}
    for line in lines:
        lane = name_lane(line.name)
        marker, color = MARKERS.get(lane, ("^", ORANGE))
        steps, values = thin_points(line.values)
        order = 2 if lane == "reference" else 3
        axes.plot(steps, values, f"{marker}-", color=color, markersize=4, label=labels.pop(lane, None), zorder=order)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_xlabel("step")
    place_legend(axes)


def draw_curves(phase: str, lines: list[Curve]) -> Markup | None:
    """Draw the curves of one phase over its steps; return None if no value is finite."""
    lines = [line for line in lines if any(value is not None for value in line.values)]
    return draw_svg(f"Curves of the phase {phase}", partial(paint_curves, lines=lines)) if lines else None


def paint_curves(axes: Axes, lines: list[Curve]) -> None:
    """Draw as many labelled lines as there are colours, and the others in grey."""
    labels = [line.name for line in lines[: len(LINES)]] + [f"{len(lines) - len(LINES)} more"]
    for index, line in enumerate(lines):
        color, order = (LINES[index], 3) if index < len(LINES) else (FAINT, 2)
        label = labels[index] if index <= len(LINES) else None
        steps, values = thin_points(line.values)
        axes.plot(steps, values, ".-" if len(values) < 30 else "-", color=color, label=label, zorder=order)
    finite = [value for line in lines for value in line.values if value is not None]
    if min(finite) > 0 and max(finite) > 100 * min(finite):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    if all(len(line.values) == 1 for line in lines):
        axes.set_xticks([1])
    axes.set_xlabel("step")
    place_legend(axes)


def thin_points(values: list[float | None]) -> tuple[list[int], list[float]]:
    """Return at most `MAX_POINTS` steps and values, including the last; a missing value becomes NaN."""
    stride = -(-len(values) // MAX_POINTS)
    steps = sorted({*range(0, len(values), stride), len(values) - 1})
    picked = [values[step] for step in steps]
    return [step + 1 for step in steps], [float("nan") if value is None else value for value in picked]


def draw_histogram(attack: AttackResult) -> Markup | None:
    """Draw the histograms of the scores of members and non-members."""
    if not attack.histogram.get("edges"):
        return None
    return draw_svg(f"Scores of the attack {attack.name}", partial(paint_histogram, attack=attack))


def paint_histogram(axes: Axes, attack: AttackResult) -> None:
    """Draw both histograms over each other, with edges that are visible where they overlap."""
    edges = attack.histogram["edges"]
    sides = (
        ("members", f"{attack.members}, n = {attack.num_members:,}", ORANGE),
        ("non_members", f"{attack.non_members}, n = {attack.num_non_members:,}", BLUE),
    )
    for key, label, color in sides:
        axes.stairs(attack.histogram[key], edges, fill=True, color=color, alpha=0.22)
        axes.stairs(attack.histogram[key], edges, color=color, linewidth=1.6, label=label)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("score (high: like a training record)")
    axes.set_ylabel("share of the records")
    place_legend(axes)


def draw_roc(attack: AttackResult) -> Markup | None:
    """Draw the ROC curve with logarithmic axes, on which a few exposed records are visible."""
    if not attack.roc or not attack.num_members or not attack.num_non_members:
        return None
    return draw_svg(f"ROC curve of the attack {attack.name}", partial(paint_roc, attack=attack))


def paint_roc(axes: Axes, attack: AttackResult) -> None:
    """Draw the curve, chance and the band of chance; a rate of 0 is drawn at half the rate of one record."""
    floor_x, floor_y = 0.5 / attack.num_non_members, 0.5 / attack.num_members
    x, low, high = compute_null_band(attack.num_members, attack.num_non_members)
    x, low, high = np.maximum(x, floor_x), np.maximum(low, floor_y), np.maximum(high, floor_y)
    axes.fill_between(x, low, high, step="post", color=BAND, label="chance, 5 % to 95 %")
    axes.plot(x, x, "--", color=QUIET, linewidth=1, label="chance")
    curve = np.maximum(np.array(sorted(attack.roc)), [floor_x, floor_y])
    axes.plot(curve[:, 0], curve[:, 1], drawstyle="steps-post", color=ORANGE, linewidth=1.8, label="attack")
    for rate in (rate for rate in attack.rates if rate.tpr.value is not None):
        bounds = rate.tpr.low or floor_y, rate.tpr.high or floor_y
        axes.plot([rate.fpr] * 2, bounds, "-_", color=INK, linewidth=1.2, zorder=4)
        axes.plot(rate.fpr, max(rate.tpr.value or 0.0, floor_y), "o", color=INK, markersize=4, zorder=4)
    axes.set(xscale="log", yscale="log", xlim=(floor_x, 1), ylim=(floor_y, 1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PERCENT)
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{attack.non_members} classified as members (false positives)")
    axes.set_ylabel(f"{attack.members} classified as members")
    place_legend(axes)


@cache
def compute_null_band(num_members: int, num_non_members: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return false-positive rates and the 5th and 95th percentile of the TPR of an attack without information.

    Above the (k + 1)-th largest of n exchangeable scores lies a Beta(k + 1, n - k) share; m members sample it.
    """
    from scipy.stats import betabinom  # slow to import, and only this chart needs it

    k = np.unique(np.geomspace(1, num_non_members, 60).astype(int)) - 1
    low, high = (betabinom.ppf(q, num_members, k + 1, num_non_members - k) / num_members for q in (0.05, 0.95))
    return np.append(k / num_non_members, 1.0), np.append(low, 1.0), np.append(high, 1.0)
