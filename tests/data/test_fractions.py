"""Parts of a split: stratified, nested, seeded."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from bequest.data.datasets import Split
from bequest.data.fractions import fraction
from bequest.errors import DataError


def split(count: int = 100) -> Split:
    ids = torch.arange(count) * 3
    return Split(ids.float()[:, None], torch.arange(count) % 4, ids)


def test_each_class_keeps_its_share_and_samples_their_labels() -> None:
    found = fraction(split(), 0.2, seed=0)
    assert torch.bincount(found.y).tolist() == [5] * 4
    assert torch.equal(found.x[:, 0].long(), found.ids)
    assert torch.equal(found.y, (found.ids // 3) % 4)
    assert torch.equal(found.ids, found.ids.sort().values)


def test_smaller_parts_lie_in_larger_ones_and_the_whole_is_the_split() -> None:
    parts = [set(fraction(split(), share, seed=1).ids.tolist()) for share in (0.05, 0.1, 0.33, 0.8, 1.0)]
    assert all(small < large for small, large in pairwise(parts))
    assert parts[-1] == set(split().ids.tolist())


def test_the_choice_follows_from_seed_and_id_alone() -> None:
    whole = split()
    turned = whole.take(torch.arange(len(whole)).flip(0))
    first, again, other = (fraction(s, 0.3, seed=k) for s, k in ((whole, 0), (turned, 0), (whole, 1)))
    assert set(first.ids.tolist()) == set(again.ids.tolist())
    assert set(first.ids.tolist()) != set(other.ids.tolist())


def test_no_class_is_lost_and_labels_are_not_needed() -> None:
    assert len(fraction(split(8), 0.01, seed=0)) == 4
    assert len(fraction(split().unlabelled(), 0.25, seed=0)) == 25


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(DataError, match="at most 1"):
        fraction(split(), share, seed=0)


def test_labels_of_sequences_are_refused() -> None:
    many = Split(torch.zeros(4, 3), torch.zeros(4, 3, dtype=torch.int64), torch.arange(4))
    with pytest.raises(DataError, match="one label per sample"):
        fraction(many, 0.5, seed=0)
