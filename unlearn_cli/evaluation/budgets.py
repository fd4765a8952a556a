"""How long a network was trained, in epochs: by the recipe of the original, and by methods. No torch.

A method that trains on retain makes the network better than a reference that was trained as long as the original was,
and hides what is left. So its epochs are recorded, and a reference of the same total can be trained.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import recipes
from unlearn_cli.evaluation.lineage import PREFIX
from unlearn_cli.evaluation.recipes import RecordedRecipe, find_recipe, read_metadata
from unlearn_cli.stats.results import Cost

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint

KEY = "extra_epochs"  # in the lineage
NOTICEABLE = 0.1  # a larger share of the original's epochs makes a network better than a reference of these epochs
UNKNOWN = "no recipe of the original is recorded"
NO_RETAIN = "the method does not read retain"


@dataclass(frozen=True)
class Budget:
    """The epochs of a network: of its recipe, and those that methods added."""

    recipe: RecordedRecipe | None
    extra: float

    @property
    def total(self) -> float | None:
        return None if self.recipe is None else self.recipe.epochs + self.extra

    @property
    def is_noticeable(self) -> bool:
        """Whether methods added so much that a reference of the recipe's epochs is not comparable."""
        return self.recipe is not None and self.extra > NOTICEABLE * self.recipe.epochs


def read_extra(metadata: Mapping[str, str]) -> float:
    """Return the epochs that methods added, from a checkpoint's metadata; 0 if it has none."""
    try:
        epochs = float(metadata.get(PREFIX + KEY, "0"))
    except ValueError:  # that of another version
        return 0.0
    return epochs if math.isfinite(epochs) and epochs > 0 else 0.0


def as_lineage(weights: "Checkpoint", added: float | None, *, has_new_weights: bool) -> dict[str, str]:
    """Return the lineage entry of a checkpoint that a method made from `weights`, by training it for `added` epochs.

    New weights have no other epochs, so only those beyond the recipe of the original are additional.
    """
    extra = read_extra(weights.metadata) + (added or 0.0)
    if has_new_weights:
        recipe = find_recipe(weights)
        extra = max(0.0, (added or 0.0) - (recipe.epochs if recipe else 0.0))
    return {KEY: f"{extra:.4g}"} if extra else {}


def inherit(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the lineage entries of weights that are only copied: the recipe, and the epochs that methods added."""
    return {name: metadata[PREFIX + name] for name in (recipes.KEY, KEY) if PREFIX + name in metadata}


def count_epochs(cost: Cost, backward: int, weights: "Checkpoint", retain_size: int | None) -> Cost:
    """Return the cost of a method with the epochs that it trained the network.

    Args:
        cost: of the method.
        backward: samples that went backward through the network that the method returned, not through others.
        weights: the original.
        retain_size: records of retain; None if the method does not read retain.
    """
    recipe = find_recipe(weights)
    original = None if recipe is None else recipe.epochs + read_extra(weights.metadata)
    epochs = backward / retain_size if retain_size else None
    reasons = [*([NO_RETAIN] if epochs is None else []), *([UNKNOWN] if original is None else [])]
    changes = {"epochs": epochs, "original_epochs": original, "epochs_reason": "; ".join(reasons) or None}
    return cost.model_copy(update=changes)


def describe_excess(subject: Mapping[str, str], references: Iterable[Mapping[str, str]]) -> list[str]:
    """Return a caveat on a subject that was trained longer than its references, from the metadata of checkpoints.

    Without references, it is compared with a reference that is trained as long as the original was.
    """
    budget = Budget(read_metadata(subject), read_extra(subject))
    totals = [Budget(read_metadata(metadata), read_extra(metadata)).total for metadata in references]
    if budget.recipe is None or budget.total is None or not budget.is_noticeable:
        return []
    if totals and all(total is not None and total >= (1 - NOTICEABLE) * budget.total for total in totals):
        return []
    return [
        f"Methods trained the network for {budget.extra:.3g} epochs over retain, in addition to the original's "
        f"{budget.recipe.epochs}. It may be better than a reference of {budget.recipe.epochs} epochs, which hides what "
        f"is left; 'unlearn-cli train --split retain --like MODEL' trains a reference for {round(budget.total)}."
    ]


def read_budget(path: Path) -> Budget:
    """Return the recipe of a checkpoint, and the epochs that methods added. Reads only headers and the report.

    Raises:
        UserError: no recipe is recorded, or the checkpoint was trained in more than one run.
    """
    header = read_header(path)
    if header.metadata.get(f"{PREFIX}method") == "train" and f"{PREFIX}parent" in header.metadata:
        raise UserError(
            f"--like {path}: was trained further from another checkpoint (--from), so no single training is like it; "
            "give the settings with --set"
        )
    recipe = recipes.find_recipe_of(path)
    if recipe is None:
        raise UserError(
            f"--like {path}: no recipe is recorded in its metadata, as 'unlearn-cli train' does; give the settings "
            "with --set"
        )
    return Budget(recipe, read_extra(header.metadata))
