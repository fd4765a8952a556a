"""Legacy: the membership attack of the deep-regression paper, an SVC on the absolute error.

    e(x) = |prediction - y|;   SVC(C=3, RBF) on retain (1) against test (0);   result: the share of forget called 1

Source: Tarun et al., arXiv 2210.08196, code. Needs outputs on forget, retain and the hold-out. Warning: only for
comparison with printed tables. The kernel's width is fixed in the unit of the labels, so years and months give
different attacks; as in the paper's code, the unit is that of the data.
"""

from typing import Annotated

from pydantic import PositiveInt

from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import loss
from unlearn_cli.stats.svc import svc_findings

SUMMARY = "legacy: SVC on the absolute error of a regression"
TASK = "regression"


def svc_l1(
    forget_outputs: Outputs,
    retain_outputs: Outputs,
    holdout_outputs: Outputs,
    seed: int,
    *,
    max_records: Annotated[PositiveInt, Doc("records per side")] = 2000,
) -> Findings:
    """Return the share of forget called member, and of held-out records."""
    forget, retain, test = (loss(outputs) for outputs in (forget_outputs, retain_outputs, holdout_outputs))
    groups = [outputs.groups for outputs in (forget_outputs, retain_outputs, holdout_outputs)]
    return svc_findings(forget, retain, test, cap=max_records, balanced=True, seed=seed, groups=groups)
