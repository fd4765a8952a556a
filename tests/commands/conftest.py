"""The valid project that tests of bad input damage."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.bad_input_cases import Case, check
from tests.commands.damaged_project import write_project
from tests.commands.torch_free import TorchFreeProcess


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_project(folder)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the valid project, entered; code of one's own is found in it."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture(scope="session")
def torch_free() -> Iterator[TorchFreeProcess]:
    """A process without torch."""
    process = TorchFreeProcess()
    yield process
    process.stop()


@pytest.fixture
def check_case(project: Path, torch_free: TorchFreeProcess, request: pytest.FixtureRequest) -> Callable[[Case], object]:
    """Check a case of this module: without torch, unless it needs torch to be noticed."""

    def check_in_process(case: Case) -> None:
        if case.torch:
            check(case, project.parent)
        else:
            torch_free.check_case(request.path.stem, request.module.CASES.index(case), project)

    return check_in_process
