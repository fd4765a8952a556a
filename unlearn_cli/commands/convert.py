"""`unlearn-cli convert`: a `.pth` state dict, read without running code, is written as safetensors."""

import warnings
from pathlib import Path
from typing import Any

from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError
from unlearn_cli.storage import atomic_files, regular_files
from unlearn_cli.storage.version import VERSION

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts put the state dict
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
MOST_WRAPPERS = 10  # a bound, because a pickled dictionary can hold itself


def run(source: Path, out: Path, overwrite: bool) -> Result:
    """Convert one file.

    Raises:
        UserError: it is not a plain state dict; nothing in it is ever executed.
    """
    with claim_output(overwrite, out):
        return run_with_claim(source, out, overwrite)


def run_with_claim(source: Path, out: Path, overwrite: bool) -> Result:
    """Do the work, while no other run writes to the same outputs."""
    regular_files.require_regular_file(source)
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: the result is a .safetensors file; give it that ending")
    if source.resolve() == out.resolve():
        raise UserError(f"{out}: is the input itself; choose another name")
    atomic_files.check_output(out, overwrite, "file")
    from unlearn_cli.checkpoints.checkpoint import (
        PREFIX,
        tensor_digest,
    )  # torch comes with it: only after what needs none
    from unlearn_cli.runtime.tensor_file import LazyTensors, write_tensors

    tensors = LazyTensors(state_dict(read(source), source))
    metadata = {"format": "pt", f"{PREFIX}version": VERSION, f"{PREFIX}tensor_digest": tensor_digest(tensors)}
    with atomic_files.output_file(out, replace=overwrite) as new:
        write_tensors(new, tensors, metadata)
    return Result(str(out), {"checkpoint": str(out), "tensors": len(tensors)})


def read(source: Path) -> Any:
    """Load what torch.save wrote, without running code in it.

    Raises:
        UserError: it is broken, or holds more than tensors.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns in several lines; our error is one line
            return torch.load(source, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise  # `errors.translate_resource_errors` reports these: they are not about the file
    except Exception:
        # The one broad `except`: torch's reader does what the bytes of the file say, and a broken file has made it
        # raise IndexError, TypeError, struct.error, AssertionError and more. Its own message advises to run the code.
        raise UserError(
            f"{source}: is broken, or holds more than tensors (a whole model, say), which could run code when it is "
            "read; save model.state_dict() and convert that"
        ) from None


def state_dict(content: Any, source: Path) -> dict[str, Any]:
    """Find the state dict in what was loaded, and strip the prefixes that wrappers add to every name.

    Raises:
        UserError: there is none, or one of its tensors is of a kind that safetensors does not hold.
    """
    content = _unwrap(content)
    if not isinstance(content, dict) or not content or not all(map(_is_entry, content.keys(), content.values())):
        raise UserError(f"{source}: holds no state dict of plain tensors; save model.state_dict() and convert that")
    for name, tensor in content.items():
        if kind := _unusual_kind(tensor):
            raise UserError(f"{source}: {name} is a {kind} tensor; save a state dict of plain tensors and convert that")
    # Wrappers may be nested in any order: compiled, then distributed, or the other way round.
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in content)), None):
        content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return content


def _unwrap(content: Any) -> Any:
    for _ in range(MOST_WRAPPERS):
        inner = [content[key] for key in WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)]
        if not inner:
            break
        content = inner[0]
    return content


def _is_entry(name: Any, item: Any) -> bool:
    import torch

    # Names must be text that a safetensors header can hold, and not the key under which it keeps its metadata.
    return isinstance(name, str) and name.isprintable() and name != "__metadata__" and isinstance(item, torch.Tensor)


def _unusual_kind(tensor: Any) -> str | None:
    import torch

    kinds = {
        "nested": tensor.is_nested,
        "sparse": tensor.layout != torch.strided,
        "quantised": tensor.is_quantized,
        "meta": tensor.is_meta,
        "complex": tensor.is_complex(),
    }
    return next((kind for kind, applies in kinds.items() if applies), None)
