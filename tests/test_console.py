"""What is printed cannot drive the terminal that shows it."""

from io import BytesIO, TextIOWrapper

import pytest

from tests.tiny import invoke
from unlearn_cli import console
from unlearn_cli.cli.app import escape_unencodable


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[2Jred\x9b\x00\r"
    console.result(console.table("", ["class", "n"], [[name, "3"]]))
    console.say(f"evaluate: {name}")
    console.error(f"no class '{name}'", 2)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert r"\x1b[2Jred\x9b\x00\r" in text
        assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_line_breaks_tabs_and_all_languages_are_left_as_they_are() -> None:
    text = "two\nlines\tand 猫 é\xa0%"
    assert console.visible(text) == text


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("\u202egnp.exe", r"\u202egnp.exe"), ("a\u200bb", r"a\u200bb"), ("a\u2028error: b", r"a\u2028error: b"),
        ("\u2066x\u2069", r"\u2066x\u2069"), ("\ufeffid", r"\ufeffid"), ("so\u00adft", r"so\xadft"),
        ("\u3164", r"\u3164"), ("\U000e0041", r"\U000e0041"), ("caf\udce9", r"caf\udce9"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_in_a_name_is_escaped(hidden: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.result(f"class {hidden}")
    console.warn(f"class {hidden}")
    console.show(console.table("", ["class", "n"], [[hidden, "3"]]))
    console.error(f"class {hidden}", 2)
    printed = capsys.readouterr()
    assert printed.out == f"class {shown}\n"
    assert printed.err.count(shown) == 3
    assert hidden not in printed.err


def test_a_name_cannot_pass_for_a_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    name = "x\nerror: all is well"
    console.say(f"evaluate: {name}")
    console.warn(f"no class {name}")
    console.error(f"no class {name}", 2)
    console.show(console.table("", ["class"], [[name]]))
    assert not [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: all")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fo"], ("--fo", "--help'")),
        (["unlern"], ("did you mean 'unlearn'?",)),
        (["unlearn", "--fo"], ("--force", "unlearn --help'")),
        (["unlearn", "m", "-m", "y", "--out", "o", "--batch-size", "few"], ("--batch-size", "valid integer")),
        (["unlearn", "m", "-m", "y", "--out", "o", "--half", "no"], ("'no' is not one of 'selection'",)),
        (["unlearn"], ("Missing argument 'MODEL'",)),
        (["list"], ("Missing argument 'KIND'. Choose from: methods, metrics, attacks, models; see",)),
    ],
)
def test_wrong_usage_is_one_line_of_the_same_form_as_any_error(arguments: list[str], words: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert all(word.lower() in result.stderr.lower() for word in words)
    assert not result.stdout


ROWS = [
    ["forget", "accuracy", "97.9 % [89.1, 99.6]", "0.0 % [0.0, 7.4]", "x" * 30],
    ["test", "loss", "0.1", "2.5", "y"],
]
HEADER = ["split", "metric", "original", "unlearned", "reference"]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_that_is_wider_than_the_terminal_is_divided_by_columns(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "get_terminal_width", lambda: width)
    text = console.table("", HEADER, ROWS, labels=2)
    assert max(map(len, text.splitlines())) <= width
    parts = [part.splitlines() for part in text.split("\n\n")]
    assert len(parts) > 1
    assert all(part[0].split()[:2] == ["split", "metric"] for part in parts)
    assert all(part[2].split()[:2] == ["forget", "accuracy"] for part in parts)
    assert [word for part in parts for word in part[0].split()[2:]] == HEADER[2:]


def test_a_cell_that_is_wider_than_the_terminal_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "get_terminal_width", lambda: 20)
    lines = console.table("", ["file", "size"], [["a" * 30, "1"]]).splitlines()
    assert max(map(len, lines)) <= 20
    assert lines[-1] == "aaaaaaaaaaaaa…     1"


def test_in_a_pipe_a_table_is_as_wide_as_it_needs() -> None:
    assert console.get_terminal_width() is None
    assert len(console.table("", HEADER, ROWS).splitlines()) == 4


def test_two_columns_wrap_the_text_and_give_a_long_name_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    lines = console.format_two_columns([("--a", "word " * 12), ("--a-long-name", "text")], name_width=5)
    assert lines[0].startswith("  --a    word")
    assert max(map(len, lines)) <= 50
    assert lines[-2:] == ["  --a-long-name", "         text"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_the_output_cannot_encode_are_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = TextIOWrapper(BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stdout)
    escape_unencodable()
    console.result("97.9 % → 0.0 %")
    assert stdout.buffer.getvalue() == b"97.9 % \\u2192 0.0 %\n"  # pyright: ignore[reportAttributeAccessIssue]


def test_warnings_and_errors_are_annotations_of_github(capsys: pytest.CaptureFixture[str]) -> None:
    console.settings.log_format = "github"
    try:
        console.say("a note")
        console.warn("100% of\nit")
        console.error("wrong", 2)
    finally:
        console.settings.log_format = "text"
    assert capsys.readouterr().err.splitlines() == ["a note", r"::warning::100%25 of\nit", "::error::wrong"]
