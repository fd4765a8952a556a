"""What a damaged tar shard is read as: the same records, an error, or other records without a message.

python -m benchmarks.damaged_shards      prints the table of the version that is imported, which PYTHONPATH decides

`results/damaged_shards.md` has it before and after headers and the end of an archive were checked.
"""

import argparse
import io
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from unlearn_cli.data.formats.webdataset import webdataset
from unlearn_cli.data.records import StoredInput
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Webdataset

RECORDS, SIDE, BLOCK = 40, 8, 512
OUTCOMES = ("refused", "the same records", "fewer records, no message", "other content, no message")


def shard() -> bytes:
    """Return a shard of random images, padded as writers pad it; every second member has a pax header."""
    random, buffer = np.random.default_rng(0), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for row in range(RECORDS):
            picture = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(picture, "png")
            for suffix, content in (("png", picture.getvalue()), ("cls", str(row % 3).encode())):
                member = tarfile.TarInfo(f"{row:04d}.{suffix}")
                member.size, member.mtime = len(content), 1e9 + row % 2 / 2  # a fraction of a second needs pax
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def layout(data: bytes) -> tuple[list[int], list[int], int]:
    """Return the bytes of checksummed headers, those of contents, and where the end of the archive begins."""
    headers: list[int] = []
    contents: list[int] = []
    position = 0
    while data[position : position + BLOCK].strip(b"\0"):
        size = int(data[position + 124 : position + 135], 8)
        headers += range(position, position + BLOCK)
        contents += range(position + BLOCK, position + BLOCK + size)
        position += BLOCK + -(-size // BLOCK) * BLOCK
    return headers, contents, position


def damages(data: bytes, count: int) -> dict[str, Iterator[bytes]]:
    random = np.random.default_rng(1)
    headers, contents, end = layout(data)

    def flips(places: list[int] | range) -> Iterator[bytes]:
        for place, bit in zip(random.choice(places, count), random.integers(0, 8, count), strict=True):
            changed = bytearray(data)
            changed[place] ^= 1 << int(bit)
            yield bytes(changed)

    return {
        "cut off at a random byte": (data[: int(size)] for size in random.integers(0, len(data), count)),
        "one bit of a header": flips(headers),
        "one bit of the two end blocks": flips(range(end, end + 2 * BLOCK)),
        "one bit of the content of a member or of an extended header": flips(contents),
        "one block taken out": (
            data[: BLOCK * block] + data[BLOCK * (block + 1) :]
            for block in random.integers(0, end // BLOCK, count).tolist()
        ),
        "another shard after the end": (data + data for _ in range(1)),
    }


def content_of(path: Path) -> dict[str, tuple[str, bytes]]:
    spec, input = Webdataset(path=path), StoredInput([3, SIDE, SIDE])
    records = webdataset(spec, "data.train", input, "classification")
    labels = map(str, records.labels.tolist())
    facts: Iterator[tuple[str, bytes]] = zip(labels, map(bytes, records.fingerprints), strict=True)
    return dict(zip(records.ids.tolist(), facts, strict=True))


def outcome(path: Path, data: bytes, expected: dict[str, tuple[str, bytes]]) -> str:
    path.write_bytes(data)
    try:
        found = content_of(path)
    except UserError:
        return OUTCOMES[0]
    if found == expected:
        return OUTCOMES[1]
    return OUTCOMES[2] if len(found) < len(expected) else OUTCOMES[3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="damages of each kind")
    count = parser.parse_args().count
    data = shard()
    print(f"| damage | cases | {' | '.join(OUTCOMES)} |\n|---|---|{'---|' * len(OUTCOMES)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.tar"
        path.write_bytes(data)
        expected = content_of(path)
        for name, damaged in damages(data, count).items():
            counts = Counter(outcome(path, one, expected) for one in damaged)
            cells = [f"{counts[one]} ({100 * counts[one] / counts.total():.1f} %)" for one in OUTCOMES]
            print(f"| {name} | {counts.total()} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
