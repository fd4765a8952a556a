"""The cost of training or unlearning a checkpoint, read from the report next to it."""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.errors import UserError
from unlearn_cli.stats.efficiency import TrainingCost
from unlearn_cli.stats.results import Cost
from unlearn_cli.storage import regular_files

MOST_REPORT = 2**28  # bytes of a report.json that is read back


class ReportSubject(BaseModel):
    tensor_digest: str


class ReportRun(BaseModel):
    seconds: dict[str, float]


class ReportExcerpt(BaseModel):
    """The fields that are read from a report of another run, perhaps of another version."""

    subject: ReportSubject
    run: ReportRun
    cost: Cost = Cost()


def read_cost(weights: Checkpoint) -> TrainingCost:
    """Return time and samples from the report next to a checkpoint; None if it belongs to another checkpoint."""
    path = weights.path.parent / "report.json" if weights.path.is_file() else weights.path / "report.json"
    document = read_excerpt(path)
    if document is None or document.subject.tensor_digest != weights.tensor_digest:
        return TrainingCost(None, None)
    seconds = document.run.seconds
    spent = seconds.get("unlearn", seconds.get("train"))
    return TrainingCost(spent, document.cost.samples_forward + document.cost.samples_backward)


def read_excerpt(path: Path) -> ReportExcerpt | None:
    """Read a report of this tool; None if the file does not exist or is another document."""
    if not path.exists():
        return None
    try:
        return ReportExcerpt.model_validate_json(regular_files.read_regular(path, regular_files.MOST_REPORT))
    except (ValidationError, UserError):
        return None
