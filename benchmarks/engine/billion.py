"""A network of more than a billion parameters in two processes: load, one step of `finetune` with plain SGD, save.

python -m benchmarks.engine.billion

A ViT with random weights (32 layers of 1664 units) on the bundled digits. Writes results/billion.md: parameters, the
memory of each process (anonymous and shared pages, from /proc, every tenth of a second), wall time.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VisionTransformer

from benchmarks.cache import HERE
from benchmarks.output import write_result

MANIFEST = """\
version: 1
task: classification
model: {architecture: "benchmarks.engine.billion:giant"}
input: {shape: [1, 8, 8], scale: 16, mean: 0.305, std: 0.376}
data:
  train: {sklearn: {name: digits, part: train}}
  test: {sklearn: {name: digits, part: test}}
forget: {classes: [3]}
"""
FLAGS = ["--method", "finetune", "--set", "steps=1", "--set", "optimizer=sgd", "--precision", "fp32", "--device", "cpu",
         "--batch-size", "16", "--no-evaluate", "--force", "--allow-code", "--nproc", "2", "--shard"]  # fmt: skip


def giant() -> nn.Module:
    """Return a ViT for 8x8 digits of one channel: four patches, and 1.06 billion parameters."""
    model = VisionTransformer(
        image_size=8, patch_size=4, num_layers=32, num_heads=16, hidden_dim=1664, mlp_dim=6656, num_classes=10
    )
    model.conv_proj = nn.Conv2d(1, 1664, 4, 4)
    return model


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
        parameters = write_random(folder / "model.safetensors")
        peak, seconds = run(folder)
        written = sum(path.stat().st_size for path in (folder / "out").glob("*.safetensors"))
        files = len(list((folder / "out").glob("*.safetensors")))
    text = Path(__file__).with_name("billion_table.md").read_text(encoding="utf-8")
    rows = [f"| process {rank} | {anonymous / 2**30:.2f} | {mapped / 2**30:.2f} |"
            for rank, (anonymous, mapped) in enumerate(peak)]  # fmt: skip
    rows.append(f"| together | {sum(anonymous for anonymous, _ in peak) / 2**30:.2f} | |")
    facts = f"\n{parameters:,} parameters ({written / 2**30:.2f} GiB in {files} files), {seconds:.0f} s in all.\n"
    write_result("billion.md", text + "\n".join(rows) + "\n" + facts)
    print("\n".join(rows), facts)


def write_random(path: Path) -> int:
    """Write a checkpoint with random weights; return the number of parameters."""
    with torch.device("meta"):
        model = giant()
    torch.manual_seed(0)
    state = {name: 0.02 * torch.randn(tensor.shape) for name, tensor in model.state_dict().items()}
    save_file(state, path, {"format": "pt"})
    return sum(tensor.numel() for tensor in state.values())


def run(folder: Path) -> tuple[list[tuple[int, int]], float]:
    """Run the command; return for each process the highest anonymous and file-backed memory, and the wall time."""
    words = ["unlearn", folder / "model.safetensors", "-m", folder / "manifest.yaml", "-o", folder / "out", *FLAGS]
    start = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = subprocess.Popen([sys.executable, "-m", "unlearn_cli", *map(str, words)], env=environment)
    peak: dict[int, tuple[int, int]] = {}
    while command.poll() is None:
        for process in children(command.pid):
            anonymous, mapped = memory(process)
            before = peak.get(process, (0, 0))
            peak[process] = max(before[0], anonymous), max(before[1], mapped)
        time.sleep(0.1)
    if command.returncode:
        raise SystemExit(f"unlearn ended with exit code {command.returncode}")
    return sorted(peak.values(), reverse=True)[:2], time.monotonic() - start


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def proportional(process: int) -> int:
    """Return anonymous bytes, of pages that processes share only this one's part."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:"))


def memory(process: int) -> tuple[int, int]:
    """Return anonymous and file-backed resident bytes."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return sizes.get("RssAnon", 0), sizes.get("RssFile", 0)


if __name__ == "__main__":
    main()
