"""Groups: the axioms, their orders, and permutations against the ones that itertools lists."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bequest.data.groups import GROUPS, alternating, cyclic, dihedral, group_of, symmetric
from bequest.errors import DataError

SMALL = [cyclic(2), cyclic(7), dihedral(3), dihedral(4), symmetric(3), symmetric(4), alternating(4)]
each_group = pytest.mark.parametrize("group", SMALL, ids=lambda group: group.name)


@each_group
@given(data=st.data())
def test_the_axioms_hold(group, data):
    a, b, c = (data.draw(st.integers(0, len(group) - 1)) for _ in range(3))
    table = group.table
    assert table[table[a, b], c] == table[a, table[b, c]]
    assert table[a, 0] == table[0, a] == a
    assert table[a, group.inverses[a]] == table[group.inverses[a], a] == 0


@each_group
def test_generators_reach_every_element(group):
    reached, waiting = {0}, [0]
    while waiting:
        state = waiting.pop()
        after = {int(group.table[state, generator]) for generator in group.generators} - reached
        reached |= after
        waiting += after
    assert reached == set(range(len(group)))
    assert 0 not in group.generators


def test_a_product_moves_points_one_element_after_the_other():
    group = symmetric(4)
    word = [3, 17, 5, 5, 22, 9]
    points = list(range(4))
    for element in word:
        points = [group.elements[element][point] for point in points]
    assert group.elements[group.product(word)] == tuple(points)


def test_orders_and_which_groups_commute():
    assert symmetric(4).elements == tuple(sorted(permutations(range(4))))
    assert [len(dihedral(n)) for n in (3, 5)] == [6, 10]
    assert [len(alternating(n)) for n in (3, 4, 5)] == [factorial(n) // 2 for n in (3, 4, 5)]
    assert [group.commutes for group in SMALL] == [True, True, False, False, False, False, False]
    assert symmetric(2).table.tolist() == cyclic(2).table.tolist()


@given(order=st.integers(2, 9), word=st.lists(st.integers(0, 8), max_size=12))
def test_the_cyclic_group_adds(order, word):
    word = [letter % order for letter in word]
    assert cyclic(order).product(word) == sum(word) % order


def test_a_group_that_is_not_there_or_too_large_is_one_message():
    with pytest.raises(DataError, match="no such cyclic group"):
        group_of("cyclic", 1)
    with pytest.raises(DataError, match="S7 is too large"):
        group_of("symmetric", 7)
    assert [group_of(name, 3).name for name in GROUPS] == ["Z3", "D3", "S3", "A3"]
