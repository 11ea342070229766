"""The start of the iteration: the state evolution of a learner whose loss has constant curvature."""

from __future__ import annotations

import numpy as np

from bequest.theory.queries.channel import law_of
from bequest.theory.queries.orders import Answers, Teachers, block_orders
from bequest.theory.queries.setting import BlockSetting

CURVATURE = 0.25
"""The curvature of the logistic loss at zero."""

LABEL = 2.0
"""The logit that minimises the quadratic approximation of a label's loss at zero."""

ROUNDS = 60
LEAST = 1e-12


def linear_answers(setting: BlockSetting, teachers: Teachers) -> Answers:
    """The answers for a loss k(h − y)²/2 with y = ±2(1 − χ) + χ h̄, by damped iteration without integrals."""
    groups = setting.groups
    shape = (groups.count, setting.size)
    slope, square = np.full(shape, CURVATURE), np.full(shape, 0.1)
    bias = np.zeros(setting.size)
    answers = Answers(bias, bias, square, slope, groups.mix * slope, np.zeros(setting.size))
    for _ in range(ROUNDS):
        step = _step(setting, teachers, answers)
        answers = Answers(*(0.5 * (one + other) for one, other in zip(answers, step, strict=True)))
    return answers


def _step(setting: BlockSetting, teachers: Teachers, answers: Answers) -> Answers:
    groups = setting.groups
    orders = block_orders(setting, teachers, answers)
    force, signed = np.zeros(setting.size), np.zeros(setting.size)
    square, slope = np.empty_like(answers.square), np.empty_like(answers.slope)
    for g in range(groups.count):
        law, mix = law_of(setting, teachers, orders, g), groups.mix[g]
        slope[g] = CURVATURE / (1.0 + CURVATURE * law.response)
        rest = law.variance + mix**2 * law.teacher_variance - 2.0 * mix * law.covariance
        square[g] = slope[g] ** 2 * rest
        for sign, label in ((1.0, setting.rho), (-1.0, 1.0 - setting.rho)):
            taught = law.teacher_mean + sign * law.teacher_bias
            gap = (1.0 - mix) * LABEL + mix * taught - law.mean - sign * law.bias
            square[g] += label * slope[g] ** 2 * gap**2
            force += groups.alpha[g] * groups.centre[g] * label * slope[g] * gap
            signed += groups.alpha[g] * label * sign * slope[g] * gap
    total = (groups.alpha * slope).sum(axis=0)
    # m̂ changes m, which for small penalties changes m̂ by far more than itself: solved, not iterated.
    gives = (groups.alpha * groups.centre**2 * slope).sum(axis=0) * (setting.signal * orders.gain).sum(axis=0)
    force = (force + gives * answers.force) / (1.0 + gives)
    # The force of the real loss is bounded, that of the quadratic one is not.
    largest = (0.5 * (1.0 - groups.mix + groups.mix * setting.temperature)) ** 2
    return Answers(
        force,
        answers.bias + signed / total,
        np.clip(square, LEAST, np.maximum(largest, LEAST)),
        slope,
        groups.mix * slope,
        np.zeros_like(answers.shared),
    )
