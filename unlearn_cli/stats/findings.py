"""What an attack may return instead of one score a record: numbers about the network as a whole."""

from dataclasses import dataclass, field

from unlearn_cli.stats.block import Scores
from unlearn_cli.stats.results import Curve, Estimate


@dataclass(frozen=True)
class Findings:
    """Named numbers, and what belongs to them; `scores` if there is one a record as well."""

    quantities: dict[str, Estimate]
    scores: Scores | None = None
    informative: bool | None = None  # False: it cannot tell members from others even where it was fitted
    curves: list[Curve] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
