import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from unlearn_cli.batch.versions import copy_initial, move_to_version, read_pointer, set_pointer
from unlearn_cli.errors import IntegrityError
from unlearn_cli.storage.regular_files import sha256


def version(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "report.json"):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def test_the_pointer_is_relative_and_can_be_opened_at_any_time(tmp_path: Path) -> None:
    for name in ("v0000", "v0001"):
        version(tmp_path / name)
    assert read_pointer(tmp_path) is None
    for name in ("v0000", "v0001", "v0001"):
        set_pointer(tmp_path, name)
        assert (read_pointer(tmp_path), os.readlink(tmp_path / "current")) == (name, name)
        assert (tmp_path / "current" / "report.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "v0000", "v0001"]


def test_a_link_that_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    version(tmp_path / "v0000")
    (tmp_path / ".current.new").symlink_to("v0007")
    set_pointer(tmp_path, "v0000")
    assert read_pointer(tmp_path) == "v0000"
    assert not (tmp_path / ".current.new").is_symlink()


def test_a_version_is_moved_to_its_place_once(tmp_path: Path) -> None:
    made, models = version(tmp_path / "runs" / "attempt-1"), tmp_path / "models"
    models.mkdir()
    move_to_version(made, models / "v0001")
    assert not made.exists()
    move_to_version(made, models / "v0001")
    assert sorted(path.name for path in (models / "v0001").iterdir()) == ["model.safetensors", "report.json"]
    with pytest.raises(IntegrityError, match="is gone"):
        move_to_version(made, models / "v0002")


def other_file_system(folder: Path) -> Path | None:
    """Return a folder for temporary files on another file system than the given one, if this machine has one."""
    device = folder.stat().st_dev
    candidates = (Path(name) for name in ("/dev/shm", "/tmp", "/var/tmp"))
    usable = (path for path in candidates if path.is_dir() and os.access(path, os.W_OK))
    return next((path for path in usable if path.stat().st_dev != device), None)


def test_a_version_reaches_another_file_system_as_well(tmp_path: Path) -> None:
    other = other_file_system(tmp_path)
    if other is None:
        pytest.skip("needs a second file system")
    made = version(tmp_path / "runs" / "attempt-1")
    with TemporaryDirectory(dir=other) as name:
        move_to_version(made, Path(name) / "v0001")
        assert [path.name for path in Path(name).iterdir()] == ["v0001"]
        assert (Path(name) / "v0001" / "report.json").exists()


def test_the_first_checkpoint_is_copied_under_the_usual_name(original: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(original, tmp_path / "trained.safetensors"))
    copy_initial(source, tmp_path)
    assert [path.name for path in (tmp_path / "v0000").iterdir()] == ["model.safetensors"]
    assert sha256(tmp_path / "v0000" / "model.safetensors") == sha256(original)


def test_files_with_which_other_libraries_load_the_first_checkpoint_are_copied(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    shutil.copy(original, folder / "model.safetensors")
    for name in ("config.json", "preprocessor_config.json", "notes.txt", "report.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    copy_initial(folder / "model.safetensors", tmp_path)
    copied = {path.name for path in (tmp_path / "v0000").iterdir()}
    assert copied == {"model.safetensors", "config.json", "preprocessor_config.json"}
