"""Whatever a study's TOML holds, checking it ends in a plan or in one message."""

from __future__ import annotations

import contextlib
import copy
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bequest.config import to_toml
from bequest.errors import ConfigError, InputError
from bequest.runs.planning import planned
from bequest.studies.plan import Plan
from bequest.studies.resolving import read_study

from .study_strategies import STUDIES

MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["set", "delete", "repeat", "cut"]), st.integers(0, 2**31 - 1), st.integers(0, 255)
    ),
    min_size=1,
    max_size=3,
)
"""What is done to the bytes of a file: how, where, and a byte or a length."""

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from(
        ["", "cnn", "mlp", "test", "kd", "digits", "accuracy", "../x", "a/b", "{n}", "ä\u202e", "[red]"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "of", "student", "foreach", "n", "arm", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def places(table, path=()):
    """The path of every value in nested tables and lists."""
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(content, path, value, *, remove):
    """A copy of ``content`` with the value at ``path`` replaced or removed."""
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


def without_none(value):
    """TOML has no null."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value if item is not None] if isinstance(value, list) else value


def ends_in_a_plan_or_one_message(study, **options):
    with contextlib.suppress(InputError):  # anything else is a traceback on the command line
        assert isinstance(planned(study, **options), Plan)


BUNDLED = {
    "tiny": None,
    "digits": read_study("digits"),
    "saglietti2020": read_study("saglietti2020"),
}


@pytest.mark.parametrize("name", BUNDLED)
def test_any_value_in_any_place(name, tiny):
    content = BUNDLED[name] or tiny
    paths = list(places(content))

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(paths), VALUES, st.booleans(), st.sampled_from([None, ["mlp"], ["cnn"], ["nobody"]])
    )
    def check(path, value, remove, arms):
        study = without_none(changed(content, path, value, remove=remove))
        ends_in_a_plan_or_one_message(study, scale="smoke", arms=arms)

    check()


@pytest.mark.parametrize("name", BUNDLED)
def test_any_bytes_of_a_file(name, tiny, tmp_path):
    content = BUNDLED[name] or tiny
    text = to_toml(content).encode()
    chance = random.Random(0)
    path = tmp_path / "study.toml"
    for _ in range(40):
        mutated = bytearray(text)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(mutated))
            kind = chance.randrange(4)
            if kind == 0:
                mutated[at] = chance.randrange(256)
            elif kind == 1:
                del mutated[at : at + chance.randint(1, 40)]
            elif kind == 2:
                mutated[at:at] = mutated[at : at + chance.randint(1, 40)]
            else:
                mutated = mutated[: max(1, at)]
        path.write_bytes(bytes(mutated))
        ends_in_a_plan_or_one_message(path, scale="smoke", arms=chance.choice([None, ["mlp"]]))


# Modules that are first imported while a strategy draws (rich.style is one) move the global `random`; the
# strategies themselves use none of it.
DRAWN_BESIDE = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


def mutated(text, mutations):
    """``text`` with each of ``mutations`` done to it."""
    content = bytearray(text)
    for how, place, number in mutations:
        at = place % (len(content) + 1)
        if how == "set":
            content[at : at + 1] = bytes([number])
        elif how == "delete":
            del content[at : at + 1 + number % 40]
        elif how == "repeat":
            content[at:at] = content[at : at + 1 + number % 40]
        else:
            del content[at:]
    return bytes(content)


@DRAWN_BESIDE
def test_any_study_of_the_specifications_own_types(tmp_path):
    path, plans = tmp_path / "study.toml", []

    @settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
    @given(STUDIES, st.sampled_from([None, None, ["a"], ["nobody"]]))
    def check(study, arms):
        path.write_text(to_toml(study), encoding="utf-8")
        with contextlib.suppress(InputError):
            plans.append(planned(path, scale="small", arms=arms))

    check()
    assert plans  # the strategy comes further than the first check


@DRAWN_BESIDE
def test_any_bytes_of_such_a_study(tmp_path):
    path = tmp_path / "study.toml"

    @settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
    @given(STUDIES, MUTATIONS)
    def check(study, mutations):
        path.write_bytes(mutated(to_toml(study).encode(), mutations))
        ends_in_a_plan_or_one_message(path, scale="small")

    check()


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000, "a = " + "{x=" * 5000, "a = " + "9" * 5000, "\x00", "\ufeffa = 1"]
)
def test_files_that_are_no_studies(text, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        planned(path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"name": "x"},
        {"arms": {}},
        {"arms": []},
        {"scales": []},
        {"scales": {"smoke": 3}},
        {"measures": 3},
        {"theory": {}},
        {"arms": {"a": {"student": "mlp", "teachers": ["a"]}}, "splits": {}, "name": "x"},
        {"use": 3},
        {"use": ["absent.py"]},
        {"seeds": 10**9},
    ],
)
def test_studies_that_lack_nearly_everything(content):
    ends_in_a_plan_or_one_message(content, scale="smoke")
    ends_in_a_plan_or_one_message(content, scale="smoke", arms=["a"], settings=["arms.a.student=mlp"])
