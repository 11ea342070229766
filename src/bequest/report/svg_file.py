"""A figure as one SVG file, for papers and documents; drawn from the same panels as the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template, select_autoescape

from bequest.errors import DataError, MissingExtra
from bequest.files import write_bytes, write_text
from bequest.report.figure import Figure, Panel
from bequest.report.palette import Style

WIDTH, HEIGHT = 480.0, 260.0  # of one plot, in pixels
LEFT, RIGHT, TOP, BOTTOM = 62.0, 16.0, 44.0, 48.0
KEY_LINE = 22.0
LETTER = 6.6  # about the width of a letter of a key
LEVELS_ROOM = 40.0
KINDS = (".svg", ".png")


@dataclass(frozen=True)
class _Key:
    """An entry of the legend at its place."""

    style: Style
    x: float
    y: float


@dataclass(frozen=True)
class _Place:
    """A panel and where its plot begins, from the picture's top left."""

    panel: Panel
    x: float
    y: float


def write_picture(path: str | Path, figure: Figure, *, dark: bool = True) -> Path:
    """Write ``figure`` to ``path``, an .svg or a .png, whole.

    Args:
        path: The file.
        figure: What to draw.
        dark: Let an SVG follow the reader's theme; a PNG is light.

    Raises:
        DataError: If the file is of another kind.
        MissingExtra: If a PNG is asked for and the package that draws it is not installed.
    """
    path = Path(path)
    check_picture(path)
    if path.suffix.lower() == ".svg":
        return write_text(path, picture(figure, dark=dark))
    import resvg_py

    return write_bytes(path, bytes(resvg_py.svg_to_bytes(svg_string=picture(figure, dark=False), zoom=2)))


def check_picture(path: Path) -> None:
    """Refuse a picture that :func:`write_picture` could not write."""
    if path.suffix.lower() not in KINDS:
        raise DataError(
            f"{path} is not a file format that can be drawn", expected="a name that ends in .svg or .png"
        )
    if path.suffix.lower() == ".png":
        try:
            import resvg_py  # noqa: F401
        except ImportError:
            raise MissingExtra(
                "a PNG is drawn by resvg-py, which is not installed",
                remedy="python -m pip install resvg-py, or choose a name that ends in .svg",
            ) from None


def picture(figure: Figure, *, dark: bool = True) -> str:
    """``figure`` as the text of an SVG file that needs nothing else."""
    panels = list(figure.panels)
    columns = 1 if len(panels) == 1 else 2
    full = LEFT + WIDTH + RIGHT
    keys, room = _keys(figure, columns * full)
    below = LEVELS_ROOM if any(panel.levels for panel in panels) else 0.0
    tall = TOP + HEIGHT + BOTTOM + below
    places = [
        _Place(panel, k % columns * full + LEFT, room + k // columns * tall + TOP)
        for k, panel in enumerate(panels)
    ]
    lines = -(-len(panels) // columns)
    return _template().render(
        figure=figure,
        keys=keys,
        places=places,
        styles={s.style.index: s.style for p in panels for s in p.series}
        | {style.index: style for style in figure.legend},
        dark=dark,
        width=columns * full,
        height=room + lines * tall,
        plot=(WIDTH, HEIGHT),
        bottom=BOTTOM,
        path=_path,
    )


def _keys(figure: Figure, width: float) -> tuple[list[_Key], float]:
    """The legend, broken into lines, and the room that it takes."""
    if len(figure.legend) < 2:
        return [], 0.0
    keys: list[_Key] = []
    x, y = 14.0, 20.0
    for style in figure.legend:
        need = 48 + LETTER * len(style.label)
        if keys and x + need > width:
            x, y = 14.0, y + KEY_LINE
        keys.append(_Key(style, x, y))
        x += need
    return keys, y + 6


def _path(path: str) -> str:
    """A path in thousandths of a panel as one in pixels of a plot."""

    def pair(match: re.Match[str]) -> str:
        x, y = (float(match[k]) for k in (2, 3))
        return f"{match[1]}{x * WIDTH / 1000:.1f},{y * HEIGHT / 1000:.1f}"

    path = re.sub(r"([ML])(-?\d+),(-?\d+)", pair, path)
    path = re.sub(r"H(-?\d+)", lambda match: f"H{float(match[1]) * WIDTH / 1000:.1f}", path)
    return re.sub(r"V(-?\d+)", lambda match: f"V{float(match[1]) * HEIGHT / 1000:.1f}", path)


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = (resources.files("bequest.report") / "templates" / "figure.svg").read_text(encoding="utf-8")
    return environment.from_string(text)
