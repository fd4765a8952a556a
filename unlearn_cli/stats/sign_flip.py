"""The sign-flip permutation test of a mean of paired differences, by record or by cluster."""

import numpy as np
from scipy.stats import permutation_test

from unlearn_cli.stats.clusters import explain_too_few, number_clusters
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Estimate

RESAMPLES = 9999  # random sign patterns; all of them are enumerated if there are fewer
MAX_UNITS = 200  # whose signs change; more records are summed in random blocks, whose signs may also change
MAX_NUMBERS = 2**22  # that are held at a time


def sign_flip_p_value(differences: np.ndarray, groups: np.ndarray | None, seed: int) -> Estimate:
    """Return the one-sided p-value of 'the differences (n,) are symmetric about 0'; small if their mean is above 0.

    With clusters (`groups`, (n,)), all differences of a cluster change their sign together.
    """
    n = len(differences)
    clusters = None if groups is None else number_clusters(groups)
    reason = explain_too_few(clusters) if clusters is not None else None
    reason = "at least two records are needed" if n < 2 else reason
    if reason:
        return missing(reason, n)
    random = np.random.default_rng(seed)
    # sorted, so that the result does not depend on the order of the records
    sums = np.sort(np.asarray(differences, dtype=np.float64) if clusters is None else clusters.totals(differences))
    if len(sums) > MAX_UNITS:
        blocks = random.permutation(len(sums)) % MAX_UNITS
        sums = np.bincount(blocks, weights=sums, minlength=MAX_UNITS)
    test = permutation_test(
        (sums,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, MAX_NUMBERS // len(sums)),
        alternative="greater",
        rng=random,
    )
    count = None if clusters is None else clusters.count
    return Estimate(value=float(test.pvalue), n=n, clusters=count)
