"""Whether the records that remain resemble the forgotten ones by their numeric labels.

After random records are forgotten, others have labels like theirs; after a range of labels is forgotten, none has. A
network cannot distinguish labels that are closer than its errors, so labels count as alike within a width: the median
size of the residuals on never-seen records. Before a network is loaded, `usual_width` stands for it.
"""

import numpy as np

MIN_REPRESENTED = 0.5
USUAL_SHARE = 0.5  # errors relative to those of a constant: a network that explains three quarters of the variance


def share_represented(forget_labels: np.ndarray, retain_labels: np.ndarray, width: float) -> float:
    """Return how well retain represents the forgotten labels: 1 for random records, 0 for a range that retain lacks.

    It is the mean, over the forgotten records, of the share of retain among all records whose labels are within `width`
    of theirs, relative to the share of retain among all records. It can be slightly above 1.
    """
    of_forget, of_retain = (count_within(forget_labels, labels, width) for labels in (forget_labels, retain_labels))
    expected = len(retain_labels) / (len(retain_labels) + len(forget_labels))
    return float((of_retain / (of_retain + of_forget)).mean() / expected)


def count_within(centres: np.ndarray, labels: np.ndarray, width: float) -> np.ndarray:
    """Return how many labels (m,) are within `width` of each centre (n,), the bounds included."""
    order, centres = np.sort(labels.astype(np.float64)), centres.astype(np.float64)
    return np.searchsorted(order, centres + width, side="right") - np.searchsorted(order, centres - width)


def usual_width(*labels: np.ndarray) -> float:
    """Return half the median distance of all labels from their median, in their unit."""
    together = np.concatenate(labels).astype(np.float64)
    return USUAL_SHARE * float(np.median(np.abs(together - np.median(together))))
