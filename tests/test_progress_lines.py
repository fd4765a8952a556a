"""In a pipe a long phase prints a line every 30 seconds."""

import json
from collections.abc import Iterator

import pytest

from unlearn_cli import console
from unlearn_cli.runtime.progress import track


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[console.Settings]:
    fresh = console.Settings()
    monkeypatch.setattr(console, "settings", fresh)
    yield fresh


def run_phase(total: int, seconds_per_step: float, done: int = 0) -> None:
    clock = Clock()
    with console.bar("train", total, done, clock) as bar:
        for _ in range(done, total):
            clock.now += seconds_per_step
            bar.advance()


def test_a_line_every_30_seconds_says_step_elapsed_and_remaining_time(capsys: pytest.CaptureFixture[str]) -> None:
    run_phase(total=16, seconds_per_step=10.0)
    assert capsys.readouterr().err.splitlines() == [
        "train: step 3 of 16, 30 s elapsed, about 2 min 10 s left",
        "train: step 6 of 16, 1 min 0 s elapsed, about 1 min 40 s left",
        "train: step 9 of 16, 1 min 30 s elapsed, about 1 min 10 s left",
        "train: step 12 of 16, 2 min 0 s elapsed, about 40 s left",
        "train: step 15 of 16, 2 min 30 s elapsed, about 10 s left",
        "train: 16 steps, 160.0 s",
    ]


def test_a_short_phase_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    run_phase(total=290, seconds_per_step=0.1)
    assert capsys.readouterr().err == "train: 290 steps, 29.0 s\n"


def test_a_resumed_phase_estimates_from_its_own_steps(capsys: pytest.CaptureFixture[str]) -> None:
    run_phase(total=100, seconds_per_step=40.0, done=97)
    assert capsys.readouterr().err.splitlines()[0] == "train: step 98 of 100, 40 s elapsed, about 1 min 20 s left"


def test_quiet_prints_nothing(settings: console.Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.quiet = True
    run_phase(total=4, seconds_per_step=40.0)
    assert capsys.readouterr().err == ""


def test_only_the_process_that_speaks_prints(settings: console.Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.speaks = False
    run_phase(total=4, seconds_per_step=40.0)
    assert capsys.readouterr().err == ""


def test_the_json_log_has_the_numbers(settings: console.Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.log_format = "json"
    run_phase(total=3, seconds_per_step=45.0)
    first, second, last = map(json.loads, capsys.readouterr().err.splitlines())
    assert {name: first[name] for name in ("level", "phase", "step", "steps")} == {
        "level": "info",
        "phase": "train",
        "step": 1,
        "steps": 3,
    }
    assert (first["elapsed_seconds"], first["remaining_seconds"]) == (45.0, 90.0)
    assert second["step"] == 2
    assert last["message"] == "train: 3 steps, 135.0 s"


def test_every_tracked_phase_prints_its_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    assert list(track(range(3), "impair")) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["impair: step 1 of 3", "impair: step 2 of 3", "impair: 3 steps"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7512, "2 h 5 min")]
)
def test_times_are_written_in_words(seconds: float, text: str) -> None:
    assert console.format_time(seconds) == text
