"""Networks of the library timm (extra `timm`), with random weights: nothing is downloaded, no file is read."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.models.construction import construct, import_extra

FILES = {"checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "pretrained_strict"}


def build_timm(name: str, arguments: dict[str, Any], input_shape: Sequence[int], num_outputs: int) -> nn.Module:
    """Return timm's network `name`; a tag after the dot, such as `.a1_in1k`, names weights and is ignored.

    Raises:
        UserError: timm is not installed, has no such network, or the arguments do not suit it.
    """
    timm = import_extra("timm")
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        raise UserError(f"model.architecture: timm has no model '{plain}'; {did_you_mean(plain, timm.list_models())}")
    if named := FILES & arguments.keys():
        raise UserError(f"model.arguments: {min(named)} reads weights, which come from the checkpoint; omit it")
    channels = {"in_chans": input_shape[0]} if len(input_shape) == 3 else {}
    complete = {"num_classes": num_outputs, **channels, **arguments}
    return construct(lambda **values: timm.create_model(plain, pretrained=False, **values), f"timm/{plain}", complete)
