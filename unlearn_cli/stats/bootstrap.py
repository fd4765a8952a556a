"""The bootstrap of all metrics that resample: records, or whole clusters of records, are drawn with replacement.

Many records are drawn together in a fixed number of random blocks, which limits memory and time. The blocks do not
depend on the order of the records.
"""

from functools import lru_cache

import numpy as np

from unlearn_cli.stats.clusters import Clusters, number_clusters

RESAMPLES = 500
MAX_BLOCKS = 512


def blocks_of_records(*keys: np.ndarray) -> Clusters:
    """Return each record as a block; more than `MAX_BLOCKS` records are divided into that many random blocks.

    Records are numbered by their sorted keys (n,), so that their order does not matter.
    """
    n = len(keys[0])
    codes = np.empty(n, dtype=np.int64)
    codes[np.lexsort(keys)] = np.random.default_rng(n).permutation(n) % MAX_BLOCKS
    return number_clusters(codes)


def blocks_of_clusters(clusters: Clusters) -> Clusters:
    """Return each cluster as a block; more than `MAX_BLOCKS` clusters are divided into that many random blocks."""
    order = np.random.default_rng(clusters.count).permutation(clusters.count)
    return number_clusters(order[clusters.codes] % MAX_BLOCKS)


def resample_means(totals: np.ndarray, blocks: Clusters) -> np.ndarray:
    """Return means per record (RESAMPLES, k) of resampled blocks; `totals` (blocks, k) are sums over each block."""
    draws = _draw(len(blocks.codes), blocks.count)
    return draws @ totals / (draws @ blocks.sizes)[:, None]


@lru_cache(maxsize=8)  # at most 2 MB each; the splits of all checkpoints have the same few sizes
def _draw(n: int, count: int) -> np.ndarray:
    """Return how often each resample has each block, (RESAMPLES, count); the seed is the number of records."""
    draws = np.random.default_rng(n).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    draws.flags.writeable = False  # all callers share it
    return draws
