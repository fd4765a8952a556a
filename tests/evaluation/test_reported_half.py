"""Which half of test is reported, from the options, the method and the lineage of the checkpoints."""

from pathlib import Path

import pytest
import torch

from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.data.held_out import GROUPED_HALF, SELECTION_HALF, VALIDATION
from unlearn_cli.evaluation.reported_half import as_lineage, choose_half, list_sources
from unlearn_cli.schema.literals import Half


def write_checkpoint(folder: Path, held_out: str | None) -> Path:
    folder.mkdir()
    return checkpoint.save(folder, {"w": torch.ones(1)}, {"held_out": held_out} if held_out else {})


@pytest.mark.parametrize("default", ["all", "verdict"])
@pytest.mark.parametrize(
    ("requested", "read", "half"),
    [
        (None, None, None),
        (None, SELECTION_HALF, "verdict"),
        (None, GROUPED_HALF, "verdict"),
        (None, VALIDATION, None),
        (None, f"{SELECTION_HALF}, {VALIDATION}", "verdict"),
        ("all", SELECTION_HALF, "all"),
        ("selection", SELECTION_HALF, "selection"),
        ("selection", None, "selection"),
    ],
)
def test_the_half_follows_from_the_lineage_unless_it_is_requested(
    requested: Half | None, read: str | None, half: Half | None, default: Half, tmp_path: Path
) -> None:
    paths = [write_checkpoint(tmp_path / "subject", read), write_checkpoint(tmp_path / "original", None)]
    for checkpoints in (paths, paths[::-1]):
        assert choose_half(requested, default, checkpoints).half == (half or default)


@pytest.mark.parametrize(
    ("requested", "division", "text"),
    [
        (None, SELECTION_HALF, "has read the selection half of test: all numbers on test are of the verdict half."),
        ("all", SELECTION_HALF, "of both halves: they may be better than on never-seen records; use --half verdict."),
        ("selection", SELECTION_HALF, "better than on never-seen records; use them to choose, not to judge."),
        (
            None,
            GROUPED_HALF,
            "of the verdict half, but test is divided by groups now: they may be better than on never-",
        ),
        (
            "selection",
            GROUPED_HALF,
            "is divided by groups now: they may be better than on never-seen records; use them",
        ),
    ],
)
def test_the_caveat_states_what_was_read(requested: Half | None, division: str, text: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "subject", SELECTION_HALF)
    reported = choose_half(requested, "all", [path], division)
    (line,) = reported.describe()
    assert text in line
    assert reported.is_biased == ("may be better" in line)


def test_there_is_no_caveat_if_no_half_was_read(tmp_path: Path) -> None:
    for number, read in enumerate((None, VALIDATION)):
        reported = choose_half(None, "all", [write_checkpoint(tmp_path / str(number), read)])
        assert reported.describe() == [] and not reported.is_biased


def test_a_run_adds_its_source_to_the_inherited_ones() -> None:
    first = as_lineage({}, SELECTION_HALF)
    assert first == {"held_out": SELECTION_HALF}
    second = as_lineage({"unlearn_cli.held_out": first["held_out"]}, VALIDATION)
    assert second == {"held_out": "selection half of test, validation"}
    assert as_lineage({"unlearn_cli.held_out": second["held_out"]}) == second
    assert list_sources({"unlearn_cli.held_out": second["held_out"]}) == {SELECTION_HALF, VALIDATION}
    assert as_lineage({"unlearn_cli.seed": "0"}) == {}
