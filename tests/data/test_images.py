"""Images as people have them: each kind by its rule or refused, none clipped, none left out without being counted."""

import os
import stat
import struct
import tarfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image, features
from safetensors.numpy import save_file

from tests.tiny import invoke
from unlearn_cli.batch.resolve.source_connection import open_table
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.images import pillow_images
from unlearn_cli.data.images.image_check import scan_images
from unlearn_cli.data.images.image_files import ImageFiles
from unlearn_cli.data.records import StoredInput
from unlearn_cli.data.stores import StreamedStore
from unlearn_cli.data.strings import pack
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import session
from unlearn_cli.schema.image_steps import ImageSteps
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage import regular_files

SIDE = 16
RANDOM = np.random.default_rng(3)
DEEP = RANDOM.integers(0, 2**16, (SIDE, SIDE), dtype=np.uint16)
COLOURS = RANDOM.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
MANIFEST = """\
version: 1
task: classification
model: {architecture: lenet5}
input: {shape: [1, 16, 16], mean: 0.5, std: 0.5}
data: {train: {imagefolder: {path: train, unreadable: %s}}}
forget: {classes: [a]}
"""


def described(train: dict[str, Any], shape: list[int], **more: Any) -> Manifest:
    return Manifest.model_validate({
        "version": 1, "task": "classification", "model": {"architecture": "lenet5"},
        "input": {"shape": shape, **more.pop("input", {})}, "data": {"train": train, **more},
    })  # fmt: skip


def opened(train: dict[str, Any], channels: int = 1, **more: Any) -> Dataset:
    return open_dataset(described(train, [channels, SIDE, SIDE], **more).data_sections)


def samples(dataset: Dataset, split: str = "train") -> np.ndarray:
    records = dataset.split(split).records
    return records.inputs.take(np.arange(len(records)))


def kinds(dataset: Dataset) -> dict[str, int]:
    return {notice.kind: notice.count for notice in dataset.notices}


def grey(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8))


def folder(path: Path, *pictures: Image.Image, suffix: str = ".png", **options: Any) -> dict[str, Any]:
    """Write pictures of one class, and return the source."""
    (path / "a").mkdir(parents=True)
    for number, picture in enumerate(pictures):
        picture.save(path / "a" / f"{number}{suffix}", **options)
    return {"imagefolder": str(path)}


def train_folder(path: Path) -> Path:
    """Write two classes of two images each, and a manifest, and return the folder."""
    for label in "ab":
        (path / "train" / label).mkdir(parents=True)
        for number in range(2):
            grey(number).save(path / "train" / label / f"{number}.png")
    (path / "data.yaml").write_text(MANIFEST % "refuse")
    (path / "skip.yaml").write_text(MANIFEST % "skip")
    return path


# Formats and suffixes.


@pytest.mark.parametrize(("name", "format"), [
    ("x.jfif", "JPEG"), ("x.JPG", "JPEG"), ("x", "PNG"), ("x.data", "BMP"), ("x.webp", "WEBP"), ("x.tiff", "TIFF"),
    ("x.gif", "GIF"), ("x.pgm", "PPM"), ("x.ppm", "PPM"), ("x.png", "JPEG"), ("x.jp2", "JPEG2000"), ("x.avif", "AVIF"),
])  # fmt: skip
def test_the_content_decides_whether_a_file_is_an_image(name: str, format: str, tmp_path: Path) -> None:
    if format not in pillow_images.list_formats() or (format == "AVIF" and not features.check("avif")):
        pytest.skip("this Pillow does not read it")
    (tmp_path / "a").mkdir()
    grey().save(tmp_path / "a" / name, format)
    assert opened({"imagefolder": str(tmp_path)}).split("train").ids == [f"a/{name}"]


def test_an_eps_file_that_is_called_png_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(tmp_path / "data", grey())
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n%%EOF\n"
    (tmp_path / "data" / "a" / "1.png").write_bytes(eps)
    with pytest.raises(UserError, match="not an image, or not in one of the supported formats"):
        samples(opened(source))
    assert not (tmp_path / "ran").exists()


def test_only_one_module_opens_images() -> None:
    package = Path(pillow_images.__file__).parents[2]
    opening = [path.name for path in package.rglob("*.py") if "Image.open(" in path.read_text(encoding="utf-8")]
    assert opening == ["pillow_images.py"]
    assert not {"EPS", "FPX", "MIC", "WMF", "PDF", "ICO", "PSD"} & set(pillow_images.list_formats())


# What is left out.


def test_what_is_no_data_is_left_out_and_counted(tmp_path: Path) -> None:
    source = folder(tmp_path, grey())
    for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints", "a/.ipynb_checkpoints", "a/@eaDir"):
        (tmp_path / name).mkdir()
        grey().save(tmp_path / name / "0.png")
    for name in ("a/._0.png", "a/Thumbs.db", ".DS_Store", "a/.DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("a/notes.txt", "a/0.json"):
        (tmp_path / name).write_text("P1 text, {}")
    (tmp_path / "labels.csv").write_text("x\n")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    dataset = opened(source)
    assert dataset.classes == ["a"]
    assert dataset.split("train").ids == ["a/0.png"]
    assert kinds(dataset) == {
        "hidden and system folders, left out": 5, "hidden and system files, left out": 4,
        "files that are not images of a supported format, left out": 2,
        "files outside of the class folders, left out": 1, "neither files nor folders, left out": 1,
    }  # fmt: skip


def test_links_to_folders_are_followed_within_the_source_or_counted(tmp_path: Path) -> None:
    source = folder(tmp_path / "data", grey())
    (tmp_path / "data" / "b" / "inner").mkdir(parents=True)
    grey().save(tmp_path / "data" / "b" / "inner" / "9.png")
    (tmp_path / "pool").mkdir()
    grey().save(tmp_path / "pool" / "0.png")
    links = {"more": "../b/inner", "again": "../b/inner", "up": "..", "self": ".", "out": str(tmp_path / "pool")}
    for name, target in links.items():
        (tmp_path / "data" / "a" / name).symlink_to(target)
    (tmp_path / "data" / "a" / "gone.txt").symlink_to("nowhere")
    (tmp_path / "data" / "a" / "circle").symlink_to("circle")
    dataset = opened(source)
    assert dataset.split("train").ids == ["a/0.png", "a/again/9.png", "b/inner/9.png"]
    assert kinds(dataset) == {
        "links to folders that are already read, left out": 3, "links to folders outside of the source, left out": 1,
        "broken links, left out": 2,
    }  # fmt: skip


def test_a_class_folder_may_be_a_link_to_elsewhere(tmp_path: Path) -> None:
    folder(tmp_path / "pool", grey())
    source = folder(tmp_path / "data", grey())
    (tmp_path / "data" / "b").symlink_to(tmp_path / "pool" / "a")
    dataset = opened(source)
    assert dataset.split("train").ids == ["a/0.png", "b/0.png"]
    assert kinds(dataset) == {"class folders that are links to outside of the source, followed": 1}


def test_a_class_without_an_image_is_named(tmp_path: Path) -> None:
    source = folder(tmp_path, grey())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.heic").write_bytes(b"x")
    with pytest.raises(UserError, match=r"no images in the class folder 'b'; .* list the model's classes"):
        opened(source)


def test_a_broken_link_to_an_image_is_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    source = folder(tmp_path, grey())
    (tmp_path / "a" / "1.png").symlink_to("annexed.png")
    with pytest.raises(UserError, match=r"1\.png: cannot be read \(no such file\)"):
        opened(source)


# What pixels become.


def test_16_bits_are_refused_without_a_scale_and_read_at_full_depth_with_it(tmp_path: Path) -> None:
    source = folder(tmp_path, Image.fromarray(DEEP))
    with pytest.raises(UserError, match=r"0\.png: has 16 bits per pixel .*such as input\.scale: 65535"):
        opened(source)
    scaled = samples(opened(source, input={"scale": 65535}))
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled[0, 0], DEEP)
    assert np.array_equal(samples(opened(source, 3, input={"scale": 65535}))[0], np.stack([DEEP] * 3))


@pytest.mark.parametrize(("suffix", "pixels"), [
    (".tiff", DEEP), (".tiff", DEEP.astype(np.int32) - 5), (".tiff", DEEP.astype(np.float32) / 7), (".pgm", DEEP),
    (".jp2", DEEP),
])  # fmt: skip
def test_deep_images_of_all_formats_keep_their_values(suffix: str, pixels: np.ndarray, tmp_path: Path) -> None:
    source = folder(tmp_path, Image.fromarray(pixels), suffix=suffix)
    with pytest.raises(UserError, match=r"bits per pixel .*input\.scale"):
        opened(source)
    assert np.array_equal(samples(opened(source, input={"scale": 65535}))[0, 0], pixels.astype(np.float32))


def deep_tiff(pixels: np.ndarray, photometric: int = 1) -> bytes:
    """Return a TIFF of unsigned numbers, which Pillow writes only of 16 bits with black as 0."""
    tags = {256: SIDE, 257: SIDE, 258: 8 * pixels.itemsize, 259: 1, 262: photometric, 273: 8, 277: 1, 278: SIDE,
            279: pixels.nbytes, 339: 1}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + pixels.nbytes) + pixels.tobytes() + directory


def test_32_unsigned_bits_have_no_sign(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    pixels = np.full((SIDE, SIDE), 2**32 - 2**8, dtype="<u4")
    (tmp_path / "a" / "0.tiff").write_bytes(deep_tiff(pixels))
    assert (samples(opened({"imagefolder": str(tmp_path)}, input={"scale": 2**32})) == 2**32 - 2**8).all()


def test_deep_images_are_resized_without_being_rounded(tmp_path: Path) -> None:
    picture = Image.fromarray(np.tile(np.array([0, 1000, 5000, 63000], dtype=np.uint16), (40, 10)))
    source = folder(tmp_path, picture)
    resized = samples(opened(source, input={"scale": 65535, "resize": SIDE}))
    expected = Image.fromarray(np.asarray(picture).astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    assert np.array_equal(resized[0, 0], np.asarray(expected))
    assert resized.max() > 255


def png16(colour: int, channels: int) -> bytes:
    """Return a PNG of 16 bits per channel, which Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + RANDOM.bytes(2 * channels * SIDE) for _ in range(SIDE))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep_ppm() -> bytes:
    return b"P6 16 16 65535\n" + RANDOM.bytes(6 * SIDE * SIDE)


@pytest.mark.parametrize(
    "content", [png16(2, 3), png16(6, 4), png16(4, 2), deep_ppm()], ids=["rgb", "rgba", "grey and alpha", "ppm"]
)
def test_colours_of_16_bits_are_refused_with_or_without_a_scale(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(content)
    for input in ({}, {"scale": 65535}):
        with pytest.raises(UserError, match=r"has 16 bits per channel .*convert it to 8 bits"):
            opened({"imagefolder": str(tmp_path)}, 3, input=input)


def test_one_source_has_one_depth_and_so_have_train_and_test(tmp_path: Path) -> None:
    mixed = folder(tmp_path / "mixed", grey(), Image.fromarray(DEEP))
    with pytest.raises(UserError, match=r"0\.png has 8 bits per pixel and .*1\.png has more, so one input\.scale"):
        opened(mixed, input={"scale": 65535})
    deep, plain = folder(tmp_path / "deep", Image.fromarray(DEEP)), folder(tmp_path / "plain", grey())
    for name in ("test", "validation"):
        with pytest.raises(
            UserError, match=rf"data\.{name}: images have 8 bits per pixel, unlike those of data\.train"
        ):
            opened(deep, 1, input={"scale": 65535}, **{name: plain})


@pytest.mark.parametrize("source", ["npz", "safetensors"])
def test_arrays_of_16_bits_need_a_scale_and_keep_their_values(source: str, tmp_path: Path) -> None:
    arrays = {"x": DEEP[None, None], "y": np.zeros(1, dtype=np.int64)}
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    path = {source: str(tmp_path / f"a.{source}")}
    with pytest.raises(UserError, match=r"images have type uint16, more than 8 bits; .*input\.scale: 65535"):
        opened(path)
    assert np.array_equal(samples(opened(path, input={"scale": 65535}))[0, 0], DEEP)


def test_an_avif_of_10_bits_is_refused(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow does not read it")
    source = folder(tmp_path, Image.fromarray(COLOURS), suffix=".avif")
    path = tmp_path / "a" / "0.avif"
    content = bytearray(path.read_bytes())
    content[content.index(b"av1C") + 6] |= 0x40
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"has 10 bits per channel|cannot be read"):
        opened(source, 3)


def test_a_deep_tiff_whose_white_is_zero_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.tiff").write_bytes(deep_tiff(DEEP.astype("<u2"), photometric=0))
    with pytest.raises(UserError, match="count from white"):
        opened({"imagefolder": str(tmp_path)}, input={"scale": 65535})


def palette() -> Image.Image:
    return Image.fromarray(COLOURS).quantize(16)


def transparent_palette() -> Image.Image:
    picture = palette()
    picture.info["transparency"] = 0
    return picture


def with_alpha(mode: str) -> Image.Image:
    picture = Image.fromarray(COLOURS).convert(mode)
    picture.putalpha(Image.fromarray(COLOURS[..., 0]))
    return picture


GREYED = "colour images, converted to grey"
DROPPED = "images with transparency, which is dropped"
OF_PALETTE = "images with a palette, converted to its colours"


@pytest.mark.parametrize(("picture", "suffix", "expected", "changes"), [
    (palette, ".png", lambda p: p.convert("RGB"), {OF_PALETTE}),
    (transparent_palette, ".png", lambda p: p.convert("RGB"), {OF_PALETTE, DROPPED}),
    (lambda: with_alpha("RGB"), ".png", lambda p: Image.fromarray(COLOURS), {DROPPED}),
    (lambda: Image.fromarray(COLOURS).convert("CMYK"), ".tiff", lambda p: p.convert("RGB"),
     {"CMYK images, converted to RGB without their colour profile"}),
    (lambda: Image.fromarray(COLOURS), ".png", lambda p: p, set()),
    (lambda: grey().convert("1"), ".png", lambda p: p.convert("RGB"),
     {"1-bit images, read as 0 and 255", "grey images, repeated in three channels"}),
    (lambda: Image.fromarray(COLOURS).convert("LAB"), ".tiff", lambda p: p.convert("RGB"),
     {"LAB images, converted to RGB without their colour profile"}),
    (lambda: Image.fromarray(COLOURS).convert("YCbCr"), ".tiff", lambda p: p.convert("RGB"),
     {"YCbCr images, converted to RGB without their colour profile"}),
])  # fmt: skip
def test_each_kind_of_image_has_a_rule_and_is_counted(
    picture: Callable[[], Image.Image], suffix: str, expected: Callable[[Image.Image], Image.Image], changes: set[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    written = picture()
    source = folder(tmp_path, written, suffix=suffix)
    dataset = opened(source, 3)
    assert set(kinds(dataset)) == changes
    assert np.array_equal(samples(dataset)[0], np.asarray(expected(written)).transpose(2, 0, 1))
    luma = np.asarray(expected(written).convert("L"))
    dataset = opened(source, 1)
    assert np.abs(samples(dataset)[0, 0].astype(int) - luma).max() <= 1  # CMYK becomes grey by a way of its own
    assert GREYED in kinds(dataset) or written.mode == "1"


def test_grey_with_alpha_loses_the_alpha(tmp_path: Path) -> None:
    dataset = opened(folder(tmp_path, with_alpha("L")))
    assert np.array_equal(samples(dataset)[0, 0], np.asarray(Image.fromarray(COLOURS).convert("L")))
    assert kinds(dataset) == {DROPPED: 1}


def test_an_exif_orientation_is_not_applied_but_counted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(COLOURS)
    dataset = opened(folder(tmp_path, picture, exif=exif), 3)
    assert np.array_equal(samples(dataset)[0], COLOURS.transpose(2, 0, 1))
    assert kinds(dataset) == {"images with an EXIF orientation, not turned by it": 1}


def test_a_tiff_is_turned_by_pillow_and_counted(tmp_path: Path) -> None:
    dataset = opened(folder(tmp_path, Image.fromarray(COLOURS), suffix=".tiff", tiffinfo={274: 3}), 3)
    assert np.array_equal(samples(dataset)[0], COLOURS[::-1, ::-1].transpose(2, 0, 1))
    assert kinds(dataset) == {"TIFF images, turned by their orientation": 1}


def test_of_several_frames_the_first_is_read_and_they_are_counted(tmp_path: Path) -> None:
    source = folder(tmp_path, grey(0), suffix=".gif", save_all=True, append_images=[grey(1)])
    dataset = opened(source)
    assert np.array_equal(samples(dataset)[0, 0], np.asarray(grey(0)))
    assert kinds(dataset)["images with several frames or pages, of which only the first is read"] == 1


# Bombs, pipes, and files that cannot be read.


def zeros_png(width: int, height: int, path: Path) -> None:
    Image.new("1", (width, height)).save(path)


def test_a_long_image_is_refused_before_it_is_resized(tmp_path: Path) -> None:
    source = folder(tmp_path, grey())
    zeros_png(30_000_000, 1, tmp_path / "a" / "1.png")
    with pytest.raises(UserError, match=r"1\.png: has more than \d+ pixels \(480000000x16\) when its shorter side"):
        opened(source, input={"resize": SIDE})


@pytest.mark.parametrize("header", [
    b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
    b"P5 100000 100000 255\n",
    b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 10**5, 10**5, 1, 24, 0, 0, 0, 0, 0, 0),
])  # fmt: skip
def test_huge_sizes_are_refused_by_the_header(header: bytes, tmp_path: Path) -> None:
    source = folder(tmp_path, grey())
    (tmp_path / "a" / "1.png").write_bytes(header)
    with pytest.raises(UserError, match=r"1\.png: has more than \d+ pixels"):
        opened(source, input={"resize": SIDE})


def test_a_png_with_a_text_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    source = folder(tmp_path, grey())
    text = b"x\0\0" + zlib.compress(bytes(50 * 2**20))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    path = tmp_path / "a" / "0.png"
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(UserError, match=r"0\.png: cannot be read \(.*too large"):
        samples(opened(source))


def test_a_sparse_file_of_many_gibibytes_is_not_read(tmp_path: Path) -> None:
    source = folder(tmp_path, grey())
    os.truncate(tmp_path / "a" / "0.png", 2**40)
    with pytest.raises(UserError, match="it has more than 1073741824 bytes"):
        opened(source)


def test_a_pipe_in_the_place_of_an_image_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.png")
    pipe = ImageFiles(tmp_path, pack([["0.png"]]), StoredInput([1, SIDE, SIDE]))
    for read in (pipe.take, pipe.fingerprints):
        with pytest.raises(UserError, match=r"0\.png: is a pipe; expected a regular file"):
            read(np.arange(1))
    assert stat.S_ISFIFO((tmp_path / "0.png").stat().st_mode)


def damage(folder: Path) -> None:
    """Make three of four files unreadable in different ways."""
    jpeg = BytesIO()
    grey(5).save(jpeg, "JPEG")
    (folder / "train" / "a" / "1.png").write_bytes(jpeg.getvalue()[:-40])
    (folder / "train" / "b" / "0.png").write_bytes(b"<html>404</html>")
    (folder / "train" / "b" / "2.png").write_bytes(b"")


def test_a_dry_run_decodes_and_names_all_unreadable_files(tmp_path: Path) -> None:
    data = train_folder(tmp_path) / "data.yaml"
    weights = tmp_path / "none.safetensors"
    assert invoke("train", "-m", data, "-o", tmp_path / "m", "--set", "epochs=1", "-q").exit_code == 0
    weights = tmp_path / "m" / "model.safetensors"
    arguments = [
        "unlearn",
        weights,
        "-m",
        data,
        "--method",
        "bad_teacher",
        "-o",
        tmp_path / "u",
        "--dry-run",
        "--force",
    ]
    assert "\nimages decoded without an error: all 4\n" in invoke(*arguments).stdout
    damage(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    for name in ("a/1.png: cannot be read (image file is truncated", "b/0.png: cannot be read (a web page; fetch",
                 "b/2.png: cannot be read (the file is empty)"):  # fmt: skip
        assert f"train/{name}" in result.stderr
    assert "data.train: 3 of 5 images cannot be read" in result.stderr.splitlines()[-1]
    assert "'unreadable: skip'" in result.stderr.splitlines()[-1]


def test_what_is_unreadable_in_test_is_named_as_well(tmp_path: Path) -> None:
    train, test = folder(tmp_path / "train", grey(), grey()), folder(tmp_path / "test", grey())
    for name in ("train/a/1.png", "test/a/0.png"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=r"data\.train: .*train/a/1\.png.*data\.test: .*test/a/0\.png"):
        opened(train, test=test)


def test_unreadable_files_are_left_out_if_that_is_asked_for_and_counted(tmp_path: Path) -> None:
    damage(train_folder(tmp_path))
    out = tmp_path / "m"
    result = invoke("train", "-m", tmp_path / "skip.yaml", "-o", out, "--set", "epochs=1")
    assert result.exit_code == 0, result.stderr
    assert "warning: data.train: unreadable images, left out: 3\n" in result.stderr
    assert '"kind": "unreadable images, left out"' in (out / "report.json").read_text()
    dataset = open_dataset(
        described({"imagefolder": {"path": str(tmp_path / "train"), "unreadable": "skip"}}, [1, 16, 16]).data_sections
    )
    assert dataset.split("train").ids == ["a/0.png", "b/1.png"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_run_that_meets_a_truncated_image_leaves_nothing(
    streamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if streamed:
        monkeypatch.setattr(session, "open_store", lambda inputs, shape, device, budget: StreamedStore(inputs, device))
    train_folder(tmp_path)
    jpeg = BytesIO()
    grey(5).save(jpeg, "JPEG")
    (tmp_path / "train" / "a" / "1.png").write_bytes(jpeg.getvalue()[:-40])
    before = sorted(path.name for path in tmp_path.iterdir())
    result = invoke("train", "-m", tmp_path / "data.yaml", "-o", tmp_path / "m")
    assert result.exit_code == 2
    assert "a/1.png: cannot be read (image file is truncated" in result.stderr
    assert "--dry-run" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_png_with_a_flipped_bit_is_not_read_as_another_image(tmp_path: Path) -> None:
    smooth = Image.fromarray((np.add.outer(np.arange(SIDE), np.arange(SIDE)) * 4).astype(np.uint8))
    source = folder(tmp_path, smooth)
    path = tmp_path / "a" / "0.png"
    stored = path.read_bytes()
    start = stored.index(b"IDAT") + 4
    for at in range(start, len(stored) - 12, 3):
        path.write_bytes(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])
        with pytest.raises(UserError, match=r"0\.png: cannot be read"):
            samples(opened(source))
    path.write_bytes(stored)
    assert np.array_equal(samples(opened(source))[0, 0], np.asarray(smooth))


def test_a_batch_refuses_a_table_that_leaves_rows_out(tmp_path: Path) -> None:
    manifest = described(
        {"table": {"path": "t.csv", "label": "y", "image": "f", "unreadable": "skip"}}, [1, SIDE, SIDE]
    )
    with duckdb.connect() as connection, pytest.raises(UserError, match="cannot be used in a batch"):
        open_table(manifest, connection)


def test_none_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"x")
    with pytest.raises(UserError, match="none of 1 images can be read"):
        opened({"imagefolder": {"path": str(tmp_path), "unreadable": "skip"}})


def test_a_file_that_may_not_be_opened_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(tmp_path, grey(), grey())
    open_file = regular_files.try_open

    def denied(path: Path, place: str = "") -> Any:
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied")
        return open_file(path, place)

    monkeypatch.setattr(regular_files, "try_open", denied)
    with pytest.raises(UserError, match=r"1\.png: cannot be read \(permission denied\)"):
        opened(source)
    source = {"imagefolder": {"path": source["imagefolder"], "unreadable": "skip"}}
    assert opened(source).split("train").ids == ["a/0.png"]


def test_unreadable_images_of_tables_and_shards_are_left_out(tmp_path: Path) -> None:
    folder(tmp_path, grey(), grey())
    (tmp_path / "a" / "0.png").write_bytes(b"x")
    (tmp_path / "t.csv").write_text("file,y\na/0.png,p\na/1.png,q\n")
    with tarfile.open(tmp_path / "s.tar", "w") as shard:
        for number in range(2):
            shard.add(tmp_path / "a" / f"{number}.png", f"{number}.png")
            (tmp_path / "label").write_text(str(number))
            shard.add(tmp_path / "label", f"{number}.cls")
    for format, spec in (
        ("table", {"path": "t.csv", "label": "y", "image": "file"}),
        ("webdataset", {"path": "s.tar"}),
    ):
        source = {**spec, "path": str(tmp_path / spec["path"])}
        with pytest.raises(UserError, match="cannot be read"):
            opened({format: source})
        dataset = opened({format: {**source, "unreadable": "skip"}})
        assert dataset.split("train").ids == ["1"]
        assert kinds(dataset)["unreadable images, left out"] == 1


def test_images_within_a_parquet_file_are_named_and_their_bytes_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for value in ("'abc'::BLOB", "{'bytes': 'abc'::BLOB, 'path': 'x.png'}"):
        duckdb.execute(f"COPY (SELECT {value} AS image, 1 AS y) TO '{path}' (FORMAT parquet)")
        with pytest.raises(UserError, match=r"row 0: cannot be read \(not an image") as raised:
            opened({"table": {"path": str(path), "label": "y", "image": "image"}})
        assert "abc" not in str(raised.value)


def test_unreadable_is_for_images() -> None:
    with pytest.raises(ValueError, match="'unreadable' and 'suffix' are only for a column of images"):
        described({"table": {"path": "x.csv", "label": "y", "unreadable": "skip"}}, [4])


def test_damaged_images_of_every_format_are_refused_and_nothing_else(tmp_path: Path) -> None:
    """Bytes are changed at random: what comes back is an image or an error of ours."""
    random = np.random.default_rng(7)
    for format in pillow_images.list_formats():
        if format in ("DIB", "AVIF") and not features.check("avif"):
            continue
        stored = BytesIO()
        Image.fromarray(COLOURS).save(stored, format)
        for number in range(60):
            content = bytearray(stored.getvalue())
            for _ in range(int(random.integers(1, 6))):
                content[int(random.integers(0, min(len(content), 200)))] = int(random.integers(0, 256))
            (tmp_path / f"{number}.img").write_bytes(content[: int(random.integers(1, len(content) + 1))])
        names = pack([[f"{number}.img" for number in range(60)]])
        damaged = ImageFiles(tmp_path, names, StoredInput([3, SIDE, SIDE], ImageSteps(resize=SIDE), scale=255))
        for row in range(60):
            try:
                scan_images(damaged, np.array([row]), "x", decode=True)
            except UserError as error:
                assert str(error).startswith("x: ")
