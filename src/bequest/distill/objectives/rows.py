"""Logits as rows: the handling of shapes, masks and precision that all losses share."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bequest.errors import ObjectiveError
from bequest.models.tokens import full_precision

Array = Tensor | np.ndarray
Number = float | int
Loss = Float[Tensor, ""]


def paired(
    student_logits: Array, teacher_logits: Array, mask: Tensor | None
) -> tuple[Float[Tensor, "m c"], Float[Tensor, "m c"]]:
    """Both logits as (rows, C), without the rows that the mask hides.

    Raises:
        ObjectiveError: If the shapes differ, or the mask does not fit.
    """
    student = student_logits if isinstance(student_logits, Tensor) else torch.as_tensor(student_logits)
    teacher = teacher_logits if isinstance(teacher_logits, Tensor) else torch.as_tensor(teacher_logits)
    if student.shape != teacher.shape:
        raise ObjectiveError(
            "student and teacher logits have different shapes",
            expected=f"{tuple(student.shape)}, as the student's",
            got=f"{tuple(teacher.shape)} from the teacher",
            remedy="give both models the same classes, in the same order, and the same inputs",
        )
    return rows_of(student, mask), rows_of(teacher.detach(), mask)


def rows_of(logits: Tensor, mask: Tensor | None) -> Float[Tensor, "m c"]:
    """Logits as (rows, C) in float32 or float64, without the rows that the mask hides.

    Raises:
        ObjectiveError: If logits have the wrong shape, or the mask does not fit.
    """
    logits = precise(logits)
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != logits.shape[:-1] or logits.ndim != 3:
            raise ObjectiveError(
                "the mask does not fit the logits",
                expected=f"bool of shape {tuple(logits.shape[:-1])}, for logits (N, L, C)",
                got=f"{mask.dtype} of shape {tuple(mask.shape)} for logits {tuple(logits.shape)}",
            )
        return logits[mask]
    if logits.ndim == 3:
        return logits.flatten(0, 1)
    if logits.ndim != 2:
        raise ObjectiveError(
            "logits have the wrong shape", expected="(N, C) or (N, L, C)", got=str(tuple(logits.shape))
        )
    return logits


def precise(x: Tensor) -> Tensor:
    """``x`` in float32 at least; integers and quantised values become float32.

    The gradient of float16 logits is clamped to float16's range, ±65504; not under autocast, where the loss
    scaling detects overflows by their infinities.
    """
    if x.is_quantized:
        return x.dequantize()
    if not x.is_floating_point():
        return x.float()
    values = full_precision(x)
    if x.dtype == torch.float16 and values.requires_grad and not torch.is_autocast_enabled(x.device.type):
        largest = torch.finfo(torch.float16).max
        values.register_hook(lambda grad: grad.clamp(-largest, largest))  # type: ignore[no-untyped-call]
    return values


def nothing(logits: Tensor) -> Loss:
    """The loss without any row: 0, with a gradient of 0.

    A micro-batch, or the rows of one rank, may be all padding; a NaN there would spoil the whole batch.
    """
    return logits.sum() * 0.0


def check_temperature(temperature: object) -> None:
    """Refuse a temperature that is not positive and finite.

    Raises:
        ObjectiveError: If it is not.
    """
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise ObjectiveError(
            "the temperature is not a positive finite number",
            expected="one number > 0 for all rows, such as 4",
            got=temperature,
        )
