"""How long does it take, and how much memory, to find 10^6 ids among 10^7 records?

python -m benchmarks.batch.resolve            # csv and Parquet, 10^6 and 10^7 records, 10^5 and 10^6 ids
python -m benchmarks.batch.resolve 1e8        # and 10^8 records of Parquet: 6 GB of disk, several minutes

Each case in a process of its own. Writes results/resolve.md.
"""

import hmac
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.output import write_result
from unlearn_cli.batch.resolve.resolution import resolve
from unlearn_cli.batch.resolve.source_connection import THREADS
from unlearn_cli.schema import manifest
from unlearn_cli.schema.forget import Groups
from unlearn_cli.schema.sources import Condition

KEY = bytes(range(32))
CASES = [(kind, 10**n, 10**k) for kind in ("csv", "parquet") for n in (6, 7) for k in (5, 6)]
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp}
input: {shape: [1]}
data: {train: {table: {path: source.KIND, label: label, id: id, features: [x]}}}
"""
RECORDS = """\
SELECT printf('record-%09d', (i * 7919) % N) AS id, 'person-' || (i % (N // 20)) AS person, i % 10 AS label,
       (i * 31) % 90 AS age, (i % 1000) / 1000.0 AS x FROM range(N) t(i)
"""
NEEDED = 100  # bytes of disk a record: the source, and what is spilled


@dataclass
class Asked:
    """A request."""

    request: str
    ids: Sequence[str] = ()
    groups: Groups | None = None
    classes: Sequence[str] = ()
    where: Sequence[Condition] = ()


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    more = [("parquet", int(float(text)), 10**6) for text in sys.argv[1:]]
    rows = [row(*case) for case in [*CASES, *more]]
    head = Path(__file__).with_name("resolve_table.md").read_text(encoding="utf-8").replace("THREADS", str(THREADS))
    write_result("resolve.md", head + "\n".join(rows) + "\n")


def row(kind: str, records: int, ids: int) -> str:
    """Make a source, resolve against it in a process of its own, and tell what that took."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < NEEDED * records:
        raise SystemExit(f"{records} records need {NEEDED * records >> 20} MiB of disk; there are {free >> 20}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, kind, records, ids)
        command = [sys.executable, "-m", "benchmarks.batch.resolve", "--one", str(folder)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        size = (folder / f"source.{kind}").stat().st_size >> 20
    assert found["counts"] == counts(records, ids), found["counts"]
    text = f"| {kind} | {size} | {records:,} | {ids:,} | {found['seconds']:.1f} | {found['cpu']:.1f} "
    text += f"| {1e6 * found['cpu'] / records:.1f} | {found['memory'] >> 20} | {found['disk'] >> 20} |"
    print(text, flush=True)
    return text


def write(folder: Path, kind: str, records: int, ids: int) -> None:
    """Write the source, its manifest, the ids asked for, and the ledger's keyed hashes."""
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '1GiB'; SET temp_directory = '{folder / 'spilled'}'")
    connection.execute(f"COPY ({RECORDS.replace('N', str(records))}) TO '{folder / f'source.{kind}'}'")
    connection.close()
    (folder / "data.yaml").write_text(MANIFEST.replace("KIND", kind), encoding="utf-8")
    step = records // ids
    with (folder / "ids.txt").open("w", encoding="ascii") as asked, (folder / "digests.csv").open("w") as known:
        known.write("digest\n")
        for i in range(ids):
            record = f"record-{i * step:09d}"
            purged, nobody = i % 100 == 0, i % 100 == 50
            asked.write(f"purged-{i}\n" if purged else f"nobody-{i}\n" if nobody else f"{record}\n")
            forgotten = f"purged-{i}" if purged else record if i % 2 else f"gone-{i}"
            known.write(hmac.digest(KEY, forgotten.encode(), "sha256").hex() + "\n")


def counts(records: int, ids: int) -> list[int]:
    """Return what must be found of the ids: to be forgotten, forgotten already, purged, unknown."""
    return [ids // 2 - ids // 50, ids // 2, ids // 100, ids // 100]


def measure(folder: Path) -> dict[str, Any]:
    described, out = manifest.read(folder / "data.yaml"), folder / "out"
    out.mkdir()
    requests = [
        Asked("ids", (folder / "ids.txt").read_text(encoding="ascii").split()),
        Asked("persons", groups=Groups(column="person", values=["person-1", "person-2"])),
        Asked(
            "conditions", where=[Condition(column="age", op="<", value=1), Condition(column="x", op="<", value=0.01)]
        ),
    ]
    disk, done = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(out, disk, done))
    watcher.start()
    begun, spent = time.monotonic(), time.process_time()
    found = resolve(described, folder / "data.yaml", requests, out, digests=folder / "digests.csv", key=KEY)
    seconds, cpu = time.monotonic() - begun, time.process_time() - spent
    done.set()
    watcher.join()
    one = found.requests[0]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "cpu": cpu, "memory": memory, "disk": disk[0],
            "counts": [one.records, one.already, one.purged, one.unknown]}  # fmt: skip


def watch(folder: Path, highest: list[int], done: threading.Event) -> None:
    """Note the largest size of a folder."""
    while not done.wait(0.2):
        there = [Path(parent, file) for parent, _, files in os.walk(folder) for file in files]
        highest[0] = max(highest[0], sum(size(path) for path in there))


def size(path: Path) -> int:
    try:
        return os.stat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    main()
