"""Builds networks without memory for their weights, to compare names and shapes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

INIT = "torch.nn.init"
RANDOM = (Tensor.normal_, Tensor.uniform_)


class BareNetworks(TorchFunctionMode):
    """Inside this context, `torch.empty` returns tensors on the meta device, and nothing draws their random values.

    Other tensors are real, because networks may compute their widths with them (torchvision's RegNets do). On the meta
    device, drawing random values would import the compiler of torch, which takes seconds.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        tensor = args[0] if args else given.get("tensor")
        draws = func in RANDOM or getattr(func, "__module__", "") == INIT
        if draws and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **given)
