"""The project that the code blocks of the documentation run in: small images of five digits and trained networks.

It is made once per test run. Each page gets a copy of it, with those trained folders that the page names.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tests.docs import server
from tests.forked import start_function

CLASSES = ("zero", "one", "two", "three", "four")
MANIFEST = """\
version: 1
task: classification
model: {architecture: allcnn, arguments: {width: 8}}
input: {shape: [1, 8, 8], scale: 255, mean: 0.305, std: 0.376}
classes: [zero, one, two, three, four]
data:
  train: {imagefolder: data/train}
  test: {imagefolder: data/test}
forget: {classes: [three]}
"""
NETWORK = """\
from torch import nn


def build(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, num_classes))
"""
TRAIN = "unlearn-cli train -m data.yaml --set epochs=15 --set lr=0.01 -q"
# What makes each trained folder; pages ask for folders by these names.
PARTS = {
    "model.safetensors": f"{TRAIN} -o original && cp original/model.safetensors .",
    "unlearned": "unlearn-cli unlearn model.safetensors -m data.yaml --method head --set steps=100 -o unlearned -q",
    **{f"r{seed}": f"{TRAIN} --split retain --seed {seed} -o r{seed}" for seed in (1, 2, 3, 4)},
    "model.pth": "PYTHONPATH=. unlearn-cli train -m own.yaml --allow-code --set epochs=15 --set lr=0.01 -q -o own",
}
TO_PTH = """\
import torch
from safetensors.torch import load_file
torch.save(load_file("own/model.safetensors"), "model.pth")
"""
ALWAYS = ("data", "data.yaml", "mynet.py")


def make_project(folder: Path, run: "Shell") -> None:
    """Write the data and the manifests, and train every part."""
    write_images(folder / "data")
    (folder / "data.yaml").write_text(MANIFEST, encoding="utf-8")
    own = MANIFEST.replace("allcnn, arguments: {width: 8}", '"mynet:build", arguments: {num_classes: 5}')
    (folder / "own.yaml").write_text(own, encoding="utf-8")
    (folder / "mynet.py").write_text(NETWORK, encoding="utf-8")
    for command in PARTS.values():
        code, output = run(command, folder)
        assert code == 0, f"{command}\n{output}"
    code, output = run.python("to_pth", TO_PTH, folder)
    assert code == 0, output


def write_images(folder: Path) -> None:
    """Write digits as PNG files: 30 of each class for training, 30 for testing."""
    pixels, labels = load_digits(return_X_y=True)
    for label, name in enumerate(CLASSES):
        images = (np.asarray(pixels)[np.asarray(labels) == label] * (255 / 16)).astype(np.uint8)[:60].reshape(-1, 8, 8)
        for number, image in enumerate(images):
            target = folder / ("train" if number % 2 else "test") / name
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(target / f"{number:04}.png")


def copy_project(source: Path, target: Path, parts: list[str]) -> Path:
    """Copy the project with the trained folders that a page names, and what they need."""
    unknown = set(parts) - PARTS.keys()
    assert not unknown, f"the project has no {unknown}"
    for name in (*ALWAYS, *parts):
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy
        target.mkdir(parents=True, exist_ok=True)
        copy(source / name, target / name)
    return target


class Shell:
    """Runs shell code with a command `unlearn-cli` whose processes are forks of a server."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "socket")
        commands = folder / "bin"
        commands.mkdir(parents=True)
        for name, words in {"unlearn-cli": "-S -E", "python": ""}.items():
            text = f'#!/bin/sh\nexec {sys.executable} {words} {commands / "client.py" if words else ""} "$@"\n'
            (commands / name).write_text(text, encoding="utf-8")
            (commands / name).chmod(0o755)
        (commands / "client.py").write_text(server.CLIENT, encoding="utf-8")
        self.environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "DOCS_SERVER": self.address}
        root = Path(__file__).parents[2]
        self.environment["PYTHONPATH"] = str(root)
        self.process = start_function(lambda: server.serve(self.address), self.environment)
        self.output = folder / "output"

    def wait(self) -> None:
        """Wait until the server listens."""
        while not Path(self.address).exists():
            assert self.process.is_running(), f"the server of commands has ended: {self.process.read('err')}"
            time.sleep(0.05)

    def __call__(self, code: str, folder: Path) -> tuple[int, str]:
        """Run shell code in a folder; return the exit code and what was printed.

        What the code exports is set for later code in the same folder, as in a reader's shell.
        """
        self.wait()
        exports = shlex.quote(f"{folder}.exports")
        start = f"[ ! -f {exports} ] || . {exports}\ntrap 'export -p > {exports}' EXIT\n"
        with self.output.open("wb") as output:
            words = ["bash", "-o", "pipefail", "-c", f"{start}set -e\n{code}"]
            done = subprocess.run(words, cwd=folder, env=self.environment, stdout=output, stderr=output, check=False)
        return done.returncode, self.output.read_text(encoding="utf-8")

    def python(self, name: str, code: str, folder: Path) -> tuple[int, str]:
        """Run Python code in a folder; return the exit code and what was printed."""
        self.wait()
        with self.output.open("wb") as output:
            exit_code = server.request_python(self.address, name, code, folder, output.fileno())
        return exit_code, self.output.read_text(encoding="utf-8")

    def stop(self) -> None:
        self.process.kill(signal.SIGTERM)
        self.process.wait()
