"""`unlearn-cli convert`: a `.pth` state dict, read without running code, becomes safetensors."""

import pickle
import warnings
from pathlib import Path
from typing import Any

from unlearn_cli import __version__, files
from unlearn_cli.commands import Result
from unlearn_cli.errors import UserError

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts put the state dict
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile


def run(source: Path, out: Path, overwrite: bool) -> Result:
    """Convert one file.

    Raises:
        UserError: it is not a plain state dict; nothing in it is ever executed.
    """
    if not source.is_file():
        raise UserError(f"{source}: there is no such file")
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: the result is a .safetensors file; give it that ending")
    if source.resolve() == out.resolve():
        raise UserError(f"{out}: is the input itself; choose another name")
    files.check_output(out, overwrite, "file")
    import torch
    from safetensors.torch import save_file

    from unlearn_cli.checkpoint import PREFIX, canonical_header, tensor_digest

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns in several lines; what it cannot read is told in one
            content = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        # torch's own message advises to load it with code in it.
        raise UserError(
            f"{source}: is broken, or holds more than tensors (a whole model, say), which could run code when it is "
            "read; save model.state_dict() and convert that"
        ) from None
    tensors = state_dict(content, source)
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    metadata = {"format": "pt", f"{PREFIX}version": __version__, f"{PREFIX}tensor_digest": tensor_digest(tensors)}
    with files.output_file(out) as new:
        save_file(tensors, new, metadata)
        canonical_header(new)
    return Result(str(out), {"checkpoint": str(out), "tensors": len(tensors)})


def state_dict(content: Any, source: Path) -> dict[str, Any]:
    """Find the state dict in what was loaded, and strip the prefixes that wrappers add to every name."""
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(name, str) and _is_plain(item) for name, item in content.items())
    ):
        raise UserError(f"{source}: holds no state dict of plain tensors; save model.state_dict() and convert that")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return content


def _is_plain(item: Any) -> bool:
    import torch

    return isinstance(item, torch.Tensor) and item.layout == torch.strided and not item.is_quantized
