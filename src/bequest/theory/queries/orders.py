r"""The weight side: from the inputs' answers to order parameters by block.

A coordinate i of block k obeys

.. math:: (λ_k + V̂_k) w_i = m̂ v_i + \sum_a Ŝ_{ka} w^a_i + ξ_i + λ_k w^0_i, \qquad E[ξ_i^2] = q̂_k,

with w^a the teachers' weights and w⁰ the start. If the teacher's own training inputs are among the groups, ξ
is correlated with the teacher's own noise by q̂^{ts}_k, and the student responds to it by V^{st}.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from bequest.theory.parameters import Array, Indices
from bequest.theory.queries.setting import BlockSetting


@dataclass
class Teachers:
    """A solved teachers.

    ``m``, ``v``, ``gain`` (A, K, P) with gain = 1/(λ + V̂); ``b`` (A, P); ``q`` (A, A, K, P), the products
    w_a·w_c/N by block; ``square`` (A, P), E[G²] on their training inputs.
    """

    m: Array
    b: Array
    q: Array
    v: Array
    gain: Array
    square: Array

    @classmethod
    def nobody(cls, blocks: int, points: int) -> Teachers:
        """The order parameters of a learner without a teacher."""
        empty = np.zeros((0, blocks, points))
        none = np.zeros((0, points))
        return cls(empty, none, np.zeros((0, 0, blocks, points)), empty, empty, none)

    def take(self, index: Indices) -> Teachers:
        """The points in ``index``."""
        return Teachers(**{f.name: getattr(self, f.name)[..., index] for f in fields(self)})


class Answers(NamedTuple):
    """Averages over the inputs of a group.

    ``force`` m̂ = Σ α c E[G] (P,) and ``bias`` b (P,); ``square`` E[G²], ``slope`` −E[∂G/∂ω], ``cross``
    E[∂G/∂h̄] (G, P); ``shared`` E[G_t G] on the teacher's own training inputs (P,), 0 without them.
    """

    force: Array
    bias: Array
    square: Array
    slope: Array
    cross: Array
    shared: Array


class BlockOrders(NamedTuple):
    """A learner's order parameters.

    ``m``, ``q``, ``v``, ``gain``, ``response`` (K, P); ``b`` (P,); ``overlap`` with each teacher (A, K, P).
    """

    m: Array
    q: Array
    v: Array
    b: Array
    overlap: Array
    gain: Array
    response: Array


def block_orders(setting: BlockSetting, teachers: Teachers, answers: Answers) -> BlockOrders:
    """Order parameters from answers; an infinite penalty keeps a block at its start, exactly."""
    groups = setting.groups
    weight = groups.alpha[:, None] * groups.variances
    stiffness = np.einsum("gkp,gp->kp", weight, answers.slope)
    noise = np.einsum("gkp,gp->kp", weight, answers.square)
    pull = np.einsum("gkp,gap,gp->akp", weight, groups.teachers, answers.cross)
    fixed = np.isinf(setting.penalty)
    # inf·0 would be NaN: a fixed block gets gain 0 and keeps all of its start.
    penalty = np.where(fixed, 1.0, setting.penalty)
    gain = np.where(fixed, 0.0, 1.0 / (penalty + np.where(fixed, 0.0, stiffness)))
    kept_start = np.where(fixed, 1.0, penalty * gain)
    signal, shares, force = setting.signal, setting.shares, answers.force
    common = np.zeros_like(shares)
    if not all(groups.fresh):
        training = groups.fresh.index(False)
        common = weight[training] * answers.shared * shares * teachers.gain[0]  # E[ξ w_t] by block
    m = gain * (force * signal + np.einsum("akp,akp->kp", pull, teachers.m))
    overlap = gain * (force * teachers.m + np.einsum("akp,abkp->bkp", pull, teachers.q) + common)
    along = np.einsum("akp,akp->kp", pull, teachers.m)
    mutual = np.einsum("akp,bkp,abkp->kp", pull, pull, teachers.q)
    q = gain**2 * (force**2 * signal + 2.0 * force * along + mutual + noise * shares)
    q += 2.0 * gain**2 * pull.sum(axis=0) * common + kept_start**2 * setting.start * shares
    response = gain * shares * np.einsum("akp,akp->kp", pull, teachers.gain)
    return BlockOrders(m, q, gain * shares, answers.bias, overlap, gain, response)
