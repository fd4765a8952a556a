"""What a network says of all splits lies in memory once, whether it is read as parts or as a whole."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_manifest
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.evaluation import session
from unlearn_cli.evaluation.evidence import Evidence
from unlearn_cli.evaluation.inputs import open_inputs
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
        evidence = Evidence(current, {"subject": checkpoint.load(original)}, holdout=holdout)
        found: Outputs = evidence.outputs("subject")["holdout"]
        model = current.load(checkpoint.load(original))
        expected = current.outputs(model, "test", holdout)
        assert np.array_equal(found.labels, current.opened.dataset.split("test").labels[holdout])
    assert np.allclose(found.values, expected.values, atol=1e-5)
