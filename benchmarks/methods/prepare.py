"""Files that are made from the data sets once, in the folder PREPARED: tables, and a converted checkpoint."""

import csv
import re
from pathlib import Path

import numpy as np

from benchmarks.cache import DATA, PREPARED

NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORIES = (
    "workclass",
    "education",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "native-country",
)
LABEL, TEST_EVERY = "Salary", 5
PERSONS, DIGITS_PER_PERSON, POINTS = 36, 150, 8  # of made persons; points of a digit
Rows = list[dict[str, str]]


def prepare(text: str, checkpoint: str = "") -> None:
    """Make the files that a manifest's text or a task names, unless they exist."""
    PREPARED.mkdir(parents=True, exist_ok=True)
    if "PREPARED/adult.csv" in text and not (PREPARED / "adult.csv").is_file():
        write_adult(DATA / "adult" / "adult.data", PREPARED / "adult.csv")
    if "PREPARED/persons.csv" in text and not (PREPARED / "persons.csv").is_file():
        write_persons(DATA / "pendigits", PREPARED / "persons.csv")
    if checkpoint == "stranger" and not (PREPARED / "stranger" / "model.safetensors").is_file():
        write_stranger(DATA / "checkpoints" / "resnet32-d509ac18.th", PREPARED / "stranger" / "model.safetensors")


def write_adult(source: Path, target: Path) -> None:
    """Write the table of Adult with numbers only: see `encode_adult`; columns `country` and `income` are extra."""
    with source.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, skipinitialspace=True) if row[LABEL]]
    names, values = encode_adult(rows)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "country", "income"])
        for numbers, row in zip(values, rows, strict=True):
            writer.writerow(
                [*(f"{number:.6g}" for number in numbers), row["native-country"], int(row[LABEL] == ">50K")]
            )


def encode_adult(rows: Rows) -> tuple[list[str], np.ndarray]:
    """Return names and values (n, d): numbers standardised by the training rows, categories (also `?`) as 0 or 1."""
    is_train = np.arange(len(rows)) % TEST_EVERY != 0
    numbers = np.array([[float(row[name]) for name in NUMBERS] for row in rows])
    numbers = (numbers - numbers[is_train].mean(axis=0)) / numbers[is_train].std(axis=0)
    pairs = [(name, value) for name in CATEGORIES for value in sorted({row[name] for row in rows})]
    indicators = np.array([[float(row[name] == value) for name, value in pairs] for row in rows])
    names = [*NUMBERS, *(f"{name}_{re.sub(r'[^A-Za-z0-9-]', 'unknown', value)}" for name, value in pairs)]
    return names, np.hstack([numbers, indicators])


def write_persons(source: Path, target: Path) -> None:
    """Write digits of made persons: each turns, stretches and shakes the pen in another way, and has other habits."""
    random = np.random.default_rng(0)
    digits = read_digits(source)
    random.shuffle(digits)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"f{number}" for number in range(2 * POINTS)), "person", "digit"])
        for person in range(1, PERSONS + 1):
            own = digits[(person - 1) * DIGITS_PER_PERSON : person * DIGITS_PER_PERSON]
            for values, digit in zip(distort(own, random), own[:, -1], strict=True):
                writer.writerow([*(f"{value:.1f}" for value in values), person, int(digit)])


def read_digits(source: Path) -> np.ndarray:
    """Return coordinates from 0 to 100 and the digit (n, 17) of the pen-based digits."""
    files = (source / f"pendigits_{split}.csv" for split in ("test", "train"))
    return np.concatenate([np.loadtxt(file, delimiter=",", skiprows=1) for file in files])


def distort(digits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the coordinates (n, 16) of digits (n, 17) as one person writes them."""
    angle, stretch = random.normal(0, 0.5), np.exp(random.normal(0, 0.3, 2))
    habits, tremor = random.normal(0, random.uniform(5, 25), (10, 2 * POINTS)), random.uniform(5, 18)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * stretch[:, None]
    written = (digits[:, :-1].reshape(-1, POINTS, 2) - 50) @ turn.T + 50
    return (
        written.reshape(-1, 2 * POINTS)
        + habits[digits[:, -1].astype(int)]
        + random.normal(0, tremor, (len(digits), 2 * POINTS))
    )


def write_stranger(source: Path, target: Path) -> None:
    """Convert the stranger's checkpoint, without running its code, to the tensor names of `architectures.resnet32`."""
    import torch
    from safetensors.torch import save_file

    tensors = torch.load(source, map_location="cpu", weights_only=True)["state_dict"]
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name.removeprefix("module."): tensor.contiguous() for name, tensor in tensors.items()}, target)
