"""Fixtures of all tests. They import torch, so `conftest.py` loads them only in processes that run tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.references import attack_original, list_references, train_references
from tests.shared import make_once
from tests.short_attacks import shorten_attacks
from tests.tiny import train_tiny
from unlearn_cli.learning import level
from unlearn_cli.reporting import html

torch.set_num_threads(1)  # tiny tensors; several threads would only wait for each other
RENDER = html.render
FEW_LEVEL_STEPS = 200


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
def pages(no_pages: None) -> Iterator[None]:
    """Draw report pages as users get them, until the end of the module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "render", RENDER)
        yield
