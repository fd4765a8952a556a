"""Batches over real digits; their first checkpoint is trained once."""

import shutil
from pathlib import Path

import pytest

from tests.batch.tiny import train
from tests.shared import make_once


@pytest.fixture(scope="session")
def trained_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, manifest, deletion.yaml and a first checkpoint; to be copied, not to be used."""
    return make_once(tmp_path_factory, "batch-project", train)


@pytest.fixture
def project(trained_project: Path, tmp_path: Path) -> Path:
    """A folder in which a batch can be run."""
    return Path(shutil.copytree(trained_project, tmp_path / "project"))
