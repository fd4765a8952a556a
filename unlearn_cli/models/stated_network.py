"""The network that the config.json next to a checkpoint states: one of transformers or of timm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unlearn_cli.errors import UserError
from unlearn_cli.models.preprocessing import read_json

CONFIG = "config.json"
COLOURS = 3


@dataclass(frozen=True)
class StatedNetwork:
    """What a config.json states; None or nothing where it states nothing.

    `name` is the type of a model of transformers (`vit`), or the name of a network of timm. `shape` is that of images,
    [channels, height, width]; `most_tokens` the longest text. `is_multilabel`: each record has any number of labels.
    """

    library: Literal["transformers", "timm"]
    name: str
    num_outputs: int | None = None
    classes: Sequence[str] = ()  # the names of the outputs in their order
    shape: Sequence[int] | None = None
    most_tokens: int | None = None
    is_multilabel: bool = False
    other_use: str = ""  # the class of a network of transformers that has no classifier, such as ViTModel


def read_stated_network(folder: Path) -> StatedNetwork | None:
    """Return the network that a folder's config.json states; None without the file, or if it names no network.

    Raises:
        UserError: it is not JSON, or has values of another form than the libraries write.
    """
    config = read_json(folder / CONFIG)
    try:
        if isinstance(config.get("model_type"), str):
            return _read_transformers(config)
        return _read_timm(config) if isinstance(config.get("architecture"), str) else None
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{folder / CONFIG}: states a network in an unknown form; fetch it again") from None


def _read_transformers(config: Mapping[str, Any]) -> StatedNetwork:
    labels = config.get("id2label") or {}
    count = len(labels) or config.get("num_labels")
    return StatedNetwork(
        "transformers",
        config["model_type"],
        num_outputs=None if count is None else int(count),
        classes=list_names(labels),
        shape=_read_shape(config),
        most_tokens=config.get("max_position_embeddings"),
        is_multilabel=config.get("problem_type") == "multi_label_classification",
        other_use=_find_other_use(config.get("architectures") or []),
    )


def _find_other_use(names: Sequence[str]) -> str:
    """Return the first class of a network, if none of them is one for classification; '' if the file names none."""
    others = [name for name in names if not name.endswith("Classification")]
    return others[0] if others and len(others) == len(names) else ""


def _read_timm(config: Mapping[str, Any]) -> StatedNetwork:
    stated = config.get("pretrained_cfg") or {}
    count = config.get("num_classes", stated.get("num_classes"))
    return StatedNetwork(
        "timm",
        config["architecture"],
        num_outputs=int(count) if count else None,
        classes=[str(name) for name in config.get("label_names") or stated.get("label_names") or []],
        shape=[int(number) for number in stated.get("input_size") or []] or None,
    )


def list_names(labels: Mapping[str, Any]) -> list[str]:
    """Return the names of `id2label` in the order of the outputs; none if they are only LABEL_0, LABEL_1, ..."""
    names = [str(name) for _, name in sorted(labels.items(), key=lambda item: int(item[0]))]
    return [] if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else names


def _read_shape(config: Mapping[str, Any]) -> list[int] | None:
    """Return the shape of images; None if the file has no size, such as that of a text model or a ResNet."""
    size, channels = config.get("image_size"), config.get("num_channels", COLOURS)
    if size is None:
        return None
    sides = [int(size)] * 2 if isinstance(size, int) else [int(side) for side in size]
    return [int(channels), *sides]
