"""The arguments of `attack`, and which of them exclude each other. No torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unlearn_cli.errors import UserError
from unlearn_cli.plugins import discovery
from unlearn_cli.plugins.run_options import SettingSources
from unlearn_cli.stats.margins import AUC_MARGIN, LEAST_AUC_MARGIN, MOST_AUC_MARGIN


@dataclass(frozen=True)
class AttackOptions:
    """The arguments of `attack`, in addition to the `RunOptions`."""

    checkpoint: Path
    manifest: Path
    tier: str | None = None
    attacks: tuple[str, ...] = ()
    settings: SettingSources = field(default_factory=SettingSources)
    original: Path | None = None
    references: tuple[Path, ...] = ()
    shadows: Path | None = None
    out: Path | None = None
    attempts: int = 1
    margin: float = AUC_MARGIN
    require_tier: str | None = None
    inconclusive: Literal["fail", "pass"] = "fail"
    junit: Path | None = None
    summary: Path | None = None
    log_to: tuple[str, ...] = ()
    pictures: bool = False
    dry_run: bool = False
    plan: bool = False  # only the plan, without opening checkpoints


def check_options(options: AttackOptions, tier: str | None) -> None:
    """Refuse options that contradict each other.

    Raises:
        UserError: an option lacks another one that it needs, the margin is out of range, or a reference is given twice.
    """
    if options.require_tier and options.require_tier not in discovery.TIERS:
        raise UserError(f"--require-tier {options.require_tier}: expected one of {', '.join(discovery.TIERS)}")
    if options.require_tier and tier is None:
        raise UserError("--require-tier: attacks by name give no verdict; use --tier")
    if not LEAST_AUC_MARGIN <= options.margin <= MOST_AUC_MARGIN:  # the command line refuses it, too
        raise UserError(
            f"margin {options.margin:g}: expected a number from {LEAST_AUC_MARGIN:g} to {MOST_AUC_MARGIN:g}"
        )
    if options.margin != AUC_MARGIN and tier is None:
        raise UserError("--margin: attacks by name give no verdict; use --tier")
    if tier == "audit" and options.shadows is None:
        raise UserError("--tier audit: needs --shadows, a folder with runs of 'unlearn-cli shadow'")
    if options.plan and tier is None:
        raise UserError("--plan: attacks by name have no gates; use --tier")
    if options.pictures and options.out is None:
        raise UserError("--pictures: pictures are written to the report's folder; add --out")
    if len(options.references) != len({path.resolve() for path in options.references}):
        raise UserError("--reference: a checkpoint is given twice; each must come from a separate training")
