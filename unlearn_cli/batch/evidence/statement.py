"""in-toto Statements as plain dictionaries: the parts that both kinds share, and the facts about a batch run.

Source: in-toto Attestation Framework, Statement v1, https://github.com/in-toto/attestation/tree/main/spec/v1.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.reporting import report
from unlearn_cli.reporting.report import Report
from unlearn_cli.storage import regular_files
from unlearn_cli.verdict.judgement import Gate

STATEMENT = "https://in-toto.io/Statement/v1"

# 'sha256' is always the digest of a file's bytes. Other digests have other names: of JSON with sorted keys, of record
# ids with the ledger's key, of tensors (names, dtypes, shapes, bytes; the same after re-sharding), of the last event.
CANONICAL, KEYED, TENSORS, CHAIN = "canonicalJsonSha256", "keyedSha256", "tensorsSha256", "ledgerEventSha256"

Statement = dict[str, Any]
Descriptor = dict[str, Any]  # a ResourceDescriptor


@dataclass(frozen=True)
class Artifact:
    """A file that was read or written."""

    name: str  # relative to the folder of deletion.yaml
    sha256: str  # hexadecimal


@dataclass(frozen=True)
class Facts:
    """The facts about a run that its reports do not have. None of them names a record."""

    run: str
    started: str  # ISO 8601 with a zone
    finished: str
    before: tuple[Artifact, ...]  # checkpoint before the run: a file, or an index and its shards
    after: tuple[Artifact, ...]  # new checkpoint
    unlearned: Artifact  # report.json of 'unlearn'
    attacked: Artifact | None  # report.json of 'attack'; None without an attack
    requests: tuple[str, ...]  # digests of the requests
    selection: str  # keyed digest of the list of records to forget
    ledger: str  # hash of the ledger's last event before the statement
    policy: str | None = None  # setting of deletion.yaml that accepts an undecided verdict


def list_artifacts(folder: Path, name: str) -> tuple[Artifact, ...]:
    """Return the files of the checkpoint in a folder with their digests, with names below `name`."""
    paths = sorted([*folder.glob("*.safetensors"), *folder.glob("*.index.json")])
    return tuple(Artifact(f"{name}/{path.name}", regular_files.sha256(path)) for path in paths)


def build_statement(subject: list[Descriptor], predicate_type: str, predicate: dict[str, Any]) -> Statement:
    """Return a statement of these parts."""
    return {"_type": STATEMENT, "subject": subject, "predicateType": predicate_type, "predicate": predicate}


def describe_file(artifact: Artifact) -> Descriptor:
    """Describe a file by its name and the digest of its bytes."""
    return {"name": artifact.name, "digest": {"sha256": artifact.sha256}}


def describe_checkpoint(files: tuple[Artifact, ...], checkpoint: report.Checkpoint | None) -> list[Descriptor]:
    """Describe a checkpoint by each of its files, and by its weights, independent of how files divide them."""
    weights = [{"name": "weights", "digest": {TENSORS: checkpoint.tensor_digest}}] if checkpoint else []
    return [*map(describe_file, files), *weights]


def describe_manifest(document: Report) -> Descriptor:
    """Describe the manifest by its content, without comments and layout."""
    return {"name": "manifest", "digest": {CANONICAL: document.manifest.manifest_digest}}


def select_subject_gates(document: Report) -> list[Gate]:
    """Return the gates of the checkpoint under test; the others are controls."""
    return [gate for gate in document.gates if gate.role == "subject"]


def describe_attack(document: Report | None) -> dict[str, Any] | None:
    """Return how strong the attacks were; None without an attack."""
    judgement = document.judgement if document else None
    if judgement is None:
        return None
    return {"tier": judgement.tier, "attempts": judgement.attempts, "half": judgement.holdout_half}


def to_json(statement: Statement) -> str:
    """Return a statement as canonical JSON text: sorted keys, no NaN, one newline at the end."""
    return json.dumps(statement, sort_keys=True, indent=2, allow_nan=False) + "\n"
