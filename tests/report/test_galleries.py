"""Samples as pictures on the page."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from bequest.evidence.samples.changes import picture
from bequest.records import Curve, Point
from bequest.report.galleries import gallery_figure
from bequest.report.page import environment
from bequest.report.palette import styles

ADDRESS = picture(np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4))


def curve(arm, points):
    return Curve(
        chart="gained answers",
        arm=arm,
        kind="images",
        x_title="seeds of a right",
        y_title="seeds of b right",
        points=points,
    )


def test_each_picture_has_its_lines_and_a_text_for_those_who_do_not_see_it():
    points = (Point(x=1, y=4, n=5, label="<goldfish>; a: 1 of 5 right", image=ADDRESS), Point(x=0, y=1))
    figure = gallery_figure("gained answers", [curve("b", points)], styles((), ["b"]))
    assert figure.title == "Gained answers"
    assert "1 of 5 seeds of a right and 4 of 5 seeds of b right" in figure.summary
    assert len(figure.galleries[0].pictures) == len(figure.table.rows) == 1
    page = environment().from_string('{% import "chart.html" as c %}{{ c.figure(f) }}').render(f=figure)
    assert f'src="{ADDRESS}"' in page
    assert 'alt="&lt;goldfish&gt;, a: 1 of 5 right"' in page
    assert "<span>a: 1 of 5 right</span>" in page


def test_two_pairs_have_a_heading_each():
    point = Point(x=1, y=4, label="a", image=ADDRESS)
    figure = gallery_figure(
        "gained answers", [curve("b", (point,)), curve("c", (point,))], styles((), ["b", "c"])
    )
    assert [gallery.title for gallery in figure.galleries] == ["B", "C"]


@pytest.mark.parametrize(
    "address",
    ["https://example.org/a.png", 'data:image/png;base64,AA" onload="x', "data:text/html;base64,AA=="],
)
def test_a_picture_from_elsewhere_is_no_picture(address):
    with pytest.raises(ValidationError, match="image"):
        Point(x=0, y=0, image=address)
