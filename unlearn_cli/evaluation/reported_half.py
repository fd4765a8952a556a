"""Which half of test a command reports: never the half that a method read, unless the user asks for it. No torch.

A method with the input `held_out` reads the selection half of test, or `data.validation`. The metadata of its
checkpoint has the source under `held_out`, and checkpoints that are made from it inherit this; `retrain` inherits
nothing, because it starts from new weights.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.data.held_out import SELECTION_HALF
from unlearn_cli.schema.literals import Half

KEY, SEPARATOR = "held_out", ", "
DESCRIPTIONS = {"all": "both halves of test", "selection": "the selection half", "verdict": "the verdict half"}


@dataclass(frozen=True)
class ReportedHalf:
    """The half of test that a command reports, and the held-out records that methods read."""

    half: Half = "all"
    given: str | None = None  # the source of the input `held_out` in this run
    inherited: frozenset[str] = frozenset()  # the sources in the lineage of the given checkpoints

    @property
    def is_biased(self) -> bool:
        """Whether the report contains test records that a method read."""
        return self.half != "verdict" and SELECTION_HALF in {self.given, *self.inherited}

    def describe(self) -> list[str]:
        """Describe which half is reported, if a method read the other one; for stderr and the caveats."""
        if SELECTION_HALF not in {self.given, *self.inherited}:
            return []
        reader = "The method reads" if self.given == SELECTION_HALF else "A method that made a checkpoint has read"
        if not self.is_biased:
            return [f"{reader} the {SELECTION_HALF}: all numbers on test are of the verdict half."]
        warning = f"{reader} the {SELECTION_HALF}, and the numbers on test are of {DESCRIPTIONS[self.half]}"
        use = "use them to choose, not to judge" if self.half == "selection" else "use --half verdict"
        return [f"{warning}: they may be better than on never-seen records; {use}."]


def choose_half(
    requested: Half | None, default: Half, checkpoints: Iterable[Path], given: str | None = None
) -> ReportedHalf:
    """Return the half to report: the requested one, or verdict if a method read the other half, or the default.

    `given` is the source of the input `held_out` of this run's method.
    """
    inherited = frozenset(source for path in checkpoints for source in list_sources(read_header(path).metadata))
    reads_test = SELECTION_HALF in {given, *inherited}
    return ReportedHalf(requested or ("verdict" if reads_test else default), given, inherited)


def list_sources(metadata: Mapping[str, str]) -> set[str]:
    """Return the sources of held-out records in the metadata of a checkpoint."""
    text = metadata.get(f"unlearn_cli.{KEY}", "")
    return set(text.split(SEPARATOR)) if text else set()


def as_lineage(parent: Mapping[str, str], given: str | None = None) -> dict[str, str]:
    """Return the metadata of a new checkpoint: what its parent inherited or read, and what this run's method read."""
    sources = list_sources(parent) | ({given} if given else set())
    return {KEY: SEPARATOR.join(sorted(sources))} if sources else {}
