"""Names that people give to the folders, files, arrays and cells of a split."""

import re

SPLITS = {  # split -> names
    "train": ("train", "training", "trn", "tr"),
    "validation": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing", "tst", "te"),
}


def find_split(name: str) -> str | None:
    """Return the split that the name of a folder or file stands for: `train`, `cifar_train_20k`, `x_test`."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    return next((split for split, names in SPLITS.items() if any(word in names for word in words)), None)


def are_splits(names: list[str]) -> bool:
    """Return whether names are those of several splits and of nothing else, with train among them."""
    splits = [split for split, usual in SPLITS.items() for name in names if name.lower() in usual]
    return len(splits) == len(names) > 1 and "train" in splits
