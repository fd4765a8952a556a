"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch

from tests.tiny import trained

os.environ.setdefault("_TYPER_FORCE_DISABLE_TERMINAL", "1")
torch.set_num_threads(1)  # tiny tensors; several threads would only wait for each other
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start: results are compared bit for bit


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the tiny network, trained once."""
    return trained(tmp_path_factory.mktemp("tiny"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
