"""How often 95 % intervals cover the truth: simulated, before and after records counted by cluster. No network.

`python -m benchmarks.attacks.coverage` writes benchmarks/results/coverage.md. Every random number comes from one seed.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.stats import t, wasserstein_distance

from benchmarks.output import write_result
from unlearn_cli.learning.relearning import RelearningRun
from unlearn_cli.metrics.anamnesis_index import divide_steps
from unlearn_cli.metrics.calibration_error import calibration_error
from unlearn_cli.metrics.mae import mae
from unlearn_cli.metrics.wasserstein import wasserstein
from unlearn_cli.stats.auc_over_runs import clustered_auc, pooled_auc
from unlearn_cli.stats.intervals import share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import auc
from unlearn_cli.stats.z_statistics import pooled_spread, predict_mean_square, z_scores

REPEATS, RECORDINGS, WINDOWS, BINS = 1000, 15, 23, 15
Interval = tuple[float, float]
Case = tuple[Interval, Interval, float]  # before, after, the truth
HEAD = """# Coverage of 95 % intervals

Share of {repeats} simulated draws in which the interval covers the truth; the standard error of 0.95 is 0.007. "Before"
is commit 781601d. Command: `python -m benchmarks.attacks.coverage`.

| quantity | case | before | after |
|---|---|---|---|
"""
NOTES = """
Recordings: {recordings} of {windows} windows each, as in EEG; the correlation is that of its windows. Without
`data.group` these intervals are as before. The distance of two equal distributions is at the edge of the possible
values; the sample's distance is always larger, so the interval reaches down to 0 there.

Mean z^2 is a prediction interval: the truth is the value of one more reference. "Before" is the interval of t over the
left-out references (commit b338225), "after" that of an F distribution with the effective number of records.

Other intervals by resampling or quantiles: the range over repeats of `relearn_time` and of the bounds on epsilon of
single runs in `canaries` is a range, as its field says, not a confidence interval.
"""


def bounds(estimate: Estimate) -> Interval:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low, estimate.high


def alike(random: np.random.Generator, recordings: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of windows, and the recording of each."""
    groups = np.repeat(random.integers(0, 2**60, recordings), WINDOWS)
    common = np.repeat(random.normal(size=recordings), WINDOWS)
    return math.sqrt(correlation) * common + math.sqrt(1 - correlation) * random.normal(size=len(groups)), groups


def never_seen(random: np.random.Generator, correlation: float) -> Case:
    """Compare 5 never-seen recordings with 10 others: AUC 1/2."""
    (ours, of), (theirs, others) = alike(random, 5, correlation), alike(random, 10, correlation)
    return bounds(auc(ours, theirs)), bounds(auc(ours, theirs, (of, others))), 0.5


def accuracy(random: np.random.Generator, truth: float) -> Case:
    chances = np.repeat(random.beta(8 * truth, 8 * (1 - truth), RECORDINGS), WINDOWS)
    hits, groups = random.random(len(chances)) < chances, np.repeat(np.arange(RECORDINGS), WINDOWS)
    return bounds(share(hits)), bounds(share(hits, groups)), truth


def error(random: np.random.Generator, correlation: float) -> Case:
    values, groups = alike(random, RECORDINGS, correlation)
    labels = np.zeros(len(values))
    before, after = (bounds(mae(Outputs(values, labels, "regression", of))) for of in (None, groups))
    return before, after, math.sqrt(2 / math.pi)


def resampled_gaps(ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Return the interval of W1 as it was: gaps of the sorted outputs were drawn."""
    n, random = len(ours), np.random.default_rng(len(ours))
    value, gaps = float(wasserstein_distance(ours, theirs)), np.abs(np.sort(ours) - np.sort(theirs))
    again = [gaps[random.integers(0, n, n)].mean() for _ in range(200)]
    low, high = 2 * value - np.quantile(again, [0.975, 0.025])
    return max(0.0, min(low, value)), max(high, value)


def distance(random: np.random.Generator, n: int, shift: float, scale: float) -> Case:
    """Compare predictions with correlated ones that are shifted or scaled."""
    ours = random.normal(size=n)
    theirs = shift + scale * (0.8 * ours + 0.6 * random.normal(size=n))
    after = bounds(wasserstein(*(Outputs(values, np.zeros(n), "regression") for values in (ours, theirs))))
    return resampled_gaps(ours, theirs), after, shift or (scale - 1) * math.sqrt(2 / math.pi)


def relearned(random: np.random.Generator, repeats: int) -> Case:
    ours, theirs = random.poisson(20, repeats) + 1, random.poisson(30, repeats) + 1
    picks = np.random.default_rng(repeats).integers(0, repeats, (1000, repeats))
    low, high = np.quantile(ours[picks].mean(1) / theirs[picks].mean(1), [0.025, 0.975])
    first, second = ([RelearningRun(int(step)) for step in steps] for steps in (ours, theirs))
    return (low, high), bounds(divide_steps(first, second, 1000)), 21 / 31


def shadow_runs(random: np.random.Generator, runs: int) -> Case:
    """Pool scores of runs that share a shift each; the truth is 1/2."""
    members = random.random((runs, 60)) < 0.5
    scores = random.normal(size=members.shape) + random.normal(size=(runs, 1)) * np.where(members, 0.5, 0.0)
    again = []
    for _ in range(300):
        pick = random.integers(0, runs, runs)
        again.append(pooled_auc(members[pick], scores[pick]))
    low, high = np.quantile(again, [0.025, 0.975])
    return (low, high), bounds(clustered_auc(members, scores)), 0.5


def binned_error(confidence: np.ndarray, hits: np.ndarray) -> float:
    bin_of_record = np.ceil(confidence * BINS).astype(np.int64)
    return float(np.abs(np.bincount(bin_of_record, hits - confidence)).sum() / len(hits))


def percentile_calibration(confidence: np.ndarray, hits: np.ndarray) -> Interval:
    """Return the percentile interval, as it was; from 0 where a calibrated network has as large an error by chance."""
    n, random = len(hits), np.random.default_rng(len(hits))
    value, draws = binned_error(confidence, hits), (random.integers(0, n, n) for _ in range(200))
    again = [binned_error(confidence[draw], hits[draw]) for draw in draws]
    low, high = np.quantile(again, [0.025, 0.975])
    null = [binned_error(confidence, random.random(n) < confidence) for _ in range(200)]
    return 0.0 if value <= np.quantile(null, 0.975) else min(low, value), max(high, value)


def calibration(random: np.random.Generator, n: int, over: float) -> Case:
    """Draw labels less often right than the confidence says, by `over` of two classes' log odds."""
    odds = random.uniform(0.2, 4, n)
    chance = 1 / (1 + np.exp(-odds * over))
    labels = (random.random(n) > chance).astype(np.int64)
    after = bounds(calibration_error(Outputs(np.stack([odds, np.zeros(n)], axis=1), labels, "classification")))
    before = percentile_calibration(1 / (1 + np.exp(-odds)), labels == 0)
    grid = np.linspace(0.2, 4, 200_001)
    confidence, truth = 1 / (1 + np.exp(-grid)), 1 / (1 + np.exp(-grid * over))
    return before, after, binned_error(confidence, truth)


def one_more_reference(random: np.random.Generator, count: int, correlation: float) -> Case:
    """Predict mean z^2 of one more reference from the others; all records have a correlation over training."""
    common, own = random.normal(size=(count + 1, 1)), random.normal(size=(count + 1, 150))
    networks = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    references, spread = networks[1:], pooled_spread(networks[1:])
    left_out = [float(np.square(z_scores(part, np.delete(references, k, 0), spread)).mean())
                for k, part in enumerate(references)]  # fmt: skip
    half = float(t.ppf(0.975, count - 1) * np.std(left_out, ddof=1)) * math.sqrt(1 + 1 / count)
    value = float(np.square(z_scores(networks[0], references, spread)).mean())
    return (1 - half, 1 + half), predict_mean_square(references), value


def cases() -> Iterator[tuple[str, str, Callable[[np.random.Generator], Case]]]:
    for correlation in (0.05, 0.3, 0.8):
        case = f"5 and 10 never-seen recordings, correlation {correlation:g}"
        yield "AUC", case, lambda random, of=correlation: never_seen(random, of)
    for truth in (0.6, 0.9):
        yield "accuracy", f"{truth:g}, recordings", lambda random, of=truth: accuracy(random, of)
    for correlation in (0.05, 0.3, 0.8):
        yield "mae", f"recordings, correlation {correlation:g}", lambda random, of=correlation: error(random, of)
    for name, shift, scale in (("equal", 0, 1), ("shifted by 0.1", 0.1, 1), ("shifted by 0.5", 0.5, 1),
                               ("shifted by 1", 1, 1), ("1.5 times as wide", 0, 1.5)):  # fmt: skip
        for n in (50, 200, 1000):
            yield "wasserstein", f"{name}, n = {n}", lambda random, n=n, a=shift, b=scale: distance(random, n, a, b)
    for repeats in (5, 10):
        yield "anamnesis_index", f"{repeats} repeats", lambda random, n=repeats: relearned(random, n)
    for runs in (8, 32):
        yield "AUC over shadow runs", f"{runs} runs", lambda random, n=runs: shadow_runs(random, n)
    for n, over in ((200, 1.0), (1000, 1.0), (200, 0.5), (1000, 0.5)):
        case = f"n = {n}, {'calibrated' if over == 1 else 'overconfident'}"
        yield "calibration_error", case, lambda random, n=n, of=over: calibration(random, n, of)
    yield from predictions()


def predictions() -> Iterator[tuple[str, str, Callable[[np.random.Generator], Case]]]:
    for count in (3, 4, 8):
        for correlation in (0.0, 0.3, 0.9):
            case = f"one more than {count} references, correlation {correlation:g}"
            yield "mean z^2", case, lambda random, n=count, of=correlation: one_more_reference(random, n, of)


def row(number: int) -> str:
    """Return the line of one case; its number is its seed."""
    quantity, case, make = list(cases())[number]
    random, hits = np.random.default_rng(number), np.zeros(2)
    for _ in range(REPEATS):
        *intervals, truth = make(random)
        hits += [low <= truth <= high for low, high in intervals]
    before, after = hits / REPEATS
    return f"| {quantity} | {case} | {before:.1%} | {after:.1%} |"


def main() -> None:
    lines = []
    with ProcessPoolExecutor(2) as pool:
        for line in pool.map(row, range(len(list(cases())))):
            lines.append(line)
            print(line, flush=True)
    text = HEAD.format(repeats=REPEATS) + "\n".join(lines) + "\n"
    write_result("coverage.md", text + NOTES.format(recordings=RECORDINGS, windows=WINDOWS))


if __name__ == "__main__":
    main()
