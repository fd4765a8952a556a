"""The cost of training or unlearning a checkpoint, and its metrics, read from the report next to it. No torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.errors import UserError
from unlearn_cli.stats.costs import TrainingCost
from unlearn_cli.stats.results import Cost
from unlearn_cli.storage import regular_files

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint

MOST_REPORT = 2**28  # bytes of a report.json that is read back


class ReportSubject(BaseModel):
    tensor_digest: str


class ReportRun(BaseModel):
    seconds: dict[str, float]


class ReportMetric(BaseModel):
    value: float | None = None


class ReportExcerpt(BaseModel):
    """The fields that are read from a report of another run, perhaps of another version."""

    subject: ReportSubject
    run: ReportRun
    cost: Cost = Cost()
    metrics: dict[str, dict[str, dict[str, ReportMetric]]] = {}  # role -> split -> metric

    def get_metric(self, split: str, name: str) -> float | None:
        """Return a metric of the subject; None if it was not measured."""
        metric = self.metrics.get("subject", {}).get(split, {}).get(name)
        return None if metric is None else metric.value

    def get_cost(self) -> TrainingCost:
        """Return the time and the samples of the training or unlearning."""
        seconds = self.run.seconds
        samples = self.cost.samples_forward + self.cost.samples_backward
        return TrainingCost(seconds.get("unlearn", seconds.get("train")), samples)


def read_cost(weights: "Checkpoint") -> TrainingCost:
    """Return time and samples from the report next to a checkpoint; None if it belongs to another checkpoint."""
    path = weights.path.parent / "report.json" if weights.path.is_file() else weights.path / "report.json"
    document = read_excerpt(path)
    if document is None or document.subject.tensor_digest != weights.tensor_digest:
        return TrainingCost(None, None)
    return document.get_cost()


def read_report_of(checkpoint: Path) -> ReportExcerpt | None:
    """Return the report next to a checkpoint; None without one, or if it belongs to another checkpoint.

    Reads only the header of the checkpoint; the digest of the tensors is the one in its metadata.
    """
    header = read_header(checkpoint)
    document = read_excerpt(header.files[0].parent / "report.json")
    digest = header.metadata.get("unlearn_cli.tensor_digest")
    return document if document is not None and document.subject.tensor_digest == digest else None


def read_excerpt(path: Path) -> ReportExcerpt | None:
    """Read a report of this tool; None if the file does not exist or is another document."""
    if not path.exists():
        return None
    try:
        return ReportExcerpt.model_validate_json(regular_files.read_regular(path, regular_files.MOST_REPORT))
    except (ValidationError, UserError):
        return None
