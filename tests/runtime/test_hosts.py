"""Two hosts that share a file system, played by this machine alone: they do what one process does, and one speaks."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.forked import Finished, run_ranks, start_with_torchrun
from tests.tiny import MANIFEST, invoke, write_manifest

PERCEPTRON = MANIFEST.replace("{architecture: allcnn, arguments: {width: 8}}", "{architecture: mlp}")
UNLEARN = ["--method", "bad_teacher", "--set", "impair_steps=3", "--set", "repair_steps=3", "--set", "impair_lr=0.001"]
EXACT = ["--precision", "fp32", "--device", "cpu", "--json", "--quiet"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hosts")
    manifest = write_manifest(folder, PERCEPTRON)
    done = invoke("train", "-m", manifest, "-o", folder / "original", "--set", "epochs=4", *EXACT)
    assert done.exit_code == 0, done.stderr
    return folder


def launch_on_two_hosts(*words: object) -> list[Finished]:
    """Run a command as torchrun does on two hosts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
    hosts = [start_with_torchrun([*options, "--node-rank", rank], *words) for rank in ("0", "1")]
    return [host.wait() for host in hosts]


def numbers(node: Any) -> list[float]:
    if isinstance(node, dict):
        return [number for key in sorted(node) for number in numbers(node[key])]
    if isinstance(node, list):
        return [number for value in node for number in numbers(value)]
    return [float(node)] if isinstance(node, int | float) else []


@pytest.mark.parametrize(
    "name, words, measured",
    [
        ("train", ["train", "--set", "epochs=2"], "metrics"),
        ("unlearn", ["unlearn", "ORIGINAL", *UNLEARN, "--shard"], "metrics"),
        ("evaluate", ["evaluate", "ORIGINAL", "--require", "test.accuracy >= 0.5"], "metrics"),
        ("attack", ["attack", "ORIGINAL", "--attack", "population", "--attack", "linear_probe"], "findings"),
    ],
)
def test_two_hosts_do_what_one_process_does_and_one_of_them_speaks_and_writes(
    name: str, words: list[str], measured: str, project: Path, tmp_path: Path
) -> None:
    words = [word.replace("ORIGINAL", str(project / "original")) for word in words]
    words += ["-m", str(project / "manifest.yaml"), *EXACT, "-o"]
    done = invoke(*(word for word in words if word != "--shard"), tmp_path / "one")
    words = [*words, str(tmp_path / "two")]
    is_launched = "--shard" in words
    first, second = launch_on_two_hosts(*words) if is_launched else run_ranks(*words, hosts=2)
    stderr = "" if is_launched else second.stderr  # the second launcher may warn that the first one has ended
    assert (second.exit_code, second.stdout, stderr) == (done.exit_code, "", "")
    assert first.exit_code == done.exit_code, first.stderr
    expected, document = json.loads(done.stdout), json.loads(first.stdout)
    assert document["environment"]["processes"] == 2
    assert numbers(document[measured]) == pytest.approx(numbers(expected[measured]), rel=1e-4, abs=1e-5)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["one", "two"]  # nothing is left next to them
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(
        path.name for path in (tmp_path / "two").iterdir()
    )
    if name in ("train", "unlearn"):
        weights, same = (load_file(tmp_path / folder / "model.safetensors") for folder in ("one", "two"))
        assert max(float((weights[key] - same[key]).abs().max()) for key in weights) < 1e-5
