"""The game of the audit: which records its runs share, and how their networks are trained and unlearned. No torch."""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from unlearn_cli.data.dataset import Split
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins.plugin import Plugin

MOST_RETAINED = 200  # records of retain whose membership is drawn, too, if nothing is said; at most a tenth of retain


@dataclass(frozen=True)
class Game:
    """What every run shares: the audited records with their labels, and how networks are trained and unlearned."""

    opened: RunInputs
    method: Plugin
    settings: BaseModel
    recipe: Plugin
    training: BaseModel
    audited: Split
    canaries: np.ndarray
    retained: np.ndarray  # places in retain of the records whose membership is drawn, too
