"""Which order of difficulty inside a class is closest to that of retrained networks?

python -m benchmarks.methods.orders [task ...]

A method that gives forgotten records the confidence of never-seen ones must decide which record gets which. Each row is
a way to order the forgotten records of a class; the number is the Spearman correlation with the mean log-odds of the
label in the references, averaged over the classes by their size, with the standard deviation over the originals.
"""

import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor, nn

from benchmarks.methods.networks import MODEL, TaskNetworks
from benchmarks.methods.tasks import TASKS
from benchmarks.output import write_result
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.data.batches import Batches
from unlearn_cli.evaluation.recipes import read_recipe
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.learning.head import predict_features
from unlearn_cli.learning.rank_matching import log_odds
from unlearn_cli.methods.rank_match import choose_blindspot_epochs, train_blindspot

DEFAULT = ("memorising", "random_10", "cardiotocography")
FEWEST, NEIGHBOURS = 5, 30  # records of a class; retained records that are compared
EARLY = 1 / 6  # of the original's epochs
RIDGE = 1e-2  # of the mean loss of the last layer
ORDERS = (
    ("original",),
    ("early",),
    ("influence",),
    ("neighbours",),
    ("blindspot",),
    ("original", "early"),
    ("original", "neighbours"),
    ("original", "blindspot"),
    ("original", "neighbours", "blindspot"),
)
Values = dict[str, np.ndarray]  # by order: (n,), larger for records that are less difficult


def main(names: Sequence[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = [row for name in names or DEFAULT for row in list_rows(name)]
    head = Path(__file__).with_name("orders_table.md").read_text(encoding="utf-8")
    write_result("orders.md", head + "\n".join(rows) + "\n")
    print("\n".join(rows))


def list_rows(name: str) -> list[str]:
    """Return a row per order, and one for each reference compared with the others."""
    networks, task = TaskNetworks(TASKS[name], "cpu"), TASKS[name]
    with start(networks.opened) as session:
        forget = session.batches("forget")
        references = [
            predict(load(session, networks.train(seed, "retain")), forget).numpy() for seed in task.references
        ]
        labels, mean = forget.targets.numpy(), np.mean(references, axis=0)
        floor = [correlate(own, (mean * len(references) - own) / (len(references) - 1), labels) for own in references]
        values = [list_values(session, networks.original(seed), forget) for seed in range(len(task.originals))]
    rows = [format_row(name, "one reference", floor)]
    for order in ORDERS:
        rows.append(
            format_row(name, " + ".join(order), [correlate(mix(v, order, labels), mean, labels) for v in values])
        )
    return rows


def load(session: Session, folder: Path) -> nn.Module:
    return session.load(checkpoint.load(folder / MODEL)).eval()


def list_values(session: Session, original: Path, forget: Batches) -> Values:
    """Return the values of all single orders."""
    recipe, model, loss = read_recipe(checkpoint.load(original / MODEL)), load(session, original), session.task_loss()
    retain, epochs = session.batches("retain"), choose_blindspot_epochs(forget.num_samples, recipe.epochs, None)
    blindspot = train_blindspot(session.fresh("fresh"), retain, loss, recipe, epochs).eval()
    early = train_blindspot(
        session.fresh("early"), session.batches("train"), loss, recipe, max(1, round(EARLY * recipe.epochs))
    )
    return {
        "original": predict(model, forget).numpy(),
        "early": predict(early.eval(), forget).numpy(),
        "influence": leave_out(model, forget, retain).numpy(),
        "neighbours": share_of_neighbours(blindspot, forget, retain).numpy(),
        "blindspot": predict(blindspot, forget).numpy(),
    }


@torch.no_grad()
def predict(model: nn.Module, records: Batches) -> Tensor:
    """Return the log-odds (n,) of the labels."""
    outputs = torch.cat([model(x).float() for x, _ in records.sequential(512)])
    return log_odds(outputs, records.targets)


def share_of_neighbours(model: nn.Module, forget: Batches, retain: Batches) -> Tensor:
    """Return the share (n,) of the nearest retained records that have the same label, by cosine of the features."""
    ours, others = (predict_features(model, (x for x, _ in part.sequential(512)))[0] for part in (forget, retain))
    mean, size = others.mean(dim=0), others.std(dim=0) + 1e-6
    ours, others = (nn.functional.normalize((part - mean) / size) for part in (ours, others))
    nearest = (ours @ others.T).topk(NEIGHBOURS).indices
    return (retain.targets[nearest] == forget.targets[:, None]).double().mean(dim=1)


def leave_out(model: nn.Module, forget: Batches, retain: Batches) -> Tensor:
    """Return the log-odds (n,) after one Newton step of the last layer without the record (its influence)."""
    parts = [predict_features(model, (x for x, _ in part.sequential(512))) for part in (forget, retain)]
    features = torch.cat([nn.functional.pad(part[0], (0, 1), value=1.0) for part in parts]).double()
    probabilities = torch.cat([part[1] for part in parts]).double().softmax(dim=1)
    n, (count, width), num_classes = forget.num_samples, features.shape, probabilities.shape[1]
    hessian = RIDGE * torch.eye(num_classes * width, dtype=torch.float64)
    for chunk in torch.arange(count).split(512):
        p, x = probabilities[chunk], features[chunk]
        curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        hessian += torch.einsum("nkj,na,nb->kajb", curvature, x, x).reshape_as(hessian) / count
    errors = probabilities[:n] - nn.functional.one_hot(forget.targets, num_classes)
    gradients = (errors[:, :, None] * features[:n, None, :]).flatten(1) / count
    steps = torch.linalg.solve(hessian, gradients.T).T.reshape(n, num_classes, width)
    outputs = parts[0][1].double() + torch.einsum("nka,na->nk", steps, features[:n])
    return log_odds(outputs, forget.targets)


def mix(values: Values, order: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Return the sum (n,) of the ranks within the classes."""
    ranks = np.zeros(len(labels))
    for label in np.unique(labels):
        rows = labels == label
        ranks[rows] = sum(rankdata(values[name][rows]) for name in order)
    return ranks


def correlate(values: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> float:
    """Return Spearman's correlation within the classes, averaged by their size."""
    classes = [labels == label for label in np.unique(labels) if (labels == label).sum() >= FEWEST]
    correlations = [spearmanr(values[rows], truth[rows])[0] for rows in classes]
    return float(np.average(correlations, weights=[rows.sum() for rows in classes]))


def format_row(task: str, order: str, numbers: Sequence[float]) -> str:
    return f"| {task} | {order} | {statistics.mean(numbers):.3f} ± {statistics.stdev(numbers):.3f} |"


if __name__ == "__main__":
    main(sys.argv[1:])
