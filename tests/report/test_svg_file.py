"""Figures as SVG files: well formed, in their places, in both themes."""

from __future__ import annotations

import builtins
import xml.etree.ElementTree as ET

import pytest

from bequest.errors import DataError, MissingExtra
from bequest.records import Curve, Point
from bequest.report.curve_charts import chart_figure
from bequest.report.heat_maps import heat_figure
from bequest.report.palette import styles
from bequest.report.svg_file import HEIGHT, WIDTH, picture, write_picture

SVG = "{http://www.w3.org/2000/svg}"
AXES = {"x_title": "a < b", "y_title": "error"}
LINES = [
    Curve(chart="theory", arm=arm, points=tuple(Point(x=k, y=k * k * s) for k in range(5)), **AXES)
    for arm, s in (("teacher", 1), ("student", 2))
]
DOTS = Curve(
    chart="theory", arm="student", kind="points", points=(Point(x=2, y=9, low=8, high=10, n=20),), **AXES
)
MAP = Curve(
    chart="theory",
    arm="student",
    kind="map",
    z_title="value",
    points=tuple(Point(x=x, y=y, z=x * y) for x in range(3) for y in range(3)),
    **AXES,
)


def lines():
    return chart_figure("theory", [*LINES, DOTS], styles((), ["teacher", "student"]))


def test_lines_dots_bars_and_keys_are_drawn():
    root = ET.fromstring(picture(lines()))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"teacher", "student", "a < b", "error"} <= set(texts)
    curves = [path for path in root.iter(f"{SVG}path") if "stroke-linejoin" in path.attrib]
    assert len(curves) == 2
    ends = curves[0].attrib["d"].split("L")[-1].split(",")
    assert float(ends[0]) == pytest.approx(WIDTH)
    assert 0 <= float(ends[1]) <= HEIGHT


def test_a_map_is_drawn_with_its_levels():
    figure = heat_figure("theory/map", [MAP], styles((), ["student"]))
    root = ET.fromstring(picture(figure))
    cells = [r for r in root.iter(f"{SVG}rect") if "shape-rendering" in r.attrib]
    assert len(cells) == 9
    assert {cell.attrib["fill"] for cell in cells} <= {level.colour for level in figure.panels[0].levels}


def test_an_svg_follows_the_theme_and_a_png_does_not():
    assert "prefers-color-scheme:dark" in picture(lines())
    assert "prefers-color-scheme" not in picture(lines(), dark=False)


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a file format"):
        write_picture(tmp_path / "chart.pdf", lines())
    assert write_picture(tmp_path / "chart.svg", lines()).read_text() == picture(lines())


def test_a_png_says_which_package_it_needs(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "resvg_py":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match="resvg-py"):
        write_picture(tmp_path / "chart.png", lines())
    assert not list(tmp_path.iterdir())


def test_a_png_is_drawn_where_the_package_is_there(tmp_path):
    pytest.importorskip("resvg_py")
    assert write_picture(tmp_path / "chart.png", lines()).read_bytes().startswith(b"\x89PNG")
