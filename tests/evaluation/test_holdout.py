"""What test lacks costs the attacks that need it, not the command: the others run, and the report says why."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.tiny import invoke, write_manifest
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.holdout import choose_holdout, mask_same_group
from unlearn_cli.evaluation.over_forgetting import choose_never_seen
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins.run_options import RunOptions

REGRESSION = """\
version: 1
task: regression
model: {architecture: mlp, arguments: {hidden: []}}
input: {shape: [2]}
target: {mean: 0, std: 1}
data:
  train: {table: {path: all.csv, label: y, id: id, features: [a, b]}, rows: {first: 0.7}}
  test: {table: {path: all.csv, label: y, id: id, features: [a, b]}, rows: {last: 0.3}}
forget: {where: [{column: day, op: '<', value: 40}]}
"""
CLASSES = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: []}}
input: {shape: [2]}
data:
  train: {table: {path: train.csv, label: kind, id: id, features: [a, b]}}
  test: {table: {path: test.csv, label: kind, id: id, features: [a, b]}}
forget: {classes: [rare]}
"""


def attacked(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = invoke("attack", *arguments, "--json", "--device", "cpu")
    return result.exit_code, json.loads(result.stdout)


def skipped(document: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["reason"] for one in document["skipped"]}


@pytest.fixture
def period(tmp_path: Path) -> Path:
    """A series whose first weeks are to be forgotten, and whose last weeks are test; a network that knows it."""
    x = np.random.default_rng(0).normal(size=(500, 2))
    rows = [f"{i},{a:.5f},{b:.5f},{i},{a + 2 * b + 0.01 * i % 1:.5f}" for i, (a, b) in enumerate(x)]
    (tmp_path / "all.csv").write_text("id,a,b,day,y\n" + "\n".join(rows) + "\n")
    save_file({"head.weight": torch.tensor([[1.0, 2.0]]), "head.bias": torch.zeros(1)}, tmp_path / "m.safetensors")
    return write_manifest(tmp_path, REGRESSION)


@pytest.mark.parametrize("tier", ["quick", "standard"])
def test_the_holdout_of_a_period_that_test_lacks_is_all_of_test(tier: str, period: Path) -> None:
    model = period.parent / "m.safetensors"
    code, document = attacked(model, "-m", period, "--tier", tier, "--half", "all", "--original", model)
    assert code in (0, 3, 4)
    block = next(one for one in document["attacks"] if one["name"] == "population")
    assert block["num_non_members"] == 150
    assert any(caveat.startswith("The hold-out is all of test") for caveat in document["caveats"])
    (gate,) = [one for one in document["gates"] if one["role"] == "subject" and "population" in one["condition"]]
    assert gate["verdict"] == "inconclusive" and "same period or condition" in gate["reason"]


def write_kinds(folder: Path, test: dict[str, int]) -> Path:
    """Write tables of points around one place per kind, and a network that tells the places apart."""
    centres = {"common": (4, 0), "other": (0, 4), "rare": (-4, -4)}
    for name, counts in (("train", {"common": 200, "other": 200, "rare": 30}), ("test", test)):
        random = np.random.default_rng(len(name))
        lines = [
            f"{name}-{kind}-{i},{random.normal(centres[kind][0]):.5f},{random.normal(centres[kind][1]):.5f},{kind}"
            for kind, n in counts.items() for i in range(n)
        ]  # fmt: skip
        (folder / f"{name}.csv").write_text("id,a,b,kind\n" + "\n".join(lines) + "\n")
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    save_file({"head.weight": weight, "head.bias": torch.zeros(3)}, folder / "m.safetensors")
    return write_manifest(folder, CLASSES)


@pytest.mark.parametrize("tier", ["quick", "standard"])
def test_of_a_class_without_test_records_the_attacks_that_need_them_are_left_out(tier: str, tmp_path: Path) -> None:
    manifest = write_kinds(tmp_path, {"common": 100, "other": 100})
    model = tmp_path / "m.safetensors"
    code, document = attacked(model, "-m", manifest, "--tier", tier, "--original", model)
    assert code == 3  # it still knows the class
    assert "no records like the forgotten ones" in skipped(document)["population"]
    assert "sanity" in {one["name"] for one in document["findings"]}
    assert all(one["name"] not in skipped(document) for one in document["findings"])
    assert any("were not run" in caveat for caveat in document["caveats"])
    gate = next(one for one in document["gates"] if one["condition"].startswith("population AUC"))
    assert gate["verdict"] == "inconclusive" and gate["reason"]
    plan = invoke("attack", model, "-m", manifest, "--dry-run")
    assert "not run: population: data.test has no records like" in plan.stdout
    assert invoke("evaluate", model, "-m", manifest, "--original", model).exit_code == 0


@pytest.mark.parametrize(("ids", "compared"), [(1, True), (5, False)])
def test_a_forgotten_class_that_test_lacks_may_hold_a_twentieth_of_forget(
    ids: int, compared: bool, tmp_path: Path
) -> None:
    names = [f"train-common-{i}" for i in range(40)] + [f"train-rare-{i}" for i in range(ids)]
    write_kinds(tmp_path, {"common": 100, "other": 100})
    manifest = write_manifest(tmp_path, CLASSES.replace("{classes: [rare]}", f"{{ids: [{', '.join(names)}]}}"))
    holdout = choose_holdout(open_inputs(manifest, RunOptions()))
    assert (holdout.reason is None, len(holdout.positions) == 100) == (compared, compared)
    assert "rare" in (holdout.notes[0] if compared else holdout.reason or "")


def test_a_constant_network_passes_where_one_of_two_classes_remains(tmp_path: Path) -> None:
    manifest = write_kinds(tmp_path, {"common": 400, "rare": 400})
    for name in ("train", "test"):
        lines = (tmp_path / f"{name}.csv").read_text().splitlines(keepends=True)
        (tmp_path / f"{name}.csv").write_text("".join(line for line in lines if "other" not in line))
    original, constant = tmp_path / "m.safetensors", tmp_path / "constant.safetensors"
    save_file({"head.weight": torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), "head.bias": torch.zeros(2)}, original)
    save_file({"head.weight": torch.zeros(2, 2), "head.bias": torch.tensor([3.0, 0.0])}, constant)
    _, document = attacked(constant, "-m", manifest, "--original", original)
    gates = {one["condition"]: one["verdict"] for one in document["gates"] if one["role"] == "subject"}
    assert gates["the outputs differ between records and classes"] == "passed"
    assert "failed" not in gates.values()
    sentence = "Only class 'common' remains: the result can only be a network that predicts it"
    assert any(caveat.startswith(sentence) for caveat in document["caveats"])
    arguments = ["unlearn", original, "-m", manifest, "--method", "finetune", "--set", "epochs=1", "-o", tmp_path / "o"]
    plan = invoke(*arguments, "--dry-run", "--json")
    assert json.loads(plan.stdout)["remaining_class"] == "common"
    assert sentence in plan.stderr and sentence in invoke(*arguments, "--dry-run").stdout
    assert sentence in invoke(*arguments).stderr
    assert sentence in (tmp_path / "o" / "report.json").read_text()


GROUPS = CLASSES.replace("{classes: [rare]}", "{groups: {column: person, values: [anna]}}")


@pytest.fixture
def people(tmp_path: Path) -> RunInputs:
    """Train and test by two people; the data is opened without a network."""
    for part in ("train", "test"):
        rows = [f"{part}{i},{i % 7},{i % 5},{'ab'[i % 2]},{('anna', 'bert')[i % 3 == 0]}" for i in range(40)]
        (tmp_path / f"{part}.csv").write_text("id,a,b,kind,person\n" + "\n".join(rows) + "\n")
    return open_inputs(write_manifest(tmp_path, GROUPS), RunOptions(device="cpu"))


def with_test_records(opened: RunInputs, **changes: Any) -> RunInputs:
    """Return the inputs with other records of test."""
    test = opened.dataset.split("test")
    splits = {**opened.dataset.splits, "test": replace(test, records=replace(test.records, **changes))}
    return replace(opened, dataset=replace(opened.dataset, splits=splits))


def refuse(*arguments: object) -> Any:
    raise UserError("test.csv: cannot be read")


def test_test_need_not_have_the_column_of_groups(people: RunInputs) -> None:
    members = mask_same_group(people.forget, people.dataset.split("test"))
    assert members is not None and members.sum() == 26
    other = with_test_records(people, columns=("a", "b"))
    assert mask_same_group(other.forget, other.dataset.split("test")) is None


def test_a_column_that_cannot_be_read_is_an_error_and_no_missing_column(people: RunInputs) -> None:
    damaged = with_test_records(people, column=refuse)
    with pytest.raises(UserError, match="cannot be read"):
        mask_same_group(damaged.forget, damaged.dataset.split("test"))


def test_samples_that_cannot_be_read_are_an_error_and_no_empty_half(people: RunInputs) -> None:
    class Damaged:
        fingerprints = staticmethod(refuse)

        def __len__(self) -> int:
            return len(people.dataset.split("test"))

    with pytest.raises(UserError, match="cannot be read"):
        choose_never_seen(with_test_records(people, inputs=Damaged()))


def open_countries(folder: Path, *, of_norway: int) -> RunInputs:
    """Open a classification whose forgotten records are those of one country, with some or none of it in test."""
    for part, norwegians in (("train", 60), ("test", of_norway)):
        random = np.random.default_rng(norwegians + len(part))
        rows = [
            f"{part}{i},{random.normal():.5f},{random.normal():.5f},{'ab'[i % 2]},{'no' if i < norwegians else 'se'}"
            for i in range(200)
        ]
        (folder / f"{part}.csv").write_text("id,a,b,kind,country\n" + "\n".join(rows) + "\n")
    where = "{where: [{column: country, op: '==', value: 'no'}]}"
    return open_inputs(write_manifest(folder, CLASSES.replace("{classes: [rare]}", where)), RunOptions(device="cpu"))


@pytest.mark.parametrize(("of_norway", "matched", "size"), [(80, True, 80), (20, False, 200), (0, False, 200)])
def test_the_holdout_of_a_condition_has_the_same_condition(
    of_norway: int, matched: bool, size: int, tmp_path: Path
) -> None:
    holdout = choose_holdout(open_countries(tmp_path, of_norway=of_norway))
    assert (holdout.is_matched, len(holdout.positions)) == (matched, size)
    if matched:
        assert holdout.positions.max() < of_norway and not holdout.notes
    else:
        assert "all records of test of the same classes" in holdout.notes[0]


def test_other_persons_are_a_matched_holdout(people: RunInputs) -> None:
    assert choose_holdout(people).is_matched


def open_tags(folder: Path, forget: str, *, with_tag: int) -> RunInputs:
    """Open multilabel records; the first records of train, and some of test, have the label `rare`."""
    for part, count in (("train", 60), ("test", with_tag)):
        random = np.random.default_rng(count + len(part))
        tags = [f"{'rare|' * (i < count)}{'ab'[i % 2]}" for i in range(200)]
        rows = [f"{part}{i},{random.normal():.5f},{random.normal():.5f},{tag}" for i, tag in enumerate(tags)]
        (folder / f"{part}.csv").write_text("id,a,b,kind\n" + "\n".join(rows) + "\n")
    text = CLASSES.replace("task: classification", "task: multilabel").replace("{classes: [rare]}", forget)
    return open_inputs(write_manifest(folder, text), RunOptions(device="cpu"))


@pytest.mark.parametrize(
    ("forget", "with_tag", "matched", "size"),
    [
        ("{fraction: {share: 0.2}}", 80, True, 200),
        ("{classes: [rare]}", 80, True, 80),
        ("{classes: [rare]}", 20, False, 200),
    ],
)
def test_the_holdout_of_multilabel_records_has_the_label_that_is_forgotten(
    forget: str, with_tag: int, matched: bool, size: int, tmp_path: Path
) -> None:
    opened = open_tags(tmp_path, forget, with_tag=with_tag)
    holdout = choose_holdout(opened)
    assert (holdout.is_matched, len(holdout.positions)) == (matched, size)
    assert opened.dataset.forget_classes is None
