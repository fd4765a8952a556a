"""A reader sees the old files or the new ones, never half of either, whatever happens in between."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unlearn_cli.commands.demo import SCRIPT
from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.storage import atomic_files, regular_files


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


OLD, NEW = (f'{{"schema_version": "1.0", "tool_version": "{which}"}}' for which in ("old", "new"))  # reports


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(text)
    return folder


def test_a_folder_appears_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with atomic_files.output_folder(out) as new:
        (new / "below").mkdir()
        (new / "below" / "a.txt").write_text("a")
        assert not out.exists()
    assert content(out) == {"below/a.txt": "a"}
    assert list(out.parent.iterdir()) == [out]


def test_an_error_inside_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_files.output_folder(tmp_path / "out") as new:
        (new / "report.json").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_leaves_the_old_folder_as_it_was(tmp_path: Path) -> None:
    out = write(tmp_path / "out", OLD)
    with pytest.raises(KeyboardInterrupt), atomic_files.output_folder(out, overwrite=True) as new:
        (new / "report.json").write_text("half")
        raise KeyboardInterrupt
    assert content(tmp_path) == {"out/report.json": OLD}


def test_a_folder_that_exists_is_refused_and_untouched(tmp_path: Path) -> None:
    out = write(tmp_path / "out", "old")
    with pytest.raises(UserError, match="exists already; choose another --out"), atomic_files.output_folder(out):
        pytest.fail("must not begin")
    assert content(tmp_path) == {"out/report.json": "old"}


def test_overwriting_replaces_the_whole_folder(tmp_path: Path) -> None:
    out = write(tmp_path / "out", OLD)
    with atomic_files.output_folder(out, overwrite=True) as new:
        (new / "report.json").write_text("new")
        (new / "b.txt").write_text("too")
        assert content(out) == {"report.json": OLD}
    assert content(tmp_path) == {"out/report.json": "new", "out/b.txt": "too"}


def test_a_folder_may_be_written_again_and_again(tmp_path: Path) -> None:
    for text in (OLD, NEW, OLD):
        with atomic_files.output_folder(tmp_path / "out", overwrite=True) as new:
            (new / "report.json").write_text(text)
    assert content(tmp_path) == {"out/report.json": OLD}


def test_after_a_crash_between_the_two_renames_the_old_folder_comes_back(tmp_path: Path, dead: int) -> None:
    write(tmp_path / f".out.old-{dead}", "old")
    write(tmp_path / f".out.new-{dead}", "new")
    atomic_files.tidy_up(tmp_path / "out")
    assert content(tmp_path) == {"out/report.json": "old"}


def test_after_a_crash_behind_the_renames_the_new_folder_stays(tmp_path: Path, dead: int) -> None:
    write(tmp_path / "out", "new")
    write(tmp_path / f".out.old-{dead}", "old")
    atomic_files.tidy_up(tmp_path / "out")
    assert content(tmp_path) == {"out/report.json": "new"}


def test_after_a_crash_before_the_renames_only_the_old_folder_stays(tmp_path: Path, dead: int) -> None:
    write(tmp_path / "out", "old")
    write(tmp_path / f".out.new-{dead}", "half")
    atomic_files.tidy_up(tmp_path / "out")
    assert content(tmp_path) == {"out/report.json": "old"}


def test_the_next_run_finds_the_folder_that_a_crash_moved_aside(tmp_path: Path, dead: int) -> None:
    write(tmp_path / f".out.old-{dead}", "old")
    with pytest.raises(UserError, match="exists already"), atomic_files.output_folder(tmp_path / "out"):
        pytest.fail("must not begin")
    assert content(tmp_path) == {"out/report.json": "old"}


def test_the_next_run_overwrites_what_a_crash_left(tmp_path: Path, dead: int) -> None:
    write(tmp_path / f".out.old-{dead}", OLD)
    write(tmp_path / f".out.new-{dead}", "half")
    with atomic_files.output_folder(tmp_path / "out", overwrite=True) as new:
        (new / "report.json").write_text("newer")
    assert content(tmp_path) == {"out/report.json": "newer"}


def test_what_a_living_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / f".out.new-{os.getppid()}", "half")
    atomic_files.tidy_up(tmp_path / "out")
    assert content(tmp_path) == {f".out.new-{os.getppid()}/report.json": "half"}


@pytest.mark.parametrize("name", [".out.new-", ".out.new-copy", ".out.old-2026-11-20", ".outer.new-1"])
def test_what_somebody_else_named_alike_is_left_alone(tmp_path: Path, name: str) -> None:
    write(tmp_path / "out", "mine")
    write(tmp_path / name, "theirs")
    atomic_files.tidy_up(tmp_path / "out")
    assert (tmp_path / name).exists()


def test_a_name_with_wildcards_is_no_pattern(tmp_path: Path, dead: int) -> None:
    other = write(tmp_path / f".ab.new-{dead}", "theirs")
    atomic_files.tidy_up(tmp_path / "a*")
    atomic_files.tidy_up(tmp_path / "[a]b")
    assert other.exists()


def test_killing_the_process_at_any_rename_loses_neither_folder(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from unlearn_cli.storage import atomic_files\n"
        "left = int(sys.argv[2])\n"
        "rename = Path.rename\n"
        "def dying(self, target):\n"
        "    global left\n"
        "    if left == 0: os._exit(1)\n"
        "    left -= 1\n"
        "    return rename(self, target)\n"
        "Path.rename = dying\n"
        "with atomic_files.output_folder(Path(sys.argv[1]), overwrite=True) as new:\n"
        f"    (new / 'report.json').write_text({NEW!r})\n"
    )
    for renames, expected in ((0, OLD), (1, OLD), (2, NEW)):
        out = write(tmp_path / str(renames) / "out", OLD)
        subprocess.run([sys.executable, "-c", program, str(out), str(renames)], check=False)
        atomic_files.tidy_up(out)
        assert content(out.parent) == {"out/report.json": expected}


def test_a_file_appears_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "a.txt"
    with atomic_files.output_file(out) as new:
        new.write_text("new")
        assert not out.exists()
    assert content(tmp_path) == {"deep/a.txt": "new"}


def test_an_error_while_writing_a_file_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_files.output_file(out) as new:
        new.write_text("half")
        raise ZeroDivisionError
    assert content(tmp_path) == {"a.txt": "old"}


def test_a_file_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    with atomic_files.output_file(out) as new:
        new.write_text("new")
    assert content(tmp_path) == {"a.txt": "new"}


def test_a_file_that_a_killed_run_left_is_removed(tmp_path: Path, dead: int) -> None:
    (tmp_path / f".a.txt.new-{dead}").write_text("half")
    atomic_files.check_output(tmp_path / "a.txt", overwrite=False, kind="file")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("x")
    with pytest.raises(UserError, match="was not written by unlearn-cli"):
        atomic_files.check_output(tmp_path / "photos", overwrite=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.json", '{"total": 3}'), ("report.json", '{"schema_version": "1.0"}'), ("report.json", "[1, 2]"),
        ("report.json", "half a {"), ("report.json", "[" * 100_000), ("report.json", b"\xff\xfe"),
        ("commands.sh", "#!/bin/sh\nrm -r build\n"), ("commands.sh", "#!/bin/sh\nunlearn-cli demo --out demo\n"),
    ],
)  # fmt: skip
def test_a_folder_of_somebody_else_with_files_named_like_ours_is_not_replaced(
    name: str, text: str | bytes, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match="was not written by unlearn-cli"):
        atomic_files.check_output(tmp_path / "out", overwrite=True)


def test_a_folder_of_the_demo_and_an_empty_one_are_replaced(tmp_path: Path) -> None:
    atomic_files.check_output(tmp_path, overwrite=True)
    (tmp_path / "commands.sh").write_text(SCRIPT.format(commands="unlearn-cli schema"))
    atomic_files.check_output(tmp_path, overwrite=True)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="the disk is full"), atomic_files.output_folder(tmp_path / "out") as new:
        (new / "report.json").write_text("half")
        raise OSError(28, os.strerror(28), str(new / "a.txt"))
    assert list(tmp_path.iterdir()) == []


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file, not a folder"):
        atomic_files.check_output(tmp_path / "file" / "out", overwrite=True)


def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert regular_files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_signal_while_the_output_is_put_in_place_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = atomic_files.fsync
    before = signal.getsignal(signal.SIGTERM)

    def interrupted(path: Path) -> None:
        signal.raise_signal(signal.SIGTERM)
        real(path)

    monkeypatch.setattr(atomic_files, "fsync", interrupted)
    with atomic_files.output_folder(tmp_path / "out") as folder:
        (folder / "report.json").write_text("{}")
    assert (tmp_path / "out" / "report.json").is_file()
    assert signal.getsignal(signal.SIGTERM) is before


def test_folders_above_an_output_remain_only_if_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError), atomic_files.create_parents(tmp_path / "a" / "b" / "out.yaml"):
        raise UserError("wrong")
    assert not list(tmp_path.iterdir())
    with atomic_files.create_parents(tmp_path / "a" / "b" / "out.yaml"):
        (tmp_path / "a" / "b" / "out.yaml").write_text("x")
    assert (tmp_path / "a" / "b" / "out.yaml").is_file()


def test_a_scratch_folder_is_removed_and_its_files_may_be_moved_out(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("old")
    with atomic_files.scratch_folder(tmp_path / "out.yaml") as folder:
        (folder / "new").write_text("new")
        with pytest.raises(UserError, match="another run has written it"):
            atomic_files.move_file(folder / "new", tmp_path / "taken", replace=False)
        atomic_files.move_file(folder / "new", tmp_path / "new", replace=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "taken"]
    assert (tmp_path / "taken").read_text() == "old"
