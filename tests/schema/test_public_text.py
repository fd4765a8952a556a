"""The manifest in a report: ids, values that name persons, and paths outside of the manifest's folder are withheld."""

from pathlib import Path

import pytest
import yaml

from tests.tiny import ROOT
from unlearn_cli.schema import manifest
from unlearn_cli.schema.public_text import WITHHELD, format_without_ids, shorten_path

PERSONS = """\
# requested by Ada
version: 1
task: classification
model: {architecture: mlp, arguments: {config: /home/ada/net.json}}
input: {shape: [3]}
data:
  group: patient
  train:
    table: {path: /srv/secret/train.csv, label: y, id: key}
    rows: {where: [{column: site, op: in, value: [bonn]}]}
  test: {table: {path: ../other/test.csv, label: y, id: key, root: 's3://user:word@host/bucket/images?token=x'}}
forget:
  classes: [flu]
  ids: [rec-17, rec-18]
  ids_file: {path: requests/ada.csv, column: key}
  groups: {column: person, values: [ada, 4711]}
  where:
    - {column: name, op: "==", value: grace}
    - {column: patient, op: ">=", value: 815}
    - {column: key, op: "<", value: 99}
    - {column: age, op: "<=", value: 20}
    - {column: born, op: ">=", value: 1815-12-10}
    - {column: born, op: "<=", value: 1815-12-10}
forgotten: {ids_file: {path: requests/earlier.csv}}
gates: [test.accuracy >= 0.5]
"""
SECRETS = (
    "rec-1 ada Ada 4711 grace 815 99 1815 bonn requests earlier.csv /home srv secret other s3 user word host token"
)


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "data.yaml"
    path.write_text(PERSONS, encoding="utf-8")
    return format_without_ids(manifest.read(path))


def test_nothing_that_names_a_record_or_a_folder_is_in_the_text(text: str) -> None:
    assert [secret for secret in SECRETS.split() if secret in text] == []


def test_the_rest_of_the_manifest_remains(text: str) -> None:
    content = yaml.safe_load(text)
    forget = content["forget"]
    assert forget["classes"] == ["flu"]
    assert (forget["ids"], forget["groups"]["values"]) == ("<2 ids withheld>", "<2 values withheld>")
    assert {"column": "age", "op": "<=", "value": 20} in forget["where"]
    assert [condition["value"] for condition in forget["where"]].count(WITHHELD) == 5
    assert forget["ids_file"] == {"path": WITHHELD, "column": "key"}
    assert content["data"]["train"]["table"]["path"] == "…/train.csv"
    assert content["model"]["arguments"]["config"] == "…/net.json"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("data/train.csv", "data/train.csv"),
        ("train-{000..009}.tar", "train-{000..009}.tar"),
        ("torchvision/resnet18", "torchvision/resnet18"),
        ("/srv/data", "…/data"),
        ("~", "…"),
        ("..", "…"),
        ("a/../../b", "…/b"),
        (r"C:\Users\ada\x.csv", "…/x.csv"),
        (r"\\host\share\x.csv", "…/x.csv"),
        ("https://user:word@host", "…"),
        ("--root=/srv/x", "…/x"),
    ],
)
def test_a_path_that_leaves_the_folder_is_its_last_name(path: str, shown: str) -> None:
    assert shorten_path(path) == shown


@pytest.mark.parametrize("path", sorted((ROOT / "sample_configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_sample_manifest_has_a_text(path: Path) -> None:
    assert yaml.safe_load(format_without_ids(manifest.read(path)))["version"] == 1
