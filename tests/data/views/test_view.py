from __future__ import annotations

import pytest
import torch

from bequest.data.views import Choice, Compose, Flip, Identity, Shift, View, parse_views
from bequest.errors import ConfigError, DataError

X = torch.rand(200, 1, 5, 5, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(200)


def test_specs_round_trip():
    spec = [{"name": "shift", "pixels": 2}, {"name": "choice", "views": ["flip", "identity"]}]
    view = parse_views(spec)
    assert view == Compose((Shift(2), Choice((Flip(), Identity()))))
    assert parse_views(view.spec()) == view
    assert parse_views(Shift(2)) == parse_views([Shift(2)]) == Shift(2)
    assert parse_views(None) == parse_views([]) == Identity()
    assert View.parse(["flip", "flip"]) == Compose((Flip(), Flip()))


def test_faults_are_listed_with_their_place():
    with pytest.raises(ConfigError) as caught:
        parse_views([{"name": "shift"}, "flop"], "arms.a.views")
    assert str(caught.value).splitlines() == [
        "arms.a.views: 2 errors",
        "  1. 0: pixels: required and not given",
        "  2. 1: there is no view 'flop'; did you mean 'flip'?",
    ]


def test_identity_is_the_sample():
    assert torch.equal(Identity()(X, IDS, 3, seed=1), X)


def test_parts_of_a_composition_draw_apart():
    once, twice = Shift(2), Compose((Shift(2), Shift(2)))
    reach = twice(torch.ones(200, 1, 9, 9), IDS, 0, seed=0)
    black_rows = (reach.sum((1, 3)) == 0).sum(1)
    assert int(black_rows.max()) == 4
    assert int((once(torch.ones(200, 1, 9, 9), IDS, 0, seed=0).sum((1, 3)) == 0).sum(1).max()) == 2
    assert 60 < int((black_rows % 2 == 1).sum()) < 140  # equal shifts in both parts would always be even


def test_a_choice_gives_each_sample_one_of_its_views_in_the_stated_shares():
    view = Choice((Identity(), Flip(1.0)), (0.25, 0.75))
    got = view(X, IDS, 0, seed=0)
    kept = (got == X).flatten(1).all(1)
    flipped = (got == X.flip(3)).flatten(1).all(1)
    assert bool((kept ^ flipped).all())
    assert 25 < int(kept.sum()) < 75
    even = Choice((Identity(), Flip(1.0)))(X, IDS, 0, seed=0)
    assert 70 < int((even == X).flatten(1).all(1).sum()) < 130


def test_another_view_or_seed_differs():
    first = Shift(2)(X, IDS, 0, seed=0)
    assert not torch.equal(first, Shift(2)(X, IDS, 1, seed=0))
    assert not torch.equal(first, Shift(2)(X, IDS, 0, seed=1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Choice(()), "a choice needs at least one view"),
        (lambda: Choice((Flip(),), (0.5,)), "weights must be non-negative and sum to 1, not 0.5"),
        (lambda: Choice((Flip(), Flip()), (1.5, -0.5)), "weights must be non-negative and sum to 1"),
        (lambda: Choice((Flip(),), (0.5, 0.5)), "1 views need as many weights, not 2"),
    ],
)
def test_wrong_choices_are_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_one_id_a_sample():
    with pytest.raises(DataError, match="a view needs one id per sample"):
        Shift(1)(X, IDS[:3], 0, seed=0)
