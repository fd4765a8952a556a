"""How much memory does a command need in addition to what its method needs? CPU, one process.

python -m benchmarks.engine.memory

ViTs of 11, 50 and 99 million parameters, a perceptron whose weights are two matrices, a ResNet-101 in bf16; random
weights, the bundled digits, batches of 8. Writes results/memory.md: the highest anonymous memory of each command, less
that of the same command with a tiny network, as a multiple of what its method needs.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file
from torch import nn
from torchvision.models import VisionTransformer

from benchmarks.cache import HERE
from benchmarks.engine.billion import memory
from benchmarks.output import write_result
from unlearn_cli.models.architectures import build_network
from unlearn_cli.schema import manifest

MANIFEST = """\
version: 1
task: classification
model: MODEL
input: {shape: [1, 8, 8], scale: 16, mean: 0.305, std: 0.376}
data:
  train: {sklearn: {name: digits, part: train}, rows: {every: 10}}
  test: {sklearn: {name: digits, part: test}, rows: {every: 10}}
forget: {classes: [3]}
"""
VIT = '{architecture: "benchmarks.engine.memory:vit", arguments: {width: WIDTH, layers: LAYERS}}'
PERCEPTRON = "{architecture: mlp, arguments: {hidden: HIDDEN}}"
RESNET = "{architecture: torchvision/NAME, stem: cifar}"


class Network(NamedTuple):
    """A network, the tiny one of its kind whose memory counts as that of everything else, and the precision."""

    name: str
    model: str
    tiny: str
    precision: str = "fp32"


class Work(NamedTuple):
    """A command, and what its method needs at once, in networks."""

    name: str
    words: tuple[str, ...]
    settings: tuple[str, ...]
    networks: int
    what: str


def transformer(width: int, layers: int) -> str:
    return VIT.replace("WIDTH", str(width)).replace("LAYERS", str(layers))


NETWORKS = [
    Network("ViT", transformer(384, 6), transformer(16, 1)),
    Network("ViT", transformer(768, 7), transformer(16, 1)),
    Network("ViT", transformer(768, 14), transformer(16, 1)),
    Network("perceptron", PERCEPTRON.replace("HIDDEN", "[7000, 7000, 7000]"), PERCEPTRON.replace("HIDDEN", "[8]")),
    Network("ResNet-101", RESNET.replace("NAME", "resnet101"), RESNET.replace("NAME", "resnet18"), "bf16"),
]
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc returns every larger tensor when it is freed, and keeps none
FINETUNE, BAD, UNSIR = (("unlearn", "--method", name) for name in ("finetune", "bad_teacher", "unsir"))
WORKS = [
    Work("evaluate with the original", ("evaluate",), (), 1, "network"),
    Work("finetune, SGD", FINETUNE, ("steps=3", "optimizer=sgd"), 2, "network, gradients"),
    Work("train, SGD with momentum", ("train",), ("epochs=1", "optimizer=sgd"), 3, "network, gradients, momentum"),
    Work("finetune, Adam", FINETUNE, ("steps=3",), 4, "network, gradients, two moments"),
    Work("bad_teacher", BAD, ("impair_steps=2", "repair_steps=2"), 6, "as Adam; original, random teacher"),
    Work("unsir, no trial is enough", UNSIR, ("impair_steps=2", "repair_steps=2", "noise_steps=1", "noise_size=4"), 6,
         "as Adam; original, the last trial's weights"),
]  # fmt: skip


def vit(width: int, layers: int) -> nn.Module:
    """Return a ViT for 8x8 digits of one channel: four patches."""
    model = VisionTransformer(
        image_size=8, patch_size=4, num_layers=layers, num_heads=4, hidden_dim=width, mlp_dim=4 * width, num_classes=10
    )
    model.conv_proj = nn.Conv2d(1, width, 4, 4)
    return model


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for number, network in enumerate(NETWORKS):
            rows += measured(network, Path(name) / str(number))
    head = Path(__file__).with_name("memory_table.md").read_text(encoding="utf-8")
    write_result("memory.md", head + "\n".join(rows) + "\n")
    print("\n".join(rows))


def measured(network: Network, folder: Path) -> list[str]:
    """Run every command with the network and with the tiny one of its kind; return the rows."""
    count, tiny_count = (write(folder / kind, network, model) for kind, model in
                         (("large", network.model), ("tiny", network.tiny)))  # fmt: skip
    rows = []
    for work in WORKS:
        (peak, mapped), (rest, _) = (run(folder / kind, network, work) for kind in ("large", "tiny"))
        held, rest_held = (run(folder / kind, network, work, RETURNED)[0] for kind in ("large", "tiny"))
        needed = work.networks * 4 * (count - tiny_count)
        mib = [f"{number / 2**20:.0f}" for number in (needed, peak - rest, rest, mapped)]
        cells = [network.name, f"{count / 1e6:.0f}", network.precision, work.name, work.what, str(work.networks),
                 *mib[:2], f"{(peak - rest) / needed:.2f}", f"{(held - rest_held) / needed:.2f}", *mib[2:]]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def write(folder: Path, network: Network, model: str) -> int:
    """Write manifest, original and a second checkpoint with random weights; return the number of parameters."""
    folder.mkdir(parents=True)
    path = folder / "manifest.yaml"
    path.write_text(MANIFEST.replace("MODEL", model), encoding="utf-8")
    sections = manifest.read(path)
    networks = [build_network(sections.model, sections.input.shape, 10) for _ in range(2)]
    for built, name in zip(networks, ("original", "subject"), strict=True):
        save_file(built.state_dict(), folder / f"{name}.safetensors", {"format": "pt"})
    return sum(parameter.numel() for parameter in networks[0].parameters())


def run(folder: Path, network: Network, work: Work, variables: dict[str, str] | None = None) -> tuple[int, int]:
    """Run a command; return its highest anonymous memory, and the highest of mapped files, in bytes."""
    words: list[Any] = [sys.executable, "-m", "unlearn_cli", *work.words]
    words += ["--from", folder / "original.safetensors"] if work.words[0] == "train" else []
    words += [folder / "original.safetensors"] if work.words[0] == "unlearn" else []
    words += [folder / "subject.safetensors", "--original", folder / "original.safetensors"] * (not work.settings)
    words += ["-m", folder / "manifest.yaml", "-o", folder / "out", "--overwrite", "--allow-code", "--device", "cpu",
              "--precision", network.precision, "--batch-size", "8", "--memory-budget", "1"]  # fmt: skip
    words += ["--force"] * (work.words[0] != "train")
    words += [word for setting in work.settings for word in ("--set", setting)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), **(variables or {})}
    command = subprocess.Popen(list(map(str, words)), env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    peak, mapped = 0, 0
    while command.poll() is None:
        now = memory(command.pid)
        peak, mapped = max(peak, now[0]), max(mapped, now[1])
        time.sleep(0.005)
    if command.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(map(str, words))} ended with exit code {command.returncode}")
    return peak, mapped


if __name__ == "__main__":
    main()
