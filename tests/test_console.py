"""What is printed cannot drive the terminal that shows it."""

import pytest

from unlearn_cli import console


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[2Jred\x9b\x00\r"
    console.result(console.table("", ["class", "n"], [[name, "3"]]))
    console.say(f"evaluate: {name}")
    console.error(f"no class '{name}'", 2)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert "?[2Jred??" in text
        assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_line_breaks_tabs_and_all_languages_are_left_as_they_are() -> None:
    text = "two\nlines\tand 猫 é\xa0%"
    assert console.visible(text) == text
