"""Small multilabel records that a network learns: three labels that depend on a point of the plane."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from unlearn_cli.data.batches import Batches, Scaling
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.records import ArrayInputs, from_label_sets
from unlearn_cli.data.stores import open_store


def draw_points(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points (n, 2) and the labels right, high and far (n, 3)."""
    points = np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)
    marks = np.stack([points[:, 0] > 0, points[:, 1] > 0, np.linalg.norm(points, axis=1) > 1.5], axis=1)
    return points, marks.astype(np.uint8)


def label_batches(points: np.ndarray, marks: np.ndarray, name: str = "retain") -> Batches:
    inputs = ArrayInputs(points, (2,))
    split = Split(name, from_label_sets("train", inputs, marks, None, {}), np.arange(len(marks)), marks)
    store = open_store(inputs, (2,), torch.device("cpu"), 2**20)
    scaling = Scaling(1.0, torch.tensor(0.0), torch.tensor(1.0))
    targets = torch.from_numpy(marks).float()
    return Batches(split, store, scaling, targets, (2,), marks.shape[1], 64, 0)


def records(n: int, seed: int = 0, without: Sequence[int] = (), name: str = "retain") -> Batches:
    """Return n records, of which none has the labels `without`."""
    points, marks = draw_points(4 * n, seed)
    rows = np.flatnonzero(~marks[:, list(without)].any(axis=1))[:n]
    return label_batches(points[rows], marks[rows], name)


def small_network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 3))
