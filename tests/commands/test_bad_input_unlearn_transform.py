"""Bad input to `unlearn`, transforms that do not suit the data; one line, exit code 2, nothing written."""

from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    TOKENS,
    WINDOW,
    Case,
    M,
    case,
    steps,
)
from tests.commands.damaged_project import (
    both,
    field,
    value,
)

CASES = [
    case("transform unknown", steps({"windw": {"length": 3}}), M, "transform.0.windw", "did you mean 'window'?"),
    case("transform is no list", field("data.transform", {"enlarge": 2}), M, "data.transform", "list"),
    case("two transforms in one", steps({"enlarge": 2, **WINDOW}), M, "transform.0", "exactly one of tokens, window"),
    case("transform of nothing", steps({"window": None}), M, "transform.0", "exactly one"),
    case("transform twice", steps(WINDOW, WINDOW, shape=[7, 4]), M, "duplicate window"),
    case("tokens of numbers", steps(TOKENS, shape=[1, 5]), M, "data.train has no columns of text", "remove tokens"),
    case("tokens beside another transform", steps(TOKENS, WINDOW), M, "only standardise can follow tokens"),
    case("tokens of another length", steps(TOKENS, shape=[1, 6]), M, "[columns of text, 5]", "[1, 6]"),
    case("tokens in one bucket", steps({"tokens": {"length": 5, "buckets": 1}}), M, "transform.0.tokens.buckets"),
    case("window of no rows", steps({"window": {"length": 0}}), M, "transform.0.window.length"),
    case("window of another shape", steps(WINDOW), M, "window makes samples of [7, features]", "input.shape is [4]"),
    case("window over other features", steps(WINDOW, shape=[7, 5]), M, "train.npz", "have shape [4]", "expect [5]"),
    case("window longer than the data", steps({"window": {"length": 31}}, shape=[31, 4]), M, "30 rows are too few",
         "31 rows"),
    case("standardise by too few numbers", steps({"standardise": {"mean": [0.0], "std": [1.0]}}), M, "has 1 numbers",
         "4 features"),
    case("standardise by no numbers", steps({"standardise": {"mean": [], "std": []}}), M, "standardise.mean"),
    case("standardise without std", steps({"standardise": {"mean": [0.0] * 4}}), M, "mean and std must be"),
    case("standardise by a negative std", steps({"standardise": {"mean": [0.0] * 4, "std": [-1.0] * 4}}), M,
         "transform.0.standardise.std"),
    case("enlarge a table", steps({"enlarge": 2}), M, "enlarge makes images", "input.shape is [4]"),
    case("infinite value beside gaps", both(value("x", 2, float("inf")), steps({"standardise": {"missing": "mean"}})),
         M, "train.npz", "first in row 2"),
    case("rows where a column is unknown", field("data.train.rows", {"where": [{
        "column": "agee", "op": "<", "value": 3}]}), M, "did you mean 'age'?"),
    case("rows where nothing holds", field("data.train.rows", {"where": [{
        "column": "age", "op": "not in", "value": list(range(30))}]}), M, "'rows' keeps none"),
    case("rows where not in one value", field("data.train.rows", {"where": [{
        "column": "age", "op": "not in", "value": 3}]}), M, "take a list"),
    case("rows where without conditions", field("data.train.rows", {"where": []}), M, "data.train.rows.where"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
