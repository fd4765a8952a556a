"""One shadow run: train with half of the records, unlearn them, retrain without any; ask all three about everyone."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.commands.shadow_game import Game
from unlearn_cli.commands.unlearn import gather
from unlearn_cli.data.dataset import Split
from unlearn_cli.evaluation.inputs import Opened
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.evaluation.targets import as_lineage, target_to_train_with
from unlearn_cli.learning.shadows import RETAINED_PREFIX, draw_membership
from unlearn_cli.runtime.seeds import derive_seed
from unlearn_cli.stats.signals import phi
from unlearn_cli.storage import owners
from unlearn_cli.storage.leftovers import TEMPORARY


def play(game: Game, number: int) -> dict[str, Tensor]:
    """Return membership (n,) and phi (n,) before, after and retrained, in the order of forget; the same of retain's."""
    seed = game.opened.common.seed
    members = draw_membership(seed, number, len(game.audited))
    kept = draw_membership(seed, number, len(game.retained), group=1)
    arrays = {"members": members, "canaries": game.canaries}
    arrays |= {RETAINED_PREFIX + "members": kept} if len(kept) else {}
    arrays |= trained_and_unlearned(game, members, kept, number) | retrain(game, kept, number)
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def trained_and_unlearned(game: Game, members: np.ndarray, kept: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Train on retain and the members, then forget the members."""
    opened = changed(game, members, kept, number, "train")
    with start(opened, target=target_to_train_with(opened, None, None)) as current:
        trained = fit(game, current, "train")
        before = signals(current, trained, "before")
        weights = trained_checkpoint(current, trained)
        inputs = gather(current, game.method, weights, current.load(weights), None)
        with current.run.autocast():
            unlearned = game.method.call(inputs, game.settings)
        return before | signals(current, unlearned, "after")


def retrain(game: Game, kept: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Train on retain alone, from other random weights and in another order."""
    nobody = np.zeros(len(game.audited), dtype=bool)
    opened = changed(game, nobody, kept, number, "retrain")
    with start(opened, target=target_to_train_with(opened, None, None)) as current:
        return signals(current, fit(game, current, "retain"), "retrain")


def fit(game: Game, current: Session, split: str) -> nn.Module:
    model = current.fresh("fresh")
    current.check_logits(model)
    inputs = {"model": model, "train": current.batches(split, augmented=True), "task_loss": current.task_loss()}
    with current.run.autocast():
        return game.recipe.call(inputs, game.training)


def signals(current: Session, model: nn.Module, stage: str) -> dict[str, np.ndarray]:
    """Return phi of all audited records under a network, those of forget and those of retain, by its name in a cell."""
    groups = {"": "audited", RETAINED_PREFIX: "retained"}
    present = {prefix: name for prefix, name in groups.items() if name in current.opened.dataset.splits}
    return {prefix + stage: phi(current.outputs(model, name)) for prefix, name in present.items()}


def changed(game: Game, members: np.ndarray, kept: np.ndarray, number: int, stage: str) -> Opened:
    """Return the inputs of one stage: the members are forget, they and retain are train; its own seed.

    Of the sample of retain only the members `kept` are in retain.
    """
    opened, audited = game.opened, game.audited
    splits = dict(opened.dataset.splits)
    if len(game.retained):
        splits["retained"] = replace(splits["retain"].take(game.retained), name="retained")
    left_out = np.isin(np.arange(len(splits["retain"])), game.retained[~kept])
    retain, forget = splits["retain"].take(np.flatnonzero(~left_out)), audited.take(np.flatnonzero(members))
    splits["retain"] = retain
    splits["forget"] = replace(forget, name="forget")
    splits["train"] = joined("train", retain, forget)
    splits["audited"] = replace(audited, name="audited")
    game_split = replace(opened.dataset, splits=splits)
    seed = derive_seed(opened.common.seed, "shadow", number, stage) % 2**31
    return replace(opened, dataset=game_split, common=opened.common.model_copy(update={"seed": seed}))


def joined(name: str, one: Split, other: Split) -> Split:
    """Put two splits of one source together, in the order of its rows."""
    rows, labels = (np.concatenate(pair) for pair in ((one.rows, other.rows), (one.labels, other.labels)))
    order: Any = np.argsort(rows, kind="stable")
    return Split(name, one.records, rows[order], labels[order])


def trained_checkpoint(current: Session, model: nn.Module) -> Checkpoint:
    """Pass a network through a file, as a user would: methods are given checkpoints."""
    scale = as_lineage(current.manifest.task, current.target)
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{owners.new_suffix()}-") as folder:
        found = checkpoint.load(checkpoint.save(Path(folder), model.state_dict(), scale))
        return replace(found, tensors={name: tensor.clone() for name, tensor in found.tensors.items()})
