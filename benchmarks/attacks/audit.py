"""A toy data set with known memorisation: what each attack detects of methods that forget and of others.

python -m benchmarks.attacks.audit

CIFAR-10 at 16 x 16, a perceptron that memorises, 2000 records that stay and 400 that are audited (half of them
canaries with a wrong label, in the shadow runs). For each method 32 shadow runs, and one delivered network with four
references. Writes results/audit.md. Shadow runs and checkpoints are kept in the benchmarks' cache, so it can be
interrupted.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache import CACHE, DATA, run
from benchmarks.output import write_result
from unlearn_cli.storage.version import VERSION

AUDITED, CORE, TEST, RUNS = 400, 2000, 4000, 32
TRAINING = ("epochs=25", "lr=0.001", "schedule=constant")
ASCENT = ("retain_weight=0", "steps=12", "max_forget_loss=null")
METHODS = {  # row -> method and settings; chosen to show what attacks see, not to represent the methods
    "fine-tune, 3 epochs": ("finetune", ("epochs=3",)),
    "ascent, gentle": ("neggrad", (*ASCENT, "lr=0.0003")),
    "ascent, destroying": ("neggrad", (*ASCENT, "lr=0.01")),
    "bad teacher, 40 steps": ("bad_teacher", ("impair_steps=20", "repair_steps=20")),
}
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp, arguments: {hidden: [192]}}
input: {shape: [3, 16, 16], mean: 0.47, std: 0.25}
classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
data:
  train: {npz: TRAIN}
  test: {npz: TEST}
forget: {where: [{column: id, op: "<", value: 400}]}
"""


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    manifest = made_manifest()
    training = sets("--set", TRAINING)
    with ThreadPoolExecutor(2) as pool:
        original, *references = pool.map(
            lambda job: run("train", manifest, [*training, "--split", job[0], "--seed", str(job[1])]),
            [("train", 0), *(("retain", seed) for seed in (1, 2, 3, 4, 5))],
        )
        delivered = {
            row: run("unlearn", manifest, ["--method", method, *sets("--set", settings)],
                     [original / "model.safetensors"])
            for row, (method, settings) in METHODS.items()
        }  # fmt: skip
        shadows = dict(zip(METHODS, pool.map(lambda row: shadow(row, original), METHODS), strict=True))
    fresh = references.pop()
    rows = [line("none", original, original, references, next(iter(shadows.values())), "original")]
    rows += [line(row, folder, original, references, shadows[row], "subject") for row, folder in delivered.items()]
    rows += [line("retrain", fresh, original, references, next(iter(shadows.values())), "reference")]
    text = Path(__file__).with_name("audit_table.md").read_text(encoding="utf-8") + "\n".join(rows) + "\n"
    write_result("audit.md", text)
    print(text)


def made_manifest() -> str:
    """Write the small images into the cache and return the manifest."""
    folder = CACHE / "audit-data"
    folder.mkdir(parents=True, exist_ok=True)
    for part, source, n in (("train", "train_20k", AUDITED + CORE), ("test", "test_5k", TEST)):
        with np.load(DATA / "cifar10" / f"cifar10_{source}.npz") as arrays:
            order = np.random.default_rng(0).permutation(len(arrays["y"]))[:n]
            images, labels = arrays["x"][order].astype(np.float64), arrays["y"][order]
        small = images.reshape(n, 16, 2, 16, 2, 3).mean(axis=(2, 4)).round().astype(np.uint8)
        np.savez(folder / f"{part}.npz", x=small, y=labels)
    return MANIFEST.replace("TRAIN", str(folder / "train.npz")).replace("TEST", str(folder / "test.npz"))


def sets(option: str, settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in (option, setting)]


def shadow(row: str, original: Path) -> Path:
    """Do the shadow runs of a method, or find them done."""
    method, settings = METHODS[row]
    folder = CACHE / f"audit-{VERSION}-{row.replace(' ', '-').replace(',', '')}"
    call("shadow", "--manifest", CACHE / f"{original.name}.yaml", "--shadows", folder, "--method", method,
         "--cells", f"0-{RUNS - 1}", "--canaries", "0.5", *sets("--set", settings),
         *sets("--train-set", TRAINING))  # fmt: skip
    return folder


def call(*words: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "unlearn_cli", *map(str, words), "--json", "--quiet"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 3, 4):
        raise SystemExit(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def line(row: str, folder: Path, original: Path, references: list[Path], shadows: Path, role: str) -> str:
    """Attack the delivered network and the shadow runs (of the stage that `role` means there); return the row."""
    manifest, model = CACHE / f"{original.name}.yaml", folder / "model.safetensors"
    beside = [word for one in references for word in ("--reference", one / "model.safetensors")]
    names = [word for name in ("population", "retrain_z", "svc_entropy", "ulira", "retained", "canaries", "rmia")
             for word in ("--attack", name)]  # fmt: skip
    found = call("attack", model, "--manifest", manifest, "--original", original / "model.safetensors", *beside,
                 *names, "--shadows", shadows, "--half", "all")  # fmt: skip
    blocks = {(one["name"], one["role"]): one for one in found["attacks"]}
    probes = {(one["name"], one["role"]): one["quantities"] for one in found["findings"]}
    measured = call("evaluate", model, "--manifest", manifest, "--metric", "accuracy", "--force")
    accuracies = measured["metrics"]["subject"]
    told = [f"{accuracies[split]['accuracy']['value']:.2f}" for split in ("retain", "forget", "test_retain")]
    svc, z = probes["svc_entropy", "subject"], probes["retrain_z", "subject"]
    cells = [
        row, " / ".join(told), number(blocks["population", "subject"]["auc"]), number(probes["ulira", role]["auc"]),
        number(probes["canaries", role]["auc"]), number(probes["retained", role]["auc"]),
        number(probes["ulira", role]["accuracy"]),
        number(probes["canaries", role]["epsilon"]), number(z["mean_z"]), number(z["auc_abs_z"]),
        number(blocks["rmia", "subject"]["auc"]),
        " / ".join(number(svc[f"flagged_{split}"]) for split in ("forget", "retain", "test")),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def number(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return ""
    if estimate["low"] is None or estimate["low"] == estimate["value"]:
        return f"{estimate['value']:.2f}"
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


if __name__ == "__main__":
    main()
