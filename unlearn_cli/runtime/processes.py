"""Several processes as one: a network works on a share of each batch in each of them, and all see the whole result.

Methods, metrics and attacks run alike in every process: the same whole batches, the same random numbers, the same loss.
Only inside a network is the batch divided. What goes in is split over the processes and what comes out is put together
(torch's DTensor); PyTorch's own `fully_shard` adds up the gradients, over a mesh of replicas x shards. So a loss may be
anything, 1 and N processes agree but for rounding, and no sample is counted twice.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from unlearn_cli import ranks

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor

# torch's meshes, DTensor and fully_shard take most of a second to import: only where there are several processes.
UNIT = 2**20  # parameters from which on a block is gathered and reduced by itself
LISTS = (nn.Sequential, nn.ModuleList)
LEAST = 2  # records a process, so that batch norm has a variance


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as meshes: (replicas, shards) for the weights, all in a row for the batch."""

    size: int
    weights: "DeviceMesh"
    batch: "DeviceMesh"
    sharded: bool


_current: list[Processes] = []
_batches: list[int | None] = []  # records of the batch that each network at work was given; None: not divided
_taken: list[list[Tensor]] = []  # what hooks took from inside each block at work, by `joined`


@contextmanager
def start(device: torch.device, *, sharded: bool) -> Iterator[None]:
    """Join the other processes, if there are any: gloo between CPUs, NCCL between GPUs."""
    if ranks.size() == 1:
        yield
        return
    from torch.distributed.device_mesh import init_device_mesh

    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, device_id=device if device.type == "cuda" else None)
    size = dist.get_world_size()
    shape = (1, size) if sharded else (size, 1)
    mesh = init_device_mesh(device.type, shape, mesh_dim_names=("replicate", "shard"))
    _current.append(Processes(size, mesh, init_device_mesh(device.type, (size,)), sharded))
    try:
        yield
    finally:
        _current.clear()
        _batches.clear()
        _taken.clear()
        dist.destroy_process_group()


def inference() -> AbstractContextManager[None]:
    """Inside, no gradients are kept; weights that are gathered must outlive it, so with processes it is no_grad."""
    return torch.no_grad() if _current else torch.inference_mode()


def sharded() -> bool:
    """Say whether no process may hold a whole network."""
    return bool(_current) and _current[0].sharded


def distribute(model: nn.Module) -> nn.Module:
    """Let a network work in all processes, in place; with one process, do nothing."""
    if not _current:
        return model
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = _current[0].weights
    for unit in [*units(model), model]:
        unit.register_forward_pre_hook(_open)
        unit.register_forward_hook(_show_what_was_taken)
        # The root, too, gives its gathered weights back at once: optimizers and copies must see those that are kept.
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
        unit.register_forward_hook(_hide_what_was_taken)
    for module in model.modules():
        if isinstance(
            module, FSDPModule
        ):  # every process computes the whole loss: gradients add up, they do not average
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    model.register_forward_pre_hook(_take_share)
    model.register_forward_hook(_put_together)
    return model


def units(model: nn.Module) -> list[nn.Module]:
    """Return the blocks whose weights are gathered one after the other: large elements of lists and sequences.

    Other modules may be used by their parents without being called, as attention uses its output projection.
    """
    found: list[nn.Module] = []
    for child in model.children():
        is_block = isinstance(model, LISTS) and not isinstance(child, LISTS)
        large = sum(parameter.numel() for parameter in child.parameters()) >= UNIT
        found += [child] if is_block and large else units(child)
    return found


def _take_share(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    x, size = inputs[0], _current[0].size
    largest = -(-len(x) // size)  # torch divides n into parts of this size; the last ones may be smaller, or empty
    divided = len(x) - largest * (size - 1) >= LEAST
    _batches.append(len(x) if divided else None)
    if not divided:
        return (_scaled(x, size), *inputs[1:])
    from torch.distributed.tensor import DTensor, Replicate, Shard

    whole = DTensor.from_local(x, _current[0].batch, [Replicate()], run_check=False)
    return (whole.redistribute(placements=[Shard(0)]).to_local(), *inputs[1:])


def _open(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    _taken.append([])


def _show_what_was_taken(module: nn.Module, inputs: tuple[Any, ...], outputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Let fully_shard see, beside the outputs of a block, what hooks took from inside it.

    It gathers the weights again when a gradient reaches one of the tensors that a block returns: a loss may be made of
    what was taken alone.
    """
    inside = _taken.pop()
    if _taken:
        _taken[-1].extend(inside)
    return _owned(outputs), inside


def _hide_what_was_taken(module: nn.Module, inputs: tuple[Any, ...], outputs: tuple[Tensor, list[Tensor]]) -> Tensor:
    return outputs[0]


def _owned(tensor: Tensor) -> Tensor:
    """Return a tensor that is no view of another: fully_shard warns of those, which may be written in place."""
    return tensor.clone() if tensor.requires_grad and tensor._base is not None else tensor


def _put_together(module: nn.Module, inputs: tuple[Any, ...], outputs: Tensor) -> Tensor:
    together = joined(outputs)
    _batches.pop()
    return together


def joined(share: Tensor) -> Tensor:
    """Return what a layer puts out (B, ...) for the whole batch; for hooks inside a network that is at work."""
    if not _batches:
        return share
    if _taken:
        share = _owned(share)
        _taken[-1].append(share)
    if _batches[-1] is None:  # too small to be divided: every process has done all of it, so each counts for its part
        return _scaled(share, 1 / _current[0].size)
    return _whole_batch(share, _batches[-1])


def _scaled(x: Tensor, factor: float) -> Tensor:
    """Return x itself, with a gradient that is scaled on its way back."""
    if x.requires_grad:
        x = x.view_as(x)
        x.register_hook(lambda gradient: gradient * factor)
    return x


def share_of(rows: np.ndarray) -> np.ndarray:
    """Return the rows of a batch that this process reads; `gathered` puts together what all have read."""
    if not _current:
        return rows
    largest = -(-len(rows) // _current[0].size)
    return rows[ranks.rank() * largest :][:largest]


def gathered(share: Tensor, count: int) -> Tensor:
    """Return the `count` samples of a batch of which each process has read its share."""
    return _whole_batch(share, count) if _current else share


def _whole_batch(share: Tensor, count: int) -> Tensor:
    from torch.distributed.tensor import DTensor, Replicate, Shard

    shape = torch.Size((count, *share.shape[1:]))
    stride = torch.empty(shape, device="meta").stride()
    whole = DTensor.from_local(
        share.contiguous(), _current[0].batch, [Shard(0)], run_check=False, shape=shape, stride=stride
    )
    return whole.full_tensor(grad_placements=[Replicate()])


def is_divided(tensor: Tensor) -> bool:
    """Say whether a weight lies in parts with several processes."""
    if not _current:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """Return a weight, or what an optimizer keeps of it, as a plain tensor; all processes must ask in one order."""
    return cast("DTensor", tensor).full_tensor() if is_divided(tensor) else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a plain tensor, which all processes have, laid out as `other` is."""
    if not is_divided(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    divided = cast("DTensor", other)
    return distribute_tensor(tensor.to(other.device), divided.device_mesh, divided.placements, src_data_rank=None)


def weight_like(tensor: Tensor) -> Tensor:
    """Return a plain tensor, which all processes have, laid out as weights are."""
    if not _current:
        return tensor
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = _current[0].weights
    return distribute_tensor(tensor.to(mesh.device_type), mesh, [Replicate(), Shard(0)], src_data_rank=None)


@torch.no_grad()
def agree_on_buffers(model: nn.Module) -> None:
    """Average what batch norm has counted over the processes: each has seen its own share of the batches."""
    if not _current:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= _current[0].size


def highest(number: int) -> int:
    """Return the largest of the processes' numbers: signals, clocks and files differ between them."""
    told = torch.tensor(number)
    if _current:
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
    return int(told)


def of_the_first(number: int) -> int:
    """Return the number that the first process has."""
    told = torch.tensor(number)
    if _current:
        dist.broadcast(told, src=0)
    return int(told)


def wait_for_all() -> None:
    """Wait until every process is here."""
    highest(0)
