"""The report as one self-contained web page without scripts or requests, with the content of `report.json`."""

import base64
from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined

from unlearn_cli.console import visible
from unlearn_cli.reporting.html import charts, words
from unlearn_cli.reporting.html.grouping import GROUPS
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Curve, Estimate

SPLITS = ("forget", "retain", "test_forget", "test_retain", "forgotten", "test", "train", "model")
METRICS = ("accuracy", "loss", "mae", "rmse", "r2")
ROLES = {"original": "Before", "subject": "After", "reference": "Reference"}


def render(report: Report, noise_png: bytes | None = None) -> str:
    """Return the whole text of `report.html`; `noise_png` is the picture made by `noise_grid`."""
    checkpoints = (report.subject, report.original, *report.references)
    page = (
        create_environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            roles=title_roles(report),
            rows=group_by_metric(report),
            interval_kinds=list_interval_kinds(report),
            class_names=list_classes(report),
            forgotten=describe_selection(report),
            phases=group_curves(report),
            checkpoints=[checkpoint for checkpoint in checkpoints if checkpoint],
            **{name: group(report) for name, group in GROUPS.items()},
            noise=base64.b64encode(noise_png).decode() if noise_png else None,
        )
    )
    return visible(page)


def create_environment() -> Environment:
    """Return the template environment; all strings except charts are escaped."""
    templates = Environment(
        loader=PackageLoader("unlearn_cli.reporting.html", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(words.FILTERS)
    templates.globals.update(
        charts=charts,
        name_checkpoint=name_checkpoint,
        verdict_words=words.describe_verdict,
        verdict_mark=words.VERDICT_MARKS,
    )
    return templates


def name_checkpoint(role: str) -> str:
    """Return the name of a role within a sentence."""
    names = {"subject": "the checkpoint under test", "original": "the original"}
    return names.get(role, f"the {words.replace_underscores(role)}")


def title_roles(report: Report) -> dict[str, str]:
    """Return the titles of the measured checkpoints in reading order; 'Before' and 'After' need an original."""
    first = [role for role in ROLES if role in report.metrics]
    others = sorted(set(report.metrics) - set(ROLES))
    titles = {role: ROLES.get(role, words.replace_underscores(role).capitalize()) for role in first + others}
    return titles if "original" in titles or "subject" not in titles else {**titles, "subject": "Model"}


def group_by_metric(report: Report) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Turn checkpoint -> split -> metric into metric -> split -> checkpoint: one part of the table per metric."""
    rows: dict[str, dict[str, dict[str, Estimate]]] = {}
    for role, splits in report.metrics.items():
        for split in sort_names(splits, SPLITS):
            for metric, estimate in splits[split].items():
                rows.setdefault(metric, {}).setdefault(split, {})[role] = estimate
    return {
        metric: {split: rows[metric][split] for split in sort_names(rows[metric], SPLITS)}
        for metric in sort_names(rows, METRICS)
    }


def sort_names(names: Iterable[str], first: tuple[str, ...]) -> list[str]:
    """Return the names that are in `first` in its order, then the others in alphabetical order."""
    names = set(names)
    return [name for name in first if name in names] + sorted(names - set(first))


def list_interval_kinds(report: Report) -> list[str]:
    """Return the kinds of the metrics' intervals, such as 'Wilson'."""
    estimates = (e for splits in report.metrics.values() for metrics in splits.values() for e in metrics.values())
    return sorted({estimate.interval for estimate in estimates if estimate.interval})


def list_classes(report: Report) -> list[str]:
    """Return the classes in the order of the model's outputs if it is known, else in alphabetical order."""
    seen = {name for split in report.manifest.splits.values() for name in split.classes or {}}
    return sort_names(seen, tuple(report.manifest.classes or ()))


def describe_selection(report: Report) -> str:
    """Return the classes to forget, or the number of records to forget."""
    if report.manifest.forget_classes:
        return ", ".join(report.manifest.forget_classes)
    split = report.manifest.splits.get("forget")
    return f"{split.n:,} selected records" if split else "not in the report"


def group_curves(report: Report) -> dict[str, list[Curve]]:
    """Return phase -> its curves, which share one chart, in the order in which the phases ran."""
    collected: dict[str, list[Curve]] = {}
    for curve in report.curves:
        collected.setdefault(curve.phase, []).append(curve)
    return collected
