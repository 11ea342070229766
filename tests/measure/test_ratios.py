from __future__ import annotations

import math

import numpy as np
import pytest

from bequest.measure import code_of
from bequest.measure.ratios import ratio_ends, ratio_remark
from bequest.measures import Reason


def test_the_ends_solve_fiellers_equation():
    means, form = np.array([0.7, 1.1]), np.array([[0.02, 0.005], [0.005, 0.03]])
    for ratio in ratio_ends(means, form):
        weights = np.array([1, -ratio])
        assert (weights @ means) ** 2 == pytest.approx(weights @ form @ weights)


def test_remarks_on_an_interval():
    assert ratio_remark(0.1, 0.2) == 0.0
    assert code_of(ratio_remark(0.1, 0.1)) is Reason.NO_WIDTH
    assert code_of(ratio_remark(math.nan, 0.1)) is Reason.UNDEFINED_RESAMPLE
