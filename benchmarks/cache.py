"""Run commands of the tool for benchmarks, each once: what they wrote is kept outside the repository, by digest.

The digest covers manifest, settings, tool version and the method's code (its file and those of METHOD_CODE that it
imports, directly or not; not the data and runtime packages), so a benchmark can be interrupted and goes on, and later
ones reuse what earlier ones trained. The cache is in $UNLEARN_CLI_CACHE, by default ~/.cache/unlearn-cli-benchmarks;
the data sets in $UNLEARN_CLI_DATA, by default the folder shared/data next to the
repository.
"""

import ast
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from unlearn_cli.storage.version import VERSION

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("UNLEARN_CLI_CACHE", Path.home() / ".cache" / "unlearn-cli-benchmarks"))
PREPARED = CACHE / "prepared"  # files that benchmarks.methods.prepare makes
METHOD_CODE = ("learning/", "methods/", "data/mixed")  # beginnings of module names
DATA = Path(os.environ.get("UNLEARN_CLI_DATA", HERE.parents[1] / "shared" / "data"))


def manifest_text(name: str, classes: list[int]) -> str:
    """Return a manifest of this folder with the classes to forget filled in; DATA still stands for the data folder."""
    return (HERE / "manifests" / f"{name}.yaml").read_text(encoding="utf-8").replace("CLASSES", str(classes))


def fill_folders(manifest: str) -> str:
    return manifest.replace("DATA", str(DATA.resolve())).replace("PREPARED", str(PREPARED.resolve()))


def run(
    command: str,
    manifest: str,
    arguments: list[str],
    inputs: list[Path] = [],
    options: list[tuple[str, Path]] = [],
) -> Path:
    """Run one command (or find that it was run) and return the folder that it wrote.

    `inputs` are the command's checkpoints, `options` those that options name, such as ("--reference", path).
    """
    name = name_tensors if command == "attack" else name_folder
    names = [name(path) for path in inputs]
    names += [word for option, path in options for word in (option, name(path))]
    code = [digest_code(f"methods/{arguments[1]}.py")] if command == "unlearn" else []
    key = json.dumps([command, manifest, arguments, names, VERSION, *code])
    out = CACHE / hashlib.sha256(key.encode()).hexdigest()[:24]
    if not (out / "report.json").is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        described = CACHE / f"{out.name}.yaml"
        described.write_text(fill_folders(manifest), encoding="utf-8")
        words = [command, *map(str, inputs), "--manifest", str(described), "--out", str(out), *arguments]
        words += [word for option, path in options for word in (option, str(path))]
        done = subprocess.run([sys.executable, "-m", "unlearn_cli", *words], check=False, stdout=subprocess.DEVNULL)
        if done.returncode not in (0, 3, 4):
            raise SystemExit(f"'{command}' ended with exit code {done.returncode}")
    return out


def name_folder(path: Path) -> str:
    """Return the folder of a checkpoint: those of the cache are named by the digest of how they were made."""
    return path.parent.name


def name_tensors(path: Path) -> str:
    """Return the digest of a checkpoint's tensors: a long attack is the same after a change of a method's wording."""
    return report(path.parent)["subject"]["tensor_digest"]


def digest_code(file: str) -> str:
    """Return a digest of a method's code: while it is worked on, no result of it may outlive a change."""
    package = HERE.parent / "unlearn_cli"
    found, left = set[Path](), [package / file]
    while left:
        path = left.pop()
        if path not in found and path.is_file():
            found.add(path)
            left += [package / f"{module}.py" for module in imported(path) if module.startswith(METHOD_CODE)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(found))).hexdigest()


def imported(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, and those from which it imports names."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}  # a name may be a module
    names |= {node.module or "" for node in nodes}
    return {name.removeprefix("unlearn_cli.").replace(".", "/") for name in names}


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))
