"""Export to TensorBoard: an event file in a folder of its own below the given one."""

from pathlib import Path

from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.trackers.exported_numbers import list_metrics, list_parameters, list_tags, name_run

ERRORS = (OSError,)


def export(report: Report, target: str) -> None:
    """Write the numbers at step 0, the curves over their steps, and the settings as text."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(Path(target) / name_run(report))) as writer:
        for name, value in list_metrics(report).items():
            writer.add_scalar(name, value, 0)
        for curve in report.curves:
            for step, value in enumerate(curve.values):
                if value is not None:
                    writer.add_scalar(f"curves/{curve.phase}/{curve.name}", value, step)
        for name, text in {**list_parameters(report), **list_tags(report)}.items():
            writer.add_text(name, text, 0)
