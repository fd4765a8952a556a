"""Bad input to `unlearn`, a selection that does not exist or does not suit; one line, exit code 2, nothing written."""

from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    Case,
    M,
    case,
    wrong,
)
from tests.commands.damaged_project import (
    MANIFEST,
    UNLEARN,
    both,
    field,
    source,
    text,
)

CASES = [
    case("forget is missing", field("forget", None), M, "'forget'"),
    case("forget selects nothing", field("forget", {}), M, "selects nothing"),
    case("forget an unknown class", field("forget.classes", ["dgo"]), M, "no class 'dgo'; did you mean 'dog'?"),
    case("forget a class with a negative number", field("forget.classes", [-1]), M, "no class '-1'"),
    case("forget a class beyond the last", field("forget.classes", [3]), M, "no class '3'"),
    case("forget a class twice", field("forget.classes", ["dog", "dog"]), M, "twice"),
    case("forget a class without records", both(field("classes", ["cat", "dog", "owl", "elk"]),
                                                field("forget.classes", ["elk"])), M, "selects none of 30"),
    case("forget all classes", field("forget.classes", [0, 1, 2]), M, "selects all 30"),
    case("forget an unknown id", field("forget", {"ids": [3, 4711]}), M, "'4711'"),
    case("forget an id that two records have", both(field("forget", {"ids": [3]}), source(
        npz={"path": "train.npz", "ids": "twice"})), M, "not unique"),
    case("forget ids of a missing file", field("forget", {"ids_file": {"path": "ids.csv"}}), M, "ids.csv", "no such"),
    case("forget ids of a wrong column", both(text("record\n1\n", "ids.csv"), field(
        "forget", {"ids_file": {"path": "ids.csv"}})), M, "ids.csv", "no column 'id'"),
    case("forget an unknown group", field("forget", {"groups": {"column": "age", "values": [99]}}), M, "age = 99"),
    case("forget groups of an unknown column", field("forget", {"groups": {"column": "agee", "values": [1]}}), M,
         "did you mean 'age'?"),
    case("condition on an unknown column", field("forget", {"where": [{"column": "agee", "op": "<", "value": 1}]}), M,
         "did you mean 'age'?"),
    case("condition compares numbers with text", field(
        "forget", {"where": [{"column": "age", "op": "<", "value": "old"}]}), M, "'age' contains numbers"),
    case("condition compares text with a number", field(
        "forget", {"where": [{"column": "name", "op": "<", "value": 1}]}), M, "'name' contains text"),
    case("condition with an unknown operator", field("forget", {"where": [{"column": "age", "op": "~", "value": 1}]}),
         M, "forget.where.0.op", "'<='"),
    case("condition 'in' without a list", field("forget", {"where": [{"column": "age", "op": "in", "value": 1}]}), M,
         "take a list"),
    case("fraction 0", field("forget", {"fraction": {"share": 0}}), M, "share", "greater than 0"),
    case("fraction 1.5", field("forget", {"fraction": {"share": 1.5}}), M, "share", "less than or equal to 1"),
    case("fraction of everything", field("forget", {"fraction": {"share": 1.0}}), M, "selects all 30"),
    case("fraction of no record", field("forget", {"fraction": {"share": 0.001}}), M, "selects none"),
    case("expected fewer", field("forget.expect", {"max": 3}), M, "expect.max: is 3, but 'forget' selects 10 records"),
    case("expected more", field("forget.expect", {"min": 30}), M, "expect.min: is 30"),
    case("expected a smaller share", field("forget.expect", {"max_share": 0.2}), M, "expect.max_share: is 0.2"),
    case("class-only method for part of a class", field("forget", {"ids": [1]}), M, "whole classes", "finetune",
         command=UNLEARN.replace("finetune", "unsir")),
    wrong("class-only method for a regression", UNLEARN.replace(M, "regression.yaml").replace("finetune", "unsir"),
          "regression.yaml", "is for classification", "finetune"),
    wrong("method that needs data without any", UNLEARN.replace(M, "zero.yaml").replace("finetune", "unsir"),
          "zero.yaml", "unsir needs retain", "no data"),
    case("forgetting every class without data", field("forget", {"classes": MANIFEST["classes"]}, "zero.yaml"),
         "zero.yaml", "nothing remains to retain", command=UNLEARN.replace(M, "zero.yaml").replace("finetune", "emmn")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
