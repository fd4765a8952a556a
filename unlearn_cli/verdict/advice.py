"""What a number of records can decide, said before an expensive run (attacks.md 3.4)."""

import math

LEAST = 3  # clusters of a side, as in `stats.cluster_variance`, which brings SciPy
Z_90, Z_POWER_80 = 1.6449, 1.2816  # two one-sided tests at 5 %; both succeed in 80 %: each in 90 %


def advice(
    num_forget: int, num_holdout: int, margin: float = 0.05, clusters: tuple[int, int] | None = None
) -> list[str]:
    """Say whether an AUC of exactly 1/2 could be shown to lie within the margin, and which low rates can be seen.

    The AUC of scores that know nothing has SD sqrt((m + n + 1) / (12 m n)). `clusters` are the numbers of persons or
    recordings that the records of both sides belong to: their design effect, known only afterwards, multiplies the
    variance.
    """
    if not min(num_forget, num_holdout):
        return ["nothing to compare: forget or the hold-out is empty"]
    sizes = f"{num_forget} forgotten records and {num_holdout} of the hold-out"
    spread = math.sqrt((num_forget + num_holdout + 1) / (12 * num_forget * num_holdout))
    if Z_90 * spread > margin:
        told = [f"{sizes} cannot show that the AUC lies within {margin:g} of 1/2 (181 + 181 can at best)"]
    elif (Z_90 + Z_POWER_80) * spread > margin:
        told = [f"{sizes} may miss that the AUC lies within {margin:g} of 1/2 (572 + 572 show it in 80 % of cases)"]
    else:
        told = [f"{sizes} are enough to show that the AUC lies within {margin:g} of 1/2, if it does"]
    if clusters is not None:
        told.append(_of_clusters(clusters, spread, margin))
    if num_holdout < 100:
        told.append(f"a true-positive rate at FPR 1 % needs 100 records of the hold-out; there are {num_holdout}")
    return told


def _of_clusters(clusters: tuple[int, int], spread: float, margin: float) -> str:
    """Say up to which design effect the records of clusters can show it."""
    of = f"they belong to {clusters[0]} and {clusters[1]} clusters (data.group)"
    if min(clusters) < LEAST:
        return f"{of}: {LEAST} on each side are the least for an interval, so nothing can pass"
    most = (margin / (Z_90 * spread)) ** 2
    if most < 1:
        return f"{of}, whose records are alike: more clusters are needed, rather than more records of the same ones"
    return f"{of}: the data can show it only if the design effect of the attack's AUC is at most {most:.2g}"
