"""All randomness of bequest: numbers that follow from (seed, name, sample id, view id) alone.

Per-sample numbers come from a counter-based generator, SplitMix64's finaliser (Steele, Lea & Flood
2014, "Fast splittable pseudorandom number generators") applied to a hash of the key. They need no state,
so the order of calls, the batch size, the worker and the machine cannot change them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bequest.streams import derive as derive
from bequest.streams import numpy_generator as numpy_generator

# SplitMix64's increment, 2⁶⁴ / golden ratio, and the multipliers of its finaliser (Stafford's Mix13).
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def torch_generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator, seeded with :func:`derive`."""
    return torch.Generator().manual_seed(derive(seed, *names))


def bits(seed: int, name: str, ids: Int[Tensor, " n"], view: int, count: int) -> Int[Tensor, "n k"]:
    """``count`` 64-bit integers for each sample: a pure function of (seed, name, id, view, column).

    Args:
        seed: The seed of the run.
        name: The purpose of the numbers, so that two uses never share them.
        ids: Sample ids, shape (N,), any device.
        view: View id.
        count: Numbers per sample.

    Returns:
        int64, shape (N, count), on the device of ``ids``; the same bits on every device.
    """
    key = _signed(derive(seed, name, view))
    # From 1, as SplitMix64 adds its increment before it mixes. Products wrap around: int64 has the same low
    # 64 bits as the unsigned arithmetic of the paper.
    columns = torch.arange(1, count + 1, dtype=torch.int64, device=ids.device)
    rows = _mix(ids.to(torch.int64) * _signed(_GOLDEN) + key)
    return _mix(rows[:, None] + columns * _signed(_GOLDEN))


def uniform(seed: int, name: str, ids: Int[Tensor, " n"], view: int, count: int) -> Float[Tensor, "n k"]:
    """``count`` float32 numbers in [0, 1) for each sample; multiples of 2⁻²⁴. See :func:`bits`."""
    # 24 bits are exact in float32; with more, rounding could return 1.
    return _shift_right(bits(seed, name, ids, view, count), 40).to(torch.float32) * 2.0**-24


def integers(
    seed: int, name: str, ids: Int[Tensor, " n"], view: int, count: int, *, low: int, high: int
) -> Int[Tensor, "n k"]:
    """``count`` integers in [low, high] for each sample, ends included. See :func:`bits`."""
    # Without the sign bit; the bias of the remainder is below (high - low) / 2⁶³.
    drawn = _shift_right(bits(seed, name, ids, view, count), 1)
    return low + torch.remainder(drawn, high - low + 1)


def normal(seed: int, name: str, ids: Int[Tensor, " n"], view: int, count: int) -> Float[Tensor, "n k"]:
    """``count`` standard normal float32 numbers for each sample, by Box and Muller (1958)."""
    half = (count + 1) // 2
    drawn = uniform(seed, name, ids, view, 2 * half)
    # log(1 - u), not log(u): u may be 0 and is never 1.
    radius = torch.sqrt(-2.0 * torch.log1p(-drawn[:, :half]))
    angle = 2.0 * math.pi * drawn[:, half:]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)[:, :count]


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift_right(x, 30)) * _signed(_MIX_1)
    x = (x ^ _shift_right(x, 27)) * _signed(_MIX_2)
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, places: int) -> Tensor:
    """Logical shift: int64 has no unsigned shift in torch, so the copied sign bits are cleared."""
    return (x >> places) & ((1 << (64 - places)) - 1)


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value
