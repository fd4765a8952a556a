"""A tar shard that is damaged, truncated or holds what cannot be used is refused with its offset, or counted."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from tests.data.test_sources import opened
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.notices import format_notices
from unlearn_cli.errors import UserError
from unlearn_cli.storage.path_patterns import MAX_SHARDS, expand_range

SHAPE = [3, 4, 4]
BLOCK = 512


def shard(*members: tuple[str, bytes] | tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            header = tarfile.TarInfo(member[0])
            header.size = len(member[1])
            tar.addfile(header, io.BytesIO(member[1]))
    return buffer.getvalue()


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "png")
    return buffer.getvalue()


PNG = png()


def records(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    rows = range(first, first + count)
    return [(f"{row:03d}.{suffix}", content) for row in rows for suffix, content in (("png", PNG), ("cls", b"0"))]


def train(folder: Path, data: bytes, **spec: str) -> Split:
    (folder / "shard.tar").write_bytes(data)
    return opened({"webdataset": {"path": str(folder / "shard.tar"), **spec}}, SHAPE).split("train")


def refusal(folder: Path, data: bytes, **spec: str) -> str:
    with pytest.raises(UserError) as caught:
        train(folder, data, **spec)
    assert "shard.tar" in str(caught.value)
    return str(caught.value)


def with_checksum(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def test_every_cut_is_refused_unless_only_padding_is_lost(tmp_path: Path) -> None:
    data = shard(*records(3))
    end = 3 * 2 * 2 * BLOCK
    for size in range(0, len(data), 64):
        if size < end + 2 * BLOCK:
            assert "byte" in refusal(tmp_path, data[:size])
        else:
            assert len(train(tmp_path, data[:size])) == 3


def test_every_flipped_bit_of_a_header_and_of_the_end_is_refused(tmp_path: Path) -> None:
    data = shard(*records(2))
    end = len(data.rstrip(b"\0")) // BLOCK * BLOCK + BLOCK
    for place in [*range(2 * BLOCK, 3 * BLOCK, 3), *range(end, end + BLOCK, 50)]:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 7
        if 2 * BLOCK + 148 <= place < 2 * BLOCK + 156:
            continue  # the checksum itself may be written in several ways
        assert f"byte {place // BLOCK * BLOCK}" in refusal(tmp_path, bytes(changed))


def test_a_flipped_bit_of_the_second_block_of_the_end_is_refused(tmp_path: Path) -> None:
    data = bytearray(shard(*records(2)))
    data[9 * BLOCK + 7] = 1
    assert f"end-of-archive blocks are damaged at byte {9 * BLOCK + 7}" in refusal(tmp_path, bytes(data))


def test_joined_archives_and_other_data_after_the_end_are_refused(tmp_path: Path) -> None:
    first, second = shard(*records(2)), shard(*records(2, first=2))
    assert f"data follows after the end of the archive, at byte {len(first)}" in refusal(tmp_path, first + second)
    assert "data follows after the end" in refusal(tmp_path, first + b"\n")
    assert len(train(tmp_path, first + bytes(12345))) == 2


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_and_times_of_every_writer_are_read(format: int, tmp_path: Path) -> None:
    folder = "/".join(["f" * 60] * (2 if format == tarfile.USTAR_FORMAT else 6))
    named = [(f"{folder}/{name}", content) for name, content in records(3)]
    assert train(tmp_path, shard(*named, format=format)).records.ids.tolist() == [f"{folder}/{i:03d}" for i in range(3)]


@pytest.mark.parametrize(
    ("kind", "says"),
    [(tarfile.SYMTYPE, "a symbolic link"), (tarfile.LNKTYPE, "a hard link"), (tarfile.FIFOTYPE, "a pipe"),
     (tarfile.CHRTYPE, "a device"), (b"Z", "unknown type"), (tarfile.GNUTYPE_SPARSE, "with holes")],
)  # fmt: skip
def test_members_that_are_no_files_are_refused(kind: bytes, says: str, tmp_path: Path) -> None:
    special = tarfile.TarInfo("000.txt")
    special.type, special.linkname = kind, "001.png"
    message = refusal(tmp_path, shard(*records(2), special, *records(2, first=2)))
    assert says in message
    assert f"byte {8 * BLOCK}" in message


def test_a_sparse_member_of_pax_is_refused(tmp_path: Path) -> None:
    sparse = tarfile.TarInfo("002.png")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    assert "with holes" in refusal(tmp_path, shard(*records(2), sparse))


@pytest.mark.parametrize(
    "content", [b"11 path=abc\n", b"x path=a\n", b"9999999999999999999999 path=a\n", b"9 path=aa\n"]
)
def test_malformed_pax_records_are_refused(content: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.size, header.type = len(content), tarfile.XHDTYPE
    data = header.tobuf(tarfile.USTAR_FORMAT) + content.ljust(BLOCK, b"\0")
    assert "byte 4096" in refusal(tmp_path, shard(*records(2))[: 8 * BLOCK] + data + shard(*records(2, first=2)))


def test_sizes_that_lie_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    first = shard(*records(2))[: 8 * BLOCK]
    header = tarfile.TarInfo("002.png").tobuf(tarfile.GNU_FORMAT)
    for size, says in ((-BLOCK, "negative"), (2**40, "more than follow")):
        field = (b"\xff" if size < 0 else b"\x80") + (size % 2**88).to_bytes(11, "big")
        lying = with_checksum(header[:124] + field + header[136:])
        assert says in refusal(tmp_path, first + lying + bytes(1024))
    long_name = tarfile.TarInfo("@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 2**33
    assert "extended header of" in refusal(tmp_path, first + long_name.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_what_belongs_to_no_record_is_counted(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("000")
    folder.type = tarfile.DIRTYPE
    extra = [("._000.png", b"?"), (".DS_Store", b"?"), ("000.txt", b"?"), ("001.seg.npy", b"?"), ("001.a-b", b"?")]
    members = sorted([*records(2), *extra])
    found = train(tmp_path, shard(folder, *members)).records
    assert format_notices(found.notices) == [
        "data.train: files of shards ending in .npy, left out: 1",
        "data.train: files of shards ending in .txt, left out: 1",
        "data.train: files of shards of another ending, left out: 1",
        "data.train: folders of shards, which hold no records themselves: 1",
        "data.train: hidden files of shards, left out: 2",
    ]
    assert found.ids.tolist() == ["000", "001"]


def test_two_files_for_one_role_are_refused(tmp_path: Path) -> None:
    two = [*records(1), ("000.jpg", PNG)]
    assert "two files for its image; set 'image' to the suffix of one" in refusal(tmp_path, shard(*two))
    assert len(train(tmp_path, shard(*two), image="png")) == 1
    assert "two files for its cls" in refusal(tmp_path, shard(*records(1), ("000.cls", b"1")))
    assert "unique keys" in refusal(tmp_path, shard(*records(1), ("000.json", b'{"a": 1, "a": 2}')))


@pytest.mark.parametrize("label", [b"", b" \n", b"1\0", b"0" * (2**20 + 1)])
def test_a_label_that_is_none_is_refused(label: bytes, tmp_path: Path) -> None:
    refusal(tmp_path, shard(*records(1), ("001.png", b"x"), ("001.cls", label)))


def test_a_range_is_bounded_before_it_is_expanded() -> None:
    with pytest.raises(UserError, match=f"1000000000 files; expected from 1 to {MAX_SHARDS}"):
        expand_range(Path("train-{000000000..999999999}.tar"))
    with pytest.raises(UserError, match="has 0 files"):
        expand_range(Path("train-{3..2}.tar"))
    assert len(expand_range(Path("train-{0..9}.tar"))) == 10


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shard.tar")
    with pytest.raises(UserError, match="is a pipe; expected a regular file"):
        opened({"webdataset": str(tmp_path / "shard.tar")}, SHAPE)
