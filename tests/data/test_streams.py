from __future__ import annotations

import pytest
import torch

from bequest.data.datasets import Split
from bequest.data.designs import PoolFeatures, coverage
from bequest.data.queries import ActiveSpec, Generated, Source
from bequest.data.streams import ChosenStream, GeneratedStream, SplitStream
from bequest.data.views import Identity, Noise, Shift, View
from bequest.errors import ConfigError, DataError

N = 30
X = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))
SPLIT = Split(X, torch.arange(N) % 3, 100 + torch.arange(N))
STARTS = [0, 10, 20]


class Swap(View):
    """Each sample three quarters itself, one quarter the sample after it in the pool."""

    needs_pool = True

    def mixed(self, key):
        return (key.ids - 100 + 1) % N, torch.full((len(key.ids),), 0.75)

    def apply(self, x, key):
        partner, share = self.mixed(key)
        share = share.view(-1, 1, 1, 1)
        return share * x + (1 - share) * key.pool[0][partner]


def stream(view=None, *, view_count=None, rows=4, seed=0, view_seed=None):
    source = Source("s", SPLIT, view or Identity(), view_count=view_count, view_seed=view_seed)
    return SplitStream(0, source, rows, seed)


def chosen(rank=None, *, by="divergence", budget=9, view=None, view_count=None, rows=4, split=SPLIT):
    spec = ActiveSpec(by=by, budget=budget, rounds=3)
    source = Source("pool", split, view or Identity(), view_count=view_count, active=spec)
    return ChosenStream(0, source, rows, 0, starts=STARTS, rank=rank or by_row)


def by_row(spec, pool):
    """The larger the row, and then the view, the more telling."""
    return torch.cat([parts[0].rows.float() + 0.1 * parts[0].view for parts, _ in pool])


def test_each_pass_shows_every_row_at_most_once_and_in_a_new_order():
    one = stream(rows=4)
    passes = [[row for step in range(p * 7, p * 7 + 7) for row in one.draw(step)[0][0].rows] for p in (0, 1)]
    assert all(len({int(row) for row in rows}) == 28 for rows in passes)
    assert [int(r) for r in passes[0]] != [int(r) for r in passes[1]]


def test_steps_can_be_drawn_in_any_order():
    ordered, shuffled = stream(Shift(2)), stream(Shift(2))
    wanted = {step: ordered.draw(step)[1].x for step in range(20)}
    for step in torch.randperm(20, generator=torch.Generator().manual_seed(1)).tolist():
        assert torch.equal(shuffled.draw(step)[1].x, wanted[step])


def test_views_count_the_passes_modulo_their_number():
    one = stream(Shift(2), view_count=2, rows=10)
    assert [one.draw(step)[0][0].view for step in range(9)] == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    part, shown = one.draw(4)
    expected = Shift(2)(X[part[0].rows], SPLIT.ids[part[0].rows], 1, seed=0)
    assert torch.equal(shown.x, expected)


def test_views_may_have_a_seed_of_their_own():
    (part,), shown = stream(Shift(2), view_seed=9).draw(3)
    assert torch.equal(shown.x, Shift(2)(X[part.rows], SPLIT.ids[part.rows], part.view, seed=9))
    assert torch.equal(part.rows, stream(Shift(2)).draw(3)[0][0].rows)


def test_a_source_smaller_than_its_share_is_repeated():
    (part,), shown = stream(rows=40).draw(5)
    assert part.rows.tolist() == [*range(30), *range(10)]
    assert part.view == 5
    assert shown.labels.tolist() == SPLIT.y[part.rows].tolist()


def test_mixing_gives_the_partners_labels():
    (part,), shown = stream(Swap()).draw(0)
    partner = (part.rows + 1) % N
    assert torch.equal(shown.x, 0.75 * X[part.rows] + 0.25 * X[partner])
    assert torch.equal(shown.labels, SPLIT.y[part.rows])
    assert torch.equal(shown.partner_labels, SPLIT.y[partner])
    assert torch.equal(shown.label_weight, torch.full((4,), 0.75))


def test_generated_inputs_follow_from_the_step():
    source = Generated("noise", lambda rows, generator: torch.rand(rows, 2, generator=generator))
    one, other = GeneratedStream(1, source, 5, 0), GeneratedStream(1, source, 5, 0)
    first = [one.draw(step)[1] for step in range(4)]
    again = [other.draw(step)[1] for step in (3, 1, 2, 0)][::-1]
    assert torch.equal(first[0].x, again[0].x)
    assert torch.equal(first[3].x, again[3].x)
    assert not torch.equal(first[0].x, first[1].x)
    assert first[1].ids.tolist() == [5, 6, 7, 8, 9]
    assert torch.equal(one.draw(2, 2, 1)[1].x, first[2].x[1::2])
    assert not torch.equal(GeneratedStream(1, source, 5, 1).draw(0)[1].x, first[0].x)


@pytest.mark.parametrize("made", [torch.zeros(3, 2), [1, 2, 3]])
def test_a_generator_that_makes_something_else_is_refused(made):
    source = Generated("noise", lambda rows, generator: made)
    with pytest.raises(DataError, match="the generator 'noise' did not return what it was asked for"):
        GeneratedStream(0, source, 5, 0).draw(0)


def test_rounds_add_the_highest_ranked_queries_that_are_left():
    one = chosen()
    assert sorted(row for step in range(6) for row in one.draw(step)[0][0].rows.tolist())[-1] == 29
    assert [rows.tolist() for rows in one.chosen] == [[29, 28, 27]]
    one.draw(10)
    one.draw(25)
    assert [rows.tolist() for rows in one.chosen] == [[29, 28, 27], [26, 25, 24], [23, 22, 21]]


def test_only_what_was_chosen_by_then_is_shown():
    one = chosen(rows=2)
    seen = {step: one.draw(step)[0][0].rows.tolist() for step in range(30)}
    for step, rows in seen.items():
        reached = 3 * (1 + step // 10)
        assert all(row >= N - reached for row in rows)
    later = {row for step in range(20, 30) for row in seen[step]}
    assert later == set(range(21, 30))
    assert {step: one.draw(step)[0][0].rows.tolist() for step in reversed(range(30))} == seen


def test_a_pool_of_views_is_every_sample_in_each_view():
    one = chosen(view=Shift(2), view_count=4, rows=6)
    parts, shown = one.draw(0)
    assert one.chosen[0].tolist() == [3 * N + 29, 2 * N + 29, 1 * N + 29]
    assert [part.view for part in parts] == [1, 2, 3]
    rows = [row for part in parts for row in part.rows.tolist()]
    assert rows == [29] * 6
    expected = [Shift(2)(X[p.rows], SPLIT.ids[p.rows], p.view, seed=0) for p in parts]
    assert torch.equal(shown.x, torch.cat(expected))
    pool = [(part.view, row) for parts, _ in one.pool() for part in parts for row in part.rows.tolist()]
    assert pool == [(view, row) for view in range(4) for row in range(N)]


def test_a_random_choice_asks_nobody_and_follows_from_the_seed():
    def refuse(spec, pool):
        raise AssertionError

    one, other = (chosen(refuse, by="random") for _ in range(2))
    one.draw(25)
    for step in (3, 12, 21):
        other.draw(step)
    assert [rows.tolist() for rows in one.chosen] == [rows.tolist() for rows in other.chosen]
    assert len({row for rows in one.chosen for row in rows.tolist()}) == 9


def test_what_was_chosen_is_state():
    one, other = chosen(), chosen(lambda spec, pool: -by_row(spec, pool))
    one.draw(10)
    other.draw(0)
    other.restore(one.chosen)
    for step in range(20):
        assert torch.equal(one.draw(step)[1].x, other.draw(step)[1].x)
    other.draw(20)
    assert other.chosen[2].tolist() == [0, 1, 2]


def test_chosen_queries_keep_their_labels_and_pieces_fit_together():
    one = chosen(view=Shift(1), view_count=2, rows=6)
    parts, shown = one.draw(15)
    rows = torch.cat([part.rows for part in parts])
    assert torch.equal(shown.labels, SPLIT.y[rows])
    assert torch.equal(shown.ids, SPLIT.ids[rows])
    for start in range(3):
        assert torch.equal(one.draw(15, 3, start)[1].x, shown.x[start::3])


def test_pools_that_cannot_be_chosen_from_are_refused():
    with pytest.raises(ConfigError) as caught:
        chosen(view=Shift(1), budget=31)
    assert str(caught.value).splitlines() == [
        "queries 'pool': 2 errors",
        "  1. active: a pool of views is finite only with a view_count",
        "  2. active.budget: 31 queries cannot be chosen from a pool of 30",
    ]


@pytest.mark.parametrize("by", ["far", "badge_clean"])
def test_a_choice_among_views_needs_views(by):
    with pytest.raises(ConfigError, match=f"active.by: '{by}' chooses among views of the samples"):
        chosen(by=by)


def test_the_student_has_another_look_at_chosen_queries_each_pass():
    """Noise that is frozen would be learned; teachers are asked about the queries without it."""
    spec = ActiveSpec(by="random", budget=8, rounds=1)
    source = Source("pool", SPLIT, Shift(2), view_count=3, active=spec, student_view=Noise(0.1))
    one, other = (ChosenStream(0, source, 4, 0, starts=(0,), rank=by_row) for _ in range(2))
    looks = {}
    for step in range(6):  # two steps a pass
        parts, shown = one.draw(step)
        queries = [(part.view, row) for part in parts for row in part.rows.tolist()]
        noise = shown.seen - shown.x
        assert float(noise.std()) == pytest.approx(0.1, rel=0.2)
        for query, each in zip(queries, noise, strict=True):
            looks.setdefault(query, []).append(each)
    assert sorted(map(len, looks.values())) == [3] * 8
    every = torch.stack([each for noises in looks.values() for each in noises]).flatten(1)
    assert len(every.unique(dim=0)) == 24
    assert torch.equal(other.draw(4)[1].seen, one.draw(4)[1].seen)
    assert torch.equal(one.draw(5, 2, 1)[1].seen, one.draw(5)[1].seen[1::2])


def network(spec, pool):
    """Features that are the inputs, residuals that are the sample's place and view."""
    pieces = list(pool)
    inputs = torch.cat([shown.x.flatten(1) for _, shown in pieces])
    places = torch.cat([parts[0].rows.float() + 7 * parts[0].view for parts, _ in pieces])
    return PoolFeatures(inputs, None if spec.by == "coverage" else torch.stack([places, -places], 1))


@pytest.mark.parametrize("by", ["stratified", "far", "coverage", "coverage_inputs", "badge", "badge_clean"])
def test_designs_choose_in_rounds(by):
    one = chosen(network, by=by, view=Shift(2), view_count=2)
    for step in (0, 10, 20):
        one.draw(step)
    assert [len(rows) for rows in one.chosen] == [3, 3, 3]
    assert len(set(torch.cat(one.chosen).tolist())) == 9
    again = chosen(network, by=by, view=Shift(2), view_count=2)
    again.draw(20)
    assert torch.equal(torch.cat(again.chosen), torch.cat(one.chosen))


def test_far_takes_long_moves():
    one = chosen(by="far", view=Shift(2), view_count=2)
    one.draw(20)
    pool = torch.stack([Shift(2)(X, SPLIT.ids, view, seed=0) for view in (0, 1)])
    away = (pool - X).flatten(2).norm(dim=2)
    for query in torch.cat(one.chosen).tolist():
        view, sample = divmod(query, N)
        assert away[view, sample] > away[1 - view, sample]


def test_coverage_of_the_inputs_needs_no_network():
    one = chosen(by="coverage_inputs")
    one.draw(20)
    assert torch.equal(torch.cat(one.chosen), coverage(X.flatten(1), 9))


def test_a_design_without_its_features_is_refused():
    with pytest.raises(ConfigError, match="'badge' needs features"):
        chosen(by_row, by="badge").draw(0)
    with pytest.raises(ConfigError, match="'entropy' needs a score per query"):
        chosen(network, by="entropy").draw(0)


def test_answers_are_counted_as_the_teacher_gives_them():
    asked = {
        by: ActiveSpec(by=by, budget=9).answers(60) for by in ("random", "coverage", "badge_clean", "badge")
    }
    assert asked == {"random": 9, "coverage": 9, "badge_clean": 9, "badge": 60}
