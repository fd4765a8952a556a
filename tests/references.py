"""Networks retrained without the forgotten digits, and the standard tier's attack on the network that knows them."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from tests.tiny import MANIFEST, invoke, write_manifest

SEEDS = range(1, 6)
RECIPE = ("--set", "epochs=6", "--set", "lr=0.01")


def train_references(folder: Path) -> None:
    """Train five networks; `list_references` names their checkpoints."""
    manifest = write_manifest(folder)
    for seed in SEEDS:
        flags = ["--split", "retain", "--seed", seed, "-o", folder / f"reference-{seed}", *RECIPE]
        result = invoke("train", "-m", manifest, *flags)
        assert result.exit_code == 0, result.stderr


def list_references(folder: Path) -> list[Path]:
    return [folder / f"reference-{seed}" / "model.safetensors" for seed in SEEDS]


def given(references: list[Path]) -> list[object]:
    return [word for path in references for word in ("--reference", path)]


def standard_flags(original: Path, references: list[Path]) -> list[object]:
    """Options of the standard tier next to the original and four references."""
    return ["--original", original, *given(references[:4]), "--tier", "standard"]


def attack_original(folder: Path, original: Path, references: list[Path]) -> None:
    """Attack the original as if it had been unlearned, into `out`."""
    manifest = write_manifest(folder, write_records_with_ids(folder))
    result = invoke("attack", original, "-m", manifest, *standard_flags(original, references), "-o", folder / "out")
    assert result.exit_code == 3, result.stderr


def write_records_with_ids(folder: Path) -> str:
    """Write the digits, each with an id that no report may contain, and return the manifest."""
    digits: Any = load_digits()
    text, test = MANIFEST, np.arange(len(digits.target)) % 5 == 0
    for part, rows in (("train", ~test), ("test", test)):
        ids = [f"person-{number}" for number in np.flatnonzero(rows)]
        np.savez(folder / f"{part}.npz", x=digits.images[rows].astype(np.uint8), y=digits.target[rows], ids=ids)
        text = text.replace(f"{{sklearn: {{name: digits, part: {part}}}}}", f"{{npz: {part}.npz}}")
    return text
