"""How a checkpoint was trained: the recipe in its metadata, or in the report of `train` next to it. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.lineage import PREFIX
from unlearn_cli.evaluation.training_cost import ReportSubject
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.plugins.run_options import DEFAULT_BATCH_SIZE
from unlearn_cli.plugins.types import Optimizer, Schedule
from unlearn_cli.storage import regular_files

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint

KEY = "recipe"  # in the lineage


class RecordedRecipe(BaseModel):
    """The settings of `train` in a lineage or a report; other fields are ignored."""

    model_config = ConfigDict(allow_inf_nan=False)

    epochs: PositiveInt
    lr: PositiveFloat
    optimizer: Optimizer
    weight_decay: NonNegativeFloat
    momentum: NonNegativeFloat
    schedule: Schedule
    batch_size: PositiveInt = DEFAULT_BATCH_SIZE


class TrainingEnvironment(BaseModel):
    batch_size: PositiveInt = DEFAULT_BATCH_SIZE


class TrainingReport(BaseModel):
    """The fields that are read from the report of `train`, perhaps of another version."""

    command: Literal["train"]
    subject: ReportSubject
    settings: RecordedRecipe
    environment: TrainingEnvironment


def read_recipe(weights: "Checkpoint") -> Recipe:
    """Return the recipe in a checkpoint's metadata, else that in the report next to it, else a usual training."""
    recorded = find_recipe(weights)
    return Recipe(**recorded.model_dump(), is_known=True) if recorded else Recipe()


def find_recipe(weights: "Checkpoint") -> RecordedRecipe | None:
    """Return the recipe in a checkpoint's metadata, else that in the report next to it, else None."""
    folder = weights.path.parent if weights.path.is_file() else weights.path
    return read_metadata(weights.metadata) or read_report(folder, weights.tensor_digest)


def find_recipe_of(path: Path) -> RecordedRecipe | None:
    """Do the same as `find_recipe` for a checkpoint of which only the header, and the report next to it, is read."""
    header = read_header(path)
    digest = header.metadata.get(f"{PREFIX}tensor_digest")
    return read_metadata(header.metadata) or read_report(header.files[0].parent, digest)


def as_lineage(settings: BaseModel, batch_size: int) -> dict[str, str]:
    """Return the lineage entry of a training by these settings."""
    recorded = RecordedRecipe.model_validate({**settings.model_dump(), "batch_size": batch_size})
    return {KEY: recorded.model_dump_json()}


def inherit(weights: "Checkpoint") -> dict[str, str]:
    """Return the lineage entry of a checkpoint that is made from another one; empty if its recipe is not known."""
    recorded = find_recipe(weights)
    return {KEY: recorded.model_dump_json()} if recorded else {}


def read_metadata(metadata: Mapping[str, str]) -> RecordedRecipe | None:
    """Return the recipe in a checkpoint's metadata, or None."""
    try:
        return RecordedRecipe.model_validate_json(metadata.get(PREFIX + KEY, ""))
    except ValidationError:  # none, or that of another version
        return None


def read_report(folder: Path, tensor_digest: str | None) -> RecordedRecipe | None:
    """Return the recipe in the report in a checkpoint's folder; None without one, or if it is of other weights."""
    path = folder / "report.json"
    if not path.exists():
        return None
    try:
        document = TrainingReport.model_validate_json(regular_files.read_regular(path, regular_files.MOST_REPORT))
    except (ValidationError, UserError):
        return None
    if document.subject.tensor_digest != tensor_digest:
        return None
    return document.settings.model_copy(update={"batch_size": document.environment.batch_size})
