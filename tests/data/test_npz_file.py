"""Arrays are described before they are read: what is not asked for costs nothing, and no header is believed."""

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.test_sources import opened
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.notices import format_notices
from unlearn_cli.errors import UserError

X, Y = np.arange(24.0, dtype=np.float32).reshape(6, 4), np.arange(6) % 2


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(folder: Path, members: list[tuple[str, bytes]] = [], **arrays: np.ndarray) -> Path:
    with zipfile.ZipFile(folder / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*members, *((f"{key}.npy", npy(array)) for key, array in arrays.items())]:
            archive.writestr(name, content)
    return folder / "data.npz"


def train(path: Path, **spec: str) -> Split:
    return opened({"npz": {"path": str(path), **spec}}, [4]).split("train")


def refusal(path: Path, **spec: str) -> str:
    with pytest.raises(UserError) as caught:
        train(path, **spec)
    return str(caught.value)


def test_a_large_array_that_nobody_asks_for_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in (("x", X), ("y", Y)):
            archive.writestr(f"{name}.npy", npy(array))
        with archive.open("unneeded.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (2**25,)})
            for _ in range(2**5):
                member.write(bytes(2**20))
    tracemalloc.start()
    assert len(train(tmp_path / "data.npz")) == 6
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_columns_are_read_when_a_condition_asks_for_them(tmp_path: Path) -> None:
    split = train(npz(tmp_path, x=X, y=Y, who=np.array([b"a", b"b"] * 3), text=np.array(["u"] * 6)))
    assert split.records.column("who").tolist() == ["a", "b"] * 3
    with pytest.raises(UserError, match="no column 'wh'; did you mean 'who'"):
        split.records.column("wh")


def test_members_that_are_no_arrays_are_counted_and_refused_where_they_are_needed(tmp_path: Path) -> None:
    objects = io.BytesIO()
    np.save(objects, np.array([{}] * 6, dtype=object), allow_pickle=True)
    path = npz(tmp_path, [("readme.txt", b"text"), ("o.npy", objects.getvalue()), ("bad.npy", b"\x93NUMPY")], x=X, y=Y)
    assert format_notices(train(path).records.notices) == [
        "data.train: arrays that are not plain numbers or text, left out: 3"
    ]
    for name in ("o", "bad", "readme.txt"):
        assert f"not a plain npz file ('{name}'" in refusal(path, inputs=name)


HEADERS: dict[str, dict[str, Any]] = {
    "more than its bytes": {"descr": "<f4", "shape": (10**9, 4)}, "beyond 2**63": {"descr": "<f4", "shape": (2**64, 4)},
    "negative": {"descr": "<f4", "shape": (-6, 4)}, "objects": {"descr": "|O", "shape": (6,)},
    "of structures": {"descr": [("a", "<f4")], "shape": (24,)}, "void": {"descr": "|V4", "shape": (6, 4)},
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies_is_refused_before_anything_is_allocated(name: str, tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"fortran_order": False, **HEADERS[name]})
    path = npz(tmp_path, [("x.npy", header.getvalue() + X.tobytes())], y=Y)
    assert "'x'" in refusal(path)


def test_an_array_twice_or_encrypted_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, [("x", b"")], x=X, y=Y)
    assert "duplicate name" in refusal(path)
    path = npz(tmp_path, x=X, y=Y)
    data = bytearray(path.read_bytes())
    for place in (data.find(b"PK\3\4") + 6, data.find(b"PK\1\2") + 8):
        data[place] |= 1
    path.write_bytes(data)
    assert "encrypted" in refusal(path)


def test_a_member_whose_size_no_compression_reaches_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, x=X, y=Y)
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\1\2") + 24
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    assert "cannot be packed in" in refusal(path)


def test_text_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    for y in (
        np.array([0xD800] * 6, "<u4").view("<U1"),
        np.array([2**30] * 6, "<u4").view("<U1"),
        np.array([b"\xff"] * 6),
    ):
        assert "text that is not" in refusal(npz(tmp_path, x=X, y=y))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = npz(tmp_path, x=X, y=Y).read_bytes()
    for size in range(0, len(data), 7):
        (tmp_path / "data.npz").write_bytes(data[:size])
        refusal(tmp_path / "data.npz")
