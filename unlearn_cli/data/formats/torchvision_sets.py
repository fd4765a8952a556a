"""torchvision's data sets that are already on disk; nothing is downloaded.

torchvision's CIFAR reader unpickles files, but first compares the MD5 digest of every file with the published one.
"""

import numpy as np

from unlearn_cli.data.images.image_arrays import make_sample_inputs
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Torchvision


def torchvision(spec: Torchvision, name: str, input: StoredInput, task: str) -> Records:
    """Load one part of MNIST, FashionMNIST, KMNIST, CIFAR10 or CIFAR100."""
    if not spec.root.is_dir():
        raise UserError(f"{name}: {spec.root}: no such folder; create it with the original files of {spec.name}")
    from torchvision import datasets  # imported on use, because it takes seconds

    try:
        dataset = getattr(datasets, spec.name)(spec.root, train=spec.part == "train", download=False)
    except (RuntimeError, ValueError, AssertionError) as error:  # files are missing or broken
        reason = (str(error).splitlines() or ["its files are broken"])[0].partition(". You can use")[0]
        raise UserError(f"{name}: {spec.root}: {reason}; put the original files of {spec.name} there") from None
    samples = np.asarray(dataset.data)
    labels = np.asarray(dataset.targets, dtype=np.int64)
    return from_arrays(name, make_sample_inputs(f"{name}: {spec.name}", samples, input), labels)
