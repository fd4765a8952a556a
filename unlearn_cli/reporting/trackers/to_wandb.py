"""Export to Weights & Biases: a run in a project; WANDB_MODE=offline writes it only to the folder `wandb`."""

import wandb  # pyright: ignore[reportMissingImports]

from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.trackers.exported_numbers import list_metrics, list_parameters, list_tags, name_run

ERRORS = (wandb.Error, OSError)


def export(report: Report, target: str) -> None:
    """Log the curves and then the metrics as the run's summary; no code, console output or machine facts are sent."""
    entity, _, project = target.rpartition("/")
    settings = wandb.Settings(
        console="off", disable_code=True, disable_git=True, x_disable_meta=True, x_disable_stats=True, silent=True
    )
    config = {**list_parameters(report), **list_tags(report)}
    with wandb.init(
        project=project, entity=entity or None, name=name_run(report), config=config, settings=settings
    ) as run:
        for curve in report.curves:
            name = f"curves/{curve.phase}/{curve.name}"
            run.define_metric(name, step_metric=f"{name}/step")
            for step, value in enumerate(curve.values):
                if value is not None:
                    run.log({name: value, f"{name}/step": step})
        run.summary.update(list_metrics(report))
