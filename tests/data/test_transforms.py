from __future__ import annotations

import pytest
import torch

from bequest.data.transforms import Rotate, Scale, Translate, parse_transform
from bequest.errors import ConfigError, DataError

X = torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(0))


def test_translate_moves_by_whole_pixels():
    moved = Translate(dx=2, dy=-1)(X)
    assert torch.equal(moved[:, :, :-1, 2:], X[:, :, 1:, :-2])
    assert float(moved[:, :, :, :2].abs().max()) == 0.0
    assert torch.equal(Translate(-2, 1)(moved)[:, :, 1:, :-2], X[:, :, 1:, :-2])


def test_a_translation_that_leaves_nothing_is_refused():
    assert float(Translate(dx=8)(X).abs().max()) > 0
    with pytest.raises(DataError, match=r"(?s)every pixel out .*got: +0 to the right and -9 down"):
        Translate(dy=-9)(X)


def test_a_quarter_turn_is_rot90():
    assert torch.allclose(Rotate(90.0)(X), torch.rot90(X, 1, (2, 3)), atol=1e-5)


def test_scale_one_is_the_identity_and_the_centre_stays():
    assert torch.allclose(Scale(1.0)(X), X)
    assert torch.allclose(Scale(0.5)(X)[:, :, 4, 4], X[:, :, 4, 4])


def test_specs_parse_and_their_faults_are_named():
    assert parse_transform({"name": "translate", "dx": 1}) == Translate(dx=1)
    with pytest.raises(ConfigError, match="did you mean 'rotate'"):
        parse_transform({"name": "rotat", "angle": 3.0})
    with pytest.raises(ConfigError, match="did you mean 'angle'"):
        parse_transform({"name": "rotate", "angel": 3.0})
