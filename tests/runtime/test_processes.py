"""Two processes on one machine (gloo): the same weights and numbers as one, one voice, one exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import load_file
from torch import nn
from typer.testing import Result

from tests.forked import Finished, Started, run_ranks, start, start_with_launcher, start_with_torchrun
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli import console, ranks
from unlearn_cli.cli.launch import remove_nproc
from unlearn_cli.cli.program_group import report_errors
from unlearn_cli.errors import CliError, Interrupted, ResourceError, UserError
from unlearn_cli.runtime import devices, processes
from unlearn_cli.runtime.progress import Steps

PERCEPTRON = MANIFEST.replace("{architecture: allcnn, arguments: {width: 8}}", "{architecture: mlp}")
FAST = {
    "unsir": ("impair_lr=0.001", "impair_steps=3", "repair_steps=3", "noise_steps=3"),
    "bad_teacher": ("impair_steps=3", "repair_steps=2", "impair_lr=0.001"),
    "gkt": ("cycles=1", "student_steps_per_cycle=2"),
    "finetune": ("epochs=1", "optimizer=sgd"),
    "head": ("steps=20",),
}


def launch(*words: object) -> Finished:
    """Run a command whose launcher starts the processes that do the work as for users, in new interpreters."""
    return start(*words).wait()


def launch_in_new_interpreter(*words: object) -> Finished:
    """Run a command whose launcher is started as for users, too."""
    line = [sys.executable, "-m", "unlearn_cli", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def start_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Started, list[int]]]:
    """Start a long training in two processes; return when both have begun, with their ids by rank."""
    log = Steps.log

    def write_id_and_log(self: Steps[Any], **values: Any) -> None:
        new = project / f"rank-{ranks.rank()}.new"
        new.write_text(str(os.getpid()), encoding="utf-8")
        new.rename(new.with_suffix(""))
        log(self, **values)

    def start_and_wait(*words: object) -> tuple[Started, list[int]]:
        begun = [project / f"rank-{rank}" for rank in range(2)]
        for path in begun:
            path.unlink(missing_ok=True)
        process = start_with_launcher("train", "-m", project / "manifest.yaml", "--nproc", "2", *words)
        while not all(path.exists() for path in begun):
            assert process.is_running(), process.read("err")
            time.sleep(0.05)
        return process, [int(path.read_text(encoding="utf-8")) for path in begun]

    monkeypatch.setattr(Steps, "log", write_id_and_log)
    monkeypatch.setattr(ranks, "GRACE_SECONDS", 1.0)
    return start_and_wait


def on_two_ranks(*words: object) -> Finished:
    """Run a command in two processes; return how the first ended, which is the one that prints."""
    first, second = run_ranks(*words)
    assert second == Finished(first.exit_code, "", "")
    return first


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A perceptron, which has no batch norm, with its manifest."""
    folder = tmp_path_factory.mktemp("processes")
    words = ["train", "-m", write_manifest(folder, PERCEPTRON), "-o", folder / "original", "--set", "epochs=4"]
    trained = invoke(*words, "--precision", "fp32", "--device", "cpu")
    assert trained.exit_code == 0, trained.stderr
    return folder


def unlearn(
    project: Path, out: str, method: str, run: Callable[..., Finished | Result], *more: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    settings = [word for setting in FAST[method] for word in ("--set", setting)]
    done = run(
        *("unlearn", project / "original" / "model.safetensors", "-m", project / "manifest.yaml", "-o", project / out),
        *("--method", method, *settings, "--precision", "fp32", "--device", "cpu", "--json", "--quiet", *more),
    )
    assert done.exit_code == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if not line.startswith("warning: head: only the last layer")]
    return load_file(project / out / "model.safetensors"), json.loads(done.stdout)


@pytest.mark.parametrize(
    ("method", "run", "more"),
    [
        ("finetune", launch, ("--nproc", "2")),
        ("unsir", on_two_ranks, ()),
        ("bad_teacher", on_two_ranks, ("--shard",)),
        ("gkt", on_two_ranks, ()),
        ("head", on_two_ranks, ("--shard",)),
    ],
)
def test_two_processes_agree_with_one(
    method: str, run: Callable[..., Finished], more: tuple[str, ...], project: Path
) -> None:
    weights, report = unlearn(project, f"{method}-one", method, invoke)
    others, other = unlearn(project, f"{method}-two", method, run, *more)
    assert other["environment"]["processes"] == 2
    assert weights.keys() == others.keys()
    assert max(float((weights[name] - others[name]).abs().max()) for name in weights) < 1e-5
    for split, metrics in report["metrics"]["subject"].items():
        for name in metrics.keys() & {"accuracy", "loss"}:
            estimate = other["metrics"]["subject"][split][name]
            assert estimate["n"] == metrics[name]["n"]
            assert estimate["value"] == pytest.approx(metrics[name]["value"], abs=1e-4)
    assert other["cost"] == report["cost"]  # each sample is counted once


def test_two_processes_measure_and_attack_as_one(project: Path) -> None:
    model, flags = project / "original" / "model.safetensors", ("--device", "cpu", "--json", "--quiet")
    for words in (("evaluate",), ("attack", "--attack", "population", "--attack", "linear_probe")):
        documents = []
        for run in (invoke, on_two_ranks):
            done = run(words[0], model, "-m", project / "manifest.yaml", *words[1:], *flags)
            assert done.exit_code in (0, 4) and not done.stderr, done.stderr
            documents.append(json.loads(done.stdout))
        key = "metrics" if words[0] == "evaluate" else "findings"
        expected, measured = (json.dumps(document[key], sort_keys=True) for document in documents)
        assert numbers(measured) == pytest.approx(numbers(expected), rel=1e-3, abs=1e-4)


def numbers(text: str) -> list[float]:
    def visit(node: object) -> list[float]:
        if isinstance(node, dict):
            return [number for value in node.values() for number in visit(value)]
        if isinstance(node, list):
            return [number for value in node for number in visit(value)]
        return [float(node)] if isinstance(node, int | float) else []

    return visit(json.loads(text))


def test_a_pipe_is_refused_for_several_processes(project: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for given in (("-m", pipe), (f"--manifest={pipe}",)):
        message = f"error: {pipe}: is a pipe, which only one of several processes can read; save it in a file\n"
        refused = start("evaluate", project / "no.safetensors", *given, "--nproc", "2").wait()
        assert refused == Finished(2, "", message)


def test_errors_are_told_once_with_their_exit_code(project: Path) -> None:
    model, manifest = project / "original" / "model.safetensors", project / "manifest.yaml"
    missing = launch_in_new_interpreter("evaluate", model, "-m", project / "no.yaml", "--nproc", "2")
    assert (missing.exit_code, missing.stdout, len(missing.stderr.splitlines())) == (2, "", 1), missing.stderr
    gate = ("--require", "test.accuracy >= 2")
    words = ("evaluate", model, "-m", manifest, *gate, "--nproc", "2", "--quiet", "--device", "cpu")
    failed = start_with_launcher(*words).wait()
    assert (failed.exit_code, failed.stderr.count("\n")) == (3, 1), failed.stderr
    assert failed.stderr.startswith("warning: gate failed: test.accuracy >= 2: ")
    single = start("evaluate", model, "-m", manifest, "--shard").wait()
    assert single.exit_code == 2 and "needs several processes" in single.stderr


@pytest.mark.parametrize(
    ("error", "printed"), [(Interrupted("stopped by a signal"), ""), (UserError("a file"), "error: a file\n")]
)
def test_a_process_that_the_launcher_stops_prints_nothing(
    error: CliError, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ranks, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(console.settings, "speaks", False)
    with pytest.raises(typer.Exit) as ended, report_errors():
        raise error
    assert (ended.value.exit_code, capsys.readouterr().err) == (error.exit_code, printed)


def test_a_signal_leaves_a_state_from_which_the_same_command_goes_on(
    project: Path, start_training: Callable[..., tuple[Started, list[int]]]
) -> None:
    process, _ = start_training("-o", project / "long", "--set", "epochs=4000", "--precision", "fp32")
    process.kill(signal.SIGTERM)
    stopped = process.wait()
    assert stopped.exit_code == 75, stopped.stderr
    assert (project / "long.partial").is_dir()
    assert not (project / "long").exists()
    assert not [path for path in project.iterdir() if ".new-" in path.name]


def test_a_process_that_is_killed_ends_the_run_with_one_line(
    project: Path, start_training: Callable[..., tuple[Started, list[int]]]
) -> None:
    process, ids = start_training("-o", project / "killed", "--set", "epochs=4000", "--quiet")
    os.kill(ids[1], signal.SIGKILL)
    stopped = process.wait()
    assert stopped.exit_code == 137, stopped.stderr
    *others, last = stopped.stderr.splitlines()
    assert "was ended by signal 9" in last, stopped.stderr
    assert not [line for line in others if "stopped by a signal" not in line], "whom the launcher stops may say so"
    left = {path.name for path in project.iterdir() if "killed" in path.name}
    assert left <= {"killed.partial", ".killed.lock"}, "the next run with this --out takes both over"


def test_torchrun_starts_it_as_well(project: Path) -> None:
    words = ("evaluate", project / "original" / "model.safetensors", "-m", project / "manifest.yaml")
    launcher = start_with_torchrun(["--nproc-per-node", "2"], *words, "--json", "--quiet", "--device", "cpu")
    done = launcher.wait()
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["subject"]["test"]["accuracy"]["n"] == 360


def test_a_large_network_is_written_in_files_and_read_again(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unlearn_cli.checkpoints import checkpoint, shard_files

    monkeypatch.setattr(shard_files, "FILE_BYTES", 40_000)
    monkeypatch.setattr(checkpoint, "is_sharded", lambda: True)
    weights = load_file(project / "original" / "model.safetensors")
    path = checkpoint.save(tmp_path, weights, {"method": "none"})
    assert path.name == "model.safetensors.index.json"
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    found = checkpoint.load(path)
    assert found.tensor_digest == checkpoint.tensor_digest(weights)
    assert found.metadata["unlearn_cli.method"] == "none"


def test_blocks_are_the_large_elements_of_lists() -> None:
    block = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024))
    model = nn.ModuleDict({"body": nn.Sequential(block, nn.Linear(1024, 16)), "head": nn.Linear(1024, 1024)})
    assert processes.find_units(model) == [block[0], block[2]]
    attention = nn.TransformerEncoderLayer(512, 4)
    assert processes.find_units(nn.ModuleList([attention, nn.Linear(3, 3)])) == [attention]


def test_gpus_are_one_a_process_and_other_commands_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert devices.local_gpu("cuda") == "cuda:3"
    with pytest.raises(UserError, match="has its own GPU"):
        devices.local_gpu("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ResourceError, match="4 processes on this machine, but 2 GPUs"):
        devices.local_gpu("cuda")
    refused = invoke("demo")
    assert (refused.exit_code, "only one process" in refused.stderr) == (2, True)


def test_the_launched_do_not_launch() -> None:
    assert remove_nproc(["train", "--nproc", "2", "-o", "x"]) == ["train", "-o", "x"]
    assert remove_nproc(["--nproc=4", "-q"]) == ["-q"]


def test_with_one_process_nothing_is_changed() -> None:
    x = torch.arange(6.0).reshape(3, 2)
    assert processes.gather_output(x) is x
    assert processes.gather_batch(x, 3) is x
    assert processes.max_over_processes(4) == processes.broadcast(4) == 4
    assert processes.full_tensor(x) is x
