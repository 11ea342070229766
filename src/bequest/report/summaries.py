"""One sentence on what a chart of curves shows, from its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from bequest.records import Point
from bequest.report.numbers import count, number

Named = tuple[str, Sequence[Point]]
NOTHING = "Nothing was recorded."


def story(quantity: str, x_title: str, named: Sequence[Named]) -> tuple[float, str]:
    """How far apart the curves end, as a share of their span, and the sentence that says so.

    >>> a, b = (Point(x=0, y=0.1), Point(x=9, y=0.9)), (Point(x=0, y=0.1), Point(x=9, y=0.5))
    >>> story("accuracy", "epoch", [("CNN", a), ("MLP", b)])
    (0.5, 'At the end, arms differ most in accuracy: highest CNN with 0.900, lowest MLP with 0.500.')
    """
    curves = _defined(named)
    if not curves:
        return -1.0, NOTHING
    last = [(points[-1][1], name, points[-1][0]) for name, points in curves]
    top, bottom = max(last), min(last)
    if len(last) == 1:
        return 0.0, f"{top[1]}: {quantity} ends at {number(top[0])}, at {x_title} {count(top[2])}."
    heights = [y for _, points in curves for _, y in points]
    spread = (top[0] - bottom[0]) / (max(heights) - min(heights) or 1.0)
    return spread, (
        f"At the end, arms differ most in {quantity}: "
        f"highest {top[1]} with {number(top[0])}, lowest {bottom[1]} with {number(bottom[0])}."
    )


def peaks(quantity: str, named: Sequence[Named]) -> tuple[float, str]:
    """How high the highest and the lowest of the curves' peaks are, and the sentence that says so."""
    curves = _defined(named)
    if not curves:
        return -1.0, NOTHING
    tops = [(max(y for _, y in points), name) for name, points in curves]
    top, bottom = max(tops), min(tops)
    if len(tops) == 1:
        return top[0], f"{top[1]}: {quantity} peaks at {number(top[0])}."
    return top[0], (
        f"Peak {quantity} is highest for {top[1]}, {number(top[0])}, "
        f"and lowest for {bottom[1]}, {number(bottom[0])}."
    )


def places(named: Sequence[Named]) -> tuple[float, str]:
    """Which of the ways on a map end nearest to each other, and which farthest."""
    last = [(name, points[-1]) for name, points in _defined(named)]
    pairs = sorted((math.dist(p, q), f"{a} and {b}") for (a, p), (b, q) in combinations(last, 2))
    if not pairs:
        return (-1.0, NOTHING) if not last else (0.0, f"The path of {last[0][0]}.")
    near, far = pairs[0], pairs[-1]
    if len(pairs) == 1:
        return far[0], f"{near[1]} end {number(near[0])} apart."
    return far[0], (
        f"The paths of {near[1]} end nearest to each other, {number(near[0])} apart; "
        f"those of {far[1]} end farthest apart, {number(far[0])}."
    )


def _defined(named: Sequence[Named]) -> list[tuple[str, list[tuple[float, float]]]]:
    places = [(name, [(p.x, p.y) for p in points if p.y is not None]) for name, points in named]
    return [(name, points) for name, points in places if points]
