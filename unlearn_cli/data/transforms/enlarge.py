"""The step `enlarge`: larger images without new values."""

from dataclasses import dataclass

import numpy as np

from unlearn_cli.data.records import Inputs


@dataclass(frozen=True)
class EnlargedInputs:
    """Images (C, H, W) in which every pixel is repeated `factor` times in both directions."""

    inputs: Inputs
    factor: int

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.inputs.take(rows).repeat(self.factor, axis=2).repeat(self.factor, axis=3)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return self.inputs.fingerprints(rows)
