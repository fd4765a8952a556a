"""`unlearn-cli evaluate`: metrics of a checkpoint on every split, beside the original and references, and gates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli import console, gates, metrics
from unlearn_cli.commands import Common, Result
from unlearn_cli.commands.inputs import Copies, Opened, find_copies, open_inputs
from unlearn_cli.commands.plan import split_counts
from unlearn_cli.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    checkpoint: Path
    manifest: Path
    original: Path | None = None
    references: tuple[Path, ...] = ()
    metrics: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    out: Path | None = None
    dry_run: bool = False


def run(asked: Asked, common: Common) -> Result:
    """Measure, judge, and write the report if a folder is given."""
    opened = open_inputs(asked.manifest, common, (asked.checkpoint, asked.original, *asked.references), asked.out)
    if not opened.dataset.splits:
        raise UserError(f"{asked.manifest}: has no 'data' section; there is nothing to evaluate on")
    names = chosen_metrics(asked.metrics, opened)
    for condition in asked.require:
        check_requirement(condition, opened.manifest.task)
    conditions = [*opened.manifest.gates, *asked.require]
    judged = [gates.parse(condition, opened.manifest.task).metric for condition in conditions]
    names = list(dict.fromkeys([*names, *judged]))  # a gate can only be judged on a metric that is computed
    copies = find_copies(opened)
    if asked.dry_run:
        text, document = split_counts(opened)
        return Result(
            text, {"splits": document, "metrics": names, "gates": conditions, "duplicates_in_retain": copies.in_retain}
        )
    return carry_out(asked, opened, names, conditions, copies)


def check_requirement(condition: str, task: str) -> None:
    try:
        gates.parse(condition, task)
    except UserError as error:
        raise UserError(f"--require: {error}") from None


def chosen_metrics(asked: Sequence[str], opened: Opened) -> list[str]:
    """Return the metrics asked for, or those of the task.

    Raises:
        UserError: there is no metric of that name for the task.
    """
    defined = metrics.DEFAULTS[opened.manifest.task]
    for name in asked:
        if name not in metrics.TABLE:
            raise UserError(f"--metric: unknown metric '{name}'; {did_you_mean(name, metrics.TABLE)}")
        if name not in defined:
            task = opened.manifest.task
            raise UserError(f"--metric: '{name}' is not defined for {task}; defined are {', '.join(defined)}")
    return list(asked or defined)


def carry_out(asked: Asked, opened: Opened, names: list[str], conditions: list[str], copies: Copies) -> Result:
    console.say(f"evaluate: {asked.checkpoint.name}; loading torch")
    from unlearn_cli import checkpoint  # torch comes with it: seconds, only after all that can be checked without
    from unlearn_cli.commands import reporting, session

    started = reporting.now()
    subject = checkpoint.load(asked.checkpoint)
    original = checkpoint.load(asked.original) if asked.original else None
    others = [checkpoint.load(path) for path in asked.references]
    weights = {"original": original, "subject": subject, **{reporting.role(i): made for i, made in enumerate(others)}}
    with session.start(opened) as current:
        # The subject alone may have forgotten, so it is judged by what it should still know.
        known = "train" if original else "retain"
        current.check_fits(current.load(original or subject), asked.original or asked.checkpoint, known)
        measured = {}
        for role, made in weights.items():
            if made is not None:
                model = current.load(made)
                with current.run.counted(model):
                    measured[role] = reporting.measure_model(current, model, role, names)
        document = reporting.new_report(
            current, "evaluate", started, metrics=measured, subject=subject.describe("subject"),
            original=original.describe("original") if original else None, references=reporting.references(others),
            caveats=reporting.caveats(opened, bool(others), copies),
        )  # fmt: skip
    reporting.judge(document, conditions)
    reporting.save_report(document, asked.out, opened.common.overwrite)
    text = [reporting.metrics_table(document), reporting.gates_table(document)]
    return reporting.to_result(document, "\n\n".join(filter(None, text)), asked.out)
