"""What all tests share. Nothing here imports torch: the process that hands out the tests does not need it."""

import gc
import importlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests import one_thread  # noqa: F401

os.environ.setdefault("_TYPER_FORCE_DISABLE_TERMINAL", "1")
MEMORY_DISK, ROOM = Path("/dev/shm"), 4 * 2**30  # where Linux keeps files in memory; bytes that must be free there


def pytest_configure(config: pytest.Config) -> None:
    keep_files_in_memory()
    if not hands_out_tests(config):
        config.pluginmanager.register(importlib.import_module("tests.fixtures"))


def keep_files_in_memory() -> None:
    """Keep temporary folders in memory, where fsync takes no time: a small batch spends half of its time on it."""
    if not MEMORY_DISK.is_dir() or not os.access(MEMORY_DISK, os.W_OK):
        return
    executable = not os.statvfs(MEMORY_DISK).f_flag & os.ST_NOEXEC  # some tests run scripts that they write
    if executable and shutil.disk_usage(MEMORY_DISK).free > ROOM:
        for name in ("PYTEST_DEBUG_TEMPROOT", "TMPDIR"):
            os.environ.setdefault(name, str(MEMORY_DISK))
        tempfile.tempdir = None  # it is read from TMPDIR again


def hands_out_tests(config: pytest.Config) -> bool:
    """Say whether this process only hands out the tests to others, which start when it has loaded its plug-ins."""
    return config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    import torch

    gc.freeze()  # no garbage collection walks through torch and all modules of tests again: most of a tiny run's time
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
