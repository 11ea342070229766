from __future__ import annotations

import pytest

from bequest.errors import DataError
from bequest.measure import arrays


def test_choices_are_closed():
    assert arrays.one_of("width", ("width", "mass"), "binning") == "width"
    with pytest.raises(DataError) as caught:
        arrays.one_of("size", ("width", "mass"), "binning")
    assert str(caught.value).splitlines() == [
        "unknown binning",
        "  expected: width or mass",
        "  got:      'size'",
    ]
