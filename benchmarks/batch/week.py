"""What becomes of a model, and of what it forgot, in a week of deletion batches? 200 requests over 14 runs.

python -m benchmarks.batch.week

8,000 records of Fashion-MNIST with synthetic ids and persons; requests for single records, persons and a class, and a
clock that is set to each night and noon of a week. After every run everything deleted so far is compared with a
network retrained without it. Each method does the same week. Writes results/week.md and results/week.png.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.batch.week_data import RUNS, Request, nights, write_data, write_deleted, write_manifest
from benchmarks.batch.week_picture import draw
from benchmarks.batch.week_tables import Found, Week, lines
from benchmarks.cache import HERE
from benchmarks.output import write_result
from tests.batch.tiny import ask
from tests.tiny import invoke
from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.open_batch import open_batch
from unlearn_cli.batch.pipeline import carry_out_pending
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.reporting import html as page

RECIPE = ("--set", "epochs=25", "--set", "lr=0.002")  # until it knows nearly all of its records by heart
BEGIN = datetime(2026, 11, 16, 0, 0, tzinfo=UTC)
METHODS: dict[str, dict[str, Any]] = {"bad_teacher": {}, "amnesiac": {}, "finetune": {}}
SEEDS = 3  # of the reference that is retrained at the end
DELETION = """\
version: 1
manifest: data.yaml
initial: original/model.safetensors
methods: [METHOD]
settings: SETTINGS
gates:
  - test_retain.accuracy >= original - 0.02
  - test_forget.accuracy <= 0.02
  - forget.accuracy <= 0.93
  - forgotten.accuracy <= 0.93
attack: {tier: null}
common: {device: cpu, precision: fp32}
"""
FORGOTTEN = "forget: {classes: [8]}\nforgotten: {ids_file: {path: deleted.csv}}\n"
ALL = "forget: {ids_file: {path: all.csv}}\n"
SPLITS = {"kept": "test_retain", "deleted": "forgotten", "class": "forget"}  # what is measured, and as which split


def main() -> None:
    page.render = lambda *arguments: "<html></html>"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        write_manifest(folder, "data.yaml", "")
        call("train", "-m", folder / "data.yaml", "-o", folder / "original", *RECIPE)
        asked = list(nights())
        original = measure(folder, folder / "original", asked)
        print("original", brief(original), file=sys.stderr, flush=True)
        weeks = [week(folder, method, settings, asked) for method, settings in METHODS.items()]
        references = [reference(folder, asked[: number + 1], seed=0) for number in range(RUNS)]
        last = [references[-1], *(reference(folder, asked, seed=seed) for seed in range(1, SEEDS))]
    found = Found(original, weeks, references, last)
    text = Path(__file__).with_name("week_table.md").read_text(encoding="utf-8") + "\n".join(lines(found)) + "\n"
    write_result("week.md", text)
    draw(found.best, references, original, HERE / "results" / "week.png")


def week(folder: Path, method: str, settings: dict[str, Any], asked: Sequence[list[Request]]) -> Week:
    """Drop the requests, run the batch, measure; 14 times."""
    found, project = Week(method), folder / method
    (project / "requests").mkdir(parents=True)
    text = DELETION.replace("METHOD", method).replace("SETTINGS", json.dumps({method: settings}))
    (project / "deletion.yaml").write_text(text, encoding="utf-8")
    write_manifest(project, "data.yaml", "")
    (project / "original").symlink_to(folder / "original")
    for number, night in enumerate(asked):
        now = BEGIN + timedelta(hours=12 * (number + 1))
        for position, request in enumerate(night):
            received = clock.format_time(now - timedelta(minutes=5 * (position + 1)))
            ask(project, f"DSR-{number + 1}-{position + 1}", received=received, **request)
        carried_out(project, now, found)
        found.measured.append(measure(folder, project / "models" / "current", asked[: number + 1]))
        print(
            method, number + 1, found.done[-1], found.failed[-1], brief(found.measured[-1]), file=sys.stderr, flush=True
        )
    result = invoke("batch", "verify", project / "deletion.yaml")
    assert result.exit_code == 0, result.stdout
    return found


def carried_out(project: Path, now: datetime, found: Week) -> None:
    """Run the batch with the clock at this moment, which goes on by a millisecond whenever it is asked."""
    ticks = iter(range(10**9))
    setup = read_setup(project / "deletion.yaml")
    with open_batch(setup, now=lambda: now + timedelta(milliseconds=next(ticks))) as batch:
        before = len(batch.ledger.events())
        carry_out_pending(batch)
        events, new = batch.ledger.events(), batch.ledger.events()[before:]
        found.records.append(sum(1 for _ in batch.ledger.forgotten_digests()))
    found.done.append(sum(event.kind == "done" for event in events))
    found.failed.append([gate for event in new if event.kind == "attempt" for gate in event.body["failed"]])
    written = [*project.glob("runs/*/attempt-1/report.json"), *project.glob("models/v*/report.json")]
    last = max(written, key=lambda path: path.stat().st_mtime_ns)
    found.seconds.append(json.loads(last.read_text(encoding="utf-8"))["run"]["seconds"]["unlearn"])


def measure(folder: Path, checkpoint: Path, asked: Sequence[list[Request]]) -> dict[str, Any]:
    """Return accuracies: on test without the class, on all single records deleted so far, and on the class."""
    write_manifest(folder, "measure.yaml", FORGOTTEN)
    write_deleted(folder, asked)
    document = call("evaluate", checkpoint / "model.safetensors", "-m", folder / "measure.yaml", "--metric", "accuracy")
    measured = document["metrics"]["subject"]
    return {name: measured[split]["accuracy"] for name, split in SPLITS.items()}


def reference(folder: Path, asked: Sequence[list[Request]], seed: int) -> dict[str, Any]:
    """Train a network as the original was, without anything that was asked for so far, and measure it."""
    write_manifest(folder, "reference.yaml", ALL)
    write_deleted(folder, asked)
    out = folder / f"reference-{len(asked)}-{seed}"
    call("train", "-m", folder / "reference.yaml", "-o", out, "--split", "retain", "--seed", seed + 100, *RECIPE)
    found = measure(folder, out, asked)
    print("reference", len(asked), seed, brief(found), file=sys.stderr, flush=True)
    return found


def call(*words: Any) -> dict[str, Any]:
    result = invoke(*words, "--json", "--quiet", "--device", "cpu", "--precision", "fp32")
    assert result.exit_code in (0, 3), result.stderr
    return json.loads(result.stdout)


def brief(measured: dict[str, Any]) -> dict[str, float]:
    return {name: round(one["value"], 3) for name, one in measured.items() if one["value"] is not None}


if __name__ == "__main__":
    main()
