"""The report as one self-contained web page without scripts or requests, with the content of `report.json`."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from unlearn_cli.console import visible
from unlearn_cli.reporting.answers.certainty import VERDICTS
from unlearn_cli.reporting.answers.judged_gates import is_on_cost
from unlearn_cli.reporting.html import estimate_tables, grouping, origin, pictures, sections, words
from unlearn_cli.reporting.html.definitions import TERMS, define_split
from unlearn_cli.reporting.html.estimate_tables import EstimateTable, build_table, sort_names
from unlearn_cli.reporting.html.pictures import CaptionedPng
from unlearn_cli.reporting.html.roles import title_roles
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.sentences import FORGETTING, list_sentences


def render(report: Report, noise: CaptionedPng | None = None) -> str:
    """Return the whole text of `report.html`; `noise` is the picture made by `noise_grid`, with its caption."""
    content = list_content(report, noise)
    template = create_environment().get_template("report.html.j2")
    return visible(template.render(**content, sections=sections.list_sections(content)))


@cache
def create_environment() -> Environment:
    """Return the template environment; all strings except drawings are escaped."""
    templates = Environment(
        loader=PackageLoader("unlearn_cli.reporting.html", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(words.FILTERS)
    templates.globals.update(
        verdict_mark=words.VERDICT_MARKS,
        verdict_name=VERDICTS,
        define_split=define_split,
        is_on_cost=is_on_cost,
        terms=TERMS,
    )
    return templates


def list_content(report: Report, noise: CaptionedPng | None) -> dict[str, Any]:
    """Return the variables of the templates."""
    titles = title_roles(report)
    checkpoints = (report.subject, report.original, *report.references)
    return {
        "report": report,
        "titles": titles,
        "headline": words.describe_report(report),
        "verdict_words": words.describe_verdict(report),
        "verdict_class": words.classify_verdict(report),
        "sentences": list_sentences(report),
        "drawings": pictures.list_drawings(report, titles, noise),
        "draw_attack": pictures.draw_attack,
        "emphasised": FORGETTING,
        "reasons": grouping.list_reasons(report),
        "controls": grouping.group_controls(report, titles),
        "comparisons": grouping.list_comparisons(report),
        "main_attack": pictures.select_main_attack(report),
        "attacks": grouping.list_detailed_attacks(report),
        "commands": origin.list_commands(report),
        "class_names": list_classes(report),
        "checkpoints": [checkpoint for checkpoint in checkpoints if checkpoint],
        **list_tables(report, titles),
    }


def list_tables(report: Report, titles: dict[str, str]) -> dict[str, EstimateTable | None]:
    """Return the tables of metrics, attacks and probes; rare ones, floors and single references have their own."""
    main = estimate_tables.list_main_metrics(report)
    metrics = estimate_tables.list_metric_groups(report)
    probes = estimate_tables.list_probe_groups(report)
    single = estimate_tables.list_metric_groups(report, pooled=False)
    several = "references" in titles
    groups = {
        "main_metrics": [group for metric, group in metrics.items() if metric in main],
        "other_metrics": [group for metric, group in metrics.items() if metric not in main],
        "label_scores": estimate_tables.list_label_groups(report),
        "metrics_of_references": single.values() if several else [],
        "main_attacks": estimate_tables.list_attack_group(report),
        "attack_variants": estimate_tables.list_attack_group(report, variants=True),
        "attacks_of_references": estimate_tables.list_attack_group(report, pooled=False) if several else [],
        "probes": [group for group in probes if group.title not in estimate_tables.RARE_PROBES],
        "rare_probes": [group for group in probes if group.title in estimate_tables.RARE_PROBES],
        "noise_floors": estimate_tables.list_probe_groups(report, floors=True),
        "probes_of_references": estimate_tables.list_probe_groups(report, pooled=False) if several else [],
    }
    return {name: build_table(of_table, titles) for name, of_table in groups.items()}


def list_classes(report: Report) -> list[str]:
    """Return the classes in the order of the model's outputs if it is known, else in alphabetical order."""
    seen = {name for split in report.manifest.splits.values() for name in split.classes or {}}
    return sort_names(seen, tuple(report.manifest.classes or ()))
