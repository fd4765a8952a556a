"""Batches over real digits; their first checkpoint is trained once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.tiny import train
from unlearn_cli.reporting import html as page


@pytest.fixture(scope="session")
def trained_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, manifest, deletion.yaml and a first checkpoint; to be copied, not to be used."""
    return train(tmp_path_factory.mktemp("batch") / "project")


@pytest.fixture
def project(trained_project: Path, tmp_path: Path) -> Path:
    """A folder in which a batch can be run."""
    return Path(shutil.copytree(trained_project, tmp_path / "project"))


@pytest.fixture(scope="module")
def no_pages() -> Iterator[None]:
    """Leave the reports' pictures out: most of the time would go into them, and they are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "render", lambda *arguments: "<html></html>")
        yield
