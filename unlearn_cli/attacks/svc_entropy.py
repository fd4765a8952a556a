"""Legacy: the membership attack of the bad-teacher and zero-shot papers, an SVC on the entropy of the softmax.

    h(x) = -sum_k p_k log p_k;   SVC(C=3, RBF) on retain (1) against test (0);   result: the share of forget called 1

Source: Chundawat et al., arXiv 2205.08096 and 2201.05629, code. Needs outputs on forget, retain and the hold-out (test
records of the forgotten kind). Warning: only for comparison with printed tables. It ignores the label, so a confident
mistake is a 'member'; without balancing, it calls every record a member. It cannot distinguish gradient ascent with two
epochs of repair (0.40) from a retrained network (0.37), although U-LiRA separates these with an AUC of 0.95.
"""

from typing import Annotated, Literal

from pydantic import PositiveInt

from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import entropy
from unlearn_cli.stats.svc import svc_findings

SUMMARY = "legacy: SVC on the entropy (bad teacher, zero-shot)"
TASK = "classification"


def svc_entropy(
    forget_outputs: Outputs,
    retain_outputs: Outputs,
    holdout_outputs: Outputs,
    seed: int,
    *,
    protocol: Annotated[
        Literal["balanced", "bad_teacher"], Doc("equal numbers of both sides, or as in the paper's code")
    ] = "balanced",
    max_records: Annotated[PositiveInt, Doc("records per side")] = 5000,
) -> Findings:
    """Return the share of forget called member, and of held-out records; `bad_teacher` does not balance the sides."""
    forget, retain, test = (entropy(outputs.values) for outputs in (forget_outputs, retain_outputs, holdout_outputs))
    groups = [outputs.groups for outputs in (forget_outputs, retain_outputs, holdout_outputs)]
    return svc_findings(
        forget, retain, test, cap=max_records, balanced=protocol == "balanced", seed=seed, groups=groups
    )
