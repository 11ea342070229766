"""A second device for machines without a GPU: ``twin``, whose numbers are computed by the CPU's own kernels.

PyTorch keeps one device type free for backends of others. This one holds a tensor of the CPU in each of its
tensors, refuses every operation that mixes tensors of both devices (copies aside), and gives the CPU's bytes:
whatever runs on it was placed right, and must come to the same results. ``meta`` has no values, so that
checks, scores, records and stores cannot run on it.

As a study's part (``use = ["second_device.py"]``) it is there in every worker process. Import it only where
the whole process may have a second device: it cannot be taken back.
"""

from __future__ import annotations

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from bequest.models import devices

NAME = "twin"
COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}
"""What may have tensors of both devices."""


class Backend:
    """What PyTorch asks the module of a device for."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """Nothing: random numbers are the CPU's."""

    @staticmethod
    def get_rng_state(device: object) -> torch.Tensor:
        return torch.empty(0, dtype=torch.uint8)

    @staticmethod
    def set_rng_state(state: torch.Tensor, device: object) -> None:
        """Likewise."""

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return []


class Twin(torch.Tensor):
    """A tensor on the second device, with its values in ``raw`` on the CPU."""

    @staticmethod
    def __new__(cls, raw):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, raw):
        self.raw = raw

    def __repr__(self):
        return f"Twin({self.raw})"

    def tolist(self):
        return self.raw.tolist()

    def __reduce_ex__(self, protocol):
        return self.raw.__reduce_ex__(protocol)  # files hold it as a tensor of the CPU

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        return computed(operator, *args, **(kwargs or {}))


def lstm_cell(from_inputs, from_states, cells, input_bias=None, state_bias=None):
    """What is one kernel on GPUs, and none on the CPU: gates (N, 4H), states and cells (N, H)."""
    gates = from_inputs + from_states
    if input_bias is not None:
        gates = gates + input_bias + state_bias
    i, f, g, o = gates.chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    new = f * cells + i * g
    return o * new.tanh(), new, torch.cat([i, f, g, o], 1)


def lstm_cell_backward(of_states, of_cells, cells, new, gates, has_bias):
    """The gradients of the gates (N, 4H), of the cells (N, H) and of the bias (4H)."""
    i, f, g, o = gates.chunk(4, 1)
    of_states = torch.zeros_like(new) if of_states is None else of_states
    total = of_states * o * (1 - new.tanh() ** 2) + (0 if of_cells is None else of_cells)
    parts = [total * g * i * (1 - i), total * cells * f * (1 - f), total * i * (1 - g**2)]
    of_gates = torch.cat([*parts, of_states * new.tanh() * o * (1 - o)], 1)
    return of_gates, total * f, of_gates.sum(0) if has_bias else None


ELSEWHERE_ONLY = {
    torch.ops.aten._thnn_fused_lstm_cell.default: lstm_cell,
    torch.ops.aten._thnn_fused_lstm_cell_backward_impl.default: lstm_cell_backward,
}
"""Operations of GPUs that the CPU does not have."""


def computed(operator, *args, **kwargs):
    """``operator`` on the CPU's tensors; the result is there too, unless asked for elsewhere.

    Raises:
        RuntimeError: If tensors of both devices come together.
    """
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    twins = [each for each in tensors if isinstance(each, Twin)]
    elsewhere = [each for each in tensors if not isinstance(each, Twin) and each.ndim]
    if twins and elsewhere and operator not in COPIES:
        raise RuntimeError(f"{operator} has tensors on {NAME} and on {elsewhere[0].device}")
    device = kwargs.get("device")
    if device is not None:
        kwargs = {**kwargs, "device": "cpu"}
    args, kwargs = tree_map(lambda each: each.raw if isinstance(each, Twin) else each, (args, kwargs))
    answer = ELSEWHERE_ONLY.get(operator, operator)(*args, **kwargs)
    if device is not None and torch.device(device).type != NAME:
        return answer
    if not twins and device is None:
        return answer
    by_raw = {id(each.raw): each for each in twins}  # in-place operations return what they were given

    def wrapped(each):
        if not isinstance(each, torch.Tensor):
            return each
        return by_raw[id(each)] if id(each) in by_raw else Twin(each)

    return tree_map(wrapped, answer)


def moved(make):
    """``torch.tensor``, whose numbers go to the CPU first: with a backend in Python it fails otherwise."""

    def call(values, *, device=None, **options):
        if device is None or torch.device(device).type != NAME:
            return make(values, device=device, **options)
        return make(values, **options).to(device)

    return call


if torch._C._get_privateuse1_backend_name() != NAME:
    _setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    LIBRARY = torch.library.Library("_", "IMPL")
    LIBRARY.fallback(computed, "PrivateUse1")
    LIBRARY.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    torch.__future__.set_swap_module_params_on_conversion(True)  # tied weights stay tied, as they do on a GPU
    torch.tensor, torch.as_tensor = moved(torch.tensor), moved(torch.as_tensor)
    devices.KINDS = (*devices.KINDS, NAME)
