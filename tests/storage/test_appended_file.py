"""Appending to a summary: created or extended as a whole, regular files only, the old content after an error."""

import errno
import os
import stat
from pathlib import Path

import pytest

from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage.appended_file import append_text, check_appendable


def test_a_missing_file_is_created_and_an_existing_one_is_extended(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    check_appendable(path, "--summary")
    assert not path.exists()
    append_text(path, "one\n")
    path.chmod(0o640)
    check_appendable(path, "--summary")
    append_text(path, "zwei é\n")
    assert path.read_text(encoding="utf-8") == "one\nzwei é\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old\n")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    append_text(tmp_path / "link", "new\n")
    assert (tmp_path / "file").read_text() == "old\nnew\n" and (tmp_path / "link").is_symlink()


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    for path in ("pipe", "broken", "", "file/below"):
        with pytest.raises(UserError):
            check_appendable(tmp_path / path, "--summary")
    with pytest.raises(UserError, match="choose another --summary"):
        check_appendable(tmp_path / "broken", "--summary")
    with pytest.raises(UserError, match="is a device"):
        check_appendable(Path("/dev/null"), "--summary")
    with pytest.raises(UserError, match="not a regular file any more"):
        append_text(Path("/dev/null"), "text")


def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    path.write_text("old\n")
    write = os.write
    sizes = iter([3])

    def fill_disk(descriptor: int, data: bytes) -> int:
        size = next(sizes, None)
        if size is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:size])

    monkeypatch.setattr("os.write", fill_disk)
    with pytest.raises(ResourceError, match="disk is full"):
        append_text(path, "a long text")
    assert path.read_text() == "old\n"
