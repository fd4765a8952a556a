"""The sections of the manifest on how the network is built, fed and trained: `model`, `target`, `loss`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, ValidationInfo, model_validator

from unlearn_cli.errors import UserError
from unlearn_cli.schema.data_sections import AugmentEntry, Input
from unlearn_cli.schema.name_checker import NameChecker
from unlearn_cli.schema.sources import Section

Loss = Literal["mse", "l1"]


class Model(Section):
    """The network of the checkpoint's weights."""

    architecture: str = Field(
        description="torchvision/<name>, timm/<name>, transformers/<folder or config.json>, a bundled name, or "
        "package.module:function"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="arguments of the architecture's function")
    stem: Literal["cifar"] | None = Field(
        default=None, description="torchvision ResNets: 3x3 first convolution and no pooling"
    )
    prefix: str = Field(
        default="", description="of the network's tensors in the checkpoint, such as `model.`; other tensors are kept"
    )
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="parts of the names in the checkpoint, and the network's names for them: `{linear: fc}`",
    )

    output: str | NonNegativeInt | None = Field(
        default=None,
        description="which of several outputs is used: its name or position; default: `logits`, or the only output",
    )
    outputs: Literal["logits", "probabilities"] = Field(
        default="logits", description="probabilities: the network ends in a softmax or sigmoid; their logarithm is used"
    )

    frozen: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="names of layers or parameters, also as globs, that no method changes, such as a backbone under a "
        "trained head",
    )

    @model_validator(mode="after")
    def check(self, info: ValidationInfo) -> Self:
        library, slash, name = self.architecture.partition("/")
        if slash:
            _check_library(self.architecture)
        code = is_own_code(self.architecture)
        if code and not all(part.isidentifier() for part in self.architecture.replace(":", ".", 1).split(".")):
            raise ValueError(f"'{self.architecture}': expected package.module:function")
        if not slash and not code:
            _check_architecture(self.architecture, info.context)
        downloads = {"weights", "weights_backbone", "pretrained"} & set(self.arguments)
        if downloads:
            raise ValueError(
                f"the argument '{min(downloads)}' would download weights, which come from the checkpoint; omit it"
            )
        count = self.arguments.get("num_classes", 1)
        if type(count) is not int or count < 1:
            raise ValueError(f"the argument 'num_classes' is {count}; expected a number of classes, 1 or more")
        if self.stem and not (library == "torchvision" and "res" in name):
            raise ValueError("'stem' is only for torchvision's ResNets; omit it")
        return self

    @property
    def public_name(self) -> str:
        """The architecture for reports, without an absolute path."""
        library, slash, name = self.architecture.partition("/")
        return f"{library}/{PurePath(name).name}" if slash else self.architecture


class Target(Section):
    """Regression: the model's output times std plus mean is the prediction in the label's unit.

    By default, `train` computes mean and standard deviation of the labels of retain (of train, if nothing is forgotten)
    and records them in the checkpoint, where every command reads them.
    """

    mean: float = Field(default=0.0, description="is added")
    std: PositiveFloat = Field(default=1.0, description="the output is multiplied by it")


def is_own_code(architecture: str) -> bool:
    """Return whether an architecture is package.module:function, which is imported only with --allow-code."""
    return ":" in architecture and "/" not in architecture


@dataclass(frozen=True)
class NetworkSections:
    """What building, feeding and training a network needs from a manifest."""

    model: Model
    input: Input
    target: Target | None  # None where the manifest leaves it to the data or the checkpoint
    loss: Loss
    augment: Sequence[AugmentEntry]
    folder: Path = Path()  # of the manifest

    @property
    def own_code(self) -> dict[str, str]:
        """The user's own functions by the keys that name them; they are imported only with --allow-code."""
        named = {"model.architecture": self.model.architecture, "input.own_transform": self.input.own_transform or ""}
        return {key: name for key, name in named.items() if is_own_code(name)}


LIBRARIES = {  # with the form of the names and an example
    "torchvision": (r"[^\W\d]\w*", "torchvision/resnet18"),
    "timm": (r"[a-z0-9][\w.]*", "timm/resnet18"),
    "transformers": (r".+", "transformers/FOLDER"),
}


def _check_library(architecture: str) -> None:
    library, _, name = architecture.partition("/")
    if library not in LIBRARIES:
        examples = ", ".join(example for _, example in LIBRARIES.values())
        raise ValueError(f"'{architecture}': expected an architecture such as {examples}")
    pattern, example = LIBRARIES[library]
    if not re.fullmatch(pattern, name):
        raise ValueError(f"'{architecture}': expected {library}/<name>, such as {example}")


def _check_architecture(name: str, names: NameChecker | None) -> None:
    if names is None:
        return
    try:
        names.check_architecture(name)
    except UserError as error:
        raise ValueError(str(error)) from None
