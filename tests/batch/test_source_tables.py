"""Requests name records of tables in every form that a manifest can describe."""

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from unlearn_cli.batch.resolve.record_table import SelectionColumns
from unlearn_cli.batch.resolve.source_connection import connect_to_source, open_table
from unlearn_cli.schema.manifest import Manifest

ROWS = [("r0", "007", "1.5", "no"), ("r1", "7", "2.5", "yes"), ("r2", "007", "3.5", "no")]
LINES = "".join(", ".join(row) + "\n" for row in ROWS)
NAMES = ["key", "person", "f", "y"]


def write_text(folder: Path) -> dict[str, Any]:
    (folder / "t.data.gz").write_bytes(gzip.compress(LINES.encode("utf-16")))
    return {"path": str(folder / "t.data.gz"), "header": NAMES, "encoding": "utf-16"}


def write_skipped(folder: Path) -> dict[str, Any]:
    (folder / "t.test").write_text(f"|1x3 odd\n{LINES}", encoding="utf-8")
    return {"path": str(folder / "t.test"), "header": NAMES, "skip_lines": 1}


def write_renamed(folder: Path) -> dict[str, Any]:
    (folder / "t.tsv").write_text("\n".join("\t".join(row) for row in [NAMES, *ROWS]) + "\n", encoding="utf-8")
    return {"path": str(folder / "t.tsv"), "label_names": {"no": "never"}}


def write_named(folder: Path) -> dict[str, Any]:
    """Write two parquet files whose metadata names the classes."""
    features = {"y": {"_type": "ClassLabel", "names": ["no", "yes"]}}
    extra = json.dumps({"info": {"features": features}})
    for number, rows in enumerate((ROWS[:1], ROWS[1:])):
        values = ", ".join(f"('{key}', '{person}', {f}, {int(y == 'yes')})" for key, person, f, y in rows)
        query = f"SELECT * FROM (VALUES {values}) AS t({', '.join(NAMES)})"
        path = folder / f"train-{number}.parquet"
        duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, KV_METADATA {{huggingface: '{extra}'}})")
    return {"path": str(folder / "train-*.parquet")}


@pytest.mark.parametrize("write", [write_text, write_skipped, write_renamed, write_named])
def test_ids_groups_and_labels_are_those_of_the_data(write: Any, tmp_path: Path) -> None:
    table = {**write(tmp_path), "id": "key", "label": "y", "features": ["f"]}
    described = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [1]},
        "data": {"train": {"table": table}},
    }  # fmt: skip
    manifest = Manifest.model_validate(described)
    with connect_to_source(manifest, tmp_path, None) as connection:
        source = open_table(manifest, connection)
        source.check(["person"], [])
        labels = source.load(SelectionColumns(groups=["person"], labels=True))
        rows = connection.execute("SELECT x0, x1, k FROM source JOIN labels USING (label) ORDER BY x0").fetchall()
    first = "never" if write is write_renamed else "no"
    assert [(key, person, labels[k]) for key, person, k in rows] == [
        ("r0", "007", first), ("r1", "7", "yes"), ("r2", "007", first),
    ]  # fmt: skip
