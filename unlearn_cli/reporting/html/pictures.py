"""The pictures of the page, each with a caption that says how to read it. To add a picture, add a function to PARTS."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from unlearn_cli.reporting.html import charts, record_charts
from unlearn_cli.reporting.html.estimate_tables import group_by_metric
from unlearn_cli.reporting.html.grouping import list_detailed_attacks
from unlearn_cli.reporting.html.roles import sort_roles
from unlearn_cli.reporting.html.words import capitalize_first, replace_underscores
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import AttackResult, Confusion, Curve

MAIN_ATTACK = "population"
REPETITION = re.compile(r"(.*?)(?:-(\d+))?", re.DOTALL)  # impair, impair-2, ...: see `runtime.progress`
CaptionedPng = tuple[bytes, str]


@dataclass(frozen=True)
class Drawing:
    """A picture: an SVG, or the bytes of a PNG as base64 text."""

    title: str
    caption: str
    svg: Markup | None = None
    folded: bool = False  # shown only on request
    png: str | None = None


def list_drawings(report: Report, titles: Mapping[str, str], noise: CaptionedPng | None) -> list[Drawing]:
    """Return the pictures in the order of the page; those without any value are left out."""
    drawings = [drawing for part in PARTS for drawing in part(report, titles) if drawing.svg]
    return [*drawings, *([make_noise_drawing(*noise)] if noise else [])]


def list_metric_drawings(report: Report, titles: Mapping[str, str]) -> Iterator[Drawing]:
    """Yield the first metric on every split."""
    for metric, splits in list(group_by_metric(report).items())[:1]:
        svg = charts.draw_metric(metric, splits, titles)
        caption = "A line through a point is its 95 % interval."
        if len(report.metrics) > 1:
            caption += " If the lines of two networks overlap, their difference may be due to chance."
        yield Drawing(f"{capitalize_first(replace_underscores(metric))} per split", caption, svg)


def list_confusion_drawings(report: Report, titles: Mapping[str, str]) -> Iterator[Drawing]:
    """Yield the predicted classes of never-seen records of the forgotten classes, then of the forgotten records."""
    by_split: dict[str, list[Confusion]] = {}
    for confusion in report.confusions:
        by_split.setdefault(confusion.split, []).append(confusion)
    for number, split in enumerate(sorted(by_split, reverse=True)):  # test_forget before forget
        rows = by_split[split]
        order = sort_roles([row.role for row in rows])
        svg = charts.draw_confusion(split, sorted(rows, key=lambda row: order.index(row.role)), titles)
        caption = (
            "Share of the records predicted as each class. If nearly all are predicted as one class, this reveals the "
            "forgotten class, unless the references predict the same class."
        )
        yield Drawing(f"Predicted classes of {replace_underscores(split)}", caption, svg, folded=number > 0)


def list_attack_drawings(report: Report, titles: Mapping[str, str]) -> Iterator[Drawing]:
    """Yield the scores and the ROC curve of the main attack on the checkpoint under test."""
    attack = select_main_attack(report)
    if attack is not None:
        yield from draw_attack(attack, titles)


def select_main_attack(report: Report) -> AttackResult | None:
    """Return the attack that the gates are about: population, or else the first one."""
    attacks = list_detailed_attacks(report)
    return next((attack for attack in attacks if attack.name == MAIN_ATTACK), attacks[0] if attacks else None)


def draw_attack(attack: AttackResult, titles: Mapping[str, str]) -> Iterator[Drawing]:
    of = f"of the attack {attack.name} on: {titles.get(attack.role, attack.role)}"
    yield Drawing(
        f"Scores {of}",
        "Where the two histograms coincide, the attack has no information. A range with only one of them reveals those "
        "records.",
        charts.draw_histogram(attack),
    )
    yield Drawing(
        f"ROC curve {of}",
        "Inside the band the attack is not better than chance. Above it, at the left, some records are identified with "
        "few false positives. The points with bars are the rates of the table.",
        charts.draw_roc(attack),
    )


def list_probe_drawings(report: Report, titles: Mapping[str, str]) -> Iterator[Drawing]:
    """Yield one picture per phase of the probes, with one line per checkpoint."""
    phases: dict[str, list[Curve]] = {}
    for role in sort_roles([finding.role for finding in report.findings]):
        curves = [curve for finding in report.findings if finding.role == role for curve in finding.curves]
        for curve in curves:
            phases.setdefault(f"{curve.phase}: {curve.name}", []).append(curve.model_copy(update={"name": role}))
    for phase, lines in phases.items():
        caption = (
            "One line per network. If the unlearned network relearns faster than every reference, the knowledge may "
            "only be hidden. A step is one evaluation of the network."
        )
        yield Drawing(f"Probe {phase}", caption, charts.draw_curves_of_roles(phase, lines, titles))


def list_record_drawings(report: Report, titles: Mapping[str, str]) -> Iterator[Drawing]:
    """Yield the numbers per record."""
    for chart in record_charts.list_record_charts(report, titles):
        yield Drawing(chart.title, chart.caption, chart.svg)


def list_curve_drawings(report: Report, titles: Mapping[str, str]) -> Iterator[Drawing]:
    """Yield the curves of each phase of the run, in the order of the phases; repeated phases share a picture."""
    phases: dict[str, list[Curve]] = {}
    for curve in report.curves:
        phase, repetition = REPETITION.fullmatch(curve.phase).groups()  # type: ignore[union-attr]
        name = f"{curve.name}, {repetition}" if repetition else curve.name
        phases.setdefault(phase, []).append(curve.model_copy(update={"name": name}))
    for phase, lines in phases.items():
        caption = "A flat curve at the end means that the phase had enough steps, not that it succeeded."
        folded = report.command != "train"
        yield Drawing(f"Phase: {phase}", caption, charts.draw_curves(phase, lines), folded=folded)


def make_noise_drawing(png: bytes, caption: str) -> Drawing:
    return Drawing("Learned noise", caption, png=base64.b64encode(png).decode())


PARTS: tuple[Callable[[Report, Mapping[str, str]], Iterator[Drawing]], ...] = (
    list_metric_drawings,
    list_confusion_drawings,
    list_attack_drawings,
    list_record_drawings,
    list_probe_drawings,
    list_curve_drawings,
)
