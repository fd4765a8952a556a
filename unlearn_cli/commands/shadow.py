"""`unlearn-cli shadow`: shadow runs for the audit tier. Each run is an independent job, which may be interrupted."""

import json
import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.commands.held_out_checks import check_held_out_classes, skip_rewind_of_classes
from unlearn_cli.commands.manifest_inputs import check_selection, open_manifest
from unlearn_cli.commands.result import Result
from unlearn_cli.commands.shadow_game import MOST_RETAINED, Game
from unlearn_cli.console import pluralize
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import RunInputs, content_digest
from unlearn_cli.learning import shadows
from unlearn_cli.plugins import plugin, suitability
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.version import VERSION
from unlearn_cli.verdict.advice import advice

MOST = 10_000  # runs


@dataclass(frozen=True)
class ShadowOptions:
    """The arguments of `shadow`, in addition to the `RunOptions`."""

    manifest: Path
    method: str
    folder: Path
    cells: str
    canaries: float = 0.0
    retained: int | None = None
    settings: SettingSources = field(default_factory=SettingSources)
    training: tuple[str, ...] = ()
    dry_run: bool = False


def run(options: ShadowOptions, run_options: RunOptions) -> Result:
    """Carry out the requested runs that are not finished yet."""
    cells = parse_cells(options.cells)
    method = plugin.load("methods", options.method, allow_code=run_options.allow_code)
    settings = plugin.complete_settings(method, options.settings.config, options.settings.assignments)
    recipe = plugin.inspect("training", "fit", "unlearn_cli.learning.training")
    training = plugin.complete_settings(recipe, None, options.training)
    manifest = read_manifest(options.manifest, run_options.manifest_folder)
    settings = skip_rewind_of_classes(method, settings, manifest)
    suitability.check(method, manifest.sections, manifest.task, options.manifest, settings)
    suitability.check(plugin.load("attacks", "population"), manifest.sections, manifest.task, options.manifest)
    held_out = "held_out" in method.list_inputs(settings)
    opened = open_manifest(
        manifest,
        options.manifest,
        run_options,
        decode=options.dry_run,
        held_out=held_out,
        alternative=method.find_alternative(settings, "held_out"),
        facts_next_to=options.folder,
    )
    check_selection(method, opened.dataset, manifest.sections, options.manifest)
    check_held_out_classes(opened)
    game = prepare_game(opened, method, settings, recipe, training, options)
    plan = {**describe_data(opened), **describe_recipe(game, options.canaries)}
    shadows.check_plan(options.folder, plan)
    missing = [number for number in cells if not shadows.cell_path(options.folder, number).is_file()]
    for line in describe_cost(game, len(cells), len(missing)):
        console.say(line)
    if options.dry_run:
        check_with_torch(opened)
    elif missing:
        carry_out(game, options.folder, plan, missing)
    done = len(list(options.folder.glob("cell-*.safetensors")))
    runs = pluralize(done, "run")
    return Result(f"{runs} in {options.folder}", {"folder": str(options.folder), "runs": done, "cells": cells})


def parse_cells(text: str) -> list[int]:
    """Parse `0-31`, `7` or `0-3,8`.

    Raises:
        UserError: the text has another form, or a number is too large.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if match is None:
            raise UserError(f"--cells {text}: expected numbers and ranges, such as 0-31 or 0-3,8")
        first, last = int(match[1]), int(match[2] or match[1])
        numbers += range(first, last + 1)
    if not numbers or max(numbers) >= MOST:
        raise UserError(f"--cells {text}: expected numbers from 0 to {MOST - 1}, smaller ones first")
    return list(dict.fromkeys(numbers))


def prepare_game(
    opened: RunInputs, method: Plugin, settings: BaseModel, recipe: Plugin, training: BaseModel, options: ShadowOptions
) -> Game:
    """Choose the audited records: all of forget, some of them as canaries, and a sample of retain.

    Raises:
        UserError: canaries are requested without classes, or the sample is more than half of retain.
    """
    dataset, share = opened.dataset, options.canaries
    if share and dataset.task != "classification":
        raise UserError(f"--canaries: canaries are records with a wrong class, but the task is {dataset.task}; omit it")
    forget = dataset.split("forget")
    mask, labels = shadows.draw_canaries(opened.common.seed, share, forget.labels, dataset.num_outputs)
    audited, sample = replace(forget, labels=labels), draw_retained_sample(opened, options.retained)
    return Game(opened, method, settings, recipe, training, audited, mask, sample)


def draw_retained_sample(opened: RunInputs, requested: int | None) -> np.ndarray:
    n = len(opened.dataset.split("retain"))
    count = min(MOST_RETAINED, n // 10) if requested is None else requested
    if count > n // 2:
        raise UserError(f"--retained {count}: is more than half of the {n} records of retain; choose fewer")
    return shadows.draw_retained_sample(opened.common.seed, count, n)


def describe_data(opened: RunInputs) -> dict[str, Any]:
    """Return the architecture and the digest of the data, by which `attack` recognises runs of its manifest."""
    digest = sha256("".join(content_digest(opened.dataset.split(name)) for name in ("forget", "retain")).encode())
    return {"architecture": opened.network.model.model_dump(mode="json"), "data": digest.hexdigest()}


def describe_recipe(game: Game, share: float) -> dict[str, Any]:
    """Return the other facts that two runs must share to be pooled."""
    run_options, splits = game.opened.common, game.opened.dataset.splits
    return {
        "method": game.method.name,
        **({"code": game.method.code.sha256} if game.method.code else {}),
        "settings": game.settings.model_dump(mode="json"),
        **({"held_out": content_digest(splits["held_out"])} if "held_out" in splits else {}),
        "training": game.training.model_dump(mode="json"),
        "canaries": share,
        "seed": run_options.seed,
        "retained": len(game.retained),
        "batch_size": run_options.batch_size,
        "precision": run_options.precision,
        "version": VERSION,
    }


def describe_cost(game: Game, num_cells: int, missing: int) -> list[str]:
    """Return sentences on the cost of the runs, and on what this number of runs can decide."""
    n = len(game.audited)
    pairs = num_cells * n // 2
    retained = f" and {len(game.retained)} of retain" if len(game.retained) else ""
    return [
        f"shadow: {missing} of {pluralize(num_cells, 'run')} left, each two trainings and one {game.method.name}, "
        f"on {n} records{retained}",
        *advice(pairs, pairs),
        f"a true-positive rate at FPR 0.1 % needs 1000 pairs of run and record, better 10000; here {pairs}",
    ]


def check_with_torch(opened: RunInputs) -> None:
    """Check the network and the device, which needs torch."""
    from unlearn_cli.commands.network_check import check_network
    from unlearn_cli.evaluation import session
    from unlearn_cli.evaluation.fit_checks import check_logits

    check_network(opened)
    with session.start(opened) as current:
        check_logits(current, current.fresh("fresh"))


def carry_out(game: Game, folder: Path, plan: dict[str, Any], missing: list[int]) -> None:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / shadows.PLAN).is_file():
        with atomic_files.output_file(folder / shadows.PLAN) as path:
            path.write_text(json.dumps(plan, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for number in missing:
        lock = FileLock(folder / f".cell-{number:05d}.lock", blocking=False)
        try:
            with lock:
                if not shadows.cell_path(folder, number).is_file():
                    write_cell(game, folder, number)
        except Timeout:
            console.say(f"run {number}: another process is working on it")
        else:
            (folder / f".cell-{number:05d}.lock").unlink(missing_ok=True)


def write_cell(game: Game, folder: Path, number: int) -> None:
    """Carry out one run and write the outputs of its networks; the file is complete or absent."""
    from unlearn_cli.commands.shadow_run import play
    from unlearn_cli.runtime.tensor_file import LazyTensors, write_tensors

    console.say(f"run {number}")
    with atomic_files.output_file(shadows.cell_path(folder, number)) as path:
        write_tensors(path, LazyTensors(play(game, number)), {"format": "pt", "unlearn_cli.version": VERSION})
