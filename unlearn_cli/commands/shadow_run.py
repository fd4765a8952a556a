"""One shadow run: train with half of the records, unlearn them, retrain without any; ask all three about everyone."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unlearn_cli.commands.inputs import Opened
from unlearn_cli.commands.session import Session, start
from unlearn_cli.commands.shadow import Game, trained_checkpoint
from unlearn_cli.commands.unlearn import gather
from unlearn_cli.data.dataset import Split
from unlearn_cli.runtime.seeds import derive
from unlearn_cli.shadows import membership
from unlearn_cli.stats.signals import phi


def play(game: Game, number: int) -> dict[str, Tensor]:
    """Return membership (n,) and phi (n,) before, after and retrained, in the order of forget."""
    seed = game.opened.common.seed
    members = membership(seed, number, len(game.audited))
    before, after = trained_and_unlearned(game, members, number)
    retrained = retrain(game, number)
    arrays = {"members": members, "canaries": game.canaries, "before": before, "after": after, "retrain": retrained}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def trained_and_unlearned(game: Game, members: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Train on retain and the members, then forget the members."""
    with start(changed(game, members, number, "train")) as current:
        trained = fit(game, current, "train")
        before = signal(game, current, trained)
        weights = trained_checkpoint(current, trained)
        inputs = gather(current, game.method, weights, current.load(weights), None)
        with current.run.autocast():
            unlearned = game.method.call(inputs, game.settings)
        return before, signal(game, current, unlearned)


def retrain(game: Game, number: int) -> np.ndarray:
    """Train on retain alone, from other random weights and in another order."""
    nobody = np.zeros(len(game.audited), dtype=bool)
    with start(changed(game, nobody, number, "retrain")) as current:
        return signal(game, current, fit(game, current, "retain"))


def fit(game: Game, current: Session, split: str) -> nn.Module:
    inputs = {"model": current.fresh("fresh"), "train": current.batches(split, augmented=True),
              "task_loss": current.task_loss()}  # fmt: skip
    with current.run.autocast():
        return game.recipe.call(inputs, game.training)


def signal(game: Game, current: Session, model: nn.Module) -> np.ndarray:
    """Return phi of all audited records under a network."""
    return phi(current.outputs(model, "audited"))


def changed(game: Game, members: np.ndarray, number: int, stage: str) -> Opened:
    """Return the inputs of one stage: the members are forget, they and retain are train; its own seed."""
    opened, audited = game.opened, game.audited
    splits = dict(opened.dataset.splits)
    retain, forget = splits["retain"], audited.take(np.flatnonzero(members))
    splits["forget"] = replace(forget, name="forget")
    splits["train"] = joined("train", retain, forget)
    splits["audited"] = replace(audited, name="audited")
    game_split = replace(opened.dataset, splits=splits)
    seed = derive(opened.common.seed, "shadow", number, stage) % 2**31
    return replace(opened, dataset=game_split, common=replace(opened.common, seed=seed))


def joined(name: str, one: Split, other: Split) -> Split:
    """Put two splits of one source together, in the order of its rows."""
    rows, labels = (np.concatenate(pair) for pair in ((one.rows, other.rows), (one.labels, other.labels)))
    order: Any = np.argsort(rows, kind="stable")
    return Split(name, one.records, rows[order], labels[order])
