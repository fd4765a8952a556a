"""Do two source trees compute the same numbers? All methods on digits and on a regression, evaluation and attacks.

python -m benchmarks.engine.recorded_runs OLD_TREE NEW_TREE

A refactoring must change no result. Each tree runs the same commands in a folder of its own, and the reports are
compared: every number, digest of tensors and exit code; not times, environment, texts, or the names of settings.
Writes results/recorded_runs.md.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.output import write_result

DIGITS = """\
version: 1
task: classification
model: {architecture: allcnn, arguments: {width: 8}}
input: {shape: [1, 8, 8], scale: 16, mean: 0.305, std: 0.376}
data:
  train: {sklearn: {name: digits, part: train}}
  test: {sklearn: {name: digits, part: test}}
forget: {classes: ["3"]}
"""
REGRESSION = """\
version: 1
task: regression
model: {architecture: mlp}
input:
  shape: [10]
  mean: [48.5, 1.47, 26.4, 94.6, 189.1, 115.4, 49.8, 4.07, 4.64, 91.3]
  std: [13.1, 0.5, 4.4, 13.8, 34.6, 30.4, 12.9, 1.29, 0.52, 11.5]
target: {mean: 152.1, std: 77.0}
data:
  train: {sklearn: diabetes, rows: {not_every: 5}}
  test: {sklearn: diabetes, rows: {every: 5}}
forget:
  where: [{column: label, op: ">=", value: 250}]
"""
METHODS = {
    "digits": (
        "amnesiac", "bad_teacher", "emmn", "finetune", "fisher", "gkt", "neggrad",
        "retrain", "unsir",
    ),
    "regression": ("blindspot", "finetune", "fisher", "gaussian_amnesiac", "neggrad", "retrain"),
}  # fmt: skip
LEFT_OUT = {
    "run",
    "environment",
    "tool_version",
    "schema_version",
    "settings",
    "reason",
    "caveats",
    "warnings",
    "reasons",
    "file_sha256",
    "run_time_efficiency",
}
KEYS = ("name", "role", "split", "metric", "condition", "phase", "kind", "fpr", "label")  # of items of lists


def commands(kind: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each run, which is that of its output, and its command line."""
    common = ["-m", f"{kind}.yaml", "--device", "cpu", "--json", "--quiet"]
    original, reference = f"{kind}-original/model.safetensors", f"{kind}-retrain/model.safetensors"
    yield f"{kind}-original", ["train", *common]
    for method in METHODS[kind]:
        yield f"{kind}-{method}", ["unlearn", original, *common, "--method", method]
    beside = ["--original", original, "--reference", reference]
    subject = f"{kind}-finetune/model.safetensors"
    yield f"{kind}-evaluated", ["evaluate", subject, *common, *beside]
    yield f"{kind}-attacked", ["attack", subject, *common, *beside, "--tier", "standard"]


def run_all(tree: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Run every command with the code of a tree; return what each report says, flattened, with the exit code."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    recorded = {}
    for kind, manifest in (("digits", DIGITS), ("regression", REGRESSION)):
        (folder / f"{kind}.yaml").write_text(manifest, encoding="utf-8")
        for name, words in commands(kind):
            line = [sys.executable, "-m", "unlearn_cli", *words, "--out", name]
            done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            print(tree.name, name, done.returncode, done.stderr[-300:] if done.returncode == 2 else "", flush=True)
            report = json.loads(done.stdout) if done.stdout.startswith("{") else {}
            recorded[name] = {"exit code": done.returncode, **dict(flatten(report))}
    return recorded


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every number and digest of a report with its path; items of lists go by what identifies them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in LEFT_OUT:
                yield from flatten(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            named = [str(inner[key]) for key in KEYS if isinstance(inner, dict) and key in inner]
            yield from flatten(inner, f"{path}/{':'.join(named) or number}")
    elif not isinstance(value, str) or path.endswith(("digest", "sha256")):
        yield path, value


def read_commit(tree: Path) -> str:
    """Return the abbreviated commit of a checkout."""
    words = ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def summarize(paths: list[str]) -> str:
    """Return the most frequent kinds of paths, each by its last two parts, with their number."""
    kinds = Counter("/".join(path.split("/")[-2:]) for path in paths).most_common()
    listed = ", ".join(f"{kind} x {count}" for kind, count in kinds[:5])
    return listed + (f" and {len(kinds) - 5} other kinds" if len(kinds) > 5 else "")


def main() -> None:
    trees = [Path(argument).resolve() for argument in sys.argv[1:3]]
    if len(trees) != 2:
        raise SystemExit("expected two source trees: python -m benchmarks.engine.recorded_runs OLD_TREE NEW_TREE")
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        old, new = (run_all(tree, Path(folder)) for tree, folder in zip(trees, (first, second), strict=True))
    commits = " and ".join(read_commit(tree) for tree in trees)
    lines = [
        "# Equal results of two source trees",
        "",
        f"Commits {commits}. Command: `python -m benchmarks.engine.recorded_runs OLD_TREE NEW_TREE`.",
        "",
        "| run | exit code | values compared | different |",
        "|---|---|---|---|",
    ]
    for name in old:
        paths = old[name].keys() | new[name].keys()
        different = [path for path in paths if old[name].get(path) != new[name].get(path)]
        lines.append(f"| {name} | {old[name]['exit code']} | {len(paths)} | {summarize(different) or 'none'} |")
        print(lines[-1])
    write_result("recorded_runs.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
