"""Gates on relearning and on a linear probe, from findings with known numbers."""

import pytest

from unlearn_cli.stats.margins import LEVEL
from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.class_checks import check_class_knowledge, check_probe, check_relearning


def make_findings(steps: float | None, recall: float = 0.9, alarms: float = 0.1) -> dict[str, Finding]:
    def estimate(value: float | None, n: int) -> Estimate:
        half = 0.02
        if value is None:
            return Estimate(value=None, n=n, reason="2 of 2 repeats did not reach the target within 50 steps")
        return Estimate(value=value, n=n, low=value - half, high=value + half)

    relearn = {"interpolated_steps": estimate(steps, 2)}
    probe = {"recall_forgotten": estimate(recall, 800), "false_alarms": estimate(alarms, 800)}
    return {
        "relearn": Finding(name="relearn", tier="standard", quantities=relearn, settings={"max_steps": 50}),
        "linear_probe": Finding(name="linear_probe", tier="standard", quantities=probe),
    }


REFERENCES = [make_findings(steps, recall) for steps, recall in ((11, 0.9), (12, 0.91), (12.5, 0.89), (13, 0.9))]


@pytest.mark.parametrize(
    ("steps", "passed", "failed"),
    [(12, True, False), (9, True, False), (30, True, False), (None, True, False), (3, False, True)],
)
def test_only_faster_relearning_than_the_references_fails(steps: float | None, passed: bool, failed: bool) -> None:
    check = check_relearning(make_findings(steps), REFERENCES)
    assert ((check.p_passed or 0.0) <= LEVEL, (check.p_failed or 0.0) <= LEVEL) == (passed, failed)


def test_references_that_do_not_relearn_leave_it_undecided_with_the_setting_to_change() -> None:
    check = check_relearning(make_findings(9), [*REFERENCES[:3], make_findings(None)])
    assert check.p_failed is None
    assert "max_steps" in (check.reason or "")


def test_changed_settings_count_as_well() -> None:
    changed = {"relearn (max_steps=80)": make_findings(12)["relearn"]}
    check = check_relearning(changed, [{"relearn (max_steps=80)": network["relearn"]} for network in REFERENCES])
    assert (check.p_passed or 0.0) <= LEVEL


@pytest.mark.parametrize(("recall", "passed", "failed"), [(0.9, True, False), (0.999, False, False)])
def test_a_probe_is_compared_with_those_of_the_references(recall: float, passed: bool, failed: bool) -> None:
    (check,) = check_probe(make_findings(9, recall, 0.1), REFERENCES)
    assert not check.required
    assert ((check.p_passed or 0.0) <= LEVEL, (check.p_failed or 0.0) <= LEVEL) == (passed, failed)


def test_a_probe_that_finds_the_class_much_better_fails() -> None:
    (check,) = check_probe(make_findings(9, 0.99, 0.01), [make_findings(9, 0.7 + step / 100, 0.3) for step in range(4)])
    assert (check.p_failed or 0.0) <= LEVEL


def test_one_reference_cannot_decide() -> None:
    checks = check_class_knowledge({}, [{}], make_findings(9), [make_findings(9)])
    assert [check.p_failed for check in checks] == [None, None]
    assert all("two references" in (check.reason or "") for check in checks)
