"""What a checkpoint of the cache predicts of the records to forget; for distances that no report has yet."""

from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.cache import CACHE
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.evaluation import session
from unlearn_cli.plugins.run_options import RunOptions


@cache
def of_forget(folder: Path) -> np.ndarray:
    """Return the predictions (n,) of a regression for the split `forget`, in the label's unit."""
    kept = CACHE / f"{folder.name}.forget.npy"
    if not kept.is_file():
        weights = folder / "model.safetensors"
        with session.start(
            open_inputs(CACHE / f"{folder.name}.yaml", RunOptions(device="cpu"), (weights,), None)
        ) as current:
            model = current.load(checkpoint.load(weights))
            np.save(kept, current.outputs(model, "forget").values)
    return np.load(kept, allow_pickle=False)
