"""The types for the annotations of settings in plug-ins' signatures. No torch.

A setting is annotated as `lr: Annotated[PositiveFloat, Doc("learning rate of Adam")] = 1e-3`: the type validates, and
`Doc` is the line of help. Annotations are read from the source text, so only Python's built-in types and the names of
this module can be used.
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
BatchNorm = Literal["batch", "frozen"]  # the statistics of each batch, or of the checkpoint
Optimizer = Literal["adam", "sgd"]
Schedule = Literal["constant", "cosine", "one_cycle"]  # of a learning rate, from the first step to the last
