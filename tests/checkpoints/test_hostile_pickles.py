"""No file can make `convert` run code, hang or fill the memory: an audit hook watches, and each file is one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints.hostile_pickles import MARK, write_all
from tests.tiny import invoke
from unlearn_cli.checkpoints.foreign_files import read_contents
from unlearn_cli.errors import UserError

FORBIDDEN = (
    "os.",
    "subprocess.",
    "shutil.",
    "socket.",
    "pty.",
    "ctypes.",
    "compile",
    "exec",
    "import",
    "marshal.",
    "code.",
)
events: list[tuple[str, Any]] = []
watching = False


def watch(event: str, arguments: Any) -> None:
    """Note each event that a reader of tensors has no reason for; a hook cannot be removed, only switched off."""
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if watching and (writes or (event.startswith(FORBIDDEN) and event not in ("os.listdir", "os.scandir"))):
        events.append((event, arguments))


@contextmanager
def watched() -> Iterator[None]:
    global watching
    events.clear()
    watching = True
    try:
        yield
    finally:
        watching = False


def test_the_files_are_many(tmp_path: Path) -> None:
    assert len(write_all(tmp_path)) >= 50


def test_no_hostile_file_runs_code_and_each_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = write_all(tmp_path)
    sys.addaudithook(watch)
    for path in paths:
        result = invoke("convert", path.name, "x.safetensors")
        lines = result.stderr.splitlines()
        assert (path.name, result.exit_code, len(lines)) == (path.name, 2, 1), lines or result.stdout
        assert path.name in lines[0] and len(lines[0]) < 500
        assert not Path("x.safetensors").exists()
        with watched(), suppress(UserError):  # modules are imported by now
            read_contents(path)
        assert events == [], path.name
    assert not Path(MARK).exists()
