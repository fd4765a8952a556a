"""Several processes as one: each runs a network on its shard of a batch, and all see the whole output.

Methods, metrics and attacks do the same in every process: the same whole batches, the same random numbers, the same
loss. Only inside a network is the batch divided: its input is sharded over the processes and its output is gathered
(torch's DTensor). PyTorch's `fully_shard` sums the gradients over a mesh of replicas x shards. So any loss can be used,
1 and N processes agree up to rounding, and no sample is counted twice.
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
UNIT = 2**20  # parameters from which on a block is gathered and reduced on its own
LISTS = (nn.Sequential, nn.ModuleList)
MIN_RECORDS = 2  # per process, so that batch norm has a variance


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as meshes: (replicas, shards) for the weights, one-dimensional for the batch."""

    size: int
    weights: "DeviceMesh"
    batch: "DeviceMesh"
    sharded: bool


_current: list[Processes] = []
_batch_sizes: list[int | None] = []  # size of the batch in each network that is running; None: not sharded
_activations: list[list[Tensor]] = []  # per running block: what hooks read inside it with `gather_output`


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
        _batch_sizes.clear()
        _activations.clear()
        dist.destroy_process_group()


def inference() -> AbstractContextManager[None]:
    """Inside, no gradients are recorded; with processes by no_grad, because gathered weights must outlive it."""
    return torch.no_grad() if _current else torch.inference_mode()


def is_sharded() -> bool:
    """Whether no process may hold a whole network."""
    return bool(_current) and _current[0].sharded


def distribute(model: nn.Module) -> nn.Module:
    """Distribute a network over all processes, in place; with one process, do nothing."""
    if not _current:
        return model
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = _current[0].weights
    for unit in [*find_units(model), model]:
        unit.register_forward_pre_hook(_begin_activations)
        unit.register_forward_hook(_return_activations)
        # The root, too, frees its gathered weights at once: optimizers and copies must see the shards.
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
        unit.register_forward_hook(_drop_activations)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Every process computes the whole loss: gradients are summed, not averaged.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    model.register_forward_pre_hook(_shard_input)
    model.register_forward_hook(_gather_network_output)
    return model


def find_units(model: nn.Module) -> list[nn.Module]:
    """Return the blocks whose weights are gathered one after the other: large elements of lists and sequences.

    Other modules may be used by their parents without being called, such as the output projection of attention.
    """
    blocks: list[nn.Module] = []
    for child in model.children():
        is_block = isinstance(model, LISTS) and not isinstance(child, LISTS)
        large = sum(parameter.numel() for parameter in child.parameters()) >= UNIT
        blocks += [child] if is_block and large else find_units(child)
    return blocks


def _shard_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    x, size = inputs[0], _current[0].size
    largest = -(-len(x) // size)  # torch divides n into parts of this size; the last ones may be smaller, or empty
    divided = len(x) - largest * (size - 1) >= MIN_RECORDS
    _batch_sizes.append(len(x) if divided else None)
    if not divided:
        return (_scale_gradient(x, size), *inputs[1:])
    from torch.distributed.tensor import DTensor, Replicate, Shard

    whole = DTensor.from_local(x, _current[0].batch, [Replicate()], run_check=False)
    return (whole.redistribute(placements=[Shard(0)]).to_local(), *inputs[1:])


def _begin_activations(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    _activations.append([])


def _return_activations(module: nn.Module, inputs: tuple[Any, ...], outputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the activations that hooks read inside a block together with its output, for fully_shard to see.

    It gathers the weights again when a gradient reaches a tensor that the block returns, and a loss may depend only on
    the activations.
    """
    inside = _activations.pop()
    if _activations:
        _activations[-1].extend(inside)
    return _clone_view(outputs), inside


def _drop_activations(module: nn.Module, inputs: tuple[Any, ...], outputs: tuple[Tensor, list[Tensor]]) -> Tensor:
    return outputs[0]


def _clone_view(tensor: Tensor) -> Tensor:
    """Clone a view of another tensor: fully_shard warns of views, which may be written in place."""
    return tensor.clone() if tensor.requires_grad and tensor._base is not None else tensor


def _gather_network_output(module: nn.Module, inputs: tuple[Any, ...], outputs: Tensor) -> Tensor:
    together = gather_output(outputs)
    _batch_sizes.pop()
    return together


def gather_output(share: Tensor) -> Tensor:
    """Return a layer's output (B, ...) for the whole batch; for hooks inside a running network."""
    if not _batch_sizes:
        return share
    if _activations:
        share = _clone_view(share)
        _activations[-1].append(share)
    if _batch_sizes[-1] is None:  # too small to be sharded: every process computed all of it, and counts for its part
        return _scale_gradient(share, 1 / _current[0].size)
    return _full_batch(share, _batch_sizes[-1])


def _scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return x itself; the gradient is scaled in the backward pass."""
    if x.requires_grad:
        x = x.view_as(x)
        x.register_hook(lambda gradient: gradient * factor)
    return x


def shard_rows(rows: np.ndarray) -> np.ndarray:
    """Return the rows of a batch that this process reads; `gather_batch` is the inverse."""
    if not _current:
        return rows
    largest = -(-len(rows) // _current[0].size)
    return rows[ranks.rank() * largest :][:largest]


def gather_batch(share: Tensor, count: int) -> Tensor:
    """Return the `count` samples of a batch of which each process has read its shard."""
    return _full_batch(share, count) if _current else share


def _full_batch(share: Tensor, count: int) -> Tensor:
    from torch.distributed.tensor import DTensor, Replicate, Shard

    shape = torch.Size((count, *share.shape[1:]))
    stride = torch.empty(shape, device="meta").stride()
    whole = DTensor.from_local(
        share.contiguous(), _current[0].batch, [Shard(0)], run_check=False, shape=shape, stride=stride
    )
    return whole.full_tensor(grad_placements=[Replicate()])


def is_distributed(tensor: Tensor) -> bool:
    """Whether a weight is a DTensor over several processes."""
    if not _current:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def full_tensor(tensor: Tensor) -> Tensor:
    """Return a weight or its optimizer state as a plain tensor; all processes must call this in the same order."""
    return cast("DTensor", tensor).full_tensor() if is_distributed(tensor) else tensor


def distribute_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a plain tensor, which all processes have, distributed as `other` is."""
    if not is_distributed(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    divided = cast("DTensor", other)
    return distribute_tensor(tensor.to(other.device), divided.device_mesh, divided.placements, src_data_rank=None)


def distribute_weight(tensor: Tensor) -> Tensor:
    """Return a plain tensor, which all processes have, distributed as weights are."""
    if not _current:
        return tensor
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = _current[0].weights
    return distribute_tensor(tensor.to(mesh.device_type), mesh, [Replicate(), Shard(0)], src_data_rank=None)


@torch.no_grad()
def average_buffers(model: nn.Module) -> None:
    """Average the statistics of batch norm over the processes: each has seen its own shard of the batches."""
    if not _current:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer /= _current[0].size


def max_over_processes(number: int) -> int:
    """Return the largest of the processes' numbers: signals, clocks and files differ between them."""
    largest = torch.tensor(number)
    if _current:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def broadcast(number: int) -> int:
    """Return the number of the first process."""
    first = torch.tensor(number)
    if _current:
        dist.broadcast(first, src=0)
    return int(first)


def barrier() -> None:
    """Wait until every process has called this."""
    max_over_processes(0)
