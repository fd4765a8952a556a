from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unlearn_cli.commands.inspect_data import run
from unlearn_cli.commands.inspect_options import InspectOptions


def inspect(path: Path) -> tuple[str, dict[str, Any]]:
    result = run(InspectOptions(path))
    return result.text, result.document


def test_images_their_sizes_modes_means_copies_and_those_that_cannot_be_decoded(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for number, label in enumerate(("a", "b")):
            (tmp_path / part / label).mkdir(parents=True)
            Image.new("RGB", (8, 6), (255, 0, 51)).save(tmp_path / part / label / "0.png")
            Image.new("L", (4, 4), 10 * number).save(tmp_path / part / label / "1.png")
    (tmp_path / "train" / "a" / "2.png").write_bytes((tmp_path / "train" / "a" / "0.png").read_bytes()[:-30])
    (tmp_path / "train" / "a" / "notes.txt").write_text("x")
    text, document = inspect(tmp_path)
    train = document["splits"]["train"]
    assert (train["n"], train["classes"], train["copies"]) == (5, {"a": 3, "b": 2}, 1)
    assert document["splits"]["test"]["copies_of_train"] == 4
    assert train["images"]["sizes"] == {"8x6": 2, "4x4": 2} and train["images"]["modes"] == {"RGB": 2, "L": 2}
    assert len(train["images"]["unreadable"]) == 1 and train["images"]["unreadable"][0].startswith("a/2.png: ")
    mean = [np.mean([255, 255, 0, 10]) / 255, np.mean([0, 0, 0, 10]) / 255, np.mean([51, 51, 0, 10]) / 255]
    assert np.allclose(train["images"]["mean_and_std"][0], mean, atol=1e-4)
    assert "train: cannot be decoded: 1" in text and "files that are not images" in text


def test_all_unreadable_images_are_listed_also_empty_and_missing_ones(tmp_path: Path) -> None:
    for folder in (tmp_path / part / label for part in ("train", "test") for label in "ab"):
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("L", (4, 4), 10 * number).save(folder / f"{number}.png")
    (tmp_path / "train/a/2.png").write_bytes(b"")
    (tmp_path / "train/a/3.png").symlink_to("nothing.png")
    (tmp_path / "train/b/4.png").symlink_to("4.png")
    for number in range(5, 30):
        (tmp_path / f"train/b/{number}.png").write_bytes(b"GIF89a")
    text, document = inspect(tmp_path)
    train = document["splits"]["train"]
    assert (train["n"], train["copies"], len(train["images"]["unreadable"])) == (32, 2, 28)
    assert "a/2.png: the file is empty" in text and "a/3.png: no such file" in text and "b/4.png: too many" in text
    assert all(line in text for line in train["images"]["unreadable"])


def test_a_table_its_groups_empty_cells_and_classes_as_written(tmp_path: Path) -> None:
    rows = [f"{n // 3:02d},{n}.5,{'' if n == 4 else n},{('07', '10')[n % 2]}" for n in range(30)]
    (tmp_path / "t.csv").write_text("patient,a,b,label\n" + "\n".join(rows) + "\n")
    text, document = inspect(tmp_path / "t.csv")
    assert document["splits"]["train"]["classes"] == {"07": 12, "10": 12}
    assert document["splits"]["train"]["groups"] == 10 and document["missing_values"]["train"] == {"b": 1}
    assert "train: empty cells in b: 1" in text and "guessed: data.test" in text


def test_a_regression_has_no_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((40, 3)), y=np.random.default_rng(1).random(40))
    text, document = inspect(tmp_path / "d.npz")
    assert document["task"] == "regression" and document["splits"]["train"]["classes"] == {}
    assert text.startswith("numbers for regression, shape [3]")
