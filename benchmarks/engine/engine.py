"""How near to the hardware's limit: our batches and runtime, a bare loop over ready tensors, and the usual recipe.

python -m benchmarks.engine.engine [--device cuda]

The three take turns within one process, round after round, on the same network (CIFAR-10, batches of 128, SGD), so that
what else the machine does meets them alike. Writes results/engine.md (engine_cuda.md): samples a second and ratios.

ours    `Batches` of a session (uint8 on the device, normalised and augmented a batch at a time), what `train` does
bare    the same network, precision and optimizer over tensors that lie ready on the device
usual   PIL images, RandomCrop, RandomHorizontalFlip, ToTensor, Normalize, a DataLoader with 2 workers (with a
        GPU also with 8), fp32, NCHW
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.cache import DATA, HERE, manifest_text
from benchmarks.engine.ceilings import Ceilings, Work, measured
from benchmarks.output import write_result
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.evaluation.session import Session, start
from unlearn_cli.learning.training import make_optimizer
from unlearn_cli.plugins.run_options import Precision, RunOptions

BATCH = 128
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
# network -> training steps and batches of inference a round on a CPU
ROUNDS = {"resnet18": (2, 4), "resnet20": (8, 16)}
ON_GPU = 50  # the same of both on a GPU
Pairs = Iterator[tuple[Tensor, Tensor]]
Loop = Callable[[int], None]


class Pictures(Dataset[Any]):
    """CIFAR-10 as torchvision has it: an array, turned into a PIL image for each sample."""

    def __init__(self, train: bool) -> None:
        with np.load(DATA / "cifar10" / "cifar10_train_20k.npz") as arrays:
            images, self.labels = (arrays[name] for name in arrays.files[:2])
        self.images = images.transpose(0, 2, 3, 1) if images.shape[1] == 3 else images
        steps = [transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip()] if train else []
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def train_loop(model: nn.Module, batches: Callable[[int], Pairs], autocast: Callable[[], Any]) -> Loop:
    """Return a function that trains for so many steps."""
    optimizer = make_optimizer(model, "sgd", 0.01, 5e-4, 0.9)

    def loop(steps: int) -> None:
        model.train()
        with autocast():
            for x, y in batches(steps):
                loss = nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return loop


def inference_loop(model: nn.Module, batches: Callable[[int], Pairs], autocast: Callable[[], Any]) -> Loop:
    def loop(steps: int) -> None:
        model.eval()
        with torch.inference_mode(), autocast():
            for x, _ in batches(steps):
                model(x).float()

    return loop


def usual(session: Session, train: bool, workers: int = 2) -> Callable[[int], Pairs]:
    """Return batches of the usual recipe; the loader's workers are started once, before anything is timed."""
    loader = DataLoader(Pictures(train), BATCH, shuffle=train, num_workers=workers, persistent_workers=True,
                        pin_memory=session.run.device.type == "cuda", drop_last=True)  # fmt: skip
    stream = forever(loader)

    def batches(steps: int) -> Pairs:
        for x, y in islice(stream, steps):
            yield x.to(session.run.device, non_blocking=True), y.to(session.run.device, non_blocking=True)

    next(stream)
    return batches


def forever(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def ours(session: Session, train: bool) -> Callable[[int], Pairs]:
    batches = session.batches("train", augmented=train)
    if train:
        stream = iter(batches.epochs(10_000))
        return lambda steps: islice(stream, steps)
    return lambda steps: islice(batches.sequential(BATCH), steps)


def bare(session: Session) -> Callable[[int], Pairs]:
    ready = list(islice(session.batches("train").sequential(BATCH), 8))
    return lambda steps: (ready[step % len(ready)] for step in range(steps))


def measure(name: str, device: str, precision: Precision, ceilings: Ceilings) -> list[str]:
    """Time the loops in turn; return the rows."""
    manifest = HERE / "results" / ".engine.yaml"
    manifest.write_text(manifest_text(f"cifar_{name}", [0]).replace("DATA", str(DATA.resolve())), encoding="utf-8")
    opened = open_inputs(manifest, RunOptions(device=device, precision=precision))
    manifest.unlink()
    rows = []
    with start(opened) as session:
        on_gpu = session.run.device.type == "cuda"
        work = Work.of(session.fresh("a"), tuple(session.sections.input.shape), session.run.device)
        for what, count in zip(("training", "inference"), ROUNDS[name], strict=True):
            train = what == "training"
            make, autocast = train_loop if train else inference_loop, session.run.autocast
            loops = {
                "ours": make(session.fresh("a"), ours(session, train), autocast),
                "bare": make(session.fresh("b"), bare(session), autocast),
                "usual": make(session.build().to(session.run.device), usual(session, train), nullcontext),
            }
            if on_gpu:
                more = usual(session, train, workers=8)
                loops["usual, 8 workers"] = make(session.build().to(session.run.device), more, nullcontext)
            speeds = taken_in_turn(loops, ON_GPU if on_gpu else count, session)
            shares = work.shares(statistics.median(speeds["ours"]), train, precision, ceilings)
            rows.append(row(f"{name} | {what} | {precision}", speeds, shares))
    return rows


def taken_in_turn(loops: dict[str, Loop], steps: int, session: Session, rounds: int = 7) -> dict[str, list[float]]:
    """Return the samples a second of each loop, round for round."""
    speeds: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(max(2, steps // 4))
    for _ in range(rounds):
        for name, loop in loops.items():
            begun = time.perf_counter()
            loop(steps)
            if session.run.device.type == "cuda":
                torch.cuda.synchronize()
            speeds[name].append(steps * BATCH / (time.perf_counter() - begun))
    return speeds


def row(title: str, speeds: dict[str, list[float]], shares: str) -> str:
    """Return a row: samples a second (median of the rounds), and the median of the ratios of each round."""
    numbers = [f"{statistics.median(own):.0f}" for own in speeds.values()]
    for other in list(speeds)[1:]:
        ratios = sorted(a / b for a, b in zip(speeds["ours"], speeds[other], strict=True))
        numbers.append(f"{statistics.median(ratios):.2f} [{ratios[1]:.2f}, {ratios[-2]:.2f}]")
    print(title, *numbers, shares, sep=" | ", file=sys.stderr, flush=True)
    return f"| {title} | {' | '.join([*numbers, shares])} |"


def main(device: str) -> None:
    ceilings, names = measured(device), ["ours", "bare", "usual", *(["usual, 8 workers"] if device == "cuda" else [])]
    rows = [row for name in ROUNDS for precision in ("bf16", "fp32")
            for row in measure(name, device, precision, ceilings)]  # fmt: skip
    head = Path(__file__).with_name("engine_table.md").read_text(encoding="utf-8")
    told = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    capabilities = torch.cpu.get_capabilities() if device == "cpu" else {}
    features = ", ".join(name for name in ("amx_bf16", "avx512_bf16", "avx512_f", "avx2") if capabilities.get(name))
    name = "engine_cuda.md" if device == "cuda" else "engine.md"
    ratios = [f"ours / {name}" for name in names[1:]]
    columns = ["network", "what", "precision of ours", *names, *ratios, "of the ceilings"]
    header = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    facts = f"{told}{f' ({features})' if features else ''}; torch {torch.__version__}.\n{ceilings.told()}"
    text = "\n".join([head, facts, "", header + "\n".join(rows), ""])
    write_result(name, text, device)
    print(text)


if __name__ == "__main__":
    main("cuda" if "cuda" in sys.argv else "cpu")
