"""The inputs of plug-ins: what a manifest must provide for them, and how they are made."""

from unlearn_cli.evaluation.plugin_inputs import FACTS, FOR_MEASURING, FOR_METHODS
from unlearn_cli.plugins import discovery
from unlearn_cli.plugins.requirements import OPTIONAL_INPUTS, REQUIREMENTS

SECTIONS = {"data", "forget", "test", "validation", "original", "reference", "cost", "shadows"}


def names_for(*kinds: str) -> set[str]:
    return {name for name, requirement in REQUIREMENTS.items() if set(kinds) & set(requirement.kinds.split())}


def test_every_input_that_is_listed_is_made_and_no_other() -> None:
    assert FOR_METHODS.keys() | FACTS.keys() == names_for("methods")
    assert FOR_MEASURING.keys() | FACTS.keys() == names_for("metrics", "attacks")
    assert set(OPTIONAL_INPUTS) <= FOR_METHODS.keys()


def test_every_input_has_a_meaning_and_known_requirements() -> None:
    for name, requirement in REQUIREMENTS.items():
        assert requirement.meaning, name
        alternatives = {name for section in requirement.sections.split() for name in section.split("/")}
        assert alternatives <= SECTIONS


def test_no_input_is_listed_that_nothing_uses() -> None:
    used = {
        name
        for kind in ("methods", "metrics", "attacks")
        for entry in discovery.entries(kind).values()
        for name in entry.inputs
    }
    assert set(REQUIREMENTS) - used <= set(OPTIONAL_INPUTS)
