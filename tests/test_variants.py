from __future__ import annotations

import copy
import pickle
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from bequest.config import content_hash
from bequest.errors import ConfigError
from bequest.variants import Listed, Variant, strict


class Shape(Variant, kind="shape"):
    pass


@strict
class Disc(Shape, name="disc"):
    radius: Annotated[float, Field(gt=0)]
    colour: str | None = None


@strict
class Group(Shape, name="group"):
    shapes: Listed[Shape]


class Picture(BaseModel):
    shape: Shape = Disc(1.0)


def message(spec: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Shape.parse(spec, "picture.toml")
    return str(caught.value)


def test_python_and_toml_forms_are_the_same_object():
    table = {"name": "group", "shapes": [{"name": "disc", "radius": 2}, {"name": "disc", "radius": 1.5}]}
    group = Shape.parse(table)
    assert group == Group((Disc(2), Disc(radius=1.5)))
    assert Shape.parse(group.spec()) == group
    assert Shape.parse(group) is group
    assert group.digest() == content_hash(group.spec()) != Disc(2).digest()


def test_none_is_left_out_of_the_spec_because_toml_has_no_null():
    assert Disc(2.0).spec() == {"name": "disc", "radius": 2.0}


def test_variants_are_frozen_hashable_and_survive_pickling():
    disc = Disc(2.0, "red")
    with pytest.raises(AttributeError):
        disc.radius = 3.0
    assert {disc: 1}[Disc(2.0, "red")] == 1
    assert pickle.loads(pickle.dumps(disc)) == copy.deepcopy(disc) == disc


def test_a_kind_is_a_field_type_of_any_model():
    assert Picture(shape={"name": "disc", "radius": 3}).shape == Disc(3.0)
    assert Picture().model_dump(mode="json") == {"shape": {"name": "disc", "radius": 1.0}}
    with pytest.raises(ValueError, match="radius: input should be greater than 0"):
        Picture(shape={"name": "disc", "radius": 0})


def test_every_fault_is_listed_with_its_place():
    faults = message({"name": "disc", "radius": 0, "color": "red"})
    assert faults.splitlines() == [
        "picture.toml: 2 errors",
        "  1. radius: input should be greater than 0 (got 0)",
        "  2. color: unknown key; did you mean 'colour'?",
    ]
    assert "disc: required" not in faults
    assert message("disc") == "picture.toml: radius: required and not given"
    assert "2. size: unknown key; known: radius, colour" in message({"name": "disc", "size": 1})


def test_values_are_never_guessed_from_another_type():
    assert "valid number (got '2')" in message({"name": "disc", "radius": "2"})
    assert "finite number" in message({"name": "disc", "radius": float("nan")})


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("disk", "there is no shape 'disk'; did you mean 'disc'?"),
        ("zzzz", "there is no shape 'zzzz'; one of disc, group"),
        (3, "expected a table with a name, got 3"),
        ({"radius": 1}, "expected a table with a name, got {'radius': 1}"),
        ([], "expected one shape, got a list of 0"),
        (["disk", 3], "2. 1: expected a table with a name, got 3"),
        ({"name": "group", "shapes": ["disk"]}, "shapes.0: there is no shape 'disk'; did you mean 'disc'?"),
    ],
)
def test_wrong_specs_say_what_is_wrong(spec, said):
    assert said in message(spec)


def test_too_many_positional_values():
    with pytest.raises(ConfigError, match=r"at most 2 values \(radius, colour\), not 3"):
        Disc(1.0, "red", 3)  # type: ignore[call-arg]


def test_positional_faults_name_their_field():
    with pytest.raises(ConfigError, match=r"^Disc: radius: input should be greater than 0"):
        Disc(-1.0)


def test_a_variant_of_another_class_cannot_stand_where_one_class_is_asked_for():
    with pytest.raises(ConfigError, match="'group' is not allowed here"):
        Disc.parse({"name": "group", "shapes": []})
