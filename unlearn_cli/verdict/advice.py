"""What a number of records can decide, printed before an expensive run (attacks.md 3.4). No SciPy."""

from unlearn_cli.stats.margins import AUC_MARGIN, LOW_FPR, MIN_CLUSTERS, RECORDS_FOR_POWER_80, RECORDS_TO_PASS, Z_PASS
from unlearn_cli.stats.power import auc_power, auc_sd


def advice(
    num_forget: int, num_holdout: int, margin: float = AUC_MARGIN, clusters: tuple[int, int] | None = None
) -> list[str]:
    """Return whether an AUC of exactly 1/2 could be shown to lie within the margin, and which low rates are resolved.

    `clusters` are the numbers of persons or recordings that the records of both sides belong to: their design effect,
    known only after the run, multiplies the variance.
    """
    if not min(num_forget, num_holdout):
        return ["nothing to compare: forget or the hold-out is empty"]
    sizes = f"{num_forget} forgotten records and {num_holdout} of the hold-out"
    claim = f"that the AUC lies within {margin:g} of 1/2"
    lines = {
        "none": f"{sizes} cannot show {claim} ({RECORDS_TO_PASS} + {RECORDS_TO_PASS} can at best)",
        "low": f"{sizes} may miss {claim} ({RECORDS_FOR_POWER_80} + {RECORDS_FOR_POWER_80} show it in 80 % of cases)",
        "enough": f"{sizes} are enough to show {claim}, if it does",
    }
    advice = [lines[auc_power(num_forget, num_holdout, margin=margin)]]
    if clusters is not None:
        advice.append(_advice_on_clusters(clusters, auc_sd(num_forget, num_holdout), margin))
    least, rate = round(1 / LOW_FPR), f"{100 * LOW_FPR:g} %"
    if num_holdout < least:
        advice.append(
            f"a true-positive rate at FPR {rate} needs {least} records of the hold-out; there are {num_holdout}"
        )
    return advice


def _advice_on_clusters(clusters: tuple[int, int], sd: float, margin: float) -> str:
    """Return up to which design effect the records of clusters can show it."""
    counts = f"they belong to {clusters[0]} and {clusters[1]} clusters (data.group)"
    if min(clusters) < MIN_CLUSTERS:
        return f"{counts}: an interval needs at least {MIN_CLUSTERS} on each side, so nothing can pass"
    max_effect = (margin / (Z_PASS * sd)) ** 2
    if max_effect < 1:
        return f"{counts}, whose records are alike: more clusters are needed, rather than more records per cluster"
    return f"{counts}: the data can show it only if the design effect of the attack's AUC is at most {max_effect:.2g}"
