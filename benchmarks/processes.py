"""Do 1 and 2 processes agree, method by method? Digits, fp32, CPU (gloo).

python -m benchmarks.processes

Each method runs in 1 process, in 2 replicas, and in 2 processes that share the weights (`--shard`): with LeNet-5, which
has no batch norm, and with the demo's network, once with batch norm frozen and once in batch mode. Writes
results/processes.md: the largest difference of a weight, of a metric, and the wall time of the method.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from benchmarks.cache import HERE
from unlearn_cli import methods, plugin

# few steps: rounding grows exponentially with them
SETTINGS = {
    "unsir": ("impair_steps=4", "repair_steps=8", "noise_steps=5", "impair_lr=0.001"),
    "bad_teacher": ("impair_steps=5", "repair_steps=5"), "amnesiac": ("impair_steps=5", "repair_steps=5"),
    "neggrad": ("num_steps=8",), "fisher": ("records=200", "alpha=0.00001"), "finetune": ("epochs=1",),
    "blindspot": ("blindspot_epochs=1", "epochs=1"), "gaussian_amnesiac": ("epochs=1", "repair_epochs=1"),
    "gkt": ("cycles=3",), "emmn": ("noise_steps=5", "impair_steps=5", "rounds=1"), "retrain": ("epochs=1",),
}  # fmt: skip
NETWORKS = {  # name -> manifest, batch norm
    "LeNet-5": ("manifests/digits_class.yaml", ""), "perceptron": ("../sample_configs/regression.yaml", ""),
    "batch norm frozen": ("manifests/digits_allcnn.yaml", "frozen"),
    "batch norm in batch mode": ("manifests/digits_allcnn.yaml", "batch"),
}  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = [row for network in NETWORKS for row in table(network, Path(name))]
    head = (HERE / "processes_table.md").read_text(encoding="utf-8")
    (HERE / "results" / "processes.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


def table(network: str, folder: Path) -> list[str]:
    """Compare every method that suits the network; return the rows."""
    source, batch_norm = NETWORKS[network]
    text = (HERE / source).read_text(encoding="utf-8").replace("CLASSES", "[3]")
    manifest, original = folder / Path(source).name, folder / Path(source).stem / "original"
    manifest.write_text(text, encoding="utf-8")
    if not original.exists():
        call("train", "-m", manifest, "-o", original, "--set", "epochs=5")
    rows = []
    for method in methods.TABLE:
        settings = settings_of(method, "regression" if "task: regression" in text else "classification", batch_norm)
        if settings is not None:
            flags = [word for setting in settings for word in ("--set", setting)]
            words = [original / "model.safetensors", "-m", manifest, "--method", method, *flags]
            rows.append(compare(network, method, words, folder / network / method))
    return rows


def settings_of(method: str, task: str, batch_norm: str) -> list[str] | None:
    """Return the settings; none where the method is for the other task, or does not let batch norm be frozen."""
    found = plugin.load("methods", method)
    has_batch_norm = "batch_norm" in found.settings.model_fields
    if found.task not in (None, task) or (batch_norm == "frozen" and not has_batch_norm):
        return None
    return [*SETTINGS[method], *([f"batch_norm={batch_norm}"] if batch_norm and has_batch_norm else [])]


def compare(network: str, method: str, words: list[Any], folder: Path) -> str:
    """Run a method in 1 and 2 processes and with shards; return the row."""
    found = []
    for how, flags in {"one": [], "two": ["--nproc", "2"], "sharded": ["--nproc", "2", "--shard"]}.items():
        report = call("unlearn", *words, "-o", folder / how, *flags)
        found.append((load_file(folder / how / "model.safetensors"), report))
    (one, plain), *others = found
    cells = [network, method]
    for weights, report in others:
        cells.append(f"{max(float((one[key].double() - weights[key].double()).abs().max()) for key in one):.1e}")
        cells.append(f"{metric_difference(plain, report):.1e}")
    cells += [f"{report['run']['seconds']['unlearn']:.2f}" for _, report in found]
    print(cells, file=sys.stderr, flush=True)
    return f"| {' | '.join(cells)} |"


def metric_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference of an accuracy, a loss or a mean absolute error of the unlearned network."""
    measured, compared = one["metrics"]["subject"], other["metrics"]["subject"]
    return max(abs(measured[split][name]["value"] - compared[split][name]["value"])
               for split in measured for name in measured[split] if name in ("accuracy", "loss", "mae"))  # fmt: skip


def call(*words: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "unlearn_cli", *map(str, words), "--json", "--quiet", "--precision", "fp32"]
    done = subprocess.run([*command, "--device", "cpu"], check=False, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
