"""One shadow run: train with half of the records, unlearn them, retrain without any; save the outputs of all three."""

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
from unlearn_cli.data.dataset import Split
from unlearn_cli.evaluation.fit_checks import check_logits
from unlearn_cli.evaluation.levels import apply_level_step
from unlearn_cli.evaluation.plugin_inputs import make_method_inputs
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.evaluation.targets import as_lineage, choose_training_target
from unlearn_cli.learning.shadows import RETAINED_PREFIX, draw_membership
from unlearn_cli.learning.training import explain_single_values
from unlearn_cli.runtime.seeds import derive_seed
from unlearn_cli.stats.signals import phi
from unlearn_cli.storage import owners
from unlearn_cli.storage.leftovers import TEMPORARY


def play(game: Game, number: int) -> dict[str, Tensor]:
    """Return membership (n,) and phi (n,) before, after and retrained, in the order of forget; the same for retain."""
    seed = game.opened.common.seed
    members = draw_membership(seed, number, len(game.audited))
    retained_members = draw_membership(seed, number, len(game.retained), group=1)
    arrays = {"members": members, "canaries": game.canaries}
    arrays |= {RETAINED_PREFIX + "members": retained_members} if len(retained_members) else {}
    arrays |= train_and_unlearn(game, members, retained_members, number) | retrain(game, retained_members, number)
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def train_and_unlearn(
    game: Game, members: np.ndarray, retained_members: np.ndarray, number: int
) -> dict[str, np.ndarray]:
    """Train on retain and the members, then forget the members."""
    opened = prepare_stage(game, members, retained_members, number, "train")
    with start(opened, target=choose_training_target(opened, None, None)) as current:
        trained = fit(game, current, "train")
        before = compute_signals(current, trained, "before")
        weights = pass_through_file(current, trained)
        inputs = make_method_inputs(current, game.method, game.settings, weights, current.load(weights))
        with current.run.autocast(), explain_single_values():
            unlearned = game.method.call(inputs, game.settings)
        apply_level_step(current, unlearned, game.method, game.settings, weights, [])
        return before | compute_signals(current, unlearned, "after")


def retrain(game: Game, retained_members: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Train on retain only, from other random weights and in another order."""
    nobody = np.zeros(len(game.audited), dtype=bool)
    opened = prepare_stage(game, nobody, retained_members, number, "retrain")
    with start(opened, target=choose_training_target(opened, None, None)) as current:
        return compute_signals(current, fit(game, current, "retain"), "retrain")


def fit(game: Game, current: Session, split: str) -> nn.Module:
    model = current.fresh("fresh")
    check_logits(current, model)
    inputs = {"model": model, "train": current.batches(split, augmented=True), "task_loss": current.task_loss()}
    with current.run.autocast(), explain_single_values():
        return game.recipe.call(inputs, game.training)


def compute_signals(current: Session, model: nn.Module, stage: str) -> dict[str, np.ndarray]:
    """Return phi of all audited records (of forget, and of retain) under a network, by the name of the array."""
    groups = {"": "audited", RETAINED_PREFIX: "retained"}
    present = {prefix: name for prefix, name in groups.items() if name in current.opened.dataset.splits}
    return {prefix + stage: phi(current.outputs(model, name)) for prefix, name in present.items()}


def prepare_stage(game: Game, members: np.ndarray, retained_members: np.ndarray, number: int, stage: str) -> RunInputs:
    """Return the inputs of one stage: forget is the members, train is retain and the members; with a derived seed.

    From the audited sample of retain, only `retained_members` stay in retain.
    """
    opened, audited = game.opened, game.audited
    splits = dict(opened.dataset.splits)
    if len(game.retained):
        splits["retained"] = replace(splits["retain"].take(game.retained), name="retained")
    left_out = np.isin(np.arange(len(splits["retain"])), game.retained[~retained_members])
    retain, forget = splits["retain"].take(np.flatnonzero(~left_out)), audited.take(np.flatnonzero(members))
    splits["retain"] = retain
    splits["forget"] = replace(forget, name="forget")
    splits["train"] = join_splits("train", retain, forget)
    splits["audited"] = replace(audited, name="audited")
    game_split = replace(opened.dataset, splits=splits)
    seed = derive_seed(opened.common.seed, "shadow", number, stage) % 2**31
    return replace(opened, dataset=game_split, common=opened.common.model_copy(update={"seed": seed}))


def join_splits(name: str, first: Split, second: Split) -> Split:
    """Join two splits of one source, in the order of its rows."""
    rows, labels = (np.concatenate(pair) for pair in ((first.rows, second.rows), (first.labels, second.labels)))
    order: Any = np.argsort(rows, kind="stable")
    return Split(name, first.records, rows[order], labels[order])


def pass_through_file(current: Session, model: nn.Module) -> Checkpoint:
    """Save a network and load it again, because methods receive checkpoints."""
    scale = as_lineage(current.task, current.target)
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{owners.make_suffix()}-") as folder:
        loaded = checkpoint.load(checkpoint.save(Path(folder), model.state_dict(), scale))
        return replace(loaded, tensors={name: tensor.clone() for name, tensor in loaded.tensors.items()})
