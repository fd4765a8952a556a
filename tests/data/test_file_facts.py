"""Stored facts about image files: no unchanged file is read again, and nothing that decides trusts them."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import invoke
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.data.halves import take_half
from unlearn_cli.data.images import facts_file, file_facts, image_files
from unlearn_cli.data.images.facts_file import StoredFacts, read_facts, write_facts
from unlearn_cli.data.images.file_facts import to_pairs
from unlearn_cli.data.notices import Notice
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import Copies, RunInputs, content_digest, find_copies
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.storage import leftovers
from unlearn_cli.storage.leftovers import FACTS

Described = tuple[Copies, list[str], tuple[Notice, ...]]
LONG_AGO = 1_600_000_000
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp}
input: {shape: [1, 4, 4]}
data: {train: SOURCE, test: {imagefolder: test}}
forget: {classes: [a]}
"""
SOURCES = {
    "folder": "{imagefolder: train}",
    "table": "{table: {path: train.csv, label: y, image: file}}",
    "absolute": "{table: {path: absolute.csv, label: y, image: file}}",
}
IMAGES, COMPARED = 20, 2  # the first image of each source is opened again, to compare their depths


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the image files that are opened."""
    names: list[str] = []
    original = image_files.open_image_file

    def note(path: Path) -> object:
        names.append(f"{path.parent.name}/{path.name}")
        return original(path)

    monkeypatch.setattr(image_files, "open_image_file", note)
    yield names


def write_image(path: Path, number: int, seconds: int = LONG_AGO) -> None:
    """Write an image whose file has the same size for every number, as if it was written long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (4, 4), dtype=np.uint8)).save(path, "BMP")
    os.utime(path, (seconds, seconds))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images to train on, of which a/2.png and b/0.png are equal, and eight to test."""
    files = [f"train/{label}/{number}.png" for label in "ab" for number in range(6)]
    for seed, name in enumerate(files):
        write_image(tmp_path / name, 2 if name == "train/b/0.png" else seed)
    for seed in range(8):
        write_image(tmp_path / f"test/{'ab'[seed % 2]}/{seed}.png", 50 + seed)
    rows = "".join(f"{name},{name[6]}\n" for name in files)
    (tmp_path / "train.csv").write_text(f"file,y\n{rows}")
    (tmp_path / "absolute.csv").write_text("file,y\n" + rows.replace("train/", f"{tmp_path.resolve()}/train/"))
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.yaml").write_text(MANIFEST.replace("SOURCE", source))
    return tmp_path


def open_and_count(folder: Path, source: str = "folder", **options: Any) -> tuple[RunInputs, Described]:
    """Do what commands do before they load torch; store the facts; return what reports say."""
    opened = open_inputs(folder / f"{source}.yaml", RunOptions(device="cpu", **options), out=folder / "out")
    splits = opened.dataset.splits
    facts = find_copies(opened), [content_digest(split) for split in splits.values()], opened.dataset.notices
    if opened.facts:
        opened.facts.save()
    return opened, facts


@pytest.mark.parametrize("source", SOURCES)
def test_a_second_run_opens_no_image_and_reports_the_same(folder: Path, opened_files: list[str], source: str) -> None:
    _, first = open_and_count(folder, source)
    assert len(opened_files) == IMAGES + COMPARED
    assert first[0].in_retain == 1
    opened_files.clear()
    _, second = open_and_count(folder, source)
    assert len(opened_files) == COMPARED
    assert second == first
    opened_files.clear()
    _, third = open_and_count(folder, source, cache=False)
    assert third == first and len(opened_files) == IMAGES + COMPARED


def test_without_a_cache_nothing_is_stored_and_what_decides_reads_no_image_twice(
    folder: Path, opened_files: list[str]
) -> None:
    opened, _ = open_and_count(folder, forget_duplicates=True, cache=False)
    take_half(opened.dataset, "verdict")
    assert not (folder / FACTS).exists() and len(opened_files) == IMAGES + COMPARED


def test_inspect_opens_every_image_once(folder: Path, opened_files: list[str]) -> None:
    result = invoke("inspect", folder)
    assert result.exit_code == 0 and "copies" in result.stdout
    assert len(opened_files) == IMAGES


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write_image(path, 77, LONG_AGO + 1),
        lambda path: (write_image(path.with_suffix(".new"), 77), path.with_suffix(".new").replace(path)),
        lambda path: write_image(path, 77),  # even if the time was set back
    ],
    ids=["time", "inode", "time set back"],
)
def test_a_changed_file_of_the_same_size_is_read_again(
    folder: Path, opened_files: list[str], change: Callable[[Path], object]
) -> None:
    opened, _ = open_and_count(folder)
    before = opened.dataset.split("train").records.quick_fingerprints
    change(folder / "train/b/1.png")
    opened_files.clear()
    opened, _ = open_and_count(folder)
    after = opened.dataset.split("train").records.quick_fingerprints
    assert np.flatnonzero(before != after).tolist() == [7]
    assert opened_files.count("b/1.png") == 1 and len(opened_files) == 1 + COMPARED
    assert np.array_equal(after, opened.dataset.split("train").records.fingerprints)


def test_nothing_is_stored_about_a_file_that_was_just_written(folder: Path, opened_files: list[str]) -> None:
    (folder / "train/b/1.png").touch()
    open_and_count(folder)
    opened_files.clear()
    open_and_count(folder)
    assert opened_files.count("b/1.png") == 1


def test_what_decides_reads_the_bytes_and_no_stored_fact(folder: Path) -> None:
    """The stored digests are forged: of one image for all."""
    honest, facts = open_and_count(folder, forget_duplicates=True)
    stored = read_facts(folder / FACTS)
    write_facts(folder / FACTS, StoredFacts(stored.salt, stored.keys, np.full_like(stored.values, 7), stored.notes))
    forged, _ = open_and_count(folder)
    assert find_copies(forged).in_retain == 6  # what is only counted follows the forged facts
    forged, _ = open_and_count(folder, forget_duplicates=True)
    assert forged.dataset.split("forget").ids == honest.dataset.split("forget").ids
    assert len(forged.dataset.split("forget")) == 7
    for half in ("selection", "verdict"):
        expected = take_half(honest.dataset, half).split("test").ids
        assert take_half(forged.dataset, half).split("test").ids == expected
    assert facts[0].in_retain == 0


def test_bytes_that_this_run_read_are_trusted_without_reading_them_again(folder: Path, opened_files: list[str]) -> None:
    opened, _ = open_and_count(folder)
    opened_files.clear()
    train = opened.dataset.split("train").records
    assert np.array_equal(train.quick_fingerprints, train.fingerprints) and not opened_files


def test_another_size_in_the_manifest_checks_the_images_again(folder: Path, opened_files: list[str]) -> None:
    open_and_count(folder)
    manifest = folder / "folder.yaml"
    manifest.write_text(manifest.read_text().replace("[1, 4, 4]}", "[1, 2, 2], resize: 2}"))
    opened_files.clear()
    open_and_count(folder)
    assert len(opened_files) >= 20
    result = invoke("train", "-m", manifest, "-o", folder / "trained", "--dry-run")
    assert result.exit_code == 0 and "images decoded without an error: all 20" in result.stdout


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"PK" + data[9:], lambda data: b""])
def test_a_damaged_file_is_ignored_and_written_again(
    folder: Path, opened_files: list[str], damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = open_and_count(folder)
    (folder / FACTS).write_bytes(damage((folder / FACTS).read_bytes()))
    opened_files.clear()
    _, second = open_and_count(folder)
    assert second == first and len(opened_files) == IMAGES + COMPARED
    assert "stored facts about image files are damaged" in capsys.readouterr().err
    opened_files.clear()
    open_and_count(folder)
    assert len(opened_files) == COMPARED


@pytest.mark.parametrize(
    "arrays",
    [
        {"keys": np.zeros((2, 3), dtype=np.uint64)},
        {"keys": np.array([[2, 0], [1, 0]], dtype=np.uint64), "values": np.zeros((2, 2), dtype=np.uint64)},
        {"format": np.array(99)},
        {"notes": np.frombuffer(b"[1", dtype=np.uint8)},
    ],
)
def test_arrays_that_are_no_facts_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path / FACTS
    write_facts(path, StoredFacts())
    with np.load(path) as stored:
        np.savez(path, **{**dict(stored), **arrays})
    assert len(read_facts(path)) == 0


def test_unreadable_images_are_read_and_reported_every_time(folder: Path) -> None:
    (folder / "train/b/5.png").write_bytes(b"no image")
    manifest = folder / "folder.yaml"
    manifest.write_text(
        manifest.read_text().replace("{imagefolder: train}", "{imagefolder: {path: train, unreadable: skip}}")
    )
    _, first = open_and_count(folder)
    _, second = open_and_count(folder)
    assert first == second and [notice.count for notice in second[2]] == [1]


def test_a_refused_input_writes_nothing(folder: Path) -> None:
    opened = open_inputs(folder / "folder.yaml", RunOptions(device="cpu"), out=folder / "out")
    find_copies(opened)
    assert opened.facts
    with pytest.raises(UserError), opened.facts:
        raise UserError("refused")
    assert not (folder / FACTS).exists()


def test_the_file_has_no_path_and_clean_removes_it(folder: Path) -> None:
    open_and_count(folder, cache=False)
    assert not (folder / FACTS).exists()
    open_and_count(folder)
    data = (folder / FACTS).read_bytes()
    assert b"train" not in data and b".png" not in data and str(folder).encode() not in data
    assert (folder / FACTS).stat().st_mode & 0o077 == 0
    (listed,) = [each for each in leftovers.scan(folder) if each.kind == "image facts"]
    assert listed.path == folder / FACTS and listed.kept_because is None
    removed = json.loads(invoke("clean", folder, "--remove", "--json").stdout)
    assert removed["removed"] == [FACTS] and not (folder / FACTS).exists()


def test_facts_that_another_run_wrote_in_the_meantime_are_kept(folder: Path) -> None:
    open_and_count(folder)
    mine, yours = (file_facts.FileFacts(folder) for _ in range(2))
    for number, facts in enumerate((mine, yours)):
        assert len(facts._stored)
        key = np.array([[number, number]], dtype=np.uint64)
        facts._new.append((key, key))
        facts.save()
    values, stored = read_facts(folder / FACTS).look_up(np.array([[0, 0], [1, 1], [1, 2]], dtype=np.uint64))
    assert stored.tolist() == [True, True, False] and values[:2].tolist() == [[0, 0], [1, 1]]


def test_facts_of_earlier_runs_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_and_count(folder)
    monkeypatch.setattr(file_facts, "MOST", 5)
    write_image(folder / "train/b/6.png", 99)
    before = len(read_facts(folder / FACTS))
    open_and_count(folder)
    assert len(read_facts(folder / FACTS)) == before + 2


def test_digests_keep_their_zeros() -> None:
    digests = np.frombuffer(bytes(31) + b"\1", dtype="S16")
    assert file_facts.to_digests(to_pairs(digests)).tobytes() == digests.tobytes()
    assert facts_file.StoredFacts().look_up(to_pairs(digests))[1].tolist() == [False, False]


def test_a_folder_that_cannot_be_written_to_stops_no_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, facts: StoredFacts) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(file_facts, "write_facts", refuse)
    _, described = open_and_count(folder)
    assert described and not (folder / FACTS).exists()
    assert "facts about image files were not stored: Permission denied" in capsys.readouterr().err


def test_bytes_that_a_check_read_decide_without_being_read_again(folder: Path, opened_files: list[str]) -> None:
    """The check reads each file once; copies to forget and the halves of test follow from its digests."""
    honest, _ = open_and_count(folder, forget_duplicates=True, cache=False)
    opened_files.clear()
    opened, _ = open_and_count(folder, forget_duplicates=True)
    halves = [take_half(opened.dataset, half).split("test").ids for half in ("selection", "verdict")]
    assert len(opened_files) == IMAGES + COMPARED
    assert halves == [take_half(honest.dataset, half).split("test").ids for half in ("selection", "verdict")]
    assert opened.dataset.split("forget").ids == honest.dataset.split("forget").ids


def test_convert_stores_facts_next_to_its_output(folder: Path, opened_files: list[str]) -> None:
    from torch import nn, save

    network = nn.Linear(16, 2)
    save({"head.weight": network.weight, "head.bias": network.bias}, folder / "source.pth")
    manifest = folder / "folder.yaml"
    manifest.write_text(
        manifest.read_text().replace("{architecture: mlp}", "{architecture: mlp, arguments: {hidden: []}}")
    )
    words = ["convert", folder / "source.pth", folder / "new.safetensors", "--manifest", manifest, "--overwrite"]
    result = invoke(*words)
    assert result.exit_code == 0, result.stderr
    assert (folder / FACTS).is_file()
    opened_files.clear()
    assert invoke(*words).exit_code == 0
    assert len(opened_files) == COMPARED


def test_shadow_runs_store_facts_next_to_their_folder(folder: Path, opened_files: list[str]) -> None:
    words = ["shadow", "-m", folder / "folder.yaml", "--shadows", folder / "cells", "--method", "finetune"]
    words += ["--cells", "0", "--retained", "1", "--dry-run", "--device", "cpu"]
    assert invoke(*words).exit_code == 0
    first = len(opened_files)
    opened_files.clear()
    assert invoke(*words).exit_code == 0
    assert (folder / FACTS).is_file() and len(opened_files) < first
