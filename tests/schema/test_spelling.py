"""A scalar that names something keeps its text, in YAML and in JSON; a number stays a number where one is asked for."""

import copy
import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.batch.requests.request_files import read_request_file
from unlearn_cli.errors import UserError, did_you_mean, find_nearest
from unlearn_cli.schema import strict_yaml
from unlearn_cli.schema.forget import Forget, Groups
from unlearn_cli.schema.manifest import Manifest, read
from unlearn_cli.schema.sources import Condition, Rows, Table
from unlearn_cli.schema.spelling import SPELLING, number_of, text_of

SPELLINGS = [
    "02", "007", "0x1f", "0o17", "1e5", "12e45678", "true", "True", "FALSE", "no", "1_000", "1.0", "+7", "-0", ".5",
    "5.", ".inf", ".nan", "2026-11-20", "12:30", "7", "-7", "0", "1e999", "12345678901234567890123456789012345678901",
]  # fmt: skip
HEADER = "version: 1\ntask: classification\nmodel: {architecture: mlp}\ninput: {shape: [2]}\n"


def written(text: str) -> Any:
    return strict_yaml.parse(text, Path("data.yaml")).raw


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_name_is_what_was_written(text: str) -> None:
    forget = Forget.model_validate(
        written(f"classes: [{text}]\nids: [{text}]\ngroups: {{column: {text}, values: [{text}]}}")
    )
    assert isinstance(forget.groups, Groups)
    assert [*map(str, forget.classes), *map(str, forget.ids), forget.groups.column] == [text] * 3
    assert [str(value) for value in forget.groups.values] == [text]
    quoted = Forget.model_validate(written(f"classes: ['{text}']\nids: [\"{text}\"]"))
    assert (quoted.classes, quoted.ids) == ([text], [text])


@pytest.mark.parametrize("text", SPELLINGS)
def test_columns_paths_and_keys_are_names(text: str) -> None:
    table = Table.model_validate(written(f"path: {text}.csv\nlabel: {text}\nid: {text}\nignore: [{text}]"))
    assert (table.label, table.id, table.ignore) == (text, text, [text])
    assert Table.model_validate(written(f"{{path: {text}, label: y}}")).path == Path(text)
    assert [*written(f"{text}: 1")] == [text]


def test_the_short_form_of_a_section_may_look_like_a_number(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(HEADER + "data: {train: {imagefolder: 2020}}\n")
    manifest = read(path)
    assert manifest.data is not None
    assert manifest.data.train.imagefolder is not None
    assert manifest.data.train.imagefolder.path == Path("2020")


def test_numbers_stay_numbers_where_one_is_asked_for() -> None:
    forget = Forget.model_validate(written("fraction: {share: 5e-1, seed: 007}\nexpect: {min: 0x10}"))
    assert forget.fraction is not None
    assert (forget.fraction.share, forget.fraction.seed, forget.expect.min) == (0.5, 7, 16)
    model = Manifest.model_validate(written(HEADER.replace("mlp", "mlp, arguments: {hidden: [010], a: 1e1, b: true}")))
    assert model.model.arguments == {"hidden": [10], "a": 10.0, "b": True}


@pytest.mark.parametrize("text", ["~", "null", "Null", ""])
@pytest.mark.parametrize(
    "place", ["ids:\n  - {}", "classes: [a, {} , b]", "where: [{{column: a, op: ==, value: {} }}]"]
)
def test_nothing_at_all_must_be_quoted_to_be_a_name(text: str, place: str, tmp_path: Path) -> None:
    if not text and "[a" in place:
        return  # that is no YAML
    path = tmp_path / "data.yaml"
    path.write_text(HEADER + "data: {train: {npz: a.npz}}\nforget:\n  " + place.format(text))
    with pytest.raises(UserError, match="quote it"):
        read(path)


@pytest.mark.parametrize("text", [text for text in SPELLINGS if text not in ("no", "1_000", "2026-11-20", "12:30")])
def test_a_condition_keeps_both_the_text_and_the_number(text: str) -> None:
    condition = Condition.model_validate(written(f"column: a\nop: ==\nvalue: {text}"))
    assert not isinstance(condition.value, list)
    assert text_of(condition.value) == text
    number = strict_yaml.parse(text, Path()).value
    assert number_of(condition.value) == (number if math.isfinite(number) else None)
    quoted = Condition.model_validate(written(f"column: a\nop: ==\nvalue: '{text}'"))
    assert quoted.value == text
    assert number_of(text) is None


def test_what_was_not_quoted_can_be_told_from_what_was() -> None:
    rows = Rows.model_validate(written("where: [{column: a, op: in, value: [007, '007', 1e3, 7, true, True, x]}]"))
    assert rows.where is not None
    values = rows.model_dump(mode="json", context={SPELLING: "|"})["where"][0]["value"]
    assert values == ["|007|", "007", "|1e3|", 7, True, "|True|", "x"]
    assert Rows.model_validate(rows.model_dump(exclude_unset=True)) == rows
    assert number_of(Rows.model_validate(rows.model_dump(exclude_unset=True)).where[0].value[0]) == 7  # type: ignore


@pytest.mark.parametrize("text", ["1e5", "12e45678", "true", "false", "1.0", "-7", "7", "1E5", "-0"])
def test_json_keeps_the_text_of_a_number(text: str, tmp_path: Path) -> None:
    line = f'{{"request": "A", "received": "2026-11-20T09:30:00Z", "ids": [{text}], "classes": [{text}], '
    (tmp_path / "a.jsonl").write_text(f'{line}"groups": {{"column": {text}, "values": [{text}]}}}}')
    (item,) = read_request_file(tmp_path / "a.jsonl", bytes(32))
    assert item.content is not None, item.reason
    content = item.content.content
    assert content["ids"] == content["classes"] == content["groups"]["values"] == [text]
    assert content["groups"]["column"] == text


def test_a_request_in_yaml_keeps_what_was_written(tmp_path: Path) -> None:
    text = "request: 007\nreceived: 2026-11-20T09:30:00Z\nids: [007, 0x1f, true, 12e45678]\nclasses: [02]\n"
    (tmp_path / "a.yaml").write_text(text)
    (item,) = read_request_file(tmp_path / "a.yaml", bytes(32))
    assert item.content is not None
    assert (item.id, item.content.ids) == ("007", ["007", "0x1f", "true", "12e45678"])
    assert item.content.classes == ["02"]


def test_a_request_of_plain_numbers_is_recognised_by_the_digest_that_it_always_had(tmp_path: Path) -> None:
    text = "request: DSR-1\nreceived: 2026-11-20T09:30:00Z\nids: [7, a]\nclasses: [2]\n"
    text += "where: [{column: x, op: <, value: 1.5}]"
    (tmp_path / "a.yaml").write_text(text)
    (item,) = read_request_file(tmp_path / "a.yaml", bytes(range(32)))
    assert item.digest == DIGEST


DIGEST = "4986580570615cfcf1072b64df6250bc0b23f84fa6932f97d98b1084c12b71e2"  # of the version before texts were kept


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("007", ["7", "70"], "did you mean '7'?"), ("2", ["01", "02", "03"], "did you mean '02'?"),
        ("1.0", ["1", "10"], "did you mean '1'?"), ("0x1f", ["31"], "did you mean '31'?"),
        ("ANT ", ["ant", "bee"], "did you mean 'ant'?"),
        (" 7", ["7"], "did you mean '7'? (that is '7', not ' 7')"),
        ("caf\u00e9", ["cafe\u0301"], "did you mean 'cafe\u0301'? (that is 'cafe\\u0301', not 'caf\\xe9')"),
    ],
)  # fmt: skip
def test_names_that_differ_in_spelling_only_are_near(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint
    assert find_nearest(name, [["zebra"], known]) == hint + "; "


def test_a_long_list_of_names_is_cut_short() -> None:
    names = [f"name-{i:03}" for i in range(100)]
    assert did_you_mean("?", names).endswith("name-029, ... (100 in all)")
    assert find_nearest("?", [names]) == ""


def test_a_written_scalar_can_be_copied() -> None:
    scalar = written("a: 007")["a"]
    for again in (copy.deepcopy(scalar), pickle.loads(pickle.dumps(scalar))):
        assert (again, again.value) == ("007", 7)
    assert json.dumps(scalar) == '"007"'
