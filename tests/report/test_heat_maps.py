"""Maps: every value in the level that holds it, every cell in its place, a table behind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bequest.records import Curve, Point
from bequest.report.heat_maps import MOST_LEVELS, heat_figure, levels_over
from bequest.report.palette import styles

XS, YS = (0.01, 0.1, 1.0, 10.0), (0.2, 0.4, 0.6)


def chart(value=lambda x, y: y + np.log10(x) ** 2, **more):
    points = tuple(Point(x=x, y=y, z=value(x, y)) for x in XS for y in YS)
    places = {"arm": "student", "x_title": "ridge", "y_title": "share", "z_title": "error", "kind": "map"}
    return Curve(chart="theory", points=points, **{**places, **more})


def drawn(*curves):
    return heat_figure("theory/map", curves, styles((), [curve.arm for curve in curves]))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
@example([2.2250738585072014e-308, 4.345847379902e-311])
def test_every_value_lies_in_its_level(values):
    levels = levels_over(values)
    slack = 1e-8 * (max(values) - min(values)) + 1e-8 * max(abs(value) for value in values)
    for value in values:
        k = levels.of(value)
        assert levels.edges[k] - slack <= value <= levels.edges[k + 1] + slack
    assert len(levels.colours) == len(levels.edges) - 1 == len(levels.shown())
    assert len(levels.colours) <= MOST_LEVELS + 2


def test_a_change_of_sign_is_a_change_of_hue():
    levels = levels_over([-0.02, 0.05])
    assert 0.0 in levels.edges
    blue, orange = levels.colours[levels.of(-0.001)], levels.colours[levels.of(0.001)]
    assert int(blue[5:], 16) > int(blue[1:3], 16)
    assert int(orange[5:], 16) < int(orange[1:3], 16)


def test_cells_tile_the_panel_in_equal_factors():
    (panel,) = drawn(chart()).panels
    assert len(panel.cells) == len(XS) * len(YS)
    assert sum(cell.width * cell.height for cell in panel.cells) == pytest.approx(1e4, rel=1e-3)
    assert {round(cell.width) for cell in panel.cells} == {25}
    assert panel.x_title == "ridge, log scale"
    assert panel.y_title == "share"


def test_the_lowest_value_is_named_and_marked_if_it_lies_inside():
    inside = drawn(chart(lambda x, y: abs(np.log10(x)) + abs(y - 0.4)))
    assert inside.panels[0].series[0].marks[0].text == "lowest"
    assert "lowest, 0.000" in inside.summary or "lowest, 0 at" in inside.summary
    assert drawn(chart()).panels[0].series == ()


def test_what_is_not_solved_has_no_cell_and_is_said():
    figure = drawn(chart(lambda x, y: None if x == 10 else y))
    assert len(figure.panels[0].cells) == 9
    assert "no value" in " ".join(figure.notes)
    assert drawn(chart(lambda x, y: None)).panels[0].cells == ()


def test_maps_share_their_levels_and_the_table_has_every_row():
    figure = drawn(chart(), chart(lambda x, y: 9 * y, arm="teacher"))
    assert figure.panels[0].levels == figure.panels[1].levels
    assert [panel.title for panel in figure.panels] == ["student", "teacher"]
    assert len(figure.table.rows) == 2 * len(YS)
    assert len(figure.table.columns) == 2 + len(XS)


def test_a_flat_map_has_one_level():
    assert len(levels_over([0.3, 0.3]).colours) == 1


def test_labelled_points_carry_a_dot_in_the_middle_of_their_cell():
    grid = [(x, y) for x in (0, 1, 2) for y in (0, 1, 2)]
    points = tuple(Point(x=x, y=y, z=1.0, label="asked" if x == y else None) for x, y in grid)
    curve = chart().model_copy(update={"points": points})
    figure = drawn(curve)
    (panel,) = figure.panels
    middles = {(c.left + c.width / 2, c.bottom + c.height / 2) for c in panel.cells}
    places = [(mark.x, mark.y) for mark in panel.labelled]
    assert len(places) == 3
    assert all(min(np.hypot(x - a, y - b) for a, b in middles) < 0.02 for x, y in places)
    assert "Dots: asked." in figure.notes
    assert drawn(chart()).notes == ()
