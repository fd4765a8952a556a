"""Bad input to `evaluate`; one line, exit code 2, nothing written."""

from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    TOKENS,
    Case,
    M,
    T,
    case,
    steps,
    text_table,
    wrong,
)
from tests.commands.damaged_project import (
    EVALUATE,
    TABLE,
    added,
    both,
    field,
    removed,
    text,
)

CASES = [
    case("condition on a table compares numbers with text", field(
        "forget", {"where": [{"column": "age", "op": "<", "value": "old"}]}, "table.yaml"), "train.csv",
        "contains numbers", command=TABLE),
    case("condition with an injection", field(
        "forget", {"where": [{"column": 'age" or 1=1 --', "op": "<", "value": 1}]}, "table.yaml"), "train.csv",
        "no column", command=TABLE),
    wrong("evaluating without data", EVALUATE.replace(M, "zero.yaml"), "zero.yaml", "'data'"),
    case("text without tokens", text_table("note"), T, "data.train has columns of text; add tokens", command=TABLE),
    case("text and features, without tokens", text_table("note", features=["a"]), T, "add tokens", command=TABLE),
    case("tokens of another number of columns", both(text_table("note"), steps(TOKENS, shape=[2, 5], file=T)), T,
         "train.csv", "1 columns of text", "expects 2", command=TABLE),
    case("tokens scaled like quantities", both(text_table("note"), steps(TOKENS, shape=[1, 5], file=T),
                                               field("input.std", 2, T)), T, "input.std", command=TABLE),
    case("tokens of an unknown column", both(text_table("nte"), steps(TOKENS, shape=[1, 5], file=T)), T, "train.csv",
         "did you mean 'note'?", command=TABLE),
    case("label as a feature", field("data.train", {"table": {
        "path": "train.csv", "label": "age", "features": ["a", "age"]}}, T), T, "label 'age' as a feature", "ahead: 1",
        command=TABLE),
    case("empty cell that nothing fills", both(added("r30,,1,2,3,4,n,cat\n", "train.csv"), steps(
        {"standardise": {}}, file=T)), T, "'a' is empty in row 30", command=TABLE),
    case("what is missing in a parquet file", field("data.train", {"table": {
        "path": "train.parquet", "label": "y", "missing": ["NA"]}}, T), T, "'missing' is only for csv", command=TABLE),
    case("table missing", removed("train.csv"), "table.yaml", "train.csv", "no such file", command=TABLE),
    case("table is no csv", text(b"\x00\xff\xfe,,\n\"", "train.csv"), "table.yaml", "train.csv", command=TABLE),
    case("table without the label", field("data.train.table.label", "lable", "table.yaml"), "train.csv",
         "did you mean 'label'?", command=TABLE),
    case("table without rows", text("id,a,b,c,d,age,note,label\n", "train.csv"), "train.csv", "no records",
         command=TABLE),
    case("table without features", both(text("id,label\n1,cat\n", "train.csv"), field(
        "data.train.table.features", None, "table.yaml")), "train.csv", "features", command=TABLE),
    case("table with an empty label", added("r99,1,2,3,4,5,note,\n", "train.csv"), "train.csv",
         "'label' is empty in row 30", command=TABLE),
    case("table with an empty feature", added("r99,1,,3,4,5,note,cat\n", "train.csv"), "train.csv",
         "'b' is empty in row 30", command=TABLE),
    case("table with text as feature", field("data.train.table.features", ["a", "b", "c", "note"], "table.yaml"),
         "train.csv", "'note' contains text", command=TABLE),
    case("table with a huge number", added("r99,1e300,2,3,4,5,note,cat\n", "train.csv"), "train.csv", "row 30",
         command=TABLE),
    case("table with images and features", field("data.train.table.image", "note", "table.yaml"), "table.yaml",
         "'image' excludes 'text', 'ignore' and all keys of features", command=TABLE),
    case("label text unknown", added("r99,1,2,3,4,5,note,cow\n", "train.csv"), "label 'cow'", "'classes'",
         command=TABLE),
    case("original missing", field("version", 1), "before.safetensors", "no such checkpoint",
         command=f"{EVALUATE} --original before.safetensors"),
    wrong("metric that needs a reference", f"{EVALUATE} --metric agreement", "--metric agreement", "--reference"),
    wrong("metric that needs the original", f"{EVALUATE} --metric relearn_time", "--metric relearn_time", "--original"),
    wrong("setting of no metric", f"{EVALUATE} --set bin=3", "--set", "did you mean 'bins'?"),
    wrong("setting of a metric wrong", f"{EVALUATE} --set bins=0", "--set", "bins", "greater than 0"),
    wrong("metric unknown", f"{EVALUATE} --metric acuracy", "did you mean 'accuracy'?"),
    wrong("metric of another task", f"{EVALUATE} --metric rmse", "rmse", "accuracy"),
    wrong("requirement on records forgotten before", f"{EVALUATE} --require forgotten.accuracy<1", "--require",
          "no split 'forgotten'"),
    wrong("requirement without grammar", f"{EVALUATE} --require accuracy", "--require", "SPLIT.METRIC"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
