"""The tables of estimates on the page: metrics, attacks and probes, with one column per checkpoint.

Columns and rows without any value are left out; the reasons of such rows are listed below the table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unlearn_cli.reporting.html.definitions import SPLITS, define_plugin, define_split
from unlearn_cli.reporting.html.roles import is_reference, pool_references
from unlearn_cli.reporting.html.words import find_gate_quantity, replace_underscores
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate

ByRole = dict[str, Estimate]
METRICS = ("accuracy", "subset_accuracy", "macro_f1", "mean_average_precision", "mae", "rmse", "r2", "loss")
FLOORS = ("_null", "_floor")  # ends of the names of quantities that are noise floors
RARE_PROBES = ("learned loss", "retrain z", "class geometry", "label inference", "inversion")
VARIANT = " ("  # an attack with another setting: population (statistic=loss)
MAIN_METRICS = {"accuracy", "mae", "subset_accuracy", "macro_f1"}  # the others are folded, unless a gate is about them


@dataclass(frozen=True)
class Row:
    title: str
    note: str
    quantity: str  # decides how numbers are formatted
    cells: ByRole


@dataclass(frozen=True)
class Group:
    """Rows below a common heading, such as the splits of one metric; '' for a table without headings."""

    title: str
    definition: str
    rows: list[Row]


@dataclass(frozen=True)
class EstimateTable:
    columns: dict[str, str]  # role -> title
    groups: list[Group]
    missing: list[str] = field(default_factory=list)  # the rows without a value, each with the reason

    @property
    def interval_kinds(self) -> list[str]:
        """The kinds of the intervals, such as 'wilson'."""
        cells = (cell for group in self.groups for row in group.rows for cell in row.cells.values())
        return sorted({cell.interval for cell in cells if cell.interval})


def build_table(groups: Iterable[Group], titles: Mapping[str, str]) -> EstimateTable | None:
    """Return the table without empty rows and columns; None if it has no rows at all."""
    groups = list(groups)
    filled = [Group(group.title, group.definition, [row for row in group.rows if has_value(row)]) for group in groups]
    filled = [group for group in filled if group.rows]
    roles = {
        role for group in filled for row in group.rows for role, cell in row.cells.items() if cell.value is not None
    }
    empty = [(group, row) for group in groups for row in group.rows if not has_value(row)]
    missing = [f"{' '.join(filter(None, (group.title, row.title)))}: {find_reason(row)}" for group, row in empty]
    if not filled and not missing:
        return None
    return EstimateTable({role: title for role, title in titles.items() if role in roles}, filled, missing)


def has_value(row: Row) -> bool:
    return any(cell.value is not None for cell in row.cells.values())


def find_reason(row: Row) -> str:
    return next((cell.reason for cell in row.cells.values() if cell.reason), "no value")


def group_by_metric(report: Report) -> dict[str, dict[str, ByRole]]:
    """Turn checkpoint -> split -> metric into metric -> split -> checkpoint."""
    rows: dict[str, dict[str, ByRole]] = {}
    for role, splits in report.metrics.items():
        for split in sort_names(splits, tuple(SPLITS)):
            for metric, estimate in splits[split].items():
                rows.setdefault(metric, {}).setdefault(split, {})[role] = estimate
    return {
        metric: {split: rows[metric][split] for split in sort_names(rows[metric], tuple(SPLITS))}
        for metric in sort_names(rows, METRICS)
    }


def sort_names(names: Iterable[str], first: tuple[str, ...]) -> list[str]:
    """Return the names that are in `first` in its order, then the others in alphabetical order."""
    names = set(names)
    return [name for name in first if name in names] + sorted(names - set(first))


def list_main_metrics(report: Report) -> set[str]:
    """Return the metrics that are not folded: accuracy or error, and those of the gates of the manifest."""
    measured = {metric for splits in report.metrics.values() for metrics in splits.values() for metric in metrics}
    judged = measured & {find_gate_quantity(gate) for gate in report.gates}
    return (MAIN_METRICS & measured or measured) | judged


def list_metric_groups(report: Report, *, pooled: bool = True) -> dict[str, Group]:
    """Return metric -> its rows, one per split; `pooled`: several references share a column."""
    return {
        metric: Group(
            replace_underscores(metric),
            define_plugin(metric),
            [
                Row(
                    replace_underscores(split),
                    define_split(split, report.manifest.half),
                    metric,
                    pick_columns(cells, pooled=pooled),
                )
                for split, cells in splits.items()
            ],
        )
        for metric, splits in group_by_metric(report).items()
    }


def list_label_groups(report: Report) -> list[Group]:
    """Return one group per label of multilabel records: F1 and average precision on each split."""
    cells: dict[str, dict[tuple[str, str], ByRole]] = {}
    for score in report.labels:
        rows = cells.setdefault(score.label, {})
        rows.setdefault((score.split, "F1"), {})[score.role] = score.f1
        rows.setdefault((score.split, "average precision"), {})[score.role] = score.average_precision
    return [
        Group(
            label,
            "",
            [
                Row(f"{name}, {replace_underscores(split)}", "", "f1", pick_columns(of_row, pooled=True))
                for (split, name), of_row in sorted(rows.items(), key=lambda item: _order_split(item[0][0]))
            ],
        )
        for label, rows in cells.items()
    ]


def _order_split(split: str) -> int:
    names = tuple(SPLITS)
    return names.index(split) if split in names else len(names)


def pick_columns(cells: ByRole, *, pooled: bool) -> ByRole:
    """Return all columns with one for several references, or the columns of the single references."""
    if pooled:
        return pool_references(cells)
    return {role: cell for role, cell in cells.items() if is_reference(role)}


def list_attack_group(report: Report, *, variants: bool = False, pooled: bool = True) -> list[Group]:
    """Return the AUC of each attack, or of its variants with other settings."""
    by_name: dict[str, ByRole] = {}
    for attack in report.attacks:
        if (VARIANT in attack.name) == variants:
            by_name.setdefault(attack.name, {})[attack.role] = attack.auc
    rows = [
        Row(
            replace_underscores(name),
            define_plugin(name.partition(VARIANT)[0]),
            "auc",
            pick_columns(cells, pooled=pooled),
        )
        for name, cells in by_name.items()
    ]
    return [Group("", "", rows)]


def list_probe_groups(report: Report, *, floors: bool = False, pooled: bool = True) -> list[Group]:
    """Return one group per probe, with one row per quantity; `floors`: noise floors instead of the measured values."""
    probes: dict[str, dict[str, ByRole]] = {}
    for finding in report.findings:
        for quantity, estimate in finding.quantities.items():
            probes.setdefault(finding.name, {}).setdefault(quantity, {})[finding.role] = estimate
    return [
        Group(
            replace_underscores(probe),
            define_plugin(probe.partition(VARIANT)[0]),
            [
                Row(replace_underscores(name), "", "auc", pick_columns(cells, pooled=pooled))
                for name, cells in quantities.items()
                if name.endswith(FLOORS) == floors
            ],
        )
        for probe, quantities in probes.items()
    ]
