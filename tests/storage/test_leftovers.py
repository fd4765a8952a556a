"""What killed runs leave is told from what a run is using, on this host and on others, and only that is removed."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import invoke
from unlearn_cli.batch.lock import hold_lock
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.errors import Busy, UserError
from unlearn_cli.storage import atomic_files, leftovers, owners
from unlearn_cli.storage.claims import claim_outputs, lock_path

OTHER_HOST = replace(owners.describe_current_owner(), host=owners.host_digest() ^ 1)
EARLIER_BOOT = replace(owners.describe_current_owner(), boot=owners.boot_digest() ^ 1)
EARLIER_PROCESS = replace(owners.describe_current_owner(), start=1)  # of this number, which was given out again


def half_written(folder: Path, owner: owners.Owner, name: str = "out") -> Path:
    path = folder / f".{name}.new-{owners.format_suffix(owner, 7)}"
    path.mkdir()
    (path / "half").write_text("x")
    return path


def keep_state(out: Path, key: str = "0123456789abcdef") -> Path:
    folder = out.parent / f"{out.name}.partial" / key
    folder.mkdir(parents=True)
    (folder / "train.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(autouse=True)
def no_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("UNLEARN_CLI_CACHE", str(folder))
    monkeypatch.setattr(leftovers.tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))
    return folder


def test_what_a_run_on_another_host_writes_is_left_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = half_written(tmp_path, OTHER_HOST)
    atomic_files.tidy_up(tmp_path / "out")
    assert theirs.exists()
    assert "left by a run on another host" in capsys.readouterr().err


def test_what_this_process_writes_is_left(tmp_path: Path) -> None:
    mine = half_written(tmp_path, owners.describe_current_owner())
    atomic_files.tidy_up(tmp_path / "out")
    assert mine.exists()


@pytest.mark.parametrize("owner", [EARLIER_BOOT, EARLIER_PROCESS])
def test_what_an_ended_process_of_this_host_left_is_removed(tmp_path: Path, owner: owners.Owner) -> None:
    left = half_written(tmp_path, owner)
    atomic_files.tidy_up(tmp_path / "out")
    assert not left.exists()


def test_a_planted_link_is_neither_followed_nor_brought_back(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / f".out.old-{owners.format_suffix(EARLIER_BOOT, 7)}").symlink_to("theirs")
    atomic_files.tidy_up(tmp_path / "out")
    assert not os.path.lexists(tmp_path / "out")
    (tmp_path / f".a.txt.new-{os.getpid()}").symlink_to(tmp_path / "victim")
    with atomic_files.output_file(tmp_path / "a.txt") as new:
        new.write_text("new")
    assert not (tmp_path / "victim").exists()
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_second_run_with_the_same_output_is_refused_and_no_lock_stays(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom unlearn_cli.storage.claims import claim_outputs\n"
        "with claim_outputs(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(Busy, match=f"process {other.pid} is writing it"), claim_outputs(out):
            pytest.fail("must not begin")
        assert lock_path(out).exists()
        other.kill()
    with claim_outputs(out):  # the lock of a killed process is free
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["somebody's own", "12345\n", None])
def test_a_file_with_the_name_of_a_lock_that_is_none_is_left_as_it_is(tmp_path: Path, content: str | None) -> None:
    lock = lock_path(tmp_path / "out")
    if content is None:
        os.mkfifo(lock)
    else:
        lock.write_text(content)
    with claim_outputs(tmp_path / "out"):
        pass
    assert lock.exists()
    assert content is None or lock.read_text() == content


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_is_a_link_to_nothing_is_refused_before_any_work(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match="is a broken link"):
        atomic_files.check_output(tmp_path / "out", overwrite)


def test_a_link_that_is_overwritten_leaves_nothing_and_what_it_led_to_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "report.json").write_text(json.dumps(dict.fromkeys(atomic_files.REPORT_KEYS)))
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with atomic_files.output_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "report.json").write_text("{}")
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "out"}
    assert not (tmp_path / "out").is_symlink()
    assert (tmp_path / "elsewhere" / "report.json").stat().st_size > 2


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="another run has written it in the meantime"),
        atomic_files.output_folder(tmp_path / "a"),
    ):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "b").write_text("theirs")
    assert (tmp_path / "a" / "b").read_text() == "theirs"
    with (
        pytest.raises(UserError, match="another run has written it in the meantime"),
        atomic_files.output_file(tmp_path / "c", replace=False) as new,
    ):
        new.write_text("mine")
        (tmp_path / "c").write_text("theirs")
    assert (tmp_path / "c").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


def test_the_state_of_other_runs_is_named_in_the_end_and_overwrite_removes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = keep_state(tmp_path / "out")
    with claim_output(False, tmp_path / "out"):
        pass
    assert f"{state}: state of another run with this --out" in capsys.readouterr().err
    with claim_output(True, tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_clean_lists_what_was_left_and_removes_only_what_no_run_uses(tmp_path: Path, no_cache: Path) -> None:
    state, used = keep_state(tmp_path / "deep" / "out"), keep_state(tmp_path / "used")
    theirs, dead = half_written(tmp_path, OTHER_HOST, "a"), half_written(tmp_path, EARLIER_BOOT, "b")
    moved = half_written(tmp_path, EARLIER_BOOT, "c")
    moved = moved.rename(moved.with_name(moved.name.replace(".new-", ".old-")))
    copies = no_cache / ("0" * 32)
    copies.mkdir()
    others = tmp_path / "mine.partial"  # somebody's own, of a like name
    others.mkdir()
    (others / "notes.txt").write_text("x")
    (tmp_path / "link.partial").symlink_to(state.parent)
    long_ago = time.time() - 5 * leftovers.DAY
    os.utime(state / "train.safetensors", (long_ago, long_ago))
    os.utime(state, (long_ago, long_ago))
    with claim_outputs(tmp_path / "used"):
        listed = json.loads(invoke("clean", tmp_path, "--json").stdout)
        assert listed["removed"] == []
        found = {one["path"]: one for one in listed["found"]}
        assert {path for path, one in found.items() if one["kept_because"] is None} == {
            "deep/out.partial", dead.name, str(copies),
        }  # fmt: skip
        assert {path for path, one in found.items() if one["kept_because"]} == {
            "used.partial", theirs.name, moved.name, ".used.lock",
        }  # fmt: skip
        assert found["deep/out.partial"]["bytes"] == 7
        result = invoke("clean", tmp_path, "--remove", "--json")
    assert (result.exit_code, len(json.loads(result.stdout)["removed"])) == (0, 3)
    assert not state.exists()
    assert not dead.exists()
    assert not copies.exists()
    assert all(path.exists() for path in (used, theirs, moved, others / "notes.txt"))


def test_clean_of_no_folder_is_refused(tmp_path: Path) -> None:
    assert invoke("clean", tmp_path / "nowhere").exit_code == 2


def test_a_holder_of_the_lock_of_a_batch_that_was_half_written_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f".ledger.lock.pid.new-{owners.format_suffix(EARLIER_BOOT, 7)}"
    left.write_text("", encoding="ascii")
    with hold_lock(tmp_path / "ledger.lock"):
        assert not left.exists()
        assert (tmp_path / "ledger.lock.pid").is_file()
