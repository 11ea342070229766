"""What networks of a study train on and what they are tested on."""

from __future__ import annotations

import pytest
import torch

from bequest.data.corruptions import corrupt
from bequest.data.datasets import load_dataset
from bequest.data.fractions import fraction
from bequest.errors import UnknownName
from bequest.studies import datasets
from bequest.studies.datasets import load, part_of, shifted
from bequest.studies.source import SourceSpec
from bequest.studies.spec import DataSpec, SplitSpec

DIGITS = DataSpec(name="digits")


def variants(*moves):
    return [{"name": "translate", "dx": dx} for dx in moves]


def test_a_dataset_is_loaded_once_and_by_its_options():
    assert load(DIGITS) is load(DataSpec(name="digits"))
    assert load(DIGITS).digest == load_dataset("digits").digest
    assert load(DataSpec(name="digits", options={"border": 3})).input_shape != load(DIGITS).input_shape


def test_each_variant_makes_a_copy_with_an_id_of_its_own():
    base = load(DIGITS)["test"]
    split = datasets.tested_on(DIGITS, SplitSpec(description="moved", variants=variants(1, -1)))
    assert len(split) == 2 * len(base)
    for k, dx in enumerate((1, -1)):
        copy = slice(k * len(base), (k + 1) * len(base))
        assert torch.equal(split.ids[copy], 2 * base.ids + k)
        assert torch.equal(split.y[copy], base.y)
        expected = torch.zeros_like(base.x)
        if dx > 0:
            expected[..., 1:] = base.x[..., :-1]
        else:
            expected[..., :-1] = base.x[..., 1:]
        assert torch.equal(split.x[copy], expected)
    assert len(set(split.ids.tolist())) == len(split)


def test_a_split_without_change_is_the_samples_themselves():
    assert datasets.tested_on(DIGITS, SplitSpec(description="plain")) is load(DIGITS)["test"]
    validation = datasets.tested_on(DIGITS, SplitSpec(description="v", of="validation"))
    assert torch.equal(validation.ids, load(DIGITS)["validation"].ids)


def test_a_corruption_has_the_published_level_unless_one_is_given():
    base = load(DIGITS)["test"]
    for level in (None, 2):
        spec = SplitSpec(description="fog", corruption="fog", level=level)
        assert torch.equal(shifted(load(DIGITS), spec).x, corrupt("fog", base.x, base.ids, level))


def test_what_is_known_of_samples_stays_with_every_copy():
    data = load(DataSpec(name="agreement"))
    split = shifted(data, SplitSpec(description="again", of="test"))
    assert set(split.about) == set(data["test"].about) >= {"attractors", "distance"}


def test_a_source_names_a_split_a_share_of_it_or_so_many_of_each_class():
    data = load(DIGITS)
    assert part_of(data, SourceSpec(), seed=0) is data["train"]
    assert torch.equal(
        part_of(data, SourceSpec(fraction=0.1), seed=3).ids, fraction(data["train"], 0.1, seed=3).ids
    )
    few = part_of(data, SourceSpec(per_class=4), seed=0)
    assert torch.bincount(few.y).tolist() == [4] * 10
    other = part_of(data, SourceSpec(per_class=4), seed=1)
    assert set(few.ids.tolist()) != set(other.ids.tolist())
    assert torch.equal(part_of(data, SourceSpec(per_class=4), seed=0).ids, few.ids)


def test_a_source_of_a_split_that_is_not_there_is_refused():
    with pytest.raises(UnknownName, match="there is no split 'extra'"):
        part_of(load(DIGITS), SourceSpec(of="extra"), seed=0)
