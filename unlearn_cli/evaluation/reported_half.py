"""Which half of test a command reports: never the half that a method read, unless the user asks for it. No torch.

A method with the input `held_out` reads the selection half of test, or `data.validation`. The metadata of its
checkpoint has the source under `held_out`, and checkpoints that are made from it inherit this; `retrain` inherits
nothing, because it starts from new weights.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.data.held_out import GROUPED_HALF, SELECTION_HALF
from unlearn_cli.schema.literals import Half

KEY, SEPARATOR = "held_out", ", "
DESCRIPTIONS = {"all": "both halves", "selection": "the selection half", "verdict": "the verdict half"}


@dataclass(frozen=True)
class ReportedHalf:
    """The half of test that a command reports, and the held-out records that methods read."""

    half: Half = "all"
    division: str = SELECTION_HALF  # of this run's test split: SELECTION_HALF or GROUPED_HALF
    given: str | None = None  # the source of the input `held_out` in this run
    inherited: frozenset[str] = frozenset()  # the sources in the lineage of the given checkpoints

    @property
    def read_halves(self) -> set[str]:
        """The halves of test that methods read."""
        return {SELECTION_HALF, GROUPED_HALF} & {self.given, *self.inherited}

    @property
    def is_divided_differently(self) -> bool:
        """Whether a method read a half of test that is not this run's selection half."""
        return bool(self.read_halves - {self.division})

    @property
    def is_biased(self) -> bool:
        """Whether the report may contain test records that a method read."""
        return bool(self.read_halves) and (self.half != "verdict" or self.is_divided_differently)

    def describe(self) -> list[str]:
        """Describe which half is reported, if a method read the other one; for stderr and the caveats."""
        if not self.read_halves:
            return []
        read = " and the ".join(sorted(self.read_halves))
        reader = "The method reads" if self.read_halves == {self.given} else "A method that made a checkpoint has read"
        if not self.is_biased:
            return [f"{reader} the {read}: all numbers on test are of the verdict half."]
        warning = f"{reader} the {read}, and the numbers on test are of {DESCRIPTIONS[self.half]}"
        if self.is_divided_differently:
            warning += f", but test is divided {'without' if self.division == SELECTION_HALF else 'by'} groups now"
        return [f"{warning}: they may be better than on never-seen records; {self._advise()}."]

    def _advise(self) -> str:
        if self.half == "selection":
            return "use them to choose, not to judge"
        return "set data.group as in that run" if self.is_divided_differently else "use --half verdict"


def choose_half(
    requested: Half | None,
    default: Half,
    checkpoints: Iterable[Path],
    division: str = SELECTION_HALF,
    given: str | None = None,
) -> ReportedHalf:
    """Return the half to report: the requested one, or verdict if a method read the other half, or the default.

    `division` is the name of this run's selection half, `given` the source of the input `held_out` of its method.
    """
    inherited = frozenset(source for path in checkpoints for source in list_sources(read_header(path).metadata))
    reported = ReportedHalf(default, division, given, inherited)
    return replace(reported, half=requested or ("verdict" if reported.read_halves else default))


def list_sources(metadata: Mapping[str, str]) -> set[str]:
    """Return the sources of held-out records in the metadata of a checkpoint."""
    text = metadata.get(f"unlearn_cli.{KEY}", "")
    return set(text.split(SEPARATOR)) if text else set()


def as_lineage(parent: Mapping[str, str], given: str | None = None) -> dict[str, str]:
    """Return the metadata of a new checkpoint: what its parent inherited or read, and what this run's method read."""
    sources = list_sources(parent) | ({given} if given else set())
    return {KEY: SEPARATOR.join(sorted(sources))} if sources else {}
