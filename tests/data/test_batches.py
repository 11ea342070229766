from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.data.batches import UNLABELLED, Batch, Batches, Part
from bequest.data.datasets import Split
from bequest.data.queries import ActiveSpec, Generated, Source
from bequest.data.views import Identity, Shift
from bequest.errors import ConfigError, DataError

N = 40
X = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))
CLEAN = Split(X, torch.arange(N) % 5, torch.arange(N))
POOL = Split(X.flip(0), None, 1000 + torch.arange(N))


def noise(rows: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(rows, 1, 6, 6, generator=generator)


def mixture(*, seed=0, batch=16):
    sources = (
        Source("clean", CLEAN, Identity(), 0.5),
        Source("moved", POOL, Shift(2), 0.25, view_count=3),
        Generated("noise", noise, 0.25),
    )
    return Batches(sources, batch=batch, seed=seed)


def same(one: Batch, other: Batch) -> bool:
    columns = ("x", "ids", "labels", "partner_labels", "label_weight")
    for a, b in ((getattr(one, name), getattr(other, name)) for name in columns):
        if (a is None) != (b is None) or (a is not None and not torch.equal(a, b)):
            return False
    parts = [[(p.source, p.view, p.rows.tolist()) for p in each.parts] for each in (one, other)]
    return parts[0] == parts[1] and (one.labelled, one.step) == (other.labelled, other.step)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200), st.integers(0, 2**40))
def test_a_batch_is_a_pure_function_of_seed_and_step(step, seed):
    walked = mixture(seed=seed)
    for earlier in range(max(0, step - 3), step):
        walked.at(earlier)
    assert same(walked.at(step), mixture(seed=seed).at(step))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 8), st.data())
def test_a_rank_sees_the_rows_it_would_see_of_the_whole(step, every, data):
    start = data.draw(st.integers(0, every - 1))
    whole = mixture().at(step)
    assert same(mixture().at(step, every=every, start=start), whole.every(every, start))


def test_pieces_together_are_the_batch():
    whole = mixture().at(7)
    pieces = whole.pieces(4)
    assert [len(piece.x) for piece in pieces] == [4, 4, 4, 4]
    for start, piece in enumerate(pieces):
        assert torch.equal(piece.x, whole.x[start::4])
        assert torch.equal(piece.labels, whole.labels[start::4])
        assert sum(len(part.rows) for part in piece.parts) == 4
        assert (piece.labelled, piece.step) == (8, 7)


def test_a_piece_without_a_labelled_row_still_has_labels():
    sources = (Source("clean", CLEAN, Identity(), 0.25), Source("pool", POOL, Identity(), 0.75))
    batches = Batches(sources, batch=4, seed=0)
    piece = batches.at(0, every=4, start=3)
    assert piece.labels.tolist() == [UNLABELLED]
    assert [part.source for part in piece.parts] == [1]


def test_rows_come_in_the_stated_shares_and_say_where_they_come_from():
    batch = mixture().at(3)
    assert [(part.source, len(part.rows)) for part in batch.parts] == [(0, 8), (1, 4), (2, 4)]
    assert torch.equal(batch.x[:8], X[batch.parts[0].rows])
    assert batch.ids[8:12].tolist() == (1000 + batch.parts[1].rows).tolist()
    assert batch.labels[:8].tolist() == CLEAN.y[batch.parts[0].rows].tolist()
    assert batch.labels[8:].tolist() == [UNLABELLED] * 8
    assert batch.labelled == 8
    assert batch.step == 3


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(6, 90))
def test_counts_follow_the_shares_and_sum_to_the_batch(weights, batch):
    shares = [weight / sum(weights) for weight in weights]
    sources = [Source(str(k), CLEAN, Identity(), share) for k, share in enumerate(shares)]
    counts = Batches(sources, batch=batch, seed=0).counts
    assert sum(counts) == batch
    assert min(counts) >= 1
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - share * batch) < 1 or share * batch < 1 or 1 in counts


def test_a_small_share_still_gets_a_row():
    sources = [Source(str(k), CLEAN, Identity(), share) for k, share in enumerate((0.98, 0.01, 0.01))]
    assert Batches(sources, batch=3, seed=0).counts == [1, 1, 1]


def test_nothing_is_labelled_where_no_source_is():
    batch = Batches((Source("pool", POOL, Identity()),), batch=4, seed=0).at(0)
    assert batch.labels is None
    assert batch.labelled == 0
    several = Batches((Source("p", POOL, Identity(), 0.5), Generated("g", noise, 0.5)), batch=4, seed=0).at(0)
    assert several.labels is None


def test_labels_that_must_be_counted_are_not_counted_ahead():
    part = Split(X, torch.where(torch.arange(N) < 3, UNLABELLED, 0), torch.arange(N))
    words = Split(torch.zeros(N, 4, dtype=torch.int64), torch.zeros(N, 4, dtype=torch.int64), torch.arange(N))
    for split in (part, words):
        assert Batches((Source("s", split, Identity()),), batch=4, seed=0).at(0).labelled is None


def test_an_active_source_is_chosen_and_remembered():
    def rank(spec, pool):
        return torch.cat([shown.x.mean((1, 2, 3)) for _, shown in pool])

    def made():
        active = ActiveSpec(budget=6, rounds=3)
        sources = (
            Source("clean", CLEAN, Identity(), 0.5),
            Source("pool", POOL, Identity(), 0.5, active=active),
        )
        return Batches(sources, batch=4, seed=0, steps=30, rank=rank)

    one, other = made(), made()
    one.at(25)
    best = POOL.x.mean((1, 2, 3)).argsort(descending=True)
    assert torch.cat(one.state()["pool"]).tolist() == best[:6].tolist()
    other.restore({"pool": one.state()["pool"][:2]})
    assert all(same(one.at(step), other.at(step)) for step in range(20))


def test_ranking_needs_somebody_who_can():
    active = ActiveSpec(budget=6, rounds=3)
    batches = Batches((Source("pool", POOL, Identity(), active=active),), batch=4, seed=0, steps=30)
    with pytest.raises(DataError, match="nothing is given that can rank a pool by divergence"):
        batches.at(0)


@pytest.mark.parametrize(
    ("sources", "batch", "fault"),
    [
        ([("a", 0.5), ("b", 0.4)], 8, r"shares: expected positive numbers that sum to 1, got \[0.5, 0.4\]"),
        ([], 8, r"shares: expected positive numbers that sum to 1, got \[\]"),
        ([("a", 0.5), ("b", 0.5)], 1, "batch: 1 rows cannot hold 2 sources"),
        ([("a", 0.5), ("a", 0.5)], 8, r"names: expected a different name for each source, got \['a', 'a'\]"),
    ],
)
def test_wrong_mixtures_are_refused(sources, batch, fault):
    with pytest.raises(ConfigError, match=fault):
        Batches([Source(name, CLEAN, Identity(), share) for name, share in sources], batch=batch, seed=0)


def test_a_part_is_what_a_signal_needs_to_look_an_answer_up():
    batch = mixture().at(11)
    part: Part = batch.parts[1]
    shown = Shift(2)(POOL.x[part.rows], POOL.ids[part.rows], part.view, seed=0)
    assert torch.equal(batch.x[8:12], shown)
    assert part.view == 11 // 10 % 3
