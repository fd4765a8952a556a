"""The game of the audit: the records of its runs, and how their networks are trained and unlearned. No torch."""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from unlearn_cli.data.dataset import Split
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins.plugin import Plugin

MOST_RETAINED = 200  # default for the records of retain whose membership is drawn, too; at most a tenth of retain


@dataclass(frozen=True)
class Game:
    """Shared by all runs: the audited records with their labels, and how networks are trained and unlearned."""

    opened: RunInputs
    method: Plugin
    settings: BaseModel
    recipe: Plugin
    training: BaseModel
    audited: Split
    canaries: np.ndarray
    retained: np.ndarray  # positions in retain of the records whose membership is drawn, too
