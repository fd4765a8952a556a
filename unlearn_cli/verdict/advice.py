"""Advice on what a number of records can decide, printed before an expensive run. No SciPy."""

from unlearn_cli.stats.margins import AUC_MARGIN, LOW_FPR, MIN_CLUSTERS, Z_PASS, Z_POWER_80
from unlearn_cli.stats.power import auc_power, auc_sd, count_records


def advice(
    num_forget: int, num_holdout: int, margin: float = AUC_MARGIN, clusters: tuple[int, int] | None = None
) -> list[str]:
    """Return sentences on whether an AUC of exactly 1/2 could be shown to be within the margin, and on low rates.

    `clusters` are the numbers of persons or recordings on both sides. Their design effect, which multiplies the
    variance, is known only after the run.
    """
    if not min(num_forget, num_holdout):
        return ["nothing to compare: forget or the hold-out is empty"]
    sizes = f"{num_forget} forgotten records and {num_holdout} of the hold-out"
    claim = f"that the AUC is within {margin:g} of 1/2"
    to_pass, for_power_80 = count_records(margin, Z_PASS), count_records(margin, Z_PASS + Z_POWER_80)
    lines = {
        "none": f"{sizes} cannot show {claim} (at least {to_pass} + {to_pass} are needed)",
        "low": f"{sizes} may fail to show {claim} ({for_power_80} + {for_power_80} give 80 % power)",
        "enough": f"{sizes} are enough to show {claim}, if it is",
    }
    advice = [lines[auc_power(num_forget, num_holdout, margin=margin)]]
    if clusters is not None:
        advice.append(_advise_on_clusters(clusters, auc_sd(num_forget, num_holdout), margin))
    least, rate = round(1 / LOW_FPR), f"{100 * LOW_FPR:g} %"
    if num_holdout < least:
        advice.append(
            f"a true-positive rate at FPR {rate} needs {least} records of the hold-out, which has {num_holdout}"
        )
    return advice


def _advise_on_clusters(clusters: tuple[int, int], sd: float, margin: float) -> str:
    """Return a sentence with the largest design effect at which clustered records can show it."""
    counts = f"they belong to {clusters[0]} and {clusters[1]} clusters (data.group)"
    if min(clusters) < MIN_CLUSTERS:
        return f"{counts}: an interval needs at least {MIN_CLUSTERS} on each side, so no gate can pass"
    max_effect = (margin / (Z_PASS * sd)) ** 2
    if max_effect < 1:
        return f"{counts} with similar records: more clusters are needed, not more records per cluster"
    return f"{counts}: this is sufficient only if the design effect of the attack's AUC is at most {max_effect:.2g}"
