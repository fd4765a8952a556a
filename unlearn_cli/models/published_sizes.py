"""The sizes of images for which a library published a network: how it is evaluated there."""

from dataclasses import dataclass
from typing import Any

from unlearn_cli.models.construction import import_extra
from unlearn_cli.models.preprocessing import read_timm_size


@dataclass(frozen=True)
class PublishedSize:
    """Images are resized until the shorter side is `resize`; the centre of `side` x `side` is the sample."""

    side: int = 224
    resize: int = 256
    interpolation: str = "bilinear"


def find_published_size(architecture: str) -> PublishedSize:
    """Return the size for `library/name`; the usual one of ImageNet's networks if the library states none."""
    library, _, name = architecture.partition("/")
    if library == "torchvision":
        return _find_torchvision(name)
    return _find_timm(name) if library == "timm" else PublishedSize()


def _find_torchvision(name: str) -> PublishedSize:
    from torchvision import models

    if name not in models.list_models(module=models):  # refused when it is built
        return PublishedSize()
    first: Any = next(iter(models.get_model_weights(name)))
    stated = first.transforms.keywords
    filter_name = getattr(stated.get("interpolation"), "value", "bilinear")
    return PublishedSize(stated["crop_size"], stated.get("resize_size", 256), filter_name)


def _find_timm(name: str) -> PublishedSize:
    configuration = import_extra("timm").get_pretrained_cfg(name)
    keys = read_timm_size(configuration.to_dict()) if configuration else {}
    sides = keys.get("resize", PublishedSize.resize)
    resize = sides if isinstance(sides, int) else min(sides)
    return PublishedSize(keys["shape"][-1], resize, keys["interpolation"]) if keys else PublishedSize()
