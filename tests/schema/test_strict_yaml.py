"""YAML 1.2 scalars, a position for every value, and nothing that could run code or fill the memory."""

import math
from pathlib import Path
from typing import Any

import pytest

from unlearn_cli.errors import UserError
from unlearn_cli.schema.strict_yaml import (
    MAX_ALIASES,
    MAX_BYTES,
    MAX_DEPTH,
    parse,
    parse_setting,
    read,
    read_mapping,
    to_python,
)

FILE = Path("settings.yaml")


def value(text: str) -> Any:
    return parse(text, FILE).value


def refusal(text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        parse(text, FILE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("-1.5e+3", -1500.0), (".5", 0.5), ("1.", 1.0), ("+2.5", 2.5),
        ("012", 12), ("0", 0), ("-7", -7), ("+5", 5), ("0o17", 15), ("0x1F", 31),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("Off", "Off"), ("y", "y"), ("N", "N"),
        ("true", True), ("True", True), ("FALSE", False),
        ("12:30:45", "12:30:45"), ("2026-11-20", "2026-11-20"), ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
        ("1_000", "1_000"), ("0b11", "0b11"), ("nan", "nan"), ("inf", "inf"), (".", "."), ("e5", "e5"), ("=", "="),
        ("~", None), ("null", None), ("Null", None), ("NULL", None), ("", None),
        (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf),
        ('"012"', "012"), ("'no'", "no"), ('"1e-4"', "1e-4"), ("''", ""),
    ],
)  # fmt: skip
def test_scalars_are_read_as_yaml_1_2_reads_them(text: str, expected: object) -> None:
    found = value(f"key: {text}")["key"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_written_with_a_dot(text: str) -> None:
    assert math.isnan(value(f"key: {text}")["key"])


def test_a_setting_on_the_command_line_follows_the_same_rules() -> None:
    assert to_python(parse_setting("1e-4")) == 1e-4
    assert to_python(parse_setting("no")) == "no"
    assert to_python(parse_setting("[1, 2]")) == [1, 2]
    assert to_python(parse_setting("")) is None


def test_a_file_of_settings_is_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("lr: 1e-3\nepochs: 2\n", encoding="utf-8")
    assert to_python(read_mapping(path)) == {"lr": 1e-3, "epochs": 2}
    path.write_text("- lr\n", encoding="utf-8")
    with pytest.raises(UserError, match="one setting per line"):
        read_mapping(path)


def test_text_on_the_command_line_that_is_no_yaml_is_itself() -> None:
    assert to_python(parse_setting("[1, 2")) == "[1, 2"
    assert to_python(parse_setting("@home")) == "@home"


def test_mappings_and_lists_nest_and_keys_stay_text() -> None:
    assert value("a: [1, {b: c}]\n2: x\nno: y\n") == {"a": [1, {"b": "c"}], "2": "x", "no": "y"}


def test_an_alias_repeats_its_anchor() -> None:
    assert value("a: &shape [1, 8, 8]\nb: *shape\n") == {"a": [1, 8, 8], "b": [1, 8, 8]}


def test_an_empty_file_has_no_value() -> None:
    assert value("# only a comment\n") is None


def test_every_value_has_the_position_of_its_key() -> None:
    document = parse("a: 1\nb:\n  c: [x,\n      y]\n", FILE)
    assert document.positions == {
        (): (1, 1), ("a",): (1, 1), ("b",): (2, 1), ("b", "c"): (3, 3), ("b", "c", 0): (3, 7), ("b", "c", 1): (4, 7)
    }  # fmt: skip


def test_a_place_is_told_as_file_line_and_column() -> None:
    document = parse("a: 1\nb:\n  c: 2\n", FILE)
    assert document.where(("b", "c")) == "settings.yaml:3:3"


def test_a_location_that_is_not_there_is_told_by_what_is_around_it() -> None:
    document = parse("a: 1\nb:\n  c: 2\n", FILE)
    assert document.where(("b", "missing")) == "settings.yaml:2:1"
    assert document.where(("missing", 3)) == "settings.yaml:1:1"


def test_a_key_that_is_there_twice_is_refused_at_its_second_place() -> None:
    assert refusal("a: 1\nb: 2\na: 3\n").startswith("settings.yaml:3:1: duplicate key 'a'")


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [ls]", "a: !mine 5", "a: !!binary aGk=", "a: !!timestamp 2026-11-20",
        "a: !!python/object:os.system {b: c}", "a: !!set {b, c}", "a: !!omap [b: c]", "a: !!int five",
        "a: !!float five", "a: !!bool five",
    ],
)  # fmt: skip
def test_a_tag_is_refused_with_its_place(text: str) -> None:
    assert refusal(text).startswith("settings.yaml:1:4: ")


@pytest.mark.parametrize("text", ["a: [1, 2", "a: 'x", "\ta: 1", "a: 1\n b: 2", "a: *nowhere", "a: 1\n---\nb: 2\n"])
def test_what_is_no_yaml_is_refused_with_line_and_column(text: str) -> None:
    message = refusal(text)
    assert "is not valid YAML" in message
    place = message.partition(": ")[0].split(":")
    assert place[0] == "settings.yaml"
    assert all(number.isdigit() for number in place[1:])
    assert len(place) == 3


def test_bytes_that_are_no_text_are_refused() -> None:
    assert "is not UTF-8 text" in refusal(b"a: \xff\xfe")
    assert "is not valid YAML" in refusal(b"a: \x00")


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    assert refusal("a: " + "9" * 10_000).startswith("settings.yaml:1:4: ")


def test_depth_and_aliases_are_bounded() -> None:
    assert "levels" in refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert "aliases" in refusal("a: &x 1\nb: [" + "*x, " * (MAX_ALIASES + 1) + "]")


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 26))
    refusal(laughs)


def test_a_file_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(UserError, match=f"at most {MAX_BYTES}"):
        read(path)


@pytest.mark.parametrize(("name", "says"), [("missing.yaml", "no such file"), (".", "is a folder")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(tmp_path / name)
