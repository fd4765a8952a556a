"""From outputs to values, aims and rows of the benchmark of methods."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.methods.aims import Context, describe_aims, list_missed
from benchmarks.methods.method_rows import ORIGINAL, REFERENCE, Runs, count_digits, write_header, write_rows
from benchmarks.methods.methods import merge, read_key
from benchmarks.methods.networks import Network, as_arrays, list_inputs, read_outputs
from benchmarks.methods.overview import write_overview
from benchmarks.methods.prepare import encode_adult
from benchmarks.methods.run_values import Values, measure
from benchmarks.methods.tasks import TASKS
from benchmarks.methods.worst_classes import write_summary
from unlearn_cli.stats.outputs import Outputs

RANDOM = np.random.default_rng(1)


def classify(name: str, shift: float = 0.0, steps: float | None = None) -> Network:
    """Return a network with random logits; `shift` is added to the logit of the label of forgotten records."""
    outputs = {}
    for split, count in (("forget", 40), ("retain", 60), ("test", 50), ("test_forget", 20)):
        labels = np.zeros(count, np.int64) if split == "test_forget" else np.arange(count) % 3
        logits = np.random.default_rng(len(split)).normal(size=(count, 3)) + 0.1 * RANDOM.normal(size=(count, 3))
        logits[np.arange(count), labels] += shift if split == "forget" else 0.0
        outputs[split] = Outputs(logits, labels, "classification")
    return Network(Path(name), outputs, seconds=2.0, forward=300, backward=120, steps=steps)


def regress(name: str, error: float) -> Network:
    splits = ("forget", "retain", "test")
    labels = {split: np.arange(10.0) for split in splits}
    return Network(Path(name), {split: Outputs(labels[split] + error, labels[split], "regression") for split in splits})


def test_a_reference_is_compared_with_the_others_only() -> None:
    references = [classify(f"reference {number}") for number in range(4)]
    with_own = measure(references[0], classify("original", 3.0), references, "records")
    without = measure(references[0], classify("original", 3.0), references[1:], "records")
    assert with_own["tow"] == without["tow"]
    assert with_own["z"] == without["z"]


def test_an_original_that_kept_records_has_high_z_and_auc() -> None:
    references = [classify(f"reference {number}") for number in range(4)]
    values = measure(classify("kept", 3.0), classify("original", 3.0), references, "records")
    assert values["z"] > 3
    assert values["auc_z"] > 0.95
    assert values["gap"] > 0
    assert values["gap_limit"] >= 1.5
    assert values["epochs"] == 2
    assert values["share"] == 100


def test_relearning_and_total_variation_are_relative_to_the_references() -> None:
    references = [classify(f"reference {number}", steps=10.0 + number) for number in range(3)]
    values = measure(classify("subject", steps=22.0), classify("original"), references, "classes", [0])
    assert values["relearn"] == pytest.approx(2)
    floors = [measure(each, each, references, "classes", [0])["tv"] for each in references]
    assert np.mean(floors) == pytest.approx(1, abs=0.3)


def test_a_network_without_references_has_accuracies_and_cost() -> None:
    values = measure(classify("subject"), classify("original"), [], "classes", [0])
    assert {"forget", "test_forget", "retain", "test", "drop", "seconds", "epochs"} <= values.keys()
    assert not {"share", "tow", "tv", "relearn"} & values.keys()


def test_regression_is_relative_to_the_references() -> None:
    references = [regress("a", 2.0), regress("b", 4.0)]
    values = measure(regress("subject", 6.0), regress("original", 3.0), references, "regression")
    assert values["gap"] == pytest.approx(100)
    assert values["retain_ratio"] == values["test_ratio"] == pytest.approx(2)
    assert values["w1"] == pytest.approx(3 / 2)  # |6 - 2| and |6 - 4|, by |4 - 2|
    assert values["drop"] == pytest.approx(100)


RECORD: Values = {"tow": 0.99, "gap": -1.0, "gap_limit": 1.5, "drop": 0.5, "auc_z": 0.52, "auc_abs_z": 0.5}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"tow": 0.97}, ["ToW"]),
        ({"gap": -1.6}, ["forget"]),
        ({"gap": 1.6}, ["forget"]),
        ({"drop": 1.1}, ["test"]),
        ({"auc_z": 0.44}, ["AUC z"]),
        ({"auc_abs_z": 0.57}, ["AUC abs z"]),
    ],
)
def test_aims_of_records(change: Values, missed: list[str]) -> None:
    context = Context("amnesiac", ("forget", "retain"), reference_auc=(0.48, 0.51))
    assert list_missed("records", [RECORD | change], context) == missed


def test_closeness_within_that_of_the_references_is_sufficient() -> None:
    assert list_missed("records", [RECORD | {"tow": 0.97}], Context("amnesiac", (), reference_tow=0.965)) == []


def test_deviations_of_opposite_signs_do_not_cancel() -> None:
    runs = [RECORD | {"gap": 3.0}, RECORD | {"gap": -3.0}]
    assert list_missed("records", runs, Context("amnesiac", ())) == ["forget"]


@pytest.mark.parametrize(
    ("method", "inputs", "drop"),
    [
        ("masked", ("forget_inputs", "retain_inputs", "forget_classes"), 1.0),
        ("masked", ("forget_inputs", "forget_classes"), 2.0),
        ("head", ("forget_classes",), 0.5),
        ("gkt", ("forget_classes",), 3.0),
    ],
)
def test_the_allowed_drop_follows_from_the_data_that_a_method_reads(method: str, inputs: tuple[str, ...], drop: float):
    assert Context(method, inputs).most_drop == drop


def test_costs_of_whole_classes() -> None:
    values = {"test_forget": 0.5, "drop": 0.0, "relearn": 0.65, "backward": 9000.0, "share": 3.0, "seconds": 60.0}
    one, five = (Context("masked", ("retain_inputs",), count) for count in (1, 5))
    assert list_missed("classes", [values], one) == ["relearning", "samples", "share"]
    assert list_missed("classes", [values], five) == ["relearning", "share"]
    assert list_missed("classes", [values], one, cost=False) == ["relearning"]
    assert list_missed("classes", [values], Context("head", ())) == ["relearning", "seconds"]


def test_one_record_must_not_be_singled_out() -> None:
    values, context = {"seconds": 0.5, "z": -3.0, "moved": 0.9}, Context("amnesiac", ())
    assert list_missed("one record", [values], context) == ["z"]
    assert list_missed("one record", [values | {"seconds": 1.1, "z": 1.9, "moved": 1.1}], context) == [
        "seconds",
        "moved",
    ]


def test_what_the_references_miss_is_no_aim() -> None:
    assert describe_aims(["ToW", "test"], ["test"]) == "**no**: ToW; floor: test"
    assert describe_aims(["test"], ["test"]) == "yes; floor: test"
    assert describe_aims([], []) == "yes"


def test_rows_have_the_columns_of_their_header() -> None:
    references = [classify(f"reference {number}", steps=10.0) for number in range(3)]
    context = Context("masked", ("retain_inputs",))
    values = [measure(each, each, references, "classes", [0]) for each in references]
    runs = {ORIGINAL: Runs(values, context), REFERENCE: Runs(values, context)}
    runs["masked"] = Runs(values, context, ["failed", "passed", "failed"])
    rows = write_rows("fashion_class", "classes", runs)
    assert {row.count("|") for row in rows} == {line.count("|") for line in write_header("classes")}
    assert [read_key(row) for row in rows] == [("fashion_class", name) for name in runs]
    assert "verdict" in rows[-1]
    assert "failed, passed, failed" in rows[-1]


def test_new_rows_replace_those_of_the_same_method(tmp_path: Path) -> None:
    path, width = tmp_path / "methods.md", write_header("records")[0].count("|") - 3
    new, old, other = (
        f"| wisdm_persons | {name} |{value} |" + "|" * (width - 1)
        for name, value in (("amnesiac", "new"), ("amnesiac", "old"), ("finetune", "same"))
    )
    path.write_text("\n".join([old, other, "| wisdm_persons | neggrad | another format |"]), encoding="utf-8")
    text = merge(path, [new])
    assert "old" not in text.split("## ")[-1]
    assert text.index("new") < text.index("same")
    assert "another format" not in text
    assert "Records and persons: validation tasks" in text


def test_the_worst_class_is_summed_up_over_the_classes_of_a_network() -> None:
    context = Context("masked", ("retain_inputs",), 1)
    numbers = {"forget": 0.0, "retain": 99.0, "test": 90.0, "seconds": 1.0, "forward": 9e3, "epochs": 1.0}
    measured = {0: (0.5, 0.9, 7680.0), 1: (1.5, -0.1, 7680.0)}
    rows = {}
    for number, (forget, drop, backward) in measured.items():
        values = numbers | {"test_forget": forget, "drop": drop, "backward": backward}
        row = write_rows(f"stranger_{number}", "classes", {"masked": Runs([values] * 3, context)})[0]
        rows[f"stranger_{number}", "masked"] = row
    *_, line = write_summary("stranger", rows, ["masked", "unsir"])
    assert line == "| stranger | masked | 2 | 1.5 | 0.90 | 0.40 | 7.7 | **no**: forget, mean drop |"
    assert write_summary("other", rows, ["masked"]) == []


def test_outputs_survive_a_file(tmp_path: Path) -> None:
    network = classify("subject")
    np.savez(tmp_path / "outputs.npz", allow_pickle=False, **as_arrays(network.outputs))
    read = read_outputs(tmp_path / "outputs.npz")
    np.testing.assert_allclose(read["forget"].values, network.outputs["forget"].values, rtol=1e-6)
    assert read["forget"].task == "classification"


def test_only_some_methods_read_held_out_records() -> None:
    assert "held_out" in list_inputs("rank_match")
    assert "held_out" not in list_inputs("masked")


def test_every_task_has_a_manifest_without_blanks() -> None:
    for task in TASKS.values():
        assert not [blank for blank in ("CLASSES", "FORGET", "ARCHITECTURE", "SHARE", "NUMBER") if blank in task.text]


def test_digits() -> None:
    assert [count_digits(value) for value in (20492, 59.0, 1.303)] == [0, 1, 2]


def test_adult_is_encoded_by_its_training_rows() -> None:
    numbers = dict.fromkeys(("fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"), "0")
    names = ("workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country")
    row = numbers | dict.fromkeys(names, "a")
    rows = [row | {"age": str(age), "fnlwgt": str(age)} for age in (100, 1, 2, 3, 4)]
    for index, each in enumerate(rows):
        each |= {name: str((index + 1) * 7 % 5) for name in numbers} | {"workclass": "?" if index == 1 else "b"}
    columns, values = encode_adult(rows)
    np.testing.assert_allclose(values[:, 0], (np.array([100, 1, 2, 3, 4]) - 2.5) / np.std([1, 2, 3, 4]))
    np.testing.assert_array_equal(values[:, columns.index("workclass_unknown")], [0, 1, 0, 0, 0])
    assert len(columns) == values.shape[1] == 6 + 2 + 7


def test_the_overview_has_tasks_by_methods_and_marks_what_meets_all_aims() -> None:
    good, bad = Runs([RECORD] * 3, Context("rank_match", ())), Runs([RECORD | {"tow": 0.5}], Context("amnesiac", ()))
    runs = {REFERENCE: good, "rank_match": good, "amnesiac": bad, "retrain:epochs=13": bad}
    rows = write_rows("random_10", "records", runs)
    _, _, head, _, line, _ = write_overview("records", {read_key(row): row for row in rows})
    headings, cells = ([cell.strip() for cell in text.split("|")] for text in (head, line))
    by_heading = dict(zip(headings, cells, strict=True))
    assert by_heading["task"] == "random_10"
    assert by_heading["`rank_match`"] == "**0.990 / 0.50**"
    assert by_heading["`amnesiac`"] == by_heading["`retrain:epochs=N`"] == "0.500 / 0.50"
    assert by_heading["`distil`"] == ""
    assert write_overview("regression", {}) == []
