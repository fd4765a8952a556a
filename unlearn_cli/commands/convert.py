"""`unlearn-cli convert`: read a `.pth` state dict without running code, and write it as safetensors."""

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
MOST_WRAPPERS = 10  # a bound, because a pickled dictionary can contain itself


def run(source: Path, out: Path, overwrite: bool) -> Result:
    """Convert one file.

    Raises:
        UserError: it is not a plain state dict; nothing in it is ever executed.
    """
    with claim_output(overwrite, out):
        return run_with_claim(source, out, overwrite)


def run_with_claim(source: Path, out: Path, overwrite: bool) -> Result:
    """Run `convert` while this process holds the claim on its output."""
    regular_files.require_regular_file(source)
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: the output is a .safetensors file; use that suffix")
    if source.resolve() == out.resolve():
        raise UserError(f"{out}: is the input; choose another name")
    atomic_files.check_output(out, overwrite, "file")
    from unlearn_cli.checkpoints.checkpoint import PREFIX, tensor_digest  # imports torch: only after the other checks
    from unlearn_cli.runtime.tensor_file import LazyTensors, write_tensors

    tensors = LazyTensors(state_dict(read(source), source))
    metadata = {"format": "pt", f"{PREFIX}version": VERSION, f"{PREFIX}tensor_digest": tensor_digest(tensors)}
    with atomic_files.output_file(out, replace=overwrite) as new:
        write_tensors(new, tensors, metadata)
    return Result(str(out), {"checkpoint": str(out), "tensors": len(tensors)})


def read(source: Path) -> Any:
    """Load a file of torch.save without running code from it.

    Raises:
        UserError: the file is broken, or contains more than tensors.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings have several lines
            return torch.load(source, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise  # reported by `errors.translate_resource_errors`: the file is not the cause
    except Exception:
        # The only broad `except`: for broken files, torch's reader raises IndexError, TypeError, struct.error,
        # AssertionError and more. Its own message advises to load the file with code execution.
        raise UserError(
            f"{source}: is broken, or contains more than tensors (such as a whole model), which could run code when it "
            "is read; save model.state_dict() and convert that"
        ) from None


def state_dict(content: Any, source: Path) -> dict[str, Any]:
    """Find the state dict in the loaded content, and strip the prefixes that wrappers add to every name.

    Raises:
        UserError: there is none, or safetensors cannot store one of its tensors.
    """
    content = _unwrap(content)
    if not isinstance(content, dict) or not content or not all(map(_is_entry, content.keys(), content.values())):
        raise UserError(f"{source}: contains no state dict of plain tensors; save model.state_dict() and convert that")
    for name, tensor in content.items():
        if kind := _find_unusual_kind(tensor):
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

    # Names must be text that a safetensors header can store, and must differ from the key of its metadata.
    return isinstance(name, str) and name.isprintable() and name != "__metadata__" and isinstance(item, torch.Tensor)


def _find_unusual_kind(tensor: Any) -> str | None:
    import torch

    kinds = {
        "nested": tensor.is_nested,
        "sparse": tensor.layout != torch.strided,
        "quantised": tensor.is_quantized,
        "meta": tensor.is_meta,
        "complex": tensor.is_complex(),
    }
    return next((kind for kind, applies in kinds.items() if applies), None)
