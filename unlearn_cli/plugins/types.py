"""The types of settings: what an annotation in a plug-in's signature may use. No torch.

A setting is annotated as `lr: Annotated[PositiveFloat, Doc("learning rate of Adam")] = 1e-3`: the type validates, `Doc`
is its line of help. Annotations are read from the source text, so only the names of this module and Python's own types
can be used, under these names.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import Doc

__all__ = [
    "Annotated",
    "BatchNorm",
    "Doc",
    "Field",
    "Fraction",
    "Literal",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Optimizer",
    "PositiveFloat",
    "PositiveInt",
    "Schedule",
]

Fraction = Annotated[float, Field(ge=0, le=1)]
BatchNorm = Literal["batch", "frozen"]  # statistics of each batch, or those of the checkpoint
Optimizer = Literal["adam", "sgd"]
Schedule = Literal["constant", "cosine", "one_cycle"]  # of a learning rate, from the first step to the last
