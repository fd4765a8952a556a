"""torchvision's data sets that lie on disk already; nothing is downloaded.

Its CIFAR reader unpickles, so those files are read only when torchvision knows their digests: it compares the MD5 of
every file with the published one before it opens any.
"""

import numpy as np

from unlearn_cli.data.records import Records, StoredInput, from_arrays, make_array_inputs
from unlearn_cli.errors import UserError
from unlearn_cli.schema.sources import Torchvision


def torchvision(spec: Torchvision, name: str, input: StoredInput, task: str) -> Records:
    """Load one part of MNIST, FashionMNIST, KMNIST, CIFAR10 or CIFAR100."""
    if not spec.root.is_dir():
        raise UserError(f"{name}: {spec.root}: there is no such folder; put the original files of {spec.name} there")
    from torchvision import datasets  # seconds: imported only when one of its sets is asked for

    try:
        dataset = getattr(datasets, spec.name)(spec.root, train=spec.part == "train", download=False)
    except (RuntimeError, ValueError, AssertionError) as error:  # what torchvision raises when files lack or are broken
        reason = (str(error).splitlines() or ["its files are broken"])[0].partition(". You can use")[0]
        raise UserError(f"{name}: {spec.root}: {reason}; put the original files of {spec.name} there") from None
    samples = np.asarray(dataset.data)
    labels = np.asarray(dataset.targets, dtype=np.int64)
    return from_arrays(name, make_array_inputs(f"{name}: {spec.name}", samples, input.shape), labels)
