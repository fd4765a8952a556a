"""The device and the precision of a run, chosen by capability, never by timing."""

from typing import Literal

import torch

from unlearn_cli import ranks
from unlearn_cli.errors import ResourceError, UserError

Precision = Literal["auto", "fp32", "bf16"]


def choose_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if ranks.size() > 1 and name.startswith("cuda"):
        name = local_gpu(name)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps") from None
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device.type not in available:
        raise UserError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps")
    if not available[device.type] or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise ResourceError(f"--device {name}: there is no such device on this machine; use --device cpu or auto")
    return device


def local_gpu(name: str) -> str:
    """Return the GPU of this process. All processes of a host raise the same error: only the first prints it."""
    if name != "cuda":
        raise UserError(f"--device {name}: each of several processes has its own GPU; use --device cuda")
    if ranks.local_size() > torch.cuda.device_count():
        raise ResourceError(
            f"--device cuda: {ranks.local_size()} processes on this machine, but {torch.cuda.device_count()} GPUs; "
            "start one process per GPU, or use --device cpu"
        )
    return f"cuda:{ranks.local_rank()}"


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """Return the precision; `auto` is bf16 if the hardware multiplies it, else fp32."""
    if name == "auto":
        return torch.bfloat16 if supports_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def supports_bf16(device: torch.device) -> bool:
    """Return whether the hardware multiplies bf16; for a CPU, also whether oneDNN may use it (`ONEDNN_MAX_CPU_ISA`)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return bool(fast) and torch.ops.mkldnn._is_mkldnn_bf16_supported()
