"""Target confidences of forgotten records: those of never-seen records of the same class and rank.

    q(u) = quantile u of the held-out records' log-odds of the class in the current network
    target_i = q(u_i) + c(r_i),  c(r) <- c(r) + gain * (quantile r of all q(u_i) - Q(r)) at every update

u_i is the level of record i: how difficult it is for a network that never saw it, as the share of held-out records of
its class that are more difficult. r_i is its rank among the forgotten records of its class, and Q(r) the quantile of
the log-odds of the forgotten ones in the current network. The correction c is integral control: without it a network
that has memorised the records stays above its targets. Log-odds beyond FARTHEST count as equal, and c is at most
LARGEST: where the loss has no gradient, the correction would grow without an effect. Held-out log-odds count as at
least the original's less SLACK, because held-out records become harder with every record that is forgotten too much.
Where a part of a class is forgotten that is unlike the rest, its held-out records do become harder. If B shows this
clearly, by forgotten records that are harder than held-out ones, and by held-out ones that are harder than those of
other classes were in the original, they count as at least the log-odds that are expected of them (`expect_unseen`).

The levels come from a blindspot network B, new weights that were trained on retain for a part of the original's epochs:

    u_i = share of the held-out records of the class with lower log-odds in B, in the order of
          (rank of i in the original + rank of i in B) / 2 within the class

B sees that a group of records is harder or easier than others, which the original no longer shows if it has memorised
them. Both networks are uncertain about the order inside the class, and their mean is better than each. Without B, u_i
is the share of retained records of the class with lower log-odds in the original, and no class counts as harder.

For few records, of which B would say little, q(u_i) is replaced by o_i - m max(0, o_i - q(u_i)), with o_i the log-odds
in the original and m the difference between the shares of retained and of held-out records with positive log-odds, by
FULL and at most 1: a network that does not memorise predicts most records as if it had never seen them. Few records
reach their targets without a correction.

Source: this project. Held-out outputs as a target are the idea of ReGUn (arXiv 2603.11210) and FaLW (2601.18650); a
network that never saw the records is that of Tarun et al. (arXiv 2210.08196).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

MIN_PER_CLASS = 25  # held-out records of a class; with fewer, its quantiles are those of all classes together
SLACK = 0.3  # log-odds by which held-out records may fall below their log-odds in the original
STANDARD_ERRORS = 3.0  # by which a mean is clearly above a limit
BINS = 10  # ranks with a common correction
FARTHEST = 8.0  # largest size of log-odds that counts: beyond it the probability is below 0.0004 or above 0.9996
FULL = 0.25  # this difference, of a network that memorises its records
GAIN, LARGEST = 1.0, 2.0  # of the correction, and its largest size, in log-odds


def log_odds(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the log-odds (n,) of the label: its output minus the logsumexp of the others."""
    column = labels[:, None]
    others = outputs.scatter(1, column, -torch.inf).logsumexp(dim=1)
    return outputs.gather(1, column)[:, 0] - others


def rank_within_classes(values: Tensor, labels: Tensor) -> Tensor:
    """Return the rank (n,) of each value among those with the same label: (position + 1/2) / count."""
    ranks = torch.empty_like(values)
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        positions = torch.arange(len(rows), dtype=values.dtype, device=values.device)
        ranks[rows[values[rows].argsort(stable=True)]] = (positions + 0.5) / len(rows)
    return ranks


def find_levels(values: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor) -> Tensor:
    """Return the share (n,) of the other values with the same label that are below each value; of equal ones half.

    A label with fewer than MIN_PER_CLASS other values is compared with those of all labels.
    """
    levels = torch.empty_like(values)
    for label in labels.unique():
        rows, same = labels == label, other_labels == label
        levels[rows] = find_shares(values[rows], others[same] if same.sum() >= MIN_PER_CLASS else others)
    return levels


def find_shares(values: Tensor, others: Tensor) -> Tensor:
    """Return the share (n,) of the other values (m,) that are below each value; of equal ones half."""
    below, upto = (torch.searchsorted(others.sort().values, values, right=right) for right in (False, True))
    return (below + upto).to(values) / (2 * len(others))


def assign_levels(levels: Tensor, order: Tensor, labels: Tensor) -> Tensor:
    """Return the levels (n,) of each class in another order, that of `order` (n,)."""
    assigned = torch.empty_like(levels)
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        assigned[rows[order[rows].argsort(stable=True)]] = levels[rows].sort().values
    return assigned


def expect_unseen(first: Tensor, unseen: Tensor, held_out_labels: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
    """Return the log-odds (m,) that are expected of held-out records once the forgotten ones are forgotten.

    `first` (m,) are their log-odds in the original, `unseen` (m,) those in a network that never saw the forgotten
    records, which was trained for a shorter time; `levels` (n,) are those of the forgotten records in this network. A
    held-out record is expected to have the log-odds that a record of another class has in the original, if both are
    equally difficult for the other network: the value of its rank. The expected log-odds are `first` for a class with
    few records, and for one that does not become clearly harder.
    """
    expected = first.clone()
    for label in labels.unique():
        rows, others = held_out_labels == label, held_out_labels != label
        if min(rows.sum(), others.sum()) >= MIN_PER_CLASS:
            matched = torch.quantile(first[others], find_shares(unseen[rows], unseen[others]))
            drops = bound(first[rows]) - bound(matched)
            if exceeds(-levels[labels == label], -0.5) and exceeds(drops, SLACK):
                expected[rows] = matched
    return expected


def are_unlike(levels: Tensor) -> bool:
    """Return whether records with these levels (n,) are clearly harder or easier than the held-out ones."""
    return exceeds(levels, 0.5) or exceeds(-levels, -0.5)


def exceeds(values: Tensor, limit: float) -> bool:
    """Return whether the mean of some values (n,) is clearly above a limit."""
    return float(values.mean() - STANDARD_ERRORS * values.std(correction=0) / len(values) ** 0.5) > limit


@dataclass
class RankMatching:
    """The targets of forgotten records from held-out records.

    The forgotten records have levels, ranks and labels (n,), the held-out ones labels and log-odds (m,).
    """

    levels: Tensor
    ranks: Tensor
    labels: Tensor
    held_out_labels: Tensor
    first: Tensor  # log-odds (m,) of the held-out records in the original
    own: Tensor | None = None  # log-odds (n,) of few forgotten records in the original
    share: float = 1.0  # of the way from these to the matched log-odds, where those are lower
    expected: Tensor | None = None  # log-odds (m,) of `expect_unseen`, with a blindspot network
    correction: Tensor = field(init=False)
    targets: Tensor = field(init=False)  # log-odds (n,)

    def __post_init__(self) -> None:
        self.correction = torch.zeros(BINS, dtype=self.ranks.dtype, device=self.ranks.device)
        self.targets = self.match(self.first)

    def match(self, held_out: Tensor) -> Tensor:
        """Return the held-out log-odds (n,) of the same class and level as each forgotten record."""
        matched = torch.empty_like(self.ranks)
        for label in self.labels.unique():
            rows, of_class = self.labels == label, self.held_out_labels == label
            counted = of_class if of_class.sum() >= MIN_PER_CLASS else torch.ones_like(of_class)
            values = torch.maximum(held_out[counted].sort().values, self.find_lowest(counted))
            matched[rows] = torch.quantile(values, self.levels[rows])
        return matched if self.own is None else torch.lerp(self.own, torch.minimum(matched, self.own), self.share)

    def find_lowest(self, counted: Tensor) -> Tensor:
        """Return the lowest log-odds (k,) that count, in ascending order, of the counted held-out records (m,)."""
        lowest = self.first[counted].sort().values - SLACK
        if self.expected is None:
            return lowest
        return torch.minimum(lowest, self.expected[counted].sort().values)

    def update(self, held_out: Tensor, forgotten: Tensor, positions: Tensor) -> None:
        """Compute the targets anew from the current network's log-odds.

        `held_out` (m,) are those of the held-out records, `forgotten` (k,) those of the forgotten records at these
        positions (k,), a sample.
        """
        matched = self.match(held_out)
        if self.own is None:
            self.correct(matched[positions], forgotten, positions)
        self.targets.copy_(matched + self.correction[self.bins])

    def correct(self, expected: Tensor, forgotten: Tensor, positions: Tensor) -> None:
        """Add the gap between the expected and the present quantiles of some forgotten records to the correction."""
        bins = self.bins
        for number in bins[positions].unique():
            quantiles = (number + torch.linspace(0.125, 0.875, 4, device=bins.device)) / BINS
            wanted, reached = torch.quantile(expected, quantiles), torch.quantile(forgotten, quantiles)
            self.correction[number] += GAIN * (bound(wanted) - bound(reached)).mean()
        self.correction.clamp_(-LARGEST, LARGEST)

    @property
    def bins(self) -> Tensor:
        """The bin (n,) of each record's rank."""
        return (self.ranks * BINS).long().clamp(max=BINS - 1)


def bound(log_odds: Tensor) -> Tensor:
    return log_odds.clamp(-FARTHEST, FARTHEST)


def mix_targets(others: Tensor, labels: Tensor, target_log_odds: Tensor) -> Tensor:
    """Return distributions (n, K): the label gets sigmoid(log-odds), the other classes share the rest as in `others`.

    `others` (n, K) is a distribution over the other classes, with 0 for the label.
    """
    confidence = target_log_odds.sigmoid()[:, None]
    return (others * (1 - confidence)).scatter(1, labels[:, None], confidence)


def other_classes(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the softmax (n, K) of the outputs over all classes but the label, which gets 0."""
    return outputs.scatter(1, labels[:, None], -torch.inf).softmax(dim=1)
