"""The inputs of a run, and facts about them that need no torch: copies of records, keys, digests."""

import contextlib
import hmac
import json
import shutil
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.console import pluralize
from unlearn_cli.data import selection
from unlearn_cli.data.dataset import Dataset, Split
from unlearn_cli.data.digests import CHUNK
from unlearn_cli.data.images.file_facts import FileFacts
from unlearn_cli.evaluation.recorded_categories import categories_as_lineage
from unlearn_cli.evaluation.reported_half import ReportedHalf
from unlearn_cli.models.config_files import digest_config
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.forget import Forget
from unlearn_cli.schema.manifest import ManifestDigests
from unlearn_cli.schema.network_sections import NetworkSections
from unlearn_cli.storage.version import VERSION


@dataclass(frozen=True)
class RunInputs:
    """The inputs of a command: the used sections of the manifest, the data, and the command's options."""

    path: Path  # of the manifest, for messages
    network: NetworkSections
    forget: Forget | None
    digests: ManifestDigests
    manifest_text: str  # without ids and absolute paths, for reports
    dataset: Dataset
    common: RunOptions
    reported: ReportedHalf = field(default_factory=ReportedHalf)
    facts: FileFacts | None = None  # of earlier runs, about image files


@dataclass(frozen=True)
class Copies:
    """Counts of records that equal a forgotten one byte for byte; `of_forgotten`: one that earlier runs forgot."""

    in_retain: int | None
    in_test: int
    of_forgotten: int = 0


def find_copies(opened: RunInputs) -> Copies:
    """Count the copies of forgotten records in retain and in test, and warn of them."""
    splits = opened.dataset.splits
    in_test = int(splits["test"].copies_of(splits["forget"]).sum()) if {"test", "forget"} <= splits.keys() else 0
    if in_test:
        console.warn(
            f"{records_equal(in_test, 'test')} a forgotten one byte for byte, so they are not never-seen records; "
            "remove them from data.test"
        )
    return Copies(count_duplicates(opened), in_test, count_relearned(opened))


def records_equal(count: int, split: str) -> str:
    return pluralize(count, f"record of {split} equals", f"records of {split} equal")


def count_relearned(opened: RunInputs) -> int:
    """Count the records of train that equal a record which earlier runs forgot, and warn."""
    splits = opened.dataset.splits
    count = int(splits["train"].copies_of(splits["forgotten"]).sum()) if "forgotten" in splits else 0
    if count:
        console.warn(
            f"{records_equal(count, 'train')} a record of 'forgotten' byte for byte: training on "
            f"{'it' if count == 1 else 'them'} may restore the knowledge; forget "
            f"{'this record' if count == 1 else 'these records'}, too"
        )
    return count


def count_duplicates(opened: RunInputs) -> int | None:
    """Count the records of retain that equal a forgotten one, and warn: training on them may restore the knowledge."""
    splits = opened.dataset.splits
    if "forget" not in splits:
        return None
    train, forgotten = splits["train"], splits["forget"]
    mask = np.zeros(len(train), dtype=bool)
    mask[forgotten.rows] = True
    count = len(selection.find_duplicates(train.records, mask, trusted=False))
    if count:
        console.warn(
            f"{records_equal(count, 'retain')} a forgotten one byte for byte; --forget-duplicates forgets "
            f"{'it' if count == 1 else 'them'}, too"
        )
    return count


def remaining_class(opened: RunInputs) -> str | None:
    """Return the name of the only class that remains without forget; None if several remain or none is forgotten."""
    dataset = opened.dataset
    names = dataset.classes or []
    if dataset.forget_classes is None or len(names) < 2:
        return None
    if "retain" in dataset.splits:
        left = np.unique(dataset.split("retain").labels).tolist()
    else:
        left = sorted(set(range(len(names))) - set(dataset.forget_classes))
    return names[left[0]] if len(left) == 1 else None


def constant_network(opened: RunInputs) -> str | None:
    """Return a caveat where only one class remains: the result can only be a constant network."""
    name = remaining_class(opened)
    if name is None:
        return None
    return f"Only class '{name}' remains: the result can only be a network that predicts it for every record."


def resume_key(opened: RunInputs, settings: BaseModel, **facts: Any) -> str:
    """Return a digest of the manifest, settings, options and version, without the records and the selection.

    It names the folder of a run's state, and everyone who can list folders can read that name. `resume_identity`
    covers the rest.
    """
    common = opened.common
    decides: dict[str, Any] = {
        "manifest": opened.digests.content,
        "settings": settings.model_dump(mode="json"),
        "options": [
            common.device,
            common.precision,
            common.seed,
            common.batch_size,
            common.forget_duplicates,
            common.compiled,
        ],
        "version": VERSION,
        **facts,
    }
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def resume_identity(opened: RunInputs) -> str:
    """Return a digest of the records and the selection; only a salted digest of it may be written to a file.

    A run resumes only from a state with the same identity. The content of the data is part of it, because a file of
    ids to forget may have grown since the run was interrupted.
    """
    decides = {
        "forget": opened.forget.model_dump(mode="json") if opened.forget else None,
        "data": [content_digest(split) for split in opened.dataset.splits.values()],
        **({"architecture": config} if (config := digest_config(opened.network)) else {}),
    }
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def selection_digest(opened: RunInputs) -> str | None:
    """Return the HMAC-SHA256 of the sorted ids to forget with the ledger's key; None outside of a deletion batch.

    Without a secret key, the ids could be guessed and verified against the digest.
    """
    key, splits = opened.common.selection_key, opened.dataset.splits
    if key is None or "forget" not in splits:
        return None
    digest = hmac.new(key, b"selection", sha256)
    for chunk in splits["forget"].sort_ids():
        for text in chunk:
            content = text.encode(errors="surrogatepass")
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def lineage_of(opened: RunInputs) -> dict[str, str]:
    """Return the metadata of a new checkpoint: digests of manifest and selection, and the categories of columns."""
    selection = selection_digest(opened)
    return {
        "manifest_digest": opened.digests.content,
        **({"selection_digest": selection} if selection else {}),
        **categories_as_lineage(opened.dataset.categories),
    }


def partial_folder(out: Path, key: str) -> Path:
    """Return the folder for a run's state, below a sibling of the output; it is created with the first state."""
    return out.parent / f"{out.name}.partial" / key[:16]


def content_digest(split: Split) -> str:
    """Return a digest of a split's rows, labels and samples; see `Records.quick_fingerprints`."""
    digest = sha256()
    for numbers in (split.rows, split.labels):
        digest.update(np.ascontiguousarray(numbers).data)
    for start in range(0, len(split), CHUNK):
        digest.update(split.records.quick_fingerprints[split.rows[start : start + CHUNK]].tobytes())
    return digest.hexdigest()


def forget_state(partial: Path) -> None:
    """Remove the state of a finished run, and the folder above it when it is empty."""
    shutil.rmtree(partial, ignore_errors=True)
    with contextlib.suppress(OSError):  # absent, or it holds the state of another run
        partial.parent.rmdir()


def settings_digest(settings: BaseModel) -> str:
    """Return a digest of completed settings, for a checkpoint's lineage."""
    return sha256(settings.model_dump_json().encode()).hexdigest()
