"""The report: its schema and its writer. Everything that differs between two equal runs is under `run`."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from unlearn_cli.schema.literals import Half, Role, Task
from unlearn_cli.stats.results import (
    AttackResult,
    Comparison,
    Confusion,
    Cost,
    Curve,
    Estimate,
    Finding,
    LabelScore,
    Layer,
    Part,
    Skipped,
)
from unlearn_cli.verdict.judgement import Gate, Judgement, OverForgetting, Verdict

SCHEMA_VERSION = "2.2"


class Checkpoint(Part):
    """One checkpoint, with the digests that identify its bytes."""

    role: Role
    name: str = Field(description="the file's name, without folders")
    file_sha256: str
    tensor_digest: str = Field(
        description="SHA-256 over names, dtypes, shapes and bytes; the same for any division into shards"
    )
    parameters: int
    lineage: dict[str, str] = Field(default_factory=dict, description="the checkpoint's metadata on its origin")


class Split(Part):
    """The contents of a split, without the id of any record."""

    n: int
    ids_digest: str = Field(
        description="keyed SHA-256 over the sorted record ids; the key is computed from the samples of train"
    )
    classes: dict[str, int] | None = Field(default=None, description="records per class")


class Notice(Part):
    """The number of records, rows or columns that a source omits or changes, for one reason."""

    source: str = Field(description="the source in the manifest, such as data.train")
    kind: str = Field(description="the omission or the change, in words")
    count: int


class Manifest(Part):
    manifest_digest: str | None = Field(
        default=None,
        description="SHA-256 of the manifest's content without `forget`; null for a report of schema 2.0",
    )
    selection_digest: str | None = Field(
        default=None,
        description="HMAC-SHA256 over the ids to forget with the ledger's key; null outside of a deletion batch, which "
        "has no key",
    )
    text: str | None = Field(
        default=None,
        description="the manifest as YAML; ids, values that identify persons and absolute paths are withheld; null for "
        "a report before schema 2.2",
    )
    task: Task
    architecture: str
    classes: list[str] | None = None
    forget_classes: list[str] | None = None
    splits: dict[str, Split] = Field(default_factory=dict)
    half: Half = Field(
        default="all",
        description="the half of the test split that the numbers on test, test_forget and test_retain are of: verdict "
        "where a method read the other half",
    )
    checks: dict[str, bool] = Field(default_factory=dict, description="check of the splits -> whether it holds")
    forgotten_unresolved: int | None = Field(
        default=None, description="ids of the manifest's `forgotten` without a record in train: no metric covers them"
    )
    notices: list[Notice] = Field(default_factory=list, description="omissions and changes in the sources, counted")

    @model_validator(mode="before")
    @classmethod
    def read_older(cls, value: Any) -> Any:
        """Remove the single digest of reports up to schema 2.0, which also covered the selection."""
        return {key: part for key, part in value.items() if key != "digest"} if isinstance(value, dict) else value


class Run(Part):
    """Everything that differs between two equal runs."""

    id: str
    command_line: str | None = Field(
        default=None,
        description="the command without absolute paths; null for a report before schema 2.2",
    )
    started: str
    finished: str
    seconds: dict[str, float] = Field(default_factory=dict, description="wall time per phase")
    shares: dict[str, float] = Field(default_factory=dict, description="share of the time per part, with --profile")
    peak_memory_bytes: int | None = None
    resumed: bool = False


class OutsideFunction(Part):
    """Code outside of the package that was run: a user's method, metric or attack."""

    name: str
    source: str = Field(description="file.py:function without its folder, or package.module:function")
    sha256: str = Field(description="of the file")


class Report(Part):
    schema_version: str = SCHEMA_VERSION
    tool_version: str
    command: str
    run: Run
    manifest: Manifest
    subject: Checkpoint | None = None
    original: Checkpoint | None = None
    references: list[Checkpoint] = Field(default_factory=list)
    method: str | None = None
    inputs: list[str] = Field(default_factory=list, description="all inputs of the method")
    code: list[OutsideFunction] = Field(default_factory=list, description="plug-ins outside of the package")
    settings: dict[str, Any] = Field(default_factory=dict)
    found: dict[str, float] = Field(default_factory=dict, description="settings that the method chose")
    seed: int
    environment: dict[str, Any]
    metrics: dict[str, dict[str, dict[str, Estimate]]] = Field(
        default_factory=dict, description="checkpoint (original, subject, reference) -> split -> metric"
    )
    comparisons: list[Comparison] = Field(default_factory=list)
    confusions: list[Confusion] = Field(default_factory=list)
    labels: list[LabelScore] = Field(
        default_factory=list, description="of multilabel records: the scores of each label"
    )
    layers: list[Layer] = Field(default_factory=list, description="of the subject, compared with the original")
    attacks: list[AttackResult] = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    skipped: list[Skipped] = Field(default_factory=list)
    curves: list[Curve] = Field(default_factory=list)
    gates: list[Gate] = Field(default_factory=list)
    verdict: Verdict | None = Field(default=None, description="of the gates; null without gates")
    judgement: Judgement | None = None
    over_forgetting: OverForgetting | None = Field(
        default=None, description="of 'unlearn' and 'evaluate': whether forget is far worse than records never seen"
    )
    cost: Cost = Field(default_factory=Cost)
    caveats: list[str] = Field(default_factory=list)


def to_json(report: Report) -> str:
    """Return the report as canonical JSON text: sorted keys, no NaN, one newline at the end."""
    return json.dumps(report.model_dump(mode="json"), sort_keys=True, indent=2, allow_nan=False) + "\n"


def write(report: Report, folder: Path) -> None:
    """Write `report.json` into a folder that is being built."""
    (folder / "report.json").write_text(to_json(report), encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the report."""
    return Report.model_json_schema()
