"""Every margin, limit and level of the intervals, tests and verdicts, defined once. No SciPy.

The margins are this project's defaults; no standard defines them.
"""

CONFIDENCE = 0.95  # of every interval
LEVEL = 0.05  # of every test of a verdict
MIN_CLUSTERS = 3  # clusters per side; the variance of one or two is unknown

# Attacks
AUC_MARGIN = 0.05  # largest distance from 1/2 that counts as equivalent
LEAST_AUC_MARGIN, MOST_AUC_MARGIN = 0.01, 0.25  # of `attack --margin`
LOW_FPR, TPR_LIMIT = 0.01, 0.05  # at this false-positive rate, at most this true-positive rate
AUDIT_FPR, AUDIT_TPR_LIMIT = 0.001, 0.01  # the same for the likelihood ratios over shadow runs
EPSILON_LIMIT = 0.5  # of the lower bound on epsilon
WORST_DECILE_MARGIN = 0.05  # accuracy on the worst tenth of the records above that of retraining

# Utility
FORGET_ACCURACY_MARGIN = 0.03  # of the accuracy on forget, from the references'
FORGET_ERROR_MARGIN = 0.10  # relative, of a regression's error on forget, from the references'
PERIOD_ERROR_MARGIN = 0.25  # the same without a control, so that it allows for other recipes
RANGE_ERROR_MARGIN = 0.50  # the same of a forgotten range against other records: retrainings extrapolate differently
UTILITY_MARGIN = 0.02  # of an accuracy
UTILITY_ERROR_MARGIN = 0.05  # relative, of a mean error
NEARER_LIMIT = -0.5  # effect of the relative distance: -1 like retraining, 0 halfway, 1 like the original

# Knowledge of whole classes, relative to references
DISTRIBUTION_LIMIT = 1.5  # of the distance of the distributions over the retained classes
RELEARNING_LIMIT = 2.0  # of the references' relearning steps divided by the network's
PROBE_MARGIN = 0.05  # of a linear probe's balanced accuracy

RECOGNISED_LIMIT = 0.05  # share of a forgotten class that may still be predicted as it, without a reference

# Over-forgetting
OVER_FORGETTING_MARGIN = 0.10  # of an accuracy
OVER_FORGETTING_ERROR_MARGIN = 0.5  # relative, of a mean absolute error
GROUP_MARGIN, GROUP_ERROR_MARGIN = 0.5, 1.0  # both relative, for groups that may be unlike all others
MIN_NEVER_SEEN = 30  # never-seen records; with fewer, the interval is wider than any margin
MIN_FORGOTTEN = 10  # forgotten records; a few chosen records may be unlike all others

# Power of two one-sided tests of |AUC - 1/2| < AUC_MARGIN at 5 %, with as many members as non-members
Z_PASS = 1.6449  # both tests can pass in the best case
Z_POWER_80 = 1.2816  # both tests pass in 80 % of cases, each in 90 %
