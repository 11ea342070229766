"""The weight side against drawn weights that obey its equation."""

from __future__ import annotations

import numpy as np
import pytest

from bequest.theory import BlockMixture, QueryGroup
from bequest.theory.queries.orders import Answers, Teachers, block_orders
from bequest.theory.queries.setting import student_setting
from bequest.theory.queries.world import Asked


def test_order_parameters_are_the_averages_of_drawn_weights():
    generator, size = np.random.default_rng(0), 400_000
    shares, signal = (0.6, 0.4), (0.7, 0.3)
    world = BlockMixture(2, 0.5, shares, signal, (1, 0.5))
    penalties = (0.3, 0.8)
    groups = (QueryGroup.training(world), QueryGroup(0.5, 0, (0.2, 1.5)))
    asked = Asked(world, (1, 1), penalties, groups, start=2.0)
    setting = student_setting(asked, asked.arrays("a test"))
    square, slope, cross = np.array([0.2, 0.1]), np.array([0.15, 0.2]), np.array([0.1, 0.17])
    force, shared, gain, noise_t = 0.4, 0.05, np.array([0.9, 0.7]), np.array([0.5, 0.6])
    weight = np.array([[2 * 1, 2 * 0.5], [0.5 * 0.2, 0.5 * 1.5]])  # α Δ by group and block

    rows = {name: [] for name in ("m", "q", "s", "m_t", "q_t")}
    for k in range(2):
        count = round(shares[k] * size)
        v, start, one, other = generator.standard_normal((4, count))
        v *= np.sqrt(signal[k] * size) / np.linalg.norm(v)
        start *= np.sqrt(2.0 * shares[k] * size) / np.linalg.norm(start)
        together = weight[0, k] * shared  # E[ξ ξ_t]
        xi_t = np.sqrt(noise_t[k]) * one
        noise = weight[:, k] @ square
        xi = together / np.sqrt(noise_t[k]) * one + np.sqrt(noise - together**2 / noise_t[k]) * other
        w_t = gain[k] * (0.6 * v + xi_t)
        pull, stiff = weight[:, k] @ cross, weight[:, k] @ slope
        w = (force * v + pull * w_t + xi + penalties[k] * start) / (penalties[k] + stiff)
        pairs = {"m": (v, w), "q": (w, w), "s": (w_t, w), "m_t": (v, w_t), "q_t": (w_t, w_t)}
        for name, (left, right) in pairs.items():
            rows[name].append(left @ right / size)
    teachers = Teachers(
        m=np.array(rows["m_t"])[None, :, None],
        b=np.zeros((1, 1)),
        q=np.array(rows["q_t"])[None, None, :, None],
        v=np.zeros((1, 2, 1)),
        gain=gain[None, :, None],
        square=np.ones((1, 1)),
    )
    one = np.ones(1)
    orders = block_orders(
        setting,
        teachers,
        Answers(force * one, 0 * one, square[:, None], slope[:, None], cross[:, None], shared * one),
    )
    for name, values in (("m", orders.m), ("q", orders.q), ("s", orders.overlap[0])):
        assert values[:, 0] == pytest.approx(rows[name], rel=0.02), name
