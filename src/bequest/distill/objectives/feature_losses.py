"""Losses between the activations of student and teacher: pure functions of features."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import orthogonal

from bequest.distill.objectives.logit_losses import FLAT
from bequest.distill.objectives.rows import precise
from bequest.errors import ObjectiveError

Loss = Float[Tensor, ""]


def cka_guidance(student_features: Tensor, guide_features: Tensor, *, unbiased: bool = True) -> Loss:
    """1 - CKA of two sets of activations, with a linear kernel.

    CKA = ⟨K, L⟩ / (‖K‖ · ‖L‖) of the centred Gram matrices K of the student and L of the guide. ``unbiased``
    leaves the diagonals out and centres accordingly, which is needed on minibatches: for independent
    activations wider than the batch the biased value is near 1, the unbiased one near 0.

    Args:
        student_features: (N, ...), flattened to (N, D).
        guide_features: (N, ...), of any other width; no gradient flows to them.
        unbiased: Use the U-centred Gram matrices, for N ≥ 4.

    Returns:
        In [0, 1], unbiased in [0, 2]; 0 where the features are equal up to rotation, scale and shift;
        1 where one of them is constant.

    Raises:
        ObjectiveError: If the numbers of rows differ, or are too few.

    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited", section 3;
    Székely & Rizzo 2014, "Partial distance correlation", definition 2, for the centring; Subramaniam et al.
    2024, "Training the untrainable", for its use as a loss.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 3.0], [1.0, 5.0], [4.0, 2.0]])
    >>> round(float(cka_guidance(x, 2 * x.flip(1) + 1)), 5)
    0.0
    """
    least = 4 if unbiased else 2
    if len(student_features) != len(guide_features) or len(student_features) < least:
        raise ObjectiveError(
            "CKA needs the same samples from both networks",
            expected=f"equal numbers of rows, at least {least}",
            got=f"{len(student_features)} and {len(guide_features)}",
        )
    k = _gram(student_features, unbiased=unbiased)
    l = _gram(guide_features.detach(), unbiased=unbiased)
    scale = k.norm() * l.norm()
    constant = scale == 0  # false for NaN, which must reach the loss
    return 1 - torch.where(constant, 0.0, (k * l).sum() / torch.where(constant, 1.0, scale))


def vkd(projected: Float[Tensor, "n d"], teacher_features: Float[Tensor, "n d"]) -> Loss:
    """Feature distillation: smooth L1 between projected student and layer-normed teacher features.

    Args:
        projected: Student features after an :class:`OrthogonalProjector`, (N, D).
        teacher_features: (N, D); no gradient flows to them.

    Returns:
        The mean over rows and columns, ≥ 0.

    Source: Miles et al. 2024, "VkD: improving knowledge distillation using orthogonal projections".

    >>> round(float(vkd(torch.tensor([[1.0, 0.0]]), torch.tensor([[5.0, 3.0]]))), 4)
    0.25
    """
    wanted = functional.layer_norm(teacher_features.detach(), teacher_features.shape[-1:])
    return functional.smooth_l1_loss(projected, wanted)


def pooled(features: Tensor) -> Float[Tensor, "n d"]:
    """Features as (N, D) in float32 at least: (N, D, H, W) averaged over pixels, (N, L, D) over positions."""
    features = precise(features)
    if features.ndim == 3:
        return features.mean(1)
    return features.flatten(2).mean(2) if features.ndim > 3 else features


class OrthogonalProjector(nn.Module):
    """A linear map whose rows, or columns where it widens, stay orthonormal while it is trained.

    Args:
        width: Width of the student's features.
        wanted: Width of the teacher's.
        seed: Seeds the first matrix.

    >>> projector = OrthogonalProjector(2, 3)
    >>> weight = projector.linear.weight
    >>> torch.allclose(weight.T @ weight, torch.eye(2), atol=1e-6)
    True
    """

    def __init__(self, width: int, wanted: int, *, seed: int = 0) -> None:
        super().__init__()
        # On "meta" first: the usual constructor would draw weights from the global generator.
        linear = nn.Linear(width, wanted, bias=False, device="meta").to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        nn.init.orthogonal_(linear.weight, generator=generator)
        self.linear = orthogonal(linear, orthogonal_map="cayley")

    def forward(self, x: Float[Tensor, "n a"]) -> Float[Tensor, "n b"]:
        """``x`` projected."""
        projected: Tensor = self.linear(x)
        return projected


def _gram(features: Tensor, *, unbiased: bool) -> Float[Tensor, "n n"]:
    """The centred Gram matrix of a linear kernel; 0 where centring leaves rounding errors only."""
    x = precise(features).flatten(1)
    # CKA does not depend on the scale, but products of tiny or huge features underflow or overflow.
    largest = x.detach().abs().amax()
    x = x / torch.where(largest > 0, largest, 1.0)
    centred = _unless_flat(x - x.mean(0), x)
    kind = x.device.type
    without = torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
    with without:  # centring cancels what half precision keeps
        gram = centred @ centred.T
    if not unbiased:
        return gram
    n = len(gram)
    # U-centring (Székely & Rizzo, definition 2): row means over n - 2, their total over (n - 1)(n - 2).
    off = 1 - torch.eye(n, dtype=gram.dtype, device=gram.device)
    without_diagonal = gram * off
    rows = without_diagonal.sum(1) / (n - 2)
    total = rows.sum() / (n - 1)
    return _unless_flat((without_diagonal - rows[:, None] - rows + total) * off, gram)


def _unless_flat(centred: Tensor, whole: Tensor) -> Tensor:
    return torch.where(centred.norm() <= FLAT * whole.norm(), 0.0, centred)
