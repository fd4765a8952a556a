"""The wording of the tiers: every tier has both sides."""

from unlearn_cli.plugins import discovery
from unlearn_cli.verdict.tiers import NOT_TESTED, TESTED, describe_tier


def test_every_tier_says_what_it_tests_and_what_it_does_not() -> None:
    assert set(TESTED) == set(NOT_TESTED) == set(discovery.TIERS)
    sentence = describe_tier("quick")
    assert TESTED["quick"] in sentence and NOT_TESTED["quick"] in sentence
    assert describe_tier("none") == ""
