"""Every source format gives the same records for the same data, and reads nothing that could run code."""

import gzip
import json
import os
import pickle
import re
import tarfile
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from unlearn_cli.data.dataset import Dataset, Split, describe, open_dataset
from unlearn_cli.data.formats.idx import read_idx
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Rows

N, HEIGHT, WIDTH = 6, 3, 4
LABELS = np.array([0, 0, 0, 1, 1, 2])
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 3, HEIGHT, WIDTH), dtype=np.uint8)  # (N, C, H, W)
GREY = IMAGES[:, :1]
FEATURES = [f"f{i}" for i in range(4)]
NUMBERS = IMAGES.reshape(N, -1)[:, :4].astype(np.float32)


def opened(source: dict[str, Any], shape: list[int], *, task: str = "classification", **more: Any) -> Dataset:
    data = {"train": source, **({"test": more.pop("test")} if "test" in more else {})}
    input = {"shape": shape, **more.pop("input", {})}
    described = {"version": 1, "task": task, "model": {"architecture": "mlp"}, "input": input, "data": data, **more}
    return open_dataset(Manifest.model_validate(described).data_sections)


def samples(split: Split) -> np.ndarray:
    return split.records.inputs.take(split.rows)


def picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def write_images(folder: Path, images: np.ndarray) -> list[str]:
    """Write PNGs into one folder a class; return their paths below the folder."""
    paths = [f"{label}/{i}.png" for i, label in enumerate(LABELS)]
    for path, image in zip(paths, images, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        picture(image).save(folder / path)
    return paths


def write_table(path: Path, columns: dict[str, list[Any]]) -> Path:
    """Write csv by hand, jsonl and parquet by DuckDB."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    csv = path.with_suffix(".csv")
    csv.write_text("\n".join(",".join(str(cell) for cell in row) for row in rows) + "\n", encoding="utf-8")
    if path.suffix != ".csv":
        form = {".jsonl": "FORMAT json", ".parquet": "FORMAT parquet"}[path.suffix]
        duckdb.execute(f"COPY (SELECT * FROM read_csv('{csv}', header=true)) TO '{path}' ({form})")
    return path


def idx_bytes(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def image_folder(folder: Path, images: np.ndarray) -> dict[str, Any]:
    write_images(folder / "images", images)
    return {"imagefolder": str(folder / "images")}


def image_table(folder: Path, images: np.ndarray) -> dict[str, Any]:
    paths = write_images(folder / "images", images)
    path = write_table(folder / "table.csv", {"file": paths, "y": LABELS.tolist()})
    return {"table": {"path": str(path), "label": "y", "image": "file", "root": str(folder / "images")}}


def npz_channels_first(folder: Path, images: np.ndarray) -> dict[str, Any]:
    np.savez(folder / "data.npz", x=images, y=LABELS)
    return {"npz": str(folder / "data.npz")}


def npz_channels_last(folder: Path, images: np.ndarray) -> dict[str, Any]:
    np.savez(folder / "data.npz", x=images.transpose(0, 2, 3, 1), y=LABELS)
    return {"npz": str(folder / "data.npz")}


def safetensors(folder: Path, images: np.ndarray) -> dict[str, Any]:
    save_file({"images": np.ascontiguousarray(images), "labels": LABELS}, folder / "data.safetensors")
    return {"safetensors": {"path": str(folder / "data.safetensors"), "inputs": "images", "labels": "labels"}}


def npz_without_channels(folder: Path, images: np.ndarray) -> dict[str, Any]:
    np.savez_compressed(folder / "data.npz", x=images[:, 0], y=LABELS)
    return {"npz": str(folder / "data.npz")}


def plain_idx(folder: Path, images: np.ndarray) -> dict[str, Any]:
    (folder / "images.idx").write_bytes(idx_bytes(images[:, 0]))
    (folder / "labels.idx").write_bytes(idx_bytes(LABELS.astype(np.uint8)))
    return {"idx": {"images": str(folder / "images.idx"), "labels": str(folder / "labels.idx")}}


def gzipped_idx(folder: Path, images: np.ndarray) -> dict[str, Any]:
    source = plain_idx(folder, images)
    for file in folder.glob("*.idx"):
        file.write_bytes(gzip.compress(file.read_bytes()))
    return source


def web_dataset(folder: Path, images: np.ndarray) -> dict[str, Any]:
    """Write two shards of PNGs, with a file for the label and one of metadata."""
    for shard in (0, 1):
        with tarfile.open(folder / f"train-{shard:03d}.tar", "w") as tar:
            for row in range(shard * 3, shard * 3 + 3):
                png = BytesIO()
                picture(images[row]).save(png, "png")
                facts = json.dumps({"person": f"p{row % 2}", "kind": int(LABELS[row]), "tags": []}).encode()
                files = (("png", png.getvalue()), ("cls", str(LABELS[row]).encode()), ("json", facts))
                for suffix, content in files:
                    member = tarfile.TarInfo(f"part/{row:04d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, BytesIO(content))
    return {"webdataset": str(folder / "train-{000..001}.tar")}


Writer = Callable[[Path, np.ndarray], dict[str, Any]]
ANY_CHANNELS: list[Writer] = [
    image_folder,
    image_table,
    web_dataset,
    npz_channels_first,
    npz_channels_last,
    safetensors,
]
ONE_CHANNEL: list[Writer] = [*ANY_CHANNELS, npz_without_channels, plain_idx, gzipped_idx]


@pytest.mark.parametrize("write", ANY_CHANNELS)
def test_colour_images_are_the_same_from_every_format(write: Writer, tmp_path: Path) -> None:
    train = opened(write(tmp_path, IMAGES), [3, HEIGHT, WIDTH]).split("train")
    assert samples(train).dtype == np.uint8
    assert np.array_equal(samples(train), IMAGES)
    assert np.array_equal(train.labels, LABELS)


@pytest.mark.parametrize("write", ONE_CHANNEL)
def test_grey_images_are_the_same_from_every_format(write: Writer, tmp_path: Path) -> None:
    train = opened(write(tmp_path, GREY), [1, HEIGHT, WIDTH]).split("train")
    assert samples(train).dtype == np.uint8
    assert np.array_equal(samples(train), GREY)
    assert np.array_equal(train.labels, LABELS)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "npz", "safetensors"])
def test_features_are_the_same_from_every_format(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"data.{kind}"
    source: dict[str, Any] = {kind: str(path)}
    if kind == "npz":
        np.savez(path, x=NUMBERS.astype(np.float64), y=LABELS)
    elif kind == "safetensors":
        save_file({"x": NUMBERS, "y": LABELS}, path)
    else:
        columns = dict(zip(FEATURES, NUMBERS.T.tolist(), strict=True))
        source = {"table": {"path": str(write_table(path, {**columns, "y": LABELS.tolist()})), "label": "y"}}
    train = opened(source, [4]).split("train")
    assert samples(train).dtype == np.float32
    assert np.array_equal(samples(train), NUMBERS)
    assert np.array_equal(train.labels, LABELS)


def test_the_columns_of_a_table_may_be_named_or_ignored(tmp_path: Path) -> None:
    columns = {"id": [f"r{i}" for i in range(N)], **dict(zip(FEATURES, NUMBERS.T.tolist(), strict=True))}
    path = write_table(tmp_path / "data.csv", {**columns, "y": LABELS.tolist()})
    shared = {"path": str(path), "label": "y", "id": "id"}
    named = opened({"table": {**shared, "features": ["f2", "f0"]}}, [2]).split("train")
    assert np.array_equal(samples(named), NUMBERS[:, [2, 0]])
    ignored = opened({"table": {**shared, "ignore": ["f1", "f3"]}}, [2]).split("train")
    assert np.array_equal(samples(ignored), NUMBERS[:, [0, 2]])


def test_a_record_is_known_by_its_id_its_path_or_its_row(tmp_path: Path) -> None:
    names = [f"r{i}" for i in range(N)]
    np.savez(tmp_path / "with.npz", x=NUMBERS, y=LABELS, name=np.array(names))
    assert opened({"npz": {"path": str(tmp_path / "with.npz"), "ids": "name"}}, [4]).split("train").ids == names
    assert opened({"npz": str(tmp_path / "with.npz")}, [4]).split("train").ids == [str(i) for i in range(N)]
    folder = opened(image_folder(tmp_path, IMAGES), [3, HEIGHT, WIDTH]).split("train")
    assert folder.ids == ["0/0.png", "0/1.png", "0/2.png", "1/3.png", "1/4.png", "2/5.png"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_ids_of_a_table_are_text_as_the_file_has_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"data.{kind}"
    rows = [("007", 0.5, 0), ("7", 1.5, 1), ("1e3", 2.5, 1)]
    if kind == "csv":
        path.write_text("id,f,y\n" + "\n".join(f"{a},{b},{c}" for a, b, c in rows), encoding="utf-8")
    else:
        values = ", ".join(str(row) for row in rows)
        form = {"jsonl": "FORMAT json", "parquet": "FORMAT parquet"}[kind]
        duckdb.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t(id, f, y)) TO '{path}' ({form})")
    source = {"table": {"path": str(path), "label": "y", "id": "id"}}
    dataset = opened(source, [1], forget={"ids": ["007"]})
    assert dataset.split("train").ids == ["007", "1e3", "7"]
    assert dataset.split("forget").rows.tolist() == [0]


def test_names_of_classes_may_be_text_in_arrays(tmp_path: Path) -> None:
    for names in (np.array(["cat", "dog", "eel"])[LABELS], np.array([b"cat", b"dog", b"eel"])[LABELS]):
        np.savez(tmp_path / "data.npz", x=NUMBERS, y=names)
        dataset = opened({"npz": str(tmp_path / "data.npz")}, [4])
        assert dataset.classes == ["cat", "dog", "eel"]
        assert np.array_equal(dataset.split("train").labels, LABELS)


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ({"every": 2}, [0, 2, 4]), ({"not_every": 2}, [1, 3, 5]), ({"not_every": 4}, [1, 2, 3, 5]),
        ({"first": 0.5}, [0, 1, 2]), ({"last": 0.34}, [4, 5]),
    ],
)  # fmt: skip
def test_some_rows_may_be_kept_and_keep_their_ids(rows: dict[str, Any], kept: list[int], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=NUMBERS, y=LABELS, age=np.arange(N))
    source = {"npz": str(tmp_path / "data.npz"), "rows": rows}
    where = [{"column": "age", "op": "==", "value": kept[0]}]
    dataset = opened(source, [4], forget={"where": where}, classes=[0, 1, 2])
    train = dataset.split("train")
    assert train.ids == [str(i) for i in kept]
    assert np.array_equal(samples(train), NUMBERS[kept])
    assert np.array_equal(train.labels, LABELS[kept])
    assert train.records.column("age").tolist() == kept
    assert dataset.split("forget").ids == [str(kept[0])]


def test_first_and_last_with_shares_that_make_one_are_disjoint_and_complete(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=NUMBERS, y=LABELS)
    path = str(tmp_path / "data.npz")
    for share in (0.1, 0.25, 0.42, 0.5, 0.75, 0.9):
        parts = [{"npz": path, "rows": {"first": share}}, {"npz": path, "rows": {"last": round(1 - share, 2)}}]
        ids: list[str] = []
        for part in parts:
            try:
                ids += opened(part, [4], classes=[0, 1, 2]).split("train").ids
            except UserError as error:
                assert "keeps none" in str(error)
        assert sorted(ids) == [str(i) for i in range(N)]


def test_first_and_last_divide_any_number_of_rows_at_the_same_row() -> None:
    shares = [*(percent / 100 for percent in range(1, 100)), 1 / 3, 1 / 6, 1 / 7, 0.125, 0.9999, 1e-6]
    for share in shares:
        for last in (1 - share, round(1 - share, 12)):
            first_part, last_part = Rows(first=share), Rows(last=last)
            cuts = [(first_part.cut(n), last_part.cut(n)) for n in range(1, 1001)]
            assert all(a == b for a, b in cuts), share
            agreed = [(n, round(n * share)) for n in range(1, 1001) if round(n * share) == n - round(n * last)]
            assert all(cuts[n - 1][0] == before for n, before in agreed), "where both agreed before, rows stay"


@pytest.mark.parametrize("name", ["digits", "diabetes", "breast_cancer"])
def test_every_fifth_row_of_sklearns_sets_is_for_testing(name: str) -> None:
    task = "regression" if name == "diabetes" else "classification"
    shape = {"digits": [1, 8, 8], "diabetes": [10], "breast_cancer": [30]}[name]
    parts = [{"sklearn": {"name": name, "part": part}} for part in ("train", "test", "all")]
    train, test, both = (opened(part, shape, task=task).split("train") for part in parts)
    assert sorted(int(i) for i in test.ids) == list(range(0, len(both), 5))
    assert set(train.ids).isdisjoint(test.ids)
    assert set(train.ids) | set(test.ids) == set(both.ids)
    assert np.array_equal(samples(both)[::5], samples(test))


def test_a_regression_keeps_the_labels_as_numbers() -> None:
    train = opened({"sklearn": {"name": "diabetes"}}, [10], task="regression").split("train")
    assert train.labels.dtype == np.float64
    assert train.labels[:3].tolist() == [151.0, 75.0, 141.0]


def test_torchvisions_mnist_is_read_from_its_folder(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(1).integers(0, 256, (N, 28, 28), dtype=np.uint8)
    for part, shown in (("train", images), ("t10k", images[::-1])):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(shown))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS.astype(np.uint8)))
    source = {"name": "MNIST", "root": str(tmp_path)}
    train, test = ({"torchvision": {**source, "part": part}} for part in ("train", "test"))
    dataset = opened(train, [1, 28, 28], test=test)
    assert np.array_equal(samples(dataset.split("train")), images[:, None])
    assert np.array_equal(samples(dataset.split("test")), images[::-1, None])
    assert np.array_equal(dataset.split("train").labels, LABELS)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_with_another_digest_is_refused_before_it_is_unpickled(name: str, tmp_path: Path) -> None:
    folder = tmp_path / {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}[name]
    folder.mkdir()
    files = ["train", "test", "meta", "batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))]
    for file in files:
        (folder / file).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(UserError, match=f"put the original files of {name} there"):
        opened({"torchvision": {"name": name, "root": str(tmp_path), "part": "train"}}, [3, 32, 32])
    assert not (tmp_path / "exploded").exists()


def test_an_npz_of_pickled_objects_is_refused_before_it_is_unpickled(tmp_path: Path) -> None:
    objects = np.array([Bomb(tmp_path / "exploded")] * N, dtype=object)
    np.savez(tmp_path / "data.npz", x=NUMBERS, y=objects)
    with pytest.raises(UserError, match="is not a plain npz file"):
        opened({"npz": str(tmp_path / "data.npz")}, [4])
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("size", [(37, 23), (23, 37), (30, 30), (11, 64)])
@pytest.mark.parametrize(("resize", "crop"), [(16, (16, 16)), (17, (12, 15)), (40, (33, 40))])
def test_resizing_and_cropping_are_those_of_torchvision(
    size: tuple[int, int], resize: int, crop: tuple[int, int], tmp_path: Path
) -> None:
    from torchvision import transforms

    pixels = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a" / "1.png")
    shape = [3, *crop]
    train = opened({"imagefolder": str(tmp_path)}, shape, input={"resize": resize}).split("train")
    expected = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(crop)])(Image.fromarray(pixels))
    assert np.array_equal(samples(train)[0], np.asarray(expected).transpose(2, 0, 1))


def test_an_image_larger_than_the_shape_is_refused_without_resize(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape("is 4x3 pixels, but input.shape is 3x3; add input.resize")):
        opened(image_folder(tmp_path, IMAGES), [3, HEIGHT, WIDTH - 1])


@pytest.mark.parametrize("size", [10**6, 2**32 - 1])
def test_of_a_packed_idx_file_no_more_is_unpacked_than_its_header_says(size: int, tmp_path: Path) -> None:
    zeros = gzip.compress(bytes(64 * 2**20))
    header = b"\0\0\x08\1" + (6).to_bytes(4)
    (tmp_path / "bomb.idx").write_bytes(gzip.compress(header) + zeros)
    (tmp_path / "liar.idx").write_bytes(gzip.compress(b"\0\0\x08\3" + 3 * size.to_bytes(4)) + gzip.compress(b"1234"))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"more than the 6 bytes of an array of \[6\]"):
        read_idx(tmp_path / "bomb.idx", "data.train")
    with pytest.raises(UserError, match=r"4 bytes for an array of .* truncated"):
        read_idx(tmp_path / "liar.idx", "data.train")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_ids_are_told_by_a_digest_whose_key_needs_the_data(tmp_path: Path) -> None:
    """Else whoever has the report could try out who was forgotten."""
    described = []
    for name, shift in (("a", 0), ("again", 0), ("b", 1)):
        np.savez(tmp_path / f"{name}.npz", x=NUMBERS + shift, y=LABELS)
        described.append(describe(opened({"npz": str(tmp_path / f"{name}.npz")}, [4]))["train"])
    assert described[0] == described[1]
    assert described[0]["ids_digest"] != described[2]["ids_digest"]


def test_names_of_image_files_need_not_be_utf_8(tmp_path: Path) -> None:
    source = image_folder(tmp_path, GREY)
    picture(GREY[0]).save(os.fsdecode(os.fsencode(tmp_path / "images" / "0") + b"/caf\xe9.png"))
    assert describe(opened(source, [1, HEIGHT, WIDTH]))["train"]["n"] == N + 1


def test_files_are_read_once_to_find_copies_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = opened(image_folder(tmp_path, GREY), [1, HEIGHT, WIDTH], forget={"classes": [2]})
    assert not dataset.split("retain").copies_of(dataset.split("forget")).any()
    describe(dataset)
    assert capsys.readouterr().err == "searching for copies: reading 6 image files\n"


def test_equal_samples_have_equal_fingerprints(tmp_path: Path) -> None:
    doubled = np.concatenate([GREY[:5], GREY[:1]])
    for write in ONE_CHANNEL:
        (tmp_path / write.__name__).mkdir()
        inputs = opened(write(tmp_path / write.__name__, doubled), [1, HEIGHT, WIDTH]).split("train").records.inputs
        digests = inputs.fingerprints(np.arange(N))
        assert digests[0] == digests[5]
        assert len(set(digests)) == N - 1


def test_samples_of_a_safetensors_file_stay_in_the_file(tmp_path: Path) -> None:
    source = safetensors(tmp_path, IMAGES)
    inputs = opened(source, [3, HEIGHT, WIDTH]).split("train").records.inputs
    assert isinstance(inputs.array, np.memmap)  # type: ignore[attr-defined]
    for dtype in (np.float16, np.float64, np.int16):
        save_file({"images": IMAGES.astype(dtype), "labels": LABELS, "a": np.ones(3)}, tmp_path / "data.safetensors")
        assert np.array_equal(samples(opened(source, [3, HEIGHT, WIDTH]).split("train")), IMAGES)


def test_what_is_wrong_far_down_a_table_is_told_in_words(tmp_path: Path) -> None:
    """DuckDB reads on while cells are fetched: it may find the error long after it has begun to answer."""
    lines = [f'{{"id": "r{row}", "y": {row % 2}, "a": 1.5}}' for row in range(60_000)]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, '{"id": "r", "y": ']), encoding="utf-8")
    for label in ("y", "id"):
        with pytest.raises(UserError, match=r"t\.jsonl:60001: is not valid JSON: Expecting"):
            opened({"table": {"path": str(tmp_path / "t.jsonl"), "label": label}}, [1])


def test_labels_that_are_text_and_empty_cells_are_read_alike_by_all_formats(tmp_path: Path) -> None:
    columns = {"y": ["cat", "", "dög", "cat", "eel", ""], "a": [0.5] * N}
    for kind in ("csv", "jsonl", "parquet"):
        path = write_table(tmp_path / f"t.{kind}", columns)
        source = {"table": {"path": str(path), "label": "y", "unlabelled": "drop"}}
        dataset = opened(source, [1], forget={"classes": ["cat"]})
        assert dataset.classes == ["cat", "dög", "eel"]
        assert dataset.split("train").ids == ["0", "2", "3", "4"]
        assert dataset.split("train").labels.tolist() == [0, 1, 0, 2]
        with pytest.raises(UserError, match="column 'y' is empty in row 1"):
            opened({"table": {"path": str(path), "label": "y"}}, [1])


@pytest.mark.parametrize(("suffix", "value"), [("parquet", "[i % 2]"), ("parquet", "{'a': i}"), ("jsonl", "[i % 2]")])
@pytest.mark.parametrize("column", ["y", "x"])
def test_columns_of_lists_are_no_labels_and_no_features(suffix: str, value: str, column: str, tmp_path: Path) -> None:
    path, cells = tmp_path / f"t.{suffix}", {"y": "i % 2", "x": "0.5", column: value}
    rows = f"SELECT {cells['y']} AS y, {cells['x']} AS x FROM range(4) r(i)"
    duckdb.execute(f"COPY ({rows}) TO '{path}' (FORMAT {'parquet' if suffix == 'parquet' else 'json'})")
    with pytest.raises(UserError, match=rf"column '{column}' contains (lists|mappings); expected a number or a text"):
        opened({"table": {"path": str(path), "label": "y"}}, [1], classes=[0, 1])


@pytest.mark.parametrize(
    ("line", "reason"), [("broken", "Expecting value"), ('{"y": 1, "y": 2, "x": 1}', "duplicate key 'y'")]
)
def test_the_wrong_line_of_json_lines_is_named(line: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"y": 0, "x": 1}}\n\n{{"y": 1, "x": 1}}\n{line}\n')
    with pytest.raises(UserError, match=rf"t\.jsonl:4: is not valid JSON: {reason}; fix the line"):
        opened({"table": {"path": str(tmp_path / "t.jsonl"), "label": "y"}}, [1], classes=[0, 1])


def test_a_damaged_parquet_file_is_named_without_the_words_of_the_library(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1xxxx")
    with pytest.raises(UserError) as caught:
        opened({"table": {"path": str(tmp_path / "t.parquet"), "label": "y"}}, [1])
    assert "t.parquet: is cut off; fetch or write it again" in str(caught.value)
    assert "Error:" not in str(caught.value) and str(caught.value).count(str(tmp_path)) == 1


@pytest.mark.parametrize(("task", "cell"), [("classification", "2"), ("multilabel", "2|3")])
def test_entries_of_label_names_that_no_row_has_are_counted(task: str, cell: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"y,x\n1,1\n{cell},2\n")
    table = {"path": str(tmp_path / "t.csv"), "label": "y", "label_names": {"1": "a", "2": "b", "02": "c", "1.0": "d"}}
    data = opened({"table": table}, [1], task=task)
    notices = data.split("train").records.notices
    assert [(notice.kind, notice.count) for notice in notices] == [("entries of label_names whose label no row has", 2)]


@pytest.mark.parametrize(("labels", "count"), [([1, 2, 3], 1), ([0, 4, 2], 2), ([0, 1, 2], 0), ([1.0, 3.0], 2)])
def test_classes_without_a_record_are_counted_where_labels_are_numbers(
    labels: list[float], count: int, tmp_path: Path
) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((len(labels), 2), np.float32), y=np.array(labels))
    dataset = opened({"npz": str(tmp_path / "d.npz")}, [2])
    assert [notice.count for notice in dataset.notices] == [count] * (count > 0)
    assert list(dataset.used_numbers) == (sorted(labels) if count else [])
    assert not opened({"npz": str(tmp_path / "d.npz")}, [2], classes=list(map(str, range(5)))).notices


@pytest.mark.parametrize(("cell", "advice"), [("'nan'", "; with standardise: {missing: mean}"), ("'inf'", "")])
def test_numbers_that_are_not_finite_in_a_typed_table(cell: str, advice: str, tmp_path: Path) -> None:
    duckdb.sql(f"COPY (SELECT {cell}::DOUBLE AS a, 'x' AS y) TO '{tmp_path / 't.parquet'}'")
    with pytest.raises(UserError, match=r"the first in row 0; correct the data" + re.escape(advice)) as raised:
        opened({"table": {"path": str(tmp_path / "t.parquet"), "label": "y"}}, [1])
    assert ("standardise" in str(raised.value)) == bool(advice)


def test_dates_as_features_are_named(tmp_path: Path) -> None:
    duckdb.sql(f"COPY (SELECT DATE '2020-01-01' AS day, 'x' AS y) TO '{tmp_path / 't.parquet'}'")
    with pytest.raises(
        UserError, match=r"'day' contains dates or times; .* such as date_parts: {day: \[year, month\]}"
    ):
        opened({"table": {"path": str(tmp_path / "t.parquet"), "label": "y"}}, [1])


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty; write it again"), (b"<html>", "is a web page; fetch the file again")]
)
def test_an_npz_that_is_another_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(UserError, match=f"d.npz: {message}"):
        opened({"npz": str(tmp_path / "d.npz")}, [2])


def test_a_file_is_no_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "d.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"d\.zip: is a file; unpack an archive, and name a folder with one folder"):
        opened({"imagefolder": str(tmp_path / "d.zip")}, [1, 8, 8])
