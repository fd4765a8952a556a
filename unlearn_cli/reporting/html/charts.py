"""The charts of the page: metrics per split, curves per phase, score histogram and ROC of an attack."""

from functools import cache, partial

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from unlearn_cli.reporting.html.drawing import BLUE, GREEN, INK, LINES, ORANGE, QUIET, draw_svg, place_legend
from unlearn_cli.reporting.html.words import format_level, is_share, replace_underscores
from unlearn_cli.stats.results import AttackResult, Confusion, Curve, Estimate

MARKERS = {"original": ("o", QUIET), "reference": ("s", GREEN), "subject": ("D", BLUE)}
MAX_POINTS = 400
MAX_ROWS = 4  # checkpoints in one chart of classes
PERCENT = FuncFormatter(lambda value, _: format_level(round(value, 12)))


def draw_metric(name: str, splits: dict[str, dict[str, Estimate]], titles: dict[str, str]) -> Markup | None:
    """Draw one metric of every checkpoint on every split, with intervals; return None if there is no value."""
    if all(estimate.value is None for roles in splits.values() for estimate in roles.values()):
        return None
    paint = partial(paint_metric, name=name, splits=splits, titles=titles)
    return draw_svg(f"{name} per split, with 95 % intervals", paint, height=1.3 + 0.5 * len(splits))


def paint_metric(axes: Axes, name: str, splits: dict[str, dict[str, Estimate]], titles: dict[str, str]) -> None:
    """Draw points, not bars: a bar of height 0, the usual value of a forgotten class, is invisible."""
    offsets = np.linspace(-0.2, 0.2, len(titles)) if len(titles) > 1 else np.zeros(1)
    for (role, title), offset in zip(titles.items(), offsets, strict=True):
        rows = [(row + offset, estimates[role]) for row, estimates in enumerate(splits.values()) if role in estimates]
        points = [(row, e.value, e.low, e.high) for row, e in rows if e.value is not None]
        marker, color = MARKERS.get(role.split("_")[0], ("^", ORANGE))  # reference_2, ...
        for row, value, low, high in points:
            axes.hlines(row, value if low is None else low, value if high is None else high, color=color, linewidth=2)
        y, x = [point[0] for point in points], [point[1] for point in points]
        axes.plot(x, y, marker, color=color, label=title, clip_on=False, zorder=3)
    axes.set_yticks(range(len(splits)), [replace_underscores(split) for split in splits])
    axes.set_ylim(len(splits) - 0.5, -0.5)
    axes.set_xlabel(name)
    axes.grid(visible=False, axis="y")
    if is_share(name):
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PERCENT)
    place_legend(axes)


def draw_confusion(split: str, rows: list[Confusion]) -> Markup:
    """Draw the share of each predicted class of a split: one row per class, one bar per checkpoint."""
    shown = rows[:MAX_ROWS]
    height = 1.2 + 0.16 * len(shown[0].counts) * (len(shown) + 1)
    title = f"Predicted classes of {replace_underscores(split)}"
    return draw_svg(title, partial(paint_confusion, rows=shown), height=height)


def paint_confusion(axes: Axes, rows: list[Confusion]) -> None:
    names = list(rows[0].counts)
    thickness = 0.8 / len(rows)
    for index, row in enumerate(rows):
        places = np.arange(len(names)) - 0.4 + thickness * (index + 0.5)
        shares = [row.counts[name] / max(1, row.n) for name in names]
        color = MARKERS.get(row.role.split("_")[0], ("^", ORANGE))[1]
        label = f"{replace_underscores(row.role)}, n = {row.n:,}"
        axes.barh(places, shares, thickness, color=color, alpha=1 if "_" not in row.role else 0.6, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.grid(visible=False, axis="y")
    place_legend(axes)


def draw_curves(phase: str, lines: list[Curve]) -> Markup | None:
    """Draw the curves of one phase over its steps; return None if no value is finite."""
    lines = [line for line in lines if any(value is not None for value in line.values)]
    return draw_svg(f"Curves of the phase {phase}", partial(paint_curves, lines=lines)) if lines else None


def paint_curves(axes: Axes, lines: list[Curve]) -> None:
    """Draw as many labelled lines as there are colours, and the others in grey."""
    labels = [line.name for line in lines[: len(LINES)]] + [f"{len(lines) - len(LINES)} more"]
    for index, line in enumerate(lines):
        color, order = (LINES[index], 3) if index < len(LINES) else ("#cccccc", 2)
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
    axes.fill_between(x, low, high, step="post", color="#dddddd", label="chance, 5 % to 95 %")
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
