"""Gates of the audit tier by hand-made findings."""

from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.audit_checks import check_audit


def finding(name: str, **values: tuple[float, float]) -> Finding:
    """Quantities as (value, standard deviation)."""
    quantities = {key: Estimate(value=value, n=2000, sd=sd, runs=32) for key, (value, sd) in values.items()}
    return Finding(name=name, tier="audit", quantities=quantities)


def judged(auc: float, epsilon: float, worst: float, rate: float = 0.001) -> dict[str, bool]:
    found = {
        "ulira": finding("ulira", auc=(auc, 0.01), tpr_001=(rate, 0.0), worst_decile=(worst, 0.0)),
        "canaries": finding("canaries", auc=(auc, 0.01), epsilon=(epsilon, 0.0)),
    }
    control = finding("ulira", worst_decile=(0.7, 0.0))
    return {check.claim: (check.p_passed or 0.0) <= 0.05 for check in check_audit(found, control)}


def test_what_is_like_retraining_passes_every_gate() -> None:
    passed = judged(0.505, 0.1, 0.72)
    assert len(passed) == 5
    assert all(passed.values())


def test_each_gate_sees_its_own_leak() -> None:
    assert [name for name, ok in judged(0.505, 0.9, 0.72).items() if not ok] == ["lower bound on epsilon at most 0.5"]
    assert [name for name, ok in judged(0.505, 0.1, 0.80).items() if not ok] == [
        "ulira on the worst tenth of the records at most 0.05 above retraining's"
    ]
    assert [name for name, ok in judged(0.505, 0.1, 0.72, rate=0.1).items() if not ok] == [
        "ulira TPR at FPR 0.1 % at most 1%"
    ]
    assert sum(not ok for ok in judged(0.60, 0.1, 0.72).values()) == 2


def test_a_bound_above_the_policy_fails_and_one_below_only_does_not() -> None:
    found = {
        "ulira": finding("ulira", auc=(0.5, 0.01)),
        "canaries": finding("canaries", auc=(0.5, 0.01), epsilon=(2, 0)),
    }
    checks = {check.claim: check for check in check_audit(found)}
    assert checks["lower bound on epsilon at most 0.5"].p_failed == 0.0
    assert not any("worst tenth" in claim for claim in checks)  # without the control it says nothing
