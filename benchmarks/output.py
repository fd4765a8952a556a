"""Write a result into `results/`, and note in `results/runs.json` when and on which machine it was measured."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
RUNS = RESULTS / "runs.json"


def write_result(name: str, text: str, device: str = "cpu") -> None:
    """Write `results/NAME` and its date and machine in `results/runs.json`, which the documentation shows."""
    (RESULTS / name).write_text(text, encoding="utf-8")
    runs = json.loads(RUNS.read_text(encoding="utf-8"))
    runs[name] = {"date": datetime.now(UTC).date().isoformat(), "machine": describe_machine(device)}
    RUNS.write_text(json.dumps(runs, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def describe_machine(device: str = "cpu") -> str:
    """Return what speeds depend on: the device, its cores and instruction sets, and the version of torch."""
    import torch

    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name()}; torch {torch.__version__}"
    capabilities = torch.cpu.get_capabilities()
    features = [name for name in ("amx_bf16", "avx512_bf16", "avx512_f", "avx2") if capabilities.get(name)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()} CPU, {cores} cores ({', '.join(features)}); torch {torch.__version__}"
