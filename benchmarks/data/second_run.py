"""A first and a second run over 10^5 small image files: how long until the first sample is predicted?

python -m benchmarks.data.second_run

PNG files of 8 x 8 pixels in ten folders, also named by a CSV file: `unlearn --dry-run` to its end, and `evaluate`
until it has predicted the sample on which it checks the checkpoint. The first run stores facts about the files, later
runs read them. Writes results/second_run.md: seconds, and seconds beyond `import torch` in an equal process.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.cache import HERE
from benchmarks.output import write_result
from unlearn_cli.storage.leftovers import FACTS

N, CLASSES, FEW, RUNS = 10**5, 10, 2000, 3
SOURCES = {"folders": "{imagefolder: images}", "CSV": "{table: {path: all.csv, label: y, image: file, id: file}}"}
MANIFEST = """\
version: 1
task: classification
model: {architecture: mlp}
input: {shape: [1, 8, 8]}
data: {train: SOURCE}
forget: {classes: [3]}
"""


class Times(NamedTuple):
    """Seconds of a process: by the clock, and of the processor, which do not depend on other processes."""

    wall: float
    processor: float

    def format(self) -> str:
        return f"{self.wall:.2f} | {self.processor:.2f}"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder)
        time.sleep(3)  # nothing is stored about files that were written in the last two seconds
        rows: list[str] = []
        for source in SOURCES:
            rows += measure_command("`unlearn --dry-run`", source, ["-m", "unlearn_cli", *plan(source)], folder)
            start = ["-m", "benchmarks.data.second_run", "evaluate", *words(source)]
            rows += measure_command("start of `evaluate`", source, start, folder)
    head = Path(__file__).with_name("second_run_table.md").read_text(encoding="utf-8")
    write_result("second_run.md", head + "\n".join(rows) + "\n")
    print("\n".join(rows))


def write_images(folder: Path) -> None:
    """Write images in which the first line of pixels shows the class, manifests, and a network that learned it."""
    pixels = np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8)
    labels = np.arange(N) % CLASSES
    pixels[:, 0] = 20 * labels[:, None]
    files = [f"images/{label}/{number:06d}.png" for number, label in enumerate(labels.tolist())]
    for label in range(CLASSES):
        (folder / f"images/{label}").mkdir(parents=True)
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(folder / file)
    lines = [f"{file},{label}\n" for file, label in zip(files, labels.tolist(), strict=True)]
    for name, count in (("all", N), ("few", FEW)):
        (folder / f"{name}.csv").write_text("file,y\n" + "".join(lines[:count]), encoding="utf-8")
    for name, source in (*SOURCES.items(), ("few", SOURCES["CSV"].replace("all", "few"))):
        (folder / f"{name}.yaml").write_text(MANIFEST.replace("SOURCE", source), encoding="utf-8")
    train = ["train", "-m", "few.yaml", "-o", "original", "--no-cache", "--set", "epochs=10"]
    measure(["-m", "unlearn_cli", *train], folder)


def words(source: str) -> list[str]:
    return ["original/model.safetensors", "-m", f"{source}.yaml", "-o", "out", "--device", "cpu"]


def plan(source: str) -> list[str]:
    return ["unlearn", *words(source), "--dry-run"]


def measure_command(name: str, source: str, command: list[str], folder: Path) -> list[str]:
    """Measure a command without and with stored facts about the files, and `import torch` after each run."""
    (folder / FACTS).unlink(missing_ok=True)
    runs = {"first": measure_with_torch(command, folder, 1), "second": measure_with_torch(command, folder, RUNS)}
    assert (folder / FACTS).is_file(), "the first run stored nothing"
    return [
        f"| {name} | {source} | {run} | {times.format()} | {torch.format()} | {times.wall - torch.wall:.2f} | "
        f"{times.processor - torch.processor:.2f} |"
        for run, (times, torch) in runs.items()
    ]


def measure_with_torch(command: list[str], folder: Path, count: int) -> tuple[Times, Times]:
    """Measure a command and `import torch` in turn; return the medians."""
    pairs = [(measure(command, folder), measure(["-c", "import torch"], folder)) for _ in range(count)]
    return take_median([times for times, _ in pairs]), take_median([torch for _, torch in pairs])


def take_median(times: list[Times]) -> Times:
    return Times(*(statistics.median(values) for values in zip(*times, strict=True)))


def measure(command: list[str], folder: Path) -> Times:
    before, begun = used_by_children(), time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], check=True, cwd=folder, env=environment, capture_output=True)
    return Times(time.monotonic() - begun, used_by_children() - before)


def used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(arguments: list[str]) -> None:
    """Run `evaluate` until it has predicted the first records; torch is imported by the command, as in every run."""
    from unlearn_cli.cli.app import main as run_command
    from unlearn_cli.commands import evaluate

    load = evaluate.load_by_role

    def load_and_stop_early(*given: Any) -> Any:
        from unlearn_cli.evaluation import session

        predict = session.predict

        def predict_first(*given: Any) -> None:
            predict(*given)
            raise SystemExit

        session.predict = predict_first  # type: ignore[assignment]
        return load(*given)

    evaluate.load_by_role = load_and_stop_early
    sys.argv[1:] = arguments
    run_command()


if __name__ == "__main__":
    start(sys.argv[1:]) if len(sys.argv) > 1 else main()
