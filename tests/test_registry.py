from __future__ import annotations

import pytest

from bequest.errors import UnknownName
from bequest.registry import Registry


def test_unknown_names_show_the_nearest_and_all():
    models: Registry[int] = Registry("model")
    models.add("mlp", 1)
    models.add("cnn", 2)
    with pytest.raises(UnknownName) as caught:
        models["mpl"]
    assert "there is no model 'mpl'" in str(caught.value)
    assert "one of cnn, mlp" in str(caught.value)
    assert "did you mean 'mlp'?" in str(caught.value)


def test_a_name_is_bound_once():
    models: Registry[int] = Registry("model")
    models.add("mlp", 1)
    with pytest.raises(ValueError, match="registered twice"):
        models.add("mlp", 2)
