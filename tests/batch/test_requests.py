"""What a request may say, and by what it is recognised when it comes again."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from unlearn_cli.batch.requests.deletion_request import (
    Request,
    RequestEntry,
    digest_request,
    json_schema,
    parse_request,
)

KEY = bytes(range(32))
PLAIN: dict[str, Any] = {"request": "DSR-1", "received": "2026-11-20T09:30:00Z", "ids": ["a", "b"]}


def checked(**changes: Any) -> RequestEntry:
    value = {name: value for name, value in {**PLAIN, **changes}.items() if value is not None}
    return parse_request(value, None, ("f.jsonl", 3), "raw", KEY)


def accepted(**changes: Any) -> Request:
    item = checked(**changes)
    assert item.content is not None, item.reason
    return item.content


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"request": None}, "f.jsonl:3:1: request: is missing"),
        ({"received": None}, "f.jsonl:3:1: received: is missing"),
        ({"ids": None}, "names no records; expected ids, groups, classes or where"),
        ({"ids": []}, "names no records"),
        ({"request": "DSR 1"}, "request: String should match pattern"),
        ({"request": "../../etc/passwd"}, "request: String should match pattern"),
        ({"request": "x" * 101}, "request: String should match pattern"),
        ({"request": "DSR-1\n"}, "request: String should match pattern"),
        ({"request": 7}, "request: expected a valid string"),
        ({"received": "2026-11-20T09:30:00"}, "received: expected a time with its zone"),
        ({"received": "yesterday"}, "received: expected a time with its zone"),
        ({"received": 1763631000}, "received: expected a time with its zone"),
        ({"received": "2026-02-30T00:00:00Z"}, "received: expected a time with its zone"),
        ({"received": "0001-01-01T00:00:00+23:00"}, "received: expected a time with its zone"),
        ({"received": "9999-12-31T00:00:00Z"}, "received: expected a time with its zone"),
        ({"received": "0999-12-31T00:00:00Z"}, "received: expected a time with its zone"),
        ({"due": "2026-11-19T00:00:00Z"}, "'due' is before 'received'"),
        ({"ids": ["a"] * 2_000_001}, "ids: List should have at most 2000000 items"),
        ({"ids": ["a", ["b"]]}, "ids.1: expected a valid string"),
        ({"ids": ["a", None]}, "ids.1: is empty; quote it if '~', 'null' or the empty text is the name"),
        ({"ids": ["a", 1.5]}, "ids.1: expected a valid string"),
        ({"ids": [""]}, "ids.0: String should have at least 1 character"),
        ({"ids": ["x" * 4097]}, "ids.0: String should have at most 4096 characters"),
        ({"ids": ["\ud800"]}, "ids: a text holds half of a surrogate pair"),
        ({"ids_file": {"path": "/etc/passwd"}}, "ids_file: unknown key; known: classes, due"),
        ({"fraction": {"share": 0.1}}, "fraction: unknown key"),
        ({"expect": {"min": 1}}, "expect: unknown key"),
        ({"groups": {"column": "person", "values": []}}, "groups.values: List should have at least 1 item"),
        ({"where": [{"column": "age", "op": "; DROP TABLE", "value": 3}]}, "where.0.op: expected '=='"),
        ({"where": [{"column": "age", "op": "in", "value": 3}]}, "'in' and 'not in' take a list of values"),
        ({"where": [{"column": "a", "op": "<", "value": float("nan")}]}, "where.0.value: expected"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told_with_its_place(changes: dict[str, Any], reason: str) -> None:
    item = checked(**changes)
    assert item.content is None
    assert reason in str(item.reason)
    assert str(item.reason).startswith("f.jsonl:3:1: ")


def test_a_reason_does_not_repeat_what_was_asked_to_be_forgotten() -> None:
    item = checked(ids=["Jane Doe", ["Jane Roe"]], received="Jane Poe")
    assert "Jane" not in str(item.reason)


def test_a_mapping_of_thousands_of_wrong_keys_is_told_in_one_sentence() -> None:
    item = checked(**{f"key{i}": 1 for i in range(5000)})
    assert item.reason == "f.jsonl:3:1: has more than 50 mistakes; expected a deletion request"


@pytest.mark.parametrize("value", [None, 3, "DSR-1", ["DSR-1"]])
def test_what_is_no_mapping_is_no_request(value: Any) -> None:
    item = parse_request(value, None, ("f.jsonl", 1), "raw", KEY)
    assert item.reason == "f.jsonl:1:1: expected a mapping with 'request' and 'received'"
    assert item.id is None


def test_the_id_of_a_wrong_request_is_known_when_it_is_one() -> None:
    assert checked(ids=[]).id == "DSR-1"
    assert checked(request="a b", ids=[]).id is None
    assert checked(request="é", ids=[]).id is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": ["b", "a"]}, {"ids": ["a", "b", "a"]}, {"received": "2026-11-20T10:30:00+01:00"}, {"classes": []},
        {"received": "2026-11-20T09:30:00.000Z"},
    ],
)  # fmt: skip
def test_order_repetition_and_spelling_make_no_other_request(changes: dict[str, Any]) -> None:
    assert digest_request(accepted(**changes), KEY) == digest_request(accepted(), KEY)


def test_a_number_and_its_digits_are_the_same_id_and_the_same_person() -> None:
    assert digest_request(accepted(ids=[17]), KEY) == digest_request(accepted(ids=["17"]), KEY)
    one, other = ({"column": "person", "values": values} for values in ([3, 7], ["7", "3"]))
    assert digest_request(accepted(groups=one), KEY) == digest_request(accepted(groups=other), KEY)


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": ["a", "c"]}, {"ids": ["a"]}, {"request": "DSR-2"}, {"received": "2026-11-20T09:30:01Z"},
        {"due": "2026-12-01T00:00:00Z"}, {"classes": ["a", "b"]}, {"classes": ["a"], "ids": ["b"]},
        {"where": [{"column": "age", "op": "<", "value": 3}]}, {"groups": {"column": "a", "values": ["b"]}},
    ],
)  # fmt: skip
def test_other_content_is_another_request(changes: dict[str, Any]) -> None:
    assert digest_request(accepted(**changes), KEY) != digest_request(accepted(), KEY)


def test_conditions_of_other_values_differ() -> None:
    one, other = ([{"column": "age", "op": "<", "value": value}] for value in (3, 4))
    assert digest_request(accepted(where=one), KEY) != digest_request(accepted(where=other), KEY)


def test_without_the_key_a_digest_tells_nothing() -> None:
    assert digest_request(accepted(), KEY) != digest_request(accepted(), bytes(32))


def test_the_schema_is_a_valid_one_and_fits() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.Draft202012Validator(json_schema()).validate(PLAIN)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema()).validate({**PLAIN, "path": str(Path("/etc"))})
