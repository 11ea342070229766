from __future__ import annotations

import pytest
from torch import nn

from bequest.models.modes import evaluating, modes_of, set_modes


def test_every_submodule_gets_its_own_mode_back():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())).train()
    model[1][0].eval()
    before = modes_of(model)
    with evaluating(model) as seen:
        assert seen is model
        assert not any(module.training for module in model.modules())
    assert modes_of(model) == before
    with pytest.raises(RuntimeError), evaluating(model):
        raise RuntimeError
    assert modes_of(model) == before
    model.eval()
    set_modes(before)
    assert (model.training, model[1][0].training, model[1][1].training) == (True, False, True)
