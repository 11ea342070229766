"""What a chart is before it is drawn: places in percent, texts, and the table behind it.

The templates turn these into SVG whose text keeps its size at any width; see ``templates/chart.html``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bequest.report.palette import Style
from bequest.report.scales import Tick


@dataclass(frozen=True)
class DataTable:
    """The numbers behind a chart. The first ``heads`` cells of a row name it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    heads: int = 1
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """A dot at (``x``, ``y``) percent from the bottom left, with an optional bar from ``low`` to ``high``."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    tip: str = ""
    text: str = ""


@dataclass(frozen=True)
class Series:
    """An arm in a panel: a line with its band, faint lines of single seeds, dots.

    ``values`` are the texts that a reader gets at each of the panel's stops; paths are in thousandths
    of the panel, from its top left. ``column`` names the series where an arm has several.
    """

    style: Style
    line: str = ""
    band: str = ""
    faint: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    values: tuple[str, ...] = ()
    column: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar from the x axis up: the count of a bin."""

    left: float
    width: float
    height: float


@dataclass(frozen=True)
class Cell:
    """A rectangle of a map, in percent from the bottom left, in the colour of its level."""

    left: float
    bottom: float
    width: float
    height: float
    level: int
    tip: str


@dataclass(frozen=True)
class Level:
    """A colour of a map and the values that it stands for."""

    colour: str
    low: str
    high: str

    @property
    def text(self) -> str:
        """Both ends of the range as text."""
        return f"{self.low} – {self.high}"


@dataclass(frozen=True)
class Panel:
    """One plot with its axes. ``stops`` are the places on x at which values can be read, with their text.

    ``labelled`` are the cells of a map that carry a dot. A ``tile`` is a map small enough to stand beside
    others; it shares titles and levels with them.
    """

    title: str
    y_title: str
    x_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    stops: tuple[Tick, ...] = ()
    bars: tuple[Bar, ...] = ()
    cells: tuple[Cell, ...] = ()
    levels: tuple[Level, ...] = ()
    labelled: tuple[Mark, ...] = ()
    diagonal: bool = False
    square: bool = False
    small: bool = False
    tile: bool = False
    note: str = ""


@dataclass(frozen=True)
class Dot:
    """An arm's value in a row, with interval, null and ceiling; ``y`` in pixels from the row's top.

    A value that lies beyond the axis is drawn as an arrow at its end, with ``beyond`` as its text.
    """

    style: Style
    y: int
    x: float
    low: float | None
    high: float | None
    tip: str
    low_beyond: bool = False
    high_beyond: bool = False
    beyond: str = ""
    null: float | None = None
    ceiling: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of a dot chart; ``undefined`` says what it has no dots for, and why in a few words."""

    label: str
    height: int
    dots: tuple[Dot, ...]
    undefined: str = ""


@dataclass(frozen=True)
class RowGroup:
    """Rows under one heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Rows:
    """A dot chart: groups of rows on one axis, with named places on it (such as 0 = control)."""

    groups: tuple[RowGroup, ...]
    ticks: tuple[Tick, ...]
    x_title: str
    anchors: tuple[Tick, ...] = ()
    has_null: bool = False
    has_ceiling: bool = False


@dataclass(frozen=True)
class Picture:
    """A sample as an image, with what is said of it, line by line."""

    address: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Figure:
    """A chart with what makes it readable without eyes: one sentence, and a table.

    ``levels`` are the colours that all of its maps share.
    """

    id: str
    title: str
    summary: str
    table: DataTable
    legend: tuple[Style, ...] = ()
    panels: tuple[Panel, ...] = ()
    rows: Rows | None = None
    notes: tuple[str, ...] = ()
    lines: bool = False
    levels: tuple[Level, ...] = ()
    level_title: str = ""
    galleries: tuple[Gallery, ...] = ()

    def renamed(self, anchor: str, title: str) -> Figure:
        """The same figure at another anchor."""
        return replace(self, id=anchor, title=title)


@dataclass(frozen=True)
class Section:
    """A kind of evidence: what it shows, and its figures; several of them are shown one at a time.

    ``is_asked`` marks the section on asked and unasked inputs, which stands near the answer.
    """

    id: str
    title: str
    intro: str
    figures: tuple[Figure, ...] = field(default=())
    is_asked: bool = False
