"""Chooses the attacks to run and their settings: those of a tier or those named, if their inputs exist. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.run_options import SettingSources
from unlearn_cli.plugins.suitability import describe_tasks
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.results import Skipped

MASK = "mask"  # a control for the gates, so only attacks with a gate are run on it
JUDGED = {
    "sanity",
    "population",
    "retrain_contrast",
    "relative_distance",
    "class_distribution",
    "relearn",
    "linear_probe",
    "representation",  # not judged, but shown for comparison
}
OF_SHADOWS = {"shadow_runs", "retained_shadow_runs"}  # of one stage
OF_REFERENCES = {"reference_forget_outputs", "reference_holdout_outputs", "reference_test_outputs", "reference_models"}
OF_ORIGINAL = {"original_forget_outputs", "original_split_outputs"}


@dataclass(frozen=True)
class PlannedAttack:
    """One attack with its completed settings."""

    attack: Plugin
    settings: BaseModel
    tier: str

    @property
    def label(self) -> str:
        """The name, with the settings that differ from the defaults."""
        fields = type(self.settings).model_fields
        changes = [f"{name}={value}" for name, value in self.settings if value != fields[name].default]
        return self.attack.name + (f" ({', '.join(changes)})" if changes else "")

    @property
    def is_on_shadow_runs(self) -> bool:
        """Whether it attacks the shadow runs of one stage instead of the checkpoints."""
        return bool(OF_SHADOWS & set(self.attack.needs))

    def suits(self, role: str, references: int) -> bool:
        """Return whether it is defined for a role: no network is compared with itself."""
        needs = set(self.attack.needs)
        if role == MASK and self.attack.name not in JUDGED:
            return False
        if role == "original" and (needs & OF_ORIGINAL or self.attack.name == "label_inference"):
            return False
        if self.is_on_shadow_runs and role.startswith("reference_"):
            return False  # the retrained runs are one control, independent of the number of references
        return not (role.startswith("reference") and references < 2 and needs & OF_REFERENCES)


def choose(
    tier: str | None, names: Sequence[str], chosen: SettingSources, *, allow_code: bool = False
) -> list[PlannedAttack]:
    """Return the attacks of the tier, and those requested by name, with their settings.

    `--set name=value` applies to every chosen attack that has the setting, `--set attack.name=value` only to that one.

    Raises:
        UserError: a tier or attack is unknown, or a setting is wrong or applies to no attack.
    """
    if tier is not None and tier not in discovery.TIERS:
        raise UserError(f"--tier {tier}: unknown tier; {did_you_mean(tier, discovery.TIERS)}")
    entries = [(*entry.partition(":")[::2], tier or "") for entry in (discovery.list_attacks_of(tier) if tier else ())]
    in_tier = {name for name, _, _ in entries}
    entries += [(name, "", "named") for name in names if name not in in_tier]
    loaded = [(plugin.load("attacks", name, allow_code=allow_code), fixed, of) for name, fixed, of in entries]
    if chosen.config and len(loaded) > 1:
        raise UserError(
            "--config: contains the settings of one attack; choose it with --attack, or use --set ATTACK.NAME=VALUE"
        )
    _check_targets(chosen.assignments, [attack for attack, _, _ in loaded])
    return [
        PlannedAttack(
            attack,
            plugin.complete_settings(attack, chosen.config, _select_assignments(attack, fixed, chosen, len(loaded))),
            of,
        )
        for attack, fixed, of in loaded
    ]


def _select_assignments(attack: Plugin, fixed: str, chosen: SettingSources, count: int) -> list[str]:
    """Return the assignments for one attack, without its name; settings that the tier fixes come last and win."""
    assigned = []
    for assignment in chosen.assignments:
        target, name = _split(assignment)
        has_it = name.partition("=")[0].strip() in attack.settings.model_fields
        if target == attack.name or (not target and (has_it or count == 1)):
            assigned.append(name)
    return [*assigned, *([fixed] if fixed else [])]


def _check_targets(assignments: Sequence[str], loaded: Sequence[Plugin]) -> None:
    names = {attack.name: attack for attack in loaded}
    settings = sorted({field for attack in loaded for field in attack.settings.model_fields})
    for assignment in assignments:
        target, name = _split(assignment)
        if target and target not in names:
            raise UserError(f"--set {assignment}: '{target}' is not one of the attacks; {did_you_mean(target, names)}")
        field = name.partition("=")[0].strip()
        if not target and len(names) > 1 and field not in settings:
            raise UserError(
                f"--set {assignment}: none of the attacks has a setting '{field}'; {did_you_mean(field, settings)}"
            )


def _split(assignment: str) -> tuple[str, str]:
    """Split into ('attack', 'name=value'), or ('', ...) if no attack is named."""
    name, _, value = assignment.partition("=")
    target, dot, setting = name.strip().rpartition(".")
    return (target, f"{setting}={value}") if dot else ("", assignment)


def divide_applicable(
    wanted: Sequence[PlannedAttack], opened: RunInputs, present: set[str], no_holdout: str | None = None
) -> tuple[list[PlannedAttack], list[Skipped]]:
    """Divide attacks into those that can be run and skipped ones with the reason.

    `no_holdout` is the reason why the hold-out is empty, if it is.

    Raises:
        UserError: an attack that was requested by name cannot be run.
    """
    runnable: list[PlannedAttack] = []
    skipped: list[Skipped] = []
    for planned in wanted:
        reason = _find_obstacle(planned.attack, opened, present)
        if reason is None:
            reason = _explain_statistic(planned, opened.dataset.task)
        if reason is None and no_holdout and any("holdout" in name for name in planned.attack.needs):
            reason = no_holdout
        if reason is None and planned.tier != "named" and planned.attack.name == "quantile" and "reference" in present:
            reason = "references are given: rmia, which uses them, is run instead"
        if reason is None:
            runnable.append(planned)
        elif planned.tier == "named":
            raise UserError(f"--attack {planned.attack.name}: {reason}")
        else:
            skipped.append(Skipped(name=planned.label, reason=reason))
    return runnable, skipped


def _explain_statistic(planned: PlannedAttack, task: Task) -> str | None:
    """Return why the threshold attack's statistic is not defined for the task: it may need class probabilities."""
    statistic = getattr(planned.settings, "statistic", "loss")
    if task == "regression" and statistic not in ("margin", "loss"):
        return "it is for classification"
    return "it is for classification" if task == "multilabel" and statistic == "modified_entropy" else None


def _find_obstacle(attack: Plugin, opened: RunInputs, present: set[str]) -> str | None:
    if opened.dataset.task not in attack.tasks:
        return f"it is for {describe_tasks(attack.tasks)}"
    if attack.whole_classes and opened.dataset.forget_classes is None:
        return "it is only for whole classes"
    missing = attack.sections - present
    reasons = {
        "original": "it needs the original (--original)",
        "reference": "it needs references (--reference)",
        "shadows": "it needs shadow runs (--shadows; 'unlearn-cli shadow' creates them)",
    }
    return "; ".join(reasons.get(section, f"it needs '{section}'") for section in sorted(missing)) or None
