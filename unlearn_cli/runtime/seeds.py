"""One root seed, and named streams derived from it, so that a new draw in one stream changes no other stream."""

import hashlib

import torch
from torch import Tensor


def derive_seed(seed: int, *names: str | int) -> int:
    """Return the seed of the stream with these names: 63 bits of a SHA-256 over the root seed and the names."""
    digest = hashlib.sha256("/".join(str(part) for part in (seed, *names)).encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def stream_generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a generator for a named stream. It is on the CPU, so that the numbers are the same for every device."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; to a GPU without waiting for earlier work, because CUDA copies host memory first."""
    return tensor.to(device, non_blocking=device.type == "cuda")


class Random:
    """The run's source of random tensors: drawn on the CPU from one stream, and copied to the run's device."""

    def __init__(self, seed: int, name: str, device: torch.device | None = None) -> None:
        self.generator = stream_generator(seed, name)
        self.device = device or torch.device("cpu")

    def normal(self, *shape: int) -> Tensor:
        """Return independent draws from N(0, 1)."""
        return to_device(torch.randn(shape, generator=self.generator), self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Return independent draws from [0, 1)."""
        return to_device(torch.rand(shape, generator=self.generator), self.device)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Return independent whole numbers from 0 to `high` - 1."""
        return to_device(torch.randint(high, shape, generator=self.generator), self.device)

    def permutation(self, n: int) -> Tensor:
        """Return the numbers from 0 to n - 1 in random order."""
        return to_device(torch.randperm(n, generator=self.generator), self.device)

    def state_dict(self) -> dict[str, Tensor]:
        return {"state": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.generator.set_state(state_dict["state"])


class TorchRandom:
    """torch's own generators, which dropout draws from, as an object whose state can be saved."""

    def state_dict(self) -> dict[str, Tensor]:
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"cpu": torch.get_rng_state(), **{str(i): state for i, state in enumerate(devices)}}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        torch.set_rng_state(state_dict["cpu"])
        if len(state_dict) > 1:
            torch.cuda.set_rng_state_all([state_dict[str(i)] for i in range(len(state_dict) - 1)])
