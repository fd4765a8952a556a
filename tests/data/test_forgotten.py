"""What earlier runs made the network forget: in no split but its own, and given to nothing that learns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.commands.manifest_inputs import open_data
from unlearn_cli.data.dataset import Dataset, describe, open_dataset
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.holdout import choose_holdout
from unlearn_cli.evaluation.run_inputs import find_copies, resume_identity, resume_key
from unlearn_cli.plugins.plugin import complete_settings, load
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.manifest import Manifest

N = 24
X = np.arange(2 * N, dtype=np.float32).reshape(N, 2)
CLASS = np.arange(N) % 3
ID = np.array([f"r{i}" for i in range(N)])


def described(folder: Path, forgotten: list[str] | None, forget: dict[str, Any] | None, **more: Any) -> Manifest:
    if not (folder / "data.npz").exists():
        np.savez(folder / "data.npz", x=X, y=np.array(["ant", "bee", "cat"])[CLASS], ids=ID, person=np.arange(N) // 4)
    sections: dict[str, Any] = {"forget": forget} if forget else {}
    if forgotten is not None:
        (folder / "forgotten.csv").write_text("\n".join(["id", *forgotten]) + "\n")
        sections["forgotten"] = {"ids_file": {"path": str(folder / "forgotten.csv")}}
    source = {"npz": {"path": str(folder / "data.npz"), "ids": "ids"}}
    data = {"train": source, "test": more.pop("test", source), **more.pop("data", {})}
    return Manifest.model_validate({
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [2]},
        "data": data, **sections, **more,
    })  # fmt: skip


def opened(folder: Path, forgotten: list[str] | None, forget: dict[str, Any] | None = None, **more: Any) -> Dataset:
    return open_dataset(described(folder, forgotten, forget, **more).data_sections)


def ids(dataset: Dataset, name: str) -> set[str]:
    return set(dataset.split(name).ids)


def test_the_forgotten_records_are_in_no_other_split_of_train(tmp_path: Path) -> None:
    dataset = opened(tmp_path, ["r3", "r7", "r3"], {"ids": ["r1", "r2"]})
    assert ids(dataset, "forgotten") == {"r3", "r7"}
    assert ids(dataset, "train") == {*ID} - {"r3", "r7"}
    assert ids(dataset, "forget") == {"r1", "r2"}
    assert ids(dataset, "retain") == {*ID} - {"r1", "r2", "r3", "r7"}
    assert ids(dataset, "test") == {*ID}
    forgotten = dataset.split("forgotten")
    assert forgotten.labels.tolist() == [0, 1]
    assert np.array_equal(forgotten.records.inputs.take(forgotten.rows), X[[3, 7]])
    assert dataset.unresolved == 0


@pytest.mark.parametrize("split", ["train", "retain", "forget"])
def test_who_has_another_split_cannot_reach_a_forgotten_sample(split: str, tmp_path: Path) -> None:
    records = opened(tmp_path, ["r3", "r7"], {"ids": ["r1"]}).split(split).records
    assert len(records) == len(records.inputs) == N - 2
    assert not {3, 7} & set((records.inputs.take(np.arange(N - 2))[:, 0] / 2).astype(int).tolist())
    assert not {"r3", "r7"} & set(records.ids.tolist())


def test_ids_that_are_not_there_any_more_are_counted(tmp_path: Path) -> None:
    dataset = opened(tmp_path, ["r3", "purged", "gone", "gone"], {"classes": ["ant"]})
    assert ids(dataset, "forgotten") == {"r3"}
    assert dataset.unresolved == 2
    for none in (["purged", "gone"], []):
        dataset = opened(tmp_path, none, {"classes": ["ant"]})
        assert "forgotten" not in dataset.splits
        assert dataset.unresolved == len(none)
        assert len(dataset.split("train")) == N


def test_without_the_section_nothing_changes(tmp_path: Path) -> None:
    plain, with_one = (opened(tmp_path, given, {"ids": ["r1"]}) for given in (None, ["r3"]))
    assert "forgotten" not in plain.splits
    assert plain.split("retain").rows.tolist() == [i for i in range(N) if i != 1]
    assert describe(plain).keys() | {"forgotten"} == describe(with_one).keys()


def test_an_id_to_forget_that_is_forgotten_already_is_refused(tmp_path: Path) -> None:
    message = "1 id is in 'forget' and in 'forgotten', the first is 'r3'; forgotten records need not be"
    with pytest.raises(UserError, match=message):
        opened(tmp_path, ["r3", "r4"], {"ids": ["r3", "r5"]})
    (tmp_path / "request.csv").write_text("id\nr3\nr5\n")
    with pytest.raises(UserError, match=message):
        opened(tmp_path, ["r3", "r4"], {"ids_file": {"path": str(tmp_path / "request.csv")}})


def test_classes_conditions_groups_and_shares_pass_over_what_is_forgotten(tmp_path: Path) -> None:
    for forget, expected in (
        ({"classes": ["ant"]}, {f"r{i}" for i in range(0, N, 3)} - {"r3"}),
        ({"where": [{"column": "person", "op": "<=", "value": 0}]}, {"r0", "r1", "r2"}),
        ({"groups": {"column": "person", "values": [0]}}, {"r0", "r1", "r2"}),
    ):  # fmt: skip
        assert ids(opened(tmp_path, ["r3"], forget), "forget") == expected
    share = opened(tmp_path, ["r3"], {"fraction": {"share": 0.5}})
    assert len(share.split("forget")) == round(0.5 * (N - 1))
    assert "r3" not in ids(share, "forget")


def test_a_class_is_whole_when_its_last_records_go_and_keeps_its_output(tmp_path: Path) -> None:
    cats = [f"r{i}" for i in range(2, N, 3)]
    dataset = opened(tmp_path, cats[1:], {"classes": ["cat"]})
    assert dataset.forget_classes == [2]
    gone = opened(tmp_path, cats, {"classes": ["ant"]})
    assert gone.classes == ["ant", "bee", "cat"]
    assert gone.num_outputs == 3
    assert gone.split("forgotten").labels.tolist() == [2] * len(cats)
    with pytest.raises(UserError, match="selects none"):
        opened(tmp_path, cats, {"classes": ["cat"]})


def test_everything_forgotten_is_refused_and_so_are_ids_of_two_records(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'forgotten' lists all 24 records"):
        opened(tmp_path, ID.tolist())
    np.savez(tmp_path / "twice.npz", x=X, y=CLASS, ids=np.repeat(ID[: N // 2], 2))
    source = {"npz": {"path": str(tmp_path / "twice.npz"), "ids": "ids"}}
    with pytest.raises(UserError, match="the ids are not unique: 1 forgotten id names 2 records"):
        opened(tmp_path, ["r3"], data={"train": source})


def test_statistics_are_of_what_is_retained_alone(tmp_path: Path) -> None:
    steps = {"transform": [{"standardise": {}}]}
    dataset = opened(tmp_path, ["r0"], {"ids": ["r1"]}, data=steps)
    retain, forgotten = dataset.split("retain"), dataset.split("forgotten")
    seen = retain.records.inputs.take(retain.rows)
    assert np.allclose(seen.mean(axis=0), 0, atol=1e-6)
    expected = (X[0] - X[2:].mean(axis=0)) / X[2:].std(axis=0)
    assert np.allclose(forgotten.records.inputs.take(forgotten.rows), expected, atol=1e-6)


def test_copies_of_forgotten_records_are_told_and_leave_the_hold_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = np.concatenate([X, X[3:4]]), np.array(["ant", "bee", "cat"])[np.append(CLASS, 0)]
    np.savez(tmp_path / "more.npz", x=x, y=y, ids=np.append(ID, "copy"))
    np.savez(tmp_path / "test.npz", x=np.concatenate([X[6:7], X + 100]), y=np.array(["ant", "bee", "cat"])[[0, *CLASS]])
    source = {"npz": {"path": str(tmp_path / "more.npz"), "ids": "ids"}}
    test = {"npz": {"path": str(tmp_path / "test.npz")}}
    manifest = described(tmp_path, ["r3", "r6"], {"ids": ["r0"]}, data={"train": source, "test": test})
    given = open_data(manifest, tmp_path / "data.yaml", RunOptions())
    assert find_copies(given).of_forgotten == 1
    assert "1 record of train equals a record of 'forgotten' byte for byte" in capsys.readouterr().err
    holdout = choose_holdout(given)
    assert holdout.num_trained_on == 1
    assert 0 not in holdout.positions


def test_what_is_forgotten_decides_whether_a_run_may_go_on(tmp_path: Path) -> None:
    recipe, keys = load("methods", "finetune"), []
    for forgotten in (["r3"], ["r3", "r4"], ["r3"]):
        manifest = described(tmp_path, forgotten, {"ids": ["r0"]})
        given = open_data(manifest, tmp_path / "data.yaml", RunOptions())
        keys.append((resume_key(given, complete_settings(recipe)), resume_identity(given)))
    assert keys[0] == keys[2] != keys[1]
    assert len({key for key, _ in keys}) == 1, "the name of a folder says nothing of who is forgotten"


FORGOTTEN = MANIFEST + "forgotten: {ids_file: {path: forgotten.csv}}\ngates: [forgotten.accuracy <= 1]\n"
FAST = ["--method", "finetune", "--set", "epochs=1", "--device", "cpu"]


@pytest.mark.usefixtures("pages")
def test_the_split_is_measured_reported_and_judged(original: Path, tmp_path: Path) -> None:
    (tmp_path / "forgotten.csv").write_text("id\n1\n2\npurged\n")  # row numbers, for so long as nothing is deleted
    manifest = write_manifest(tmp_path, FORGOTTEN)
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *FAST, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert {name: split["n"] for name, split in report["manifest"]["splits"].items()} == {
        "train": 1435, "test": 360, "forgotten": 2, "forget": 135, "retain": 1300,
        "test_forget": 48, "test_retain": 312,
    }  # fmt: skip
    assert report["manifest"]["forgotten_unresolved"] == 1
    assert report["manifest"]["checks"]["train_has_no_forgotten_record"] is True
    assert "1 id of 'forgotten' is not in train (any more): they are not part of any metric." in report["caveats"]
    assert report["metrics"]["subject"]["forgotten"]["accuracy"]["n"] == 2
    assert report["metrics"]["original"]["train"]["accuracy"]["n"] == 1435
    assert [(gate["condition"], gate["verdict"]) for gate in report["gates"]] == [("forgotten.accuracy <= 1", "passed")]
    assert "forgotten" in (tmp_path / "out" / "report.html").read_text()


def test_a_gate_on_records_that_are_all_purged_fails_and_says_why(original: Path, tmp_path: Path) -> None:
    (tmp_path / "forgotten.csv").write_text("id\npurged\n")
    result = invoke("evaluate", original, "-m", write_manifest(tmp_path, FORGOTTEN), "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["gates"][0]["reason"] == "the subject was not evaluated on split 'forgotten'"


@pytest.mark.parametrize("command", ["unlearn", "evaluate", "attack"])
def test_a_dry_run_counts_the_forgotten(command: str, original: Path, tmp_path: Path) -> None:
    (tmp_path / "forgotten.csv").write_text("id\n1\n2\npurged\n")
    more = ["-o", tmp_path / "out", "--method", "unsir"] if command == "unlearn" else []
    result = invoke(command, original, "-m", write_manifest(tmp_path, FORGOTTEN), "--dry-run", *more)
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    header = next(row for row in rows if "forgotten" in row)
    assert rows[rows.index(header) + 2][header.index("forgotten")] == "2"
    assert "ids of 'forgotten' that are not (or no longer) in train, ignored: 1" in result.stdout


def test_training_on_train_leaves_the_forgotten_out(tmp_path: Path) -> None:
    (tmp_path / "forgotten.csv").write_text("id\n" + "\n".join(map(str, range(100))) + "\n")
    manifest = write_manifest(tmp_path, FORGOTTEN.replace("forget: {classes: [3]}\n", ""))
    flags = ["-o", tmp_path / "out", "--set", "epochs=1", "--device", "cpu", "--json"]
    result = invoke("train", "-m", manifest, *flags)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["cost"]["samples_backward"] == 1437 - 80  # every fifth row is in test
    assert report["metrics"]["subject"]["forgotten"]["accuracy"]["n"] == 80
    assert report["manifest"]["forgotten_unresolved"] == 20
