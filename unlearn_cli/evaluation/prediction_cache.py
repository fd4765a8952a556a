"""Predictions of frozen networks, stored next to the outputs of runs, so that no run computes them again.

The name of a file is a digest of everything that decides the predictions: the weights, the records and how they become
inputs, the architecture, device, precision, threads, library versions and the code of this package. A file is therefore
never stale, unless image files changed unnoticed (see `data.images.file_facts`). It has outputs per record, which say
whether a person was in the data: only its owner may read it, 'unlearn-cli clean' lists it, and deletion batches neither
write nor trust any.
"""

import json
import platform
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from unlearn_cli import console, ranks
from unlearn_cli.data.batches import Batches
from unlearn_cli.evaluation.run_inputs import RunInputs, content_digest
from unlearn_cli.models.config_files import digest_config
from unlearn_cli.runtime.run import Run
from unlearn_cli.schema.network_sections import Target
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.leftovers import PREDICTIONS
from unlearn_cli.storage.regular_files import try_open

MOST_BYTES = 2**30  # of all files of a folder; the oldest are removed first
CODE = ("checkpoints", "data", "evaluation", "learning", "models")  # folders of the package that decide predictions
LIBRARIES = ("torchvision", "timm", "transformers")  # that build networks, in addition to torch
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
Arrays = dict[str, np.ndarray]


class PredictionCache:
    """The stored predictions for the runs that write to one folder."""

    def __init__(self, folder: Path, opened: RunInputs, run: Run, target: Target) -> None:
        self.folder, self.opened, self.run, self.target = folder, opened, run, target
        self.announced = False
        self.written: list[Path] = []
        retain = opened.dataset.splits.get("retain")
        self.selection = content_digest(retain) if retain else ""  # it decides how samples are standardised

    def find_path(self, weights: str, batches: Batches, kind: str) -> Path:
        """Return the file for predictions of weights with this digest; `kind`: outputs, or observed with features."""
        common = self.opened.common
        facts = {
            "weights": weights,
            "records": content_digest(batches.split),
            "selection": self.selection,
            "kind": kind,
            "manifest": self.opened.digests.content,
            "categories": self.opened.dataset.categories,
            "architecture": digest_config(self.opened.network),
            "target": [self.target.mean, self.target.std],
            "device": describe_device(self.run),
            "options": [str(self.run.predicted_in), str(self.run.memory_format), common.compiled],
            "threads": torch.get_num_threads(),
            "versions": list_versions(),
            "code": digest_code(),
        }
        return self.folder / f"{sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()}.npz"

    def read(self, path: Path) -> Arrays | None:
        """Return the arrays of a file; None if there is none, or it is damaged."""
        try:
            with try_open(path) as file, np.load(file, allow_pickle=False) as arrays:
                stored = {name: arrays[name].astype(np.float64) for name in arrays.files}
        except FileNotFoundError:
            return None
        except DAMAGED:
            console.warn(f"{path}: stored predictions are damaged; they are computed again")
            return None
        if not self.announced:
            console.say("predictions of an earlier run are used; --no-cache computes them again")
            self.announced = True
        return stored

    def write(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        """Store arrays, in half the size if that loses nothing; the oldest files make room."""
        if sum(array.nbytes for array in arrays.values()) > MOST_BYTES:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.written.append(path)
        with atomic_files.output_file(path, mode=0o600) as new, new.open("wb") as file:
            np.savez(file, allow_pickle=False, **{name: shrink(array) for name, array in arrays.items()})
        self._make_room()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove what this run has written if it fails: a failed run leaves nothing."""
        if kind is None:
            return
        for path in self.written:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # absent, or it has files of other runs
            self.folder.rmdir()

    def _make_room(self) -> None:
        files = sorted(self.folder.glob("*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > MOST_BYTES:
                file.unlink(missing_ok=True)


def open_cache(out: Path | None, opened: RunInputs, run: Run, target: Target) -> PredictionCache | None:
    """Return the cache next to an output; None without an output, with --no-cache, and where no digest covers the code.

    The user's own code may read anything, and several processes would have to agree on every file.
    """
    if out is None or not opened.common.cache or opened.network.own_code or ranks.size() > 1:
        return None
    return PredictionCache(out.parent / PREDICTIONS, opened, run, target)


def shrink(array: np.ndarray) -> np.ndarray:
    """Return numbers as float32 if all of them have such a value."""
    small = array.astype(np.float32)
    return small if np.array_equal(small.astype(array.dtype), array, equal_nan=True) else array


def describe_device(run: Run) -> str:
    return torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else f"{run.device} {_describe_cpu()}"


@cache
def _describe_cpu() -> str:
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


@cache
def list_versions() -> dict[str, str]:
    """Return the versions of torch and of the libraries that build networks, if they are installed."""
    return {"torch": str(torch.__version__), **{name: _find_version(name) for name in LIBRARIES}}


def _find_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@cache
def digest_code() -> str:
    """Return a digest of the files of this package that decide predictions."""
    package = Path(__file__).parents[1]
    digest = sha256()
    for file in sorted(path for folder in CODE for path in (package / folder).rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
