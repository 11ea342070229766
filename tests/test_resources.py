"""Times and sizes of memory as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bequest.errors import ConfigError
from bequest.resources import ResourcesSpec, gibibytes, minutes
from bequest.runs.planning import planned


@given(days=st.integers(0, 9), hours=st.integers(0, 99), rest=st.integers(1, 99))
def test_minutes_add_up(days, hours, rest):
    assert minutes(f"{days}d{hours}h{rest}m") == (days * 24 + hours) * 60 + rest


@pytest.mark.parametrize(
    ("text", "size"), [("2048K", 2 / 1024), ("512M", 0.5), ("8G", 8), ("8 GiB", 8), ("1T", 1024)]
)
def test_sizes(text, size):
    assert gibibytes(text) == size


@pytest.mark.parametrize("text", ["", "4", "0h", "h", "-1h", "4h 30m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="expected a time"):
        minutes(text)


@pytest.mark.parametrize("text", ["", "8", "G", "0G", "-1G", "8X"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size"):
        gibibytes(text)


def test_faults_of_a_study_name_the_key(tiny):
    with pytest.raises(ConfigError) as caught:
        planned({**tiny, "resources": {"time": "soon", "memory": "much", "cpus": 0, "gpu": 1}})
    text = str(caught.value)
    assert "resources.time: expected a time such as 30m, 4h or 1d12h" in text
    assert "resources.memory: expected a size such as 512M or 8G" in text
    assert "resources.cpus" in text
    assert "resources.gpu: unknown key; did you mean 'gpus'?" in text


def test_resources_change_no_cell_and_no_measurement(tiny):
    plain, heavy = planned(tiny), planned({**tiny, "resources": {"cpus": 8}})
    assert plain.cells == heavy.cells
    assert plain.measuring_key == heavy.measuring_key
    assert heavy.study.resources == ResourcesSpec(cpus=8)
