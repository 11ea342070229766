"""The cost of one forward pass of a network: parameters, operations, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bequest.models.catalogue import parameter_count, state_count
from bequest.models.modes import buffers_restored, evaluating
from bequest.models.network_checks import explained
from bequest.models.weights import require_dense


@dataclass(frozen=True)
class Workload:
    """A forward pass in training mode.

    Attributes:
        parameters: Trainable parameters.
        state: Parameters and running statistics of normalisation.
        flops: Floating point operations of products per row (a multiplication and its addition are two).
        kernels: Operations sent to a GPU, for any number of rows. A recurrence counts step by step, though
            a fused kernel would do it in one call.
        saved: Bytes kept for the backward pass, per row.
    """

    parameters: int
    state: int
    flops: int
    kernels: int
    saved: int


def workload_of(model: nn.Module, x: Tensor) -> Workload:
    """The workload of ``model``, measured in one forward pass of the rows ``x``; the model does not change.

    Raises:
        ModelError: If the model does not take ``x``, or its parameters are sparse, lazy or without memory.

    >>> workload = workload_of(nn.Linear(10, 3), torch.ones(2, 10))
    >>> workload.parameters, workload.flops
    (33, 60)
    """
    require_dense(model)
    rows, saved, sent = len(x), _SavedBytes(model), _SentKernels()
    with (
        buffers_restored(model),
        explained(model, x),
        torch.random.fork_rng(devices=[]),
        evaluating(model),
        torch.enable_grad(),
        _step_by_step(),
        FlopCounterMode(display=False) as counter,
        sent,
        saved_tensors_hooks(saved, _same),
    ):
        model.train()
        model(x)
    return Workload(
        parameter_count(model),
        state_count(model),
        counter.get_total_flops() // rows,
        sent.count,
        saved.bytes // rows,
    )


class _SavedBytes:
    """Sums the bytes saved for the backward pass, each storage once, without parameters and buffers."""

    def __init__(self, model: nn.Module) -> None:
        state = [*model.parameters(), *model.buffers()]
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in state}
        self.bytes = 0

    def __call__(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


class _SentKernels(TorchDispatchMode):
    """Counts operations other than views, which compute nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += not getattr(func, "is_view", False)
        return func(*args, **(kwargs or {}))


@contextmanager
def _step_by_step() -> Iterator[None]:
    """Disable oneDNN, whose recurrences are single operations that the counters cannot see into."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _same(tensor: Tensor) -> Tensor:
    return tensor
