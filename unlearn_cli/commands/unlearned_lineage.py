"""The lineage of an unlearned checkpoint: what it was made from, how, and what later runs must know of it."""

from pydantic import BaseModel

from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.evaluation import budgets, levels, recipes, reported_half, targets
from unlearn_cli.evaluation.run_inputs import content_digest, lineage_of, settings_digest
from unlearn_cli.evaluation.session import Session
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.schema.network_sections import Target
from unlearn_cli.storage.version import VERSION


def describe_lineage(
    current: Session, method: Plugin, settings: BaseModel, weights: Checkpoint, scale: Target
) -> dict[str, str]:
    """Return the metadata of the checkpoint that a method made from `weights`."""
    opened = current.opened
    unknown_scale = targets.is_unknown(opened, weights.metadata)
    return {
        "method": method.name,
        **digest_code(method),
        "parent": weights.tensor_digest,
        **lineage_of(opened),
        **(_of_retrained(current, settings) if method.name == "retrain" else _inherit(current, weights)),
        "settings": settings_digest(settings),
        "seed": str(current.run.seed),
        "version": VERSION,
        **({} if unknown_scale else targets.as_lineage(opened.dataset.task, scale)),
    }


def digest_code(method: Plugin) -> dict[str, str]:
    """Return the digest of the file of a method outside of the package."""
    return {"code": method.code.sha256} if method.code else {}


def _of_retrained(current: Session, settings: BaseModel) -> dict[str, str]:
    """Return the entries of a reference, which inherits nothing: its training data and its recipe."""
    trained_on = content_digest(current.opened.dataset.split("retain"))
    return {"trained_on": trained_on, **recipes.as_lineage(settings, current.run.batch_size)}


def _inherit(current: Session, weights: Checkpoint) -> dict[str, str]:
    """Return the entries that a checkpoint inherits or that its method adds."""
    return {
        **reported_half.as_lineage(weights.metadata, current.opened.reported.given),
        **recipes.inherit(weights),
        **budgets.as_lineage(weights, current.run.cost.epochs, has_new_weights=current.run.has_new_weights),
        **levels.as_lineage(current.run.chosen_settings, {} if current.run.has_new_weights else weights.metadata),
    }
