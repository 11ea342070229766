"""Storage formats of one answer: all logits, the largest of them, or a sample of classes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from bequest import seeding
from bequest.distill.divergence import kl_rows
from bequest.distill.objectives import Objective
from bequest.distill.objectives.objective import Reads
from bequest.errors import ConfigError, SignalError
from bequest.variants import Variant, strict

FLOOR = -1e4
"""The log-probability of a class that was not drawn: finite, so that 0 · FLOOR is 0, and its exp is 0."""

SMALL_INDEX = 1 << 16
Row = tuple[int, ...]


class Codec(Variant, kind="codec"):
    """How the logits of a sample are stored, and which objectives can be computed from that."""

    @abstractmethod
    def layout(self, logits: Row) -> tuple[np.dtype[Any], Row]:
        """NumPy's type of a record and the shape of a row, for answers of shape ``logits``.

        Raises:
            SignalError: If the codec cannot store such answers.
        """

    @abstractmethod
    def encode(self, logits: Tensor, ids: Tensor, view: int, *, seed: int) -> np.ndarray:
        """Rows in the form of :meth:`layout`, for float32 logits (N, ..., C) of samples ``ids`` in ``view``.

        Raises:
            SignalError: If a value cannot be stored.
        """

    @abstractmethod
    def decode(self, rows: Tensor, logits: Row, *, temperature: float = 1.0) -> Tensor:
        """Float32 logits (N, *logits) from stored rows.

        Args:
            rows: (N, ...) in their own type, or the bytes of the records as a last axis of uint8.
            logits: Shape of one answer.
            temperature: The temperature at which the objective will read them.
        """

    def deviation(self, stored: Tensor, now: Tensor) -> Tensor:
        """Largest difference of answers (N, ..., C) per sample, relative to the largest logit of ``now``."""
        finite = torch.where(torch.isfinite(now), now, 0.0)
        gap = torch.where(stored == now, 0.0, stored - now)  # -inf - -inf is NaN
        return gap.flatten(1).abs().amax(1) / finite.flatten(1).abs().amax(1).clamp(min=1e-12)

    def error(self, stored: Tensor, exact: Tensor) -> Tensor | None:
        """KL(teacher ‖ answer read back) of each sample at T = 1, in nats (N,); the mean over positions.

        None if it does not describe the codec: nothing is lost, or only the mean over draws is right.

        Args:
            stored: Decoded answers (N, ..., C).
            exact: The teacher's.
        """
        log_p, log_q = (torch.log_softmax(x.double(), -1) for x in (exact, stored))
        rows = kl_rows(log_p, log_q).clamp(min=0.0)
        return rows.flatten(1).mean(1) if rows.ndim > 1 else rows

    @abstractmethod
    def refusal(self, reads: Reads) -> str | None:
        """Why what an objective ``reads`` cannot be computed from the stored values; None if it can."""


@strict
class Dense(Codec, name="dense"):
    """All logits, in ``dtype``, for every objective of logits."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float16"

    @override
    def layout(self, logits: Row) -> tuple[np.dtype[Any], Row]:
        """Type and shape of the logits; bfloat16, which NumPy lacks, is stored as uint16 with its bits."""
        return np.dtype(
            "<u2" if self.dtype == "bfloat16" else f"<f{2 if self.dtype == 'float16' else 4}"
        ), logits

    @override
    def encode(self, logits: Tensor, ids: Tensor, view: int, *, seed: int) -> np.ndarray:
        del view, seed
        rounded = logits.to(getattr(torch, self.dtype)).contiguous()
        overflown = torch.where(logits == -math.inf, 0.0, rounded)
        check_finite(overflown, ids, f"overflows {self.dtype}: use float32 or bfloat16")
        return rounded.view(torch.uint16).numpy() if self.dtype == "bfloat16" else rounded.numpy()

    @override
    def decode(self, rows: Tensor, logits: Row, *, temperature: float = 1.0) -> Tensor:
        del logits, temperature
        if self.dtype == "bfloat16":
            rows = rows.view(torch.bfloat16)
        return rows.float()

    @override
    def error(self, stored: Tensor, exact: Tensor) -> Tensor | None:
        return None if self.dtype == "float32" else super().error(stored, exact)

    @override
    def refusal(self, reads: Reads) -> str | None:
        del reads
        return None


@strict
class TopK(Codec, name="topk"):
    """The k largest logits, with logsumexp, mean and deviation of all logits and the mass of the others.

    Stored: class index (uint16 up to 65,536 classes, else uint32), log-probability at T = 1 (float16), and
    five float32 numbers. At T = 1 and T = 2 the stored log-probabilities and the mass of the others are those
    of the teacher; the others share that mass evenly. At other T > 1 their mass is computed from a polynomial
    for their log-mean-exponential in 1/T through its known values: value, slope and curvature at 0 (from mean
    and deviation), and the values at 1/2 and at 1.
    """

    k: Annotated[int, Field(ge=1)] = 10

    @override
    def layout(self, logits: Row) -> tuple[np.dtype[Any], Row]:
        if self.k >= logits[-1]:
            raise SignalError(
                "k must be below the number of classes",
                expected=f"k below {logits[-1]} classes",
                got=self.k,
                remedy="store all logits: codec dense",
            )
        statistics = [(name, "<f4") for name in ("logsumexp", "rest", "rest_at_2", "mean", "deviation")]
        fields = [("log_prob", "<f2", (self.k,)), ("index", _index_type(logits[-1]), (self.k,))]
        return np.dtype([*statistics, *fields]), logits[:-1]

    @override
    def encode(self, logits: Tensor, ids: Tensor, view: int, *, seed: int) -> np.ndarray:
        del view, seed
        dtype, positions = self.layout(tuple(logits.shape[1:]))
        check_finite(logits, ids, "masks classes with -inf, which only the codec dense keeps")
        exact = logits.double()
        total = exact.logsumexp(-1)
        # Stable: ties are broken by the class index, so that the bytes do not depend on the platform.
        ordered, index = exact.sort(dim=-1, descending=True, stable=True)
        rows = np.empty((len(logits), *positions), dtype)
        rest = ordered[..., self.k :]
        rows["logsumexp"], rows["rest"] = total.numpy(), rest.logsumexp(-1).numpy()
        rows["rest_at_2"] = (rest / 2).logsumexp(-1).numpy()
        rows["mean"], rows["deviation"] = exact.mean(-1).numpy(), exact.std(-1, correction=0).numpy()
        # Log-probabilities, not logits: float16 is finest near 0, where most of the mass is.
        log_probs = (ordered[..., : self.k] - total[..., None]).half()
        check_finite(
            log_probs, ids, "cannot be stored as float16 log-probabilities: use the codec dense in float32"
        )
        rows["log_prob"], rows["index"] = log_probs.numpy(), index[..., : self.k].numpy()
        return rows

    @override
    def decode(self, rows: Tensor, logits: Row, *, temperature: float = 1.0) -> Tensor:
        # Five float32 numbers, then k float16 numbers, then the indices, as in ``layout``.
        head, width = 20, 20 + 2 * self.k
        total, *statistics = _as(rows[..., :head], torch.float32).unbind(-1)
        largest = _as(rows[..., head:width], torch.float16).float() + total[..., None]
        index = _as(rows[..., width:], torch.uint16 if logits[-1] <= SMALL_INDEX else torch.uint32)
        level = _rest_level(largest, statistics, logits[-1] - self.k, temperature)
        out = level[..., None].expand(*level.shape, logits[-1]).clone()
        return out.scatter_(-1, index.to(torch.int64), largest)

    @override
    def refusal(self, reads: Reads) -> str | None:
        if reads.what == "class":
            return None
        if reads.what == "logits":
            return f"it reads the logits of all classes, and only the {self.k} largest are stored"
        if not isinstance(reads.temperature, int | float):
            return "the mass of the classes left out is computed for one temperature, not for a schedule"
        if reads.temperature < 1:
            return f"the mass of the classes left out is known from T = 1 on, not at {reads.temperature:g}"
        return None


@strict
class Sampled(Codec, name="sampled"):
    """``draws`` classes drawn from softmax(logits / temperature); their frequencies are the target.

    The expectation of the frequencies is the teacher's distribution, so the gradient of the KL divergence is
    unbiased, unlike that of renormalised top-k. The draws depend on (seed, sample id, view) alone.

    Source: Anshumann et al. 2025, "Sparse logit sampling: accelerating knowledge distillation in LLMs",
    with the teacher itself as the proposal.
    """

    draws: Annotated[int, Field(ge=1)] = 12
    temperature: Annotated[float, Field(gt=0)] = 1.0

    @override
    def layout(self, logits: Row) -> tuple[np.dtype[Any], Row]:
        return np.dtype(_index_type(logits[-1])), (*logits[:-1], self.draws)

    @override
    def encode(self, logits: Tensor, ids: Tensor, view: int, *, seed: int) -> np.ndarray:
        dtype, shape = self.layout(tuple(logits.shape[1:]))
        edges = torch.softmax(logits.double() / self.temperature, -1).cumsum(-1)
        drawn = seeding.uniform(seed, "draws", ids, view, math.prod(shape)).view(-1, *shape).double()
        # Scaled by the last edge, which rounding may leave just off 1.
        index = torch.searchsorted(edges, drawn * edges[..., -1:], right=True).clamp(max=logits.shape[-1] - 1)
        return index.sort(-1)[0].numpy().astype(dtype)

    @override
    def decode(self, rows: Tensor, logits: Row, *, temperature: float = 1.0) -> Tensor:
        del temperature
        index = rows.to(torch.int64)
        counts = torch.zeros(len(rows), *logits, device=rows.device)
        counts.scatter_add_(-1, index, torch.ones_like(index, dtype=counts.dtype))
        log_probs = (counts / self.draws).log_().clamp_(min=FLOOR)
        return log_probs * self.temperature

    @override
    def error(self, stored: Tensor, exact: Tensor) -> Tensor | None:
        del stored, exact
        return None

    @override
    def deviation(self, stored: Tensor, now: Tensor) -> Tensor:
        """The share of draws that differ."""
        shares = [torch.exp(each / self.temperature) for each in (stored, now)]
        differ = (shares[0] - shares[1]).abs().sum(-1) / 2
        return differ.flatten(1).amax(1) if differ.ndim > 1 else differ

    @override
    def refusal(self, reads: Reads) -> str | None:
        if reads.what != "mean":
            return "it is not a mean over the teacher's distribution, and only draws from that are stored"
        if reads.temperature != self.temperature:
            return f"the classes were drawn at T = {self.temperature:g} and are read at {reads.temperature}"
        return None


def parse_codec(spec: object, where: str = "codec") -> Codec:
    """The codec that ``spec`` describes; a floating type means ``dense`` with that type.

    >>> parse_codec("float32")
    Dense(dtype='float32')
    >>> parse_codec({"name": "topk", "k": 5})
    TopK(k=5)

    Raises:
        ConfigError: Lists every fault.
    """
    if spec in ("float32", "float16", "bfloat16"):
        return Dense(spec)
    return Codec.parse(spec, where)


def reading_temperature(codec: Codec, objective: Objective) -> float:
    """The temperature at which ``objective`` reads answers of ``codec``; 1 if it does not matter.

    Raises:
        SignalError: Says why the objective cannot be computed from the stored values.
    """
    reasons = [reason for reads in objective.reads if (reason := codec.refusal(reads)) is not None]
    temperatures: set[float] = set()
    if isinstance(codec, TopK) and not reasons:
        means = [reads.temperature for reads in objective.reads if reads.what == "mean"]
        temperatures = {float(each) for each in means if isinstance(each, int | float)}
    if len(temperatures) > 1:
        reasons = ["the mass of the classes left out is computed for one temperature; the terms have several"]
    if reasons:
        raise SignalError(
            f"the codec {codec.name!r} cannot serve the objective {objective.name!r}",
            expected="an objective that can be computed from what is stored",
            got="; ".join(reasons),
            remedy="build a dense store, or choose another objective",
        )
    return temperatures.pop() if temperatures else 1.0


def check_finite(values: Tensor, ids: Tensor, why: str) -> None:
    """Refuse answers that are NaN or infinite.

    Raises:
        SignalError: Names the first sample.
    """
    good = torch.isfinite(values).flatten(1).all(1)
    if not bool(good.all()):
        first = int((~good).nonzero()[0, 0])
        raise SignalError(
            f"the teacher's answer to sample {int(ids[first])} {why}",
            expected="finite numbers in the stored type",
            got=f"{int((~good).sum())} of {len(good)} answers with NaN, infinity or overflow",
        )


def _index_type(classes: int) -> str:
    if classes > 1 << 32:
        raise ConfigError.of("codec", [f"{classes} classes are more than an index can hold"])
    return "<u2" if classes <= SMALL_INDEX else "<u4"


def _as(part: Tensor, dtype: torch.dtype) -> Tensor:
    return part.contiguous().view(dtype)


def _rest_level(largest: Tensor, statistics: Sequence[Tensor], others: int, temperature: float) -> Tensor:
    """The logit of each class left out, such that at ``temperature`` they have the right total mass.

    With K(s) the log of the mean of exp(s · logit) over them, it is T · K(1/T).
    """
    rest, rest_at_2, mean, deviation = statistics
    at_one, at_half = rest - math.log(others), rest_at_2 - math.log(others)
    if temperature == 1.0:
        return at_one
    count = others + largest.shape[-1]
    slope = (count * mean - largest.sum(-1)) / others
    square = count * (deviation.square() + mean.square()) - largest.square().sum(-1)
    curvature = (square / others - slope.square()).clamp(min=0)
    # K as a quartic through its value, slope and curvature at 0 and its values at 1/2 and at 1.
    one = at_one - slope - curvature / 2
    half = 16 * (at_half - slope / 2 - curvature / 8)
    level = slope + curvature / (2 * temperature) + (half - one) / temperature**2
    level = level + (2 * one - half) / temperature**3
    # K is convex, so T · K(1/T) lies between its limit for T → ∞, the mean, and K(1).
    return torch.maximum(torch.minimum(level, at_one), slope)
