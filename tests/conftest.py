"""What all tests share."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import one_thread  # noqa: F401
from tests.references import attack_original, list_references, train_references
from tests.shared import make_once
from tests.short_attacks import shorten_attacks
from tests.tiny import train_tiny
from unlearn_cli.learning import level
from unlearn_cli.reporting import html

os.environ.setdefault("_TYPER_FORCE_DISABLE_TERMINAL", "1")
torch.set_num_threads(1)  # tiny tensors; several threads would only wait for each other
RENDER = html.render
LEVEL_STEPS, FEW_LEVEL_STEPS = level.FEWEST_STEPS, 200
MEMORY_DISK, ROOM = Path("/dev/shm"), 4 * 2**30  # where Linux keeps files in memory; bytes that must be free there


def pytest_configure() -> None:
    """Keep temporary folders in memory, where fsync takes no time: a small batch spends half of its time on it."""
    if not MEMORY_DISK.is_dir() or not os.access(MEMORY_DISK, os.W_OK):
        return
    executable = not os.statvfs(MEMORY_DISK).f_flag & os.ST_NOEXEC  # some tests run scripts that they write
    if executable and shutil.disk_usage(MEMORY_DISK).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY_DISK))


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the tiny network, trained once per test run."""
    return make_once(tmp_path_factory, "tiny", train_tiny) / "original" / "model.safetensors"


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five retrained networks: four to compare with, one to judge."""
    return list_references(make_once(tmp_path_factory, "references", train_references))


@pytest.fixture(scope="session")
def judged(original: Path, references: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The standard tier's attack on the original: `manifest.yaml`, and `out` with the report and its page."""

    def fill(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(html, "render", RENDER)
            shorten_attacks(patch.setattr)
            attack_original(folder, original, references)

    return make_once(tmp_path_factory, "judged", fill)


@pytest.fixture
def short_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the attacks of the standard tier."""
    shorten_attacks(monkeypatch.setattr)


@pytest.fixture(scope="session", autouse=True)
def no_pages() -> Iterator[None]:
    """Leave the drawings of report pages out: they take most of the time of a tiny run. `pages` brings them back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "render", lambda *arguments: "<html></html>")
        yield


@pytest.fixture(scope="session", autouse=True)
def short_level_step() -> Iterator[None]:
    """Shorten the level step, which takes most of the time of unlearning from a tiny network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level, "FEWEST_STEPS", FEW_LEVEL_STEPS)
        yield


@pytest.fixture(scope="module")
def usual_level_step(short_level_step: None) -> Iterator[None]:
    """Take as many steps as for users, until the end of the module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level, "FEWEST_STEPS", LEVEL_STEPS)
        yield


@pytest.fixture(scope="module")
def pages(no_pages: None) -> Iterator[None]:
    """Draw report pages as users get them, until the end of the module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "render", RENDER)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gc.freeze()  # no garbage collection walks through torch and all modules of tests again: most of a tiny run's time
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
