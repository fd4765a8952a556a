"""Tables of 10^5, 10^6 and 10^7 image paths: how long opening takes, what memory it needs, is every row read once?

python -m benchmarks.data.paths

A parquet file names the bundled digits, written as 1,797 PNG files, again and again, each row with an id of its own. In
1 and in 2 processes it is opened, and the batches of an epoch are read by streaming workers. Writes results/paths.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import torch
from PIL import Image

from benchmarks.cache import HERE
from benchmarks.engine.billion import children
from benchmarks.output import write_result
from unlearn_cli import ranks
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.data.batches import Batches
from unlearn_cli.data.records import Inputs
from unlearn_cli.data.stores import StreamedStore
from unlearn_cli.evaluation import session
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.runtime.processes import shard_rows

SIZES, FEW = (10**5, 10**6, 10**7), 2000
FIRST, LAST = 50, 400  # batches after which memory is looked at
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp}
input: {shape: [1, 8, 8]}
data: {train: {table: {path: SIZE.parquet, label: y, id: id, image: file}}}
forget: {ids: [record-000000007, record-000001999]}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_images(folder)
        for size in (FEW, *SIZES):
            write_table(folder, size, files)
        rows = [row(folder, size, processes) for size in SIZES for processes in (1, 2)]
    head = Path(__file__).with_name("paths_table.md").read_text(encoding="utf-8")
    write_result("paths.md", head + "\n".join(rows) + "\n")
    print("\n".join(rows))


def write_images(folder: Path) -> list[str]:
    """Write the digits; return their paths below the folder."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    files = []
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        files.append(f"images/{label}/{number:04d}.png")
        (folder / files[-1]).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).save(folder / files[-1])
    return files


def write_table(folder: Path, size: int, files: list[str]) -> None:
    """Write a manifest, and a parquet file of so many rows, in which neighbours lie in different folders."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE files AS SELECT unnest(?) AS file, unnest(?) AS number", [files, [*range(1797)]]
        )
        rows = (
            "SELECT 'record-' || lpad(i::VARCHAR, 9, '0') AS id, file, split_part(file, '/', 2)::INT AS y "
            f"FROM range({size}) AS t(i) JOIN files ON number = i * 7919 % 1797 ORDER BY i"
        )
        connection.execute(f"COPY ({rows}) TO '{folder / f'{size}.parquet'}' (FORMAT parquet)")
    (folder / f"{size}.yaml").write_text(MANIFEST.replace("SIZE", str(size)), encoding="utf-8")


def row(folder: Path, size: int, processes: int) -> str:
    """Run the processes; return the row with the numbers of the first, and how often each row of the table was met."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    words = [sys.executable, *launcher, "-m", "benchmarks.data.paths", str(folder), str(size)]
    subprocess.run(words, check=True, env={**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"})
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    noted = sorted(folder.glob("*.rows"))
    times = np.bincount(np.concatenate([np.fromfile(path, dtype=np.int64) for path in noted]), minlength=size)
    for path in noted:
        path.unlink()
    once = f"{(times == 1).sum():,} of {len(times):,} {'read' if size == SIZES[0] else 'in the order'}"
    memory = " | ".join(f"{mebibytes:.0f}" for mebibytes in told["memory"])
    return f"| {size:,} | {processes} | {told['seconds']:.1f} | {told['bytes']:.0f} | {memory} | {once} |"


def child(folder: Path, size: int) -> None:
    """Open the table, read batches, and tell what it took; every process notes the rows that it meets."""
    open_table(folder, FEW)  # what opening imports shall not count
    before, begun = own_memory(), time.monotonic()
    opened = open_table(folder, size)
    seconds, grown = time.monotonic() - begun, own_memory() - before
    with session.start(opened) as current:
        seen = watched(current.batches("train"), folder, size)
    if ranks.is_first():
        told = {"seconds": seconds, "bytes": grown * 2**20 / size, "memory": [before, *seen]}
        (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


def open_table(folder: Path, size: int) -> RunInputs:
    return open_inputs(folder / f"{size}.yaml", RunOptions(device="cpu", memory_budget=0))


def watched(batches: Batches, folder: Path, size: int) -> list[float]:
    """Read the batches of an epoch (of a large table, some); return the memory of the process and of a worker."""
    chunks, whole = batches.order("", 0), size == SIZES[0]
    if whole:
        store = StreamedStore(Noted(batches.split.records.inputs, folder), torch.device("cpu"))
        batches = replace(batches, store=store)
    else:
        np.concatenate([shard_rows(chunk) for chunk in chunks]).tofile(folder / f"{ranks.rank()}.rows")
    seen = []
    for step, _ in enumerate(batches.read(chunks, "", 0)):
        if step in (FIRST, LAST):
            seen.append((own_memory(), max(map(private_memory, children(os.getpid())))))
        if step == LAST and not whole:
            break
    return [memory for pair in zip(*seen, strict=True) for memory in pair]


def own_memory() -> float:
    """Return this process's anonymous memory in MiB."""
    return kibibytes("status", os.getpid(), "RssAnon:") / 2**10


def private_memory(worker: int) -> float:
    """Return in MiB what a forked process has for itself; all other pages it shares with the one that forked it."""
    return kibibytes("smaps_rollup", worker, "Private_Dirty:") / 2**10


def kibibytes(file: str, process: int, name: str) -> int:
    lines = Path(f"/proc/{process}/{file}").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


@dataclass(frozen=True)
class Noted:
    """Inputs that note which rows are read, in a file a process."""

    inputs: Inputs
    folder: Path

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: np.ndarray) -> np.ndarray:
        with (self.folder / f"{ranks.rank()}-{os.getpid()}.rows").open("ab") as file:
            file.write(rows.astype(np.int64).tobytes())
        return self.inputs.take(rows)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return self.inputs.fingerprints(rows)


if __name__ == "__main__":
    child(Path(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 1 else main()
