"""What a network says of all splits lies in memory once, whether it is read as parts or as a whole."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import write_manifest
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.data.stores import MemoryStore, StreamedStore
from unlearn_cli.evaluation import session
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.stats.outputs import Outputs, join


@pytest.mark.parametrize("whole, parts", session.PARTS.items())
def test_the_outputs_of_parts_are_those_of_the_whole(
    whole: str, parts: tuple[str, str], original: Path, tmp_path: Path
) -> None:
    with session.start(open_inputs(write_manifest(tmp_path), RunOptions(device="cpu"))) as current:
        model = current.load(checkpoint.load(original))
        found = current.all_outputs(model)
        assert list(found) == ["forget", "retain", "train", "test_forget", "test_retain", "test"]
        expected = join([current.outputs(model, part) for part in parts])
    assert np.array_equal(found[whole].values, expected.values)
    assert np.array_equal(found[whole].labels, expected.labels)
    assert all(np.shares_memory(found[part].values, found[whole].values) for part in parts)


def test_the_holdout_is_found_among_the_outputs_of_test(original: Path, tmp_path: Path) -> None:
    holdout = np.array([0, 5, 17, 100])
    with session.start(open_inputs(write_manifest(tmp_path), RunOptions(device="cpu"))) as current:
        checkpoints = CheckpointOutputs(current, {"subject": checkpoint.load(original)}, holdout=holdout)
        found: Outputs = checkpoints.outputs("subject")["holdout"]
        model = current.load(checkpoint.load(original))
        expected = current.outputs(model, "test", holdout)
        assert np.array_equal(found.labels, current.opened.dataset.split("test").labels[holdout])
    assert np.allclose(found.values, expected.values, atol=1e-5)


def test_the_memory_budget_covers_all_sources_together(tmp_path: Path) -> None:
    opened = open_inputs(write_manifest(tmp_path), RunOptions(device="cpu"))
    with session.start(opened) as roomy:
        held = {name: list(roomy.batches(name).sequential(64)) for name in ("train", "test")}
        stores = {name: roomy.batches(name).store for name in held}
        sizes = {name: store.num_bytes for name, store in stores.items()}
    assert all(isinstance(store, MemoryStore) for store in stores.values())
    for budget, streamed in ((sum(sizes.values()), []), (sum(sizes.values()) - 1, ["test"]), (1, ["train", "test"])):
        with session.start(opened) as current:
            current.run.memory_budget = budget
            stores = {name: current.batches(name).store for name in held}
            assert [name for name, store in stores.items() if isinstance(store, StreamedStore)] == streamed
            assert sum(store.num_bytes for store in stores.values()) <= budget
            for name, expected in held.items():
                for batch, other in zip(current.batches(name).sequential(64), expected, strict=True):
                    assert torch.equal(batch[0], other[0]) and torch.equal(batch[1], other[1])
