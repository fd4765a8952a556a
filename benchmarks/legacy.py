"""The SVC-on-entropy attack against the published protocol, which reads one record at a time (attacks.md A3).

python -m benchmarks.legacy

Both score the same records of the same network with the same classifier: entropies of retain (member) and test, an SVC
fitted on them, the share of forget that it calls member. The protocol's loaders are told again as published: batches of
one, 32 workers, prefetch 10, a DataLoader a split; only `eval()` was added, without which batches of one break batch
norm. Writes results/legacy.md. Needs what `python -m benchmarks.controls` has trained.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.svm import SVC
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.cache import CACHE, HERE
from benchmarks.controls import TASKS, train
from unlearn_cli.attacks.svc_entropy import svc_entropy
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.evaluation.inputs import open_inputs
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.plugins.run_options import RunOptions

RECORDS = 2000  # a split
SPLITS = ("forget", "retain", "test_retain")


def published(model: nn.Module, records: dict[str, tuple[torch.Tensor, torch.Tensor]], workers: int) -> float:
    """Return the share of forget called member, one record at a time."""
    entropies = {}
    for split, tensors in records.items():
        options: dict[str, Any] = {"num_workers": workers, "prefetch_factor": 10} if workers else {}
        loader = DataLoader(TensorDataset(*tensors), batch_size=1, shuffle=False, **options)
        found = []
        with torch.no_grad():
            for x, _ in loader:
                p = nn.functional.softmax(model(x), dim=-1)
                found.append(-torch.where(p > 0, p * p.log(), p.new_zeros(())).sum(dim=-1))
        entropies[split] = torch.cat(found).numpy()[:, None]
    retain, test = entropies["retain"], entropies["test_retain"]
    attacker = SVC(C=3, gamma="auto", kernel="rbf")
    attacker.fit(np.concatenate([retain, test]), np.concatenate([np.ones(len(retain)), np.zeros(len(test))]))
    return float(attacker.predict(entropies["forget"]).mean())


def ours(session: Session, model: nn.Module) -> float:
    """Return the same share by the tool's own attack."""
    found = {name: session.predict(model, taken(session, name)) for name in SPLITS}
    result = svc_entropy(found["forget"], found["retain"], found["test_retain"], 0, protocol="bad_teacher")
    return float(result.quantities["flagged_forget"].value or 0.0)


def taken(session: Session, name: str) -> Any:
    batches = session.batches(name)
    return batches.take(np.arange(min(RECORDS, batches.num_samples)))


def timed(function: Callable[[], float]) -> tuple[float, float]:
    begun = time.perf_counter()
    value = function()
    return time.perf_counter() - begun, value


def row(name: str) -> str:
    """Time both on one task."""
    original = train(TASKS[name], "train", 0)
    opened = open_inputs(Path(CACHE / f"{original.name}.yaml"), RunOptions(precision="fp32"))
    with start(opened) as session:
        model = session.load(checkpoint.load(original / "model.safetensors"))
        ours(session, model)  # what is opened and compiled at first use is not the attack
        records = {split: pair(session, split) for split in SPLITS}
        seconds, share = timed(lambda: ours(session, model))
        told, told_share = timed(lambda: published(model, records, 32))
        alone, _ = timed(lambda: published(model, records, 0))
    sizes = " + ".join(str(len(y)) for _, y in records.values())
    numbers = f"{told:.1f} | {alone:.1f} | {seconds:.2f} | {told / seconds:.0f} | {alone / seconds:.0f}"
    return f"| {name} | {sizes} | {numbers} | {told_share:.2f} | {share:.2f} |"


def pair(session: Session, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    parts = list(taken(session, split).sequential(500))
    return torch.cat([x.contiguous() for x, _ in parts]), torch.cat([y for _, y in parts])


if __name__ == "__main__":
    head = (
        "# SVC on entropy: the published protocol against `attack --attack svc_entropy`\n\n"
        "Seconds on the same records, in one run, both with the SVC's fit: as published (32 loader workers), the same "
        "without workers (kinder on two cores), ours; and the ratios. Flagged: the share of forget called member (ours "
        "keeps part of retain and test for scoring, so the two differ a little).\n"
        "Made by `python -m benchmarks.legacy`.\n\n"
        "| task | records | published | no workers | ours | ratio | ratio, no workers | flagged, published | ours |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    text = head + "\n".join(row(name) for name in ("fashion_class", "cifar_class")) + "\n"
    (HERE / "results" / "legacy.md").write_text(text, encoding="utf-8")
    print(text)
