"""The data, the manifests and the requests of the week that `week.py` simulates."""

import csv
import gzip
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache import DATA

Request = dict[str, Any]

RUNS, REQUESTS, PERSONS = 14, 200, 400
CLASS, CLASS_RUN = 8, 7  # Bag is asked for before the eighth run
RECORDS = {"train": 8_000, "test": 4_000}
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [256, 128]}}
input: {shape: [784], scale: 255, mean: 0.286, std: 0.353}
classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
data:
  train: {npz: {path: FOLDER/train.npz, ids: record}}
  test: {npz: {path: FOLDER/test.npz, ids: record}}
"""


def write_data(folder: Path) -> None:
    """Write the first records of both parts, each with an id and a synthetic person."""
    for part, prefix in {"train": "train", "test": "t10k"}.items():
        count = RECORDS[part]
        images = read_idx(f"{prefix}-images-idx3-ubyte.gz", 16)[: count * 784].reshape(count, 784)
        labels = read_idx(f"{prefix}-labels-idx1-ubyte.gz", 8)[:count].astype(np.int64)
        persons = np.random.default_rng(count).permutation(count) % PERSONS
        records = np.array([f"{part}-{number:05}" for number in range(count)])
        np.savez(folder / f"{part}.npz", x=images, y=labels, record=records, person=persons)


def read_idx(name: str, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress((DATA / "fashion-mnist" / name).read_bytes()), np.uint8, offset=header)


def nights() -> Iterator[list[Request]]:
    """Return the requests that come before each run: of every five four name records, one a person; once, a class."""
    random_, left = random.Random(0), REQUESTS
    for number in range(RUNS):
        count = left // (RUNS - number)
        left -= count
        asked = []
        for position in range(count):
            if number == CLASS_RUN and position == 0:
                asked.append({"classes": [CLASS]})
            elif position % 5 == 4:
                asked.append({"groups": {"column": "person", "values": [random_.randrange(PERSONS)]}})
            else:
                chosen = random_.sample(range(RECORDS["train"]), random_.randint(1, 5))
                asked.append({"ids": [f"train-{one:05}" for one in chosen]})
        yield asked


def named(request: Request, stored: Any) -> np.ndarray:
    """Return which records of train a request names."""
    if "ids" in request:
        return np.isin(stored["record"], request["ids"])
    column, values = ("y", request["classes"]) if "classes" in request else ("person", request["groups"]["values"])
    return np.isin(stored[column], values)


def write_deleted(folder: Path, nights: Sequence[list[Request]]) -> None:
    """List all records that were asked for, and those of them that are not of the class."""
    with np.load(folder / "train.npz") as stored:
        chosen = np.any([named(request, stored) for asked in nights for request in asked], axis=0)
        lists = {"all": chosen, "deleted": chosen & (stored["y"] != CLASS)}
        for name, rows in lists.items():
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([["id"], *([record] for record in stored["record"][rows])])


def write_manifest(folder: Path, name: str, sections: str) -> None:
    data = folder if (folder / "train.npz").exists() else folder.parent
    (folder / name).write_text(MANIFEST.replace("FOLDER", str(data)) + sections, encoding="utf-8")
