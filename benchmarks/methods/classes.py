"""Does forgetting 20 of 100 classes cost more than forgetting one?

python -m benchmarks.methods.classes

100 synthetic classes of 16x16 images (a smooth pattern per class, with noise), a ResNet-20 trained on them, and each of
three methods that forgets 1, 2, 4 and 20 of them. Writes results/classes.md: optimizer steps, samples, wall time and
its ratio to one class, and what was forgotten and kept. unsir with a fixed learning rate and with its search.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import zoom

from benchmarks.output import write_result

COUNTS = (1, 2, 4, 20)
METHODS = {
    "unsir, fixed rate": ["unsir", "--set", "impair_lr=0.01"], "unsir": ["unsir"], "bad_teacher": ["bad_teacher"],
    "amnesiac": ["amnesiac"],
}  # fmt: skip
MANIFEST = """\
version: 1
task: classification
model: {architecture: resnet20}
input: {shape: [3, 16, 16], scale: 1, mean: 128, std: 64}
data:
  train: {npz: train.npz}
  test: {npz: test.npz}
forget: {classes: CLASSES}
"""


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder)
        manifest(folder, 1)
        call("train", "-m", folder / "1.yaml", "-o", folder / "original", "--set", "epochs=8")
        for method in METHODS:
            rows += rows_of(method, folder)
    head = Path(__file__).with_name("classes_table.md").read_text(encoding="utf-8")
    write_result("classes.md", head + "\n".join(rows) + "\n")
    print("\n".join(rows))


def rows_of(method: str, folder: Path) -> list[str]:
    """Forget each number of classes three times over in turn; the wall time is the lowest."""
    found: dict[int, list[dict[str, Any]]] = {count: [] for count in COUNTS}
    for repeat in range(3):
        for count in COUNTS:
            words = ["-m", manifest(folder, count), "-o", folder / f"{method}-{count}-{repeat}", "--method"]
            model = folder / "original" / "model.safetensors"
            found[count].append(call("unlearn", model, *words, *METHODS[method]))
    seconds = {count: min(one["run"]["seconds"]["unlearn"] for one in found[count]) for count in COUNTS}
    return [row(method, count, found[count][0], seconds[count], seconds[1]) for count in COUNTS]


def row(method: str, count: int, document: dict[str, Any], seconds: float, of_one: float) -> str:
    cost, measured = document["cost"], document["metrics"]["subject"]
    accuracies = [f"{100 * measured[split]['accuracy']['value']:.1f}" for split in ("test_forget", "test_retain")]
    samples = f"{cost['samples_forward'] / 1000:.0f} / {cost['samples_backward'] / 1000:.0f}"
    cells = [method, str(count), str(cost["optimizer_steps"]), samples, f"{seconds:.1f}", f"{seconds / of_one:.2f}"]
    return f"| {' | '.join([*cells, *accuracies])} |"


def manifest(folder: Path, count: int) -> Path:
    path = folder / f"{count}.yaml"
    path.write_text(MANIFEST.replace("CLASSES", str(list(range(count)))), encoding="utf-8")
    return path


def make_data(folder: Path) -> None:
    random = np.random.default_rng(0)
    patterns = np.asarray(zoom(random.normal(size=(100, 3, 4, 4)), (1, 1, 4, 4), order=3))
    for part, each in (("train", 100), ("test", 20)):
        labels = np.repeat(np.arange(100), each)
        x = 128 + 40 * patterns[labels] + 40 * random.normal(size=(len(labels), 3, 16, 16))
        np.savez(folder / f"{part}.npz", x=np.clip(x, 0, 255).astype(np.uint8), y=labels)


def call(*words: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "unlearn_cli", *map(str, words), "--json", "--quiet"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
