"""The k largest probabilities in few bits: a set of classes, quantised levels, the mass of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from bequest.distill.objectives.objective import Reads
from bequest.distill.stores.codecs import Codec, Row, check_finite
from bequest.errors import SignalError
from bequest.variants import strict

HEAD = [("rest", "<f2"), ("spread", "<f2")]
HEAD_BYTES = 4


@dataclass(frozen=True)
class IndexCode:
    """The code of ``count`` distinct numbers below ``classes`` in a fixed number of bits (Elias-Fano).

    The sorted numbers are split into ``low`` bits, written verbatim, and the rest, written in unary: bit
    (number >> low) + place is set for the number at ``place`` (Elias 1974; Fano 1971). For 50 of 128,256
    these are 662 bits, while the set has 634 bits of information and the numbers one by one would take 850.
    """

    classes: int
    count: int

    @property
    def low(self) -> int:
        """Bits of a number that are written verbatim."""
        return max(0, int(math.log2(self.classes / self.count)))

    @property
    def unary(self) -> int:
        """Bits for the upper parts of all numbers."""
        return self.count + ((self.classes - 1) >> self.low)

    @property
    def bits(self) -> int:
        """Bits of a whole set.

        >>> IndexCode(128_256, 50).bits
        662
        """
        return self.count * self.low + self.unary

    def encode(self, ordered: np.ndarray) -> np.ndarray:
        """Bits (N, ``bits``) of rising numbers (N, ``count``), as 0 and 1."""
        unary = np.zeros((len(ordered), self.unary), np.uint8)
        np.put_along_axis(unary, (ordered >> self.low) + np.arange(self.count), 1, axis=1)
        return np.concatenate([_bits_of(ordered, self.low), unary], axis=1)

    def decode(self, bits: Tensor) -> Tensor:
        """The numbers (N, ``count``), rising, from their bits."""
        split = self.count * self.low
        low = _numbers_of(bits[:, :split], self.count, self.low)
        places = bits[:, split:].nonzero()[:, 1].view(-1, self.count)
        upper = places - torch.arange(self.count, device=bits.device)
        return (upper << self.low) | low


@strict
class Packed(Codec, name="packed"):
    """The k largest probabilities, in a row of fixed size: 118 bytes for 50 of 128,256 classes.

    Stored: the classes, as a set (:class:`IndexCode`); their log-probabilities at T = 1 as one of 2^bits
    levels between the smallest and the largest of them; the log of the mass of all other classes and the
    range of the levels, in float16. When decoded, the k probabilities are scaled to exactly the mass that the
    others leave, so a dominating class is right at any quantisation; the others share their mass evenly. The
    error, the KL divergence of the decoded answer from the teacher's, is in the manifest of each store.
    """

    k: Annotated[int, Field(ge=2)] = 50
    bits: Annotated[int, Field(ge=2, le=16)] = 5

    def code(self, logits: Row) -> IndexCode:
        """The code for the classes of one answer of shape ``logits``."""
        return IndexCode(logits[-1], self.k)

    @override
    def layout(self, logits: Row) -> tuple[np.dtype[Any], Row]:
        if self.k >= logits[-1]:
            raise SignalError(
                "k must be below the number of classes",
                expected=f"k below {logits[-1]} classes",
                got=self.k,
                remedy="store all logits: codec dense",
            )
        size = -(-(self.code(logits).bits + self.k * self.bits) // 8)
        return np.dtype([*HEAD, ("packed", "u1", (size,))]), logits[:-1]

    @override
    def encode(self, logits: Tensor, ids: Tensor, view: int, *, seed: int) -> np.ndarray:
        del view, seed
        shape = tuple(logits.shape[1:])
        dtype, positions = self.layout(shape)
        log_p = torch.log_softmax(logits.double(), -1)
        largest, index = log_p.topk(self.k)  # sorting all classes takes twenty times as long
        check_finite(largest, ids, f"masks so many classes with -inf that {self.k} are not left")
        rest = log_p.scatter(-1, index, -math.inf).logsumexp(-1).clamp(max=0.0)
        # Rounded first: levels are measured in the range that the reader will see.
        spread = (largest[..., 0] - largest[..., -1]).half()
        rows = np.empty((len(logits), *positions), dtype)
        rows["rest"], rows["spread"] = rest.half().numpy(), spread.numpy()
        steps = (
            (largest - largest[..., -1:]) / spread.double().clamp(min=1e-6)[..., None] * self._top
        ).round()
        by_class = index.sort(-1)
        levels = steps.clamp(0, self._top).long().gather(-1, by_class.indices)
        flat = [each.reshape(-1, self.k).numpy() for each in (by_class.values, levels)]
        bits = np.concatenate([self.code(shape).encode(flat[0]), _bits_of(flat[1], self.bits)], axis=1)
        rows["packed"] = np.packbits(bits, axis=1).reshape(rows["packed"].shape)
        return rows

    @override
    def decode(self, rows: Tensor, logits: Row, *, temperature: float = 1.0) -> Tensor:
        del temperature
        code = self.code(logits)
        # Flattened first: a single row of odd length keeps a stride that a view as float16 cannot have.
        head = rows[..., :HEAD_BYTES].reshape(-1).clone().view(torch.float16).float()
        head = head.view(*rows.shape[:-1], len(HEAD))
        packed = rows[..., HEAD_BYTES:].reshape(-1, rows.shape[-1] - HEAD_BYTES)
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=rows.device)
        bits = ((packed[..., None] >> shifts) & 1).flatten(1)
        classes = code.decode(bits[:, : code.bits]).view(*rows.shape[:-1], self.k)
        levels = _numbers_of(bits[:, code.bits : code.bits + self.k * self.bits], self.k, self.bits)
        rest, spread = head.unbind(-1)
        relative = levels.view(classes.shape) / self._top * spread[..., None]
        # The float16 mass of the others may round to 1, whose complement has no logarithm.
        mass = torch.log1p(-rest.exp().clamp(max=1 - 1e-6))
        largest = torch.log_softmax(relative, -1) + mass[..., None]
        level = rest - math.log(logits[-1] - self.k)
        out = level[..., None].expand(*level.shape, logits[-1]).clone()
        return out.scatter_(-1, classes, largest)

    @override
    def refusal(self, reads: Reads) -> str | None:
        if reads.what != "mean":
            return f"it reads more than a mean over the teacher's {self.k} largest probabilities"
        if reads.temperature != 1:
            return f"the mass of the classes left out is known at T = 1 only, not at {reads.temperature}"
        return None

    @property
    def _top(self) -> int:
        """The highest level of the quantiser."""
        return int(2**self.bits - 1)


def _bits_of(numbers: np.ndarray, width: int) -> np.ndarray:
    """Numbers (N, K) as bits (N, K · ``width``), the highest first."""
    shifts = np.arange(width - 1, -1, -1)
    return ((numbers[..., None] >> shifts) & 1).astype(np.uint8).reshape(len(numbers), -1)


def _numbers_of(bits: Tensor, count: int, width: int) -> Tensor:
    """The inverse of :func:`_bits_of`, int64 (N, ``count``)."""
    weights = 2 ** torch.arange(width - 1, -1, -1, device=bits.device)
    return (bits.reshape(len(bits), count, width).long() * weights).sum(-1)
