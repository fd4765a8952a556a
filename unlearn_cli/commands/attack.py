"""`unlearn-cli attack`: can somebody who sees the outputs tell the forgotten records from records never seen?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from unlearn_cli import attacks, console, plugin, suitability
from unlearn_cli.commands import Chosen, Common, Result
from unlearn_cli.commands.holdout import Holdout, class_matched_holdout
from unlearn_cli.commands.inputs import Opened, open_inputs
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.plugin import Plugin

if TYPE_CHECKING:
    from unlearn_cli.commands.session import Session
    from unlearn_cli.report import Attack


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    checkpoint: Path
    manifest: Path
    tier: str = "quick"
    attacks: tuple[str, ...] = ()
    chosen: Chosen = field(default_factory=Chosen)
    original: Path | None = None
    references: tuple[Path, ...] = ()
    out: Path | None = None


def run(asked: Asked, common: Common) -> Result:
    """Attack the checkpoint, and the original and references beside it, and write the report if a folder is given."""
    chosen = chosen_attacks(asked.tier, asked.attacks, asked.chosen)
    opened = open_inputs(asked.manifest, common, (asked.checkpoint, asked.original, *asked.references), asked.out)
    for wanted, _ in chosen:
        suitability.check(wanted, opened.manifest.sections, opened.manifest.task, asked.manifest)
    return carry_out(asked, opened, chosen, class_matched_holdout(opened))


def chosen_attacks(tier: str, names: Sequence[str], chosen: Chosen) -> list[tuple[Plugin, BaseModel]]:
    """Return the attacks of the tier, or those asked for by name, with their settings.

    Raises:
        UserError: there is no such tier or attack, or a setting is wrong.
    """
    if tier not in attacks.TIERS:
        raise UserError(f"--tier {tier}: there is no such tier; {did_you_mean(tier, attacks.TIERS)}")
    wanted = [plugin.load("attacks", name) for name in names or attacks.TIERS[tier]]
    return [(attack, plugin.settings(attack, chosen.config, chosen.assignments)) for attack in wanted]


def carry_out(asked: Asked, opened: Opened, chosen: list[tuple[Plugin, BaseModel]], holdout: Holdout) -> Result:
    console.say(f"attack: {asked.checkpoint.name}; loading torch")
    from unlearn_cli import checkpoint  # torch comes with it: seconds, only after all that can be checked without
    from unlearn_cli.commands import reporting, session

    started = reporting.now()
    subject = checkpoint.load(asked.checkpoint)
    original = checkpoint.load(asked.original) if asked.original else None
    others = [checkpoint.load(path) for path in asked.references]
    weights = {"subject": subject, "original": original, **{reporting.role(i): made for i, made in enumerate(others)}}
    with session.start(opened) as current:
        # The subject alone may have forgotten, so it is judged by what it should still know.
        known = "train" if original else "retain"
        current.check_fits(current.load(original or subject), asked.original or asked.checkpoint, known)
        blocks = []
        for role, made in weights.items():
            if made is not None:
                model = current.load(made)
                with current.run.counted(model):
                    blocks += attack_model(current, model, role, chosen, asked.tier, holdout.positions)
        document = reporting.new_report(
            current, "attack", started, attacks=blocks, subject=subject.describe("subject"),
            original=original.describe("original") if original else None, references=reporting.references(others),
            inputs=sorted({name for attack, _ in chosen for name in attack.needs}),
            caveats=[*reporting.caveats(opened, bool(others), None), *holdout.caveats, *CAVEATS],
        )  # fmt: skip
    reporting.save_report(document, asked.out, opened.common.overwrite)
    return reporting.to_result(document, attacks_table(blocks), asked.out)


CAVEATS = ["An attack that finds nothing shows that this attack finds nothing; a stronger one may find more."]


def attack_model(
    current: "Session", model: Any, role: str, chosen: list[tuple[Plugin, BaseModel]], tier: str, holdout: np.ndarray
) -> "list[Attack]":
    """Run the attacks on one model; its outputs are computed once for all of them."""
    from unlearn_cli.stats import attack_block

    with current.run.timed(f"attack {role}"):
        inputs = {
            "forget_outputs": current.outputs(model, "forget"),
            "holdout_outputs": current.outputs(model, "test", holdout),
        }
        return [
            attack_block(attack.call(inputs, settings), name=attack.name, tier=tier, settings=settings.model_dump(),
                         seed=current.run.seed).model_copy(update={"role": role})
            for attack, settings in chosen
        ]  # fmt: skip


def attacks_table(blocks: "list[Attack]") -> str:
    """Lay out the attacks: the number of records, AUC with its interval, and the rates at low false-positive rates."""
    rows = []
    for block in blocks:
        rates = ["-" if rate.tpr.value is None else f"{100 * rate.tpr.value:.1f} %" for rate in block.rates]
        auc = f"{_number(block.auc.value)} [{_number(block.auc.low)}, {_number(block.auc.high)}]"
        rows.append([f"{block.name} on {block.role}", str(block.num_members), str(block.num_non_members), auc,
                     _number(block.auc_deviation.value), *rates])  # fmt: skip
    header = [f"TPR at FPR {100 * rate.fpr:g} %" for rate in blocks[0].rates] if blocks else []
    table = console.table("", ["attack", "forget", "holdout", "AUC (1/2: nothing found)", "|AUC - 1/2|", *header], rows)
    warnings = dict.fromkeys(f"warning: {text}" for block in blocks for text in block.warnings)
    return "\n".join([table, *warnings])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
