"""One colour, one marker and one dash for each arm, the same on the whole page and in both themes.

Teachers are dark, controls grey, taught arms in hue. The hues descend from Okabe and Ito's palette for
colour-blind readers (2008), moved until each stands out from its background by 3 to 1 and the first six
differ for every reader; marker and dash say the same again, for grey print.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bequest.records import ArmRecord, Measurement, Role

Theme = dict[Role, tuple[str, ...]]

BACKGROUND = {"light": "#ffffff", "dark": "#16181b"}
LIGHT: Theme = {
    "teacher": ("#16181b", "#4a4d52", "#2f3237"),
    "control": ("#7d8187", "#8d8478", "#6b7785", "#8a7f8a"),
    "taught": ("#0a66b8", "#d8620a", "#2f9c78", "#7a2f66", "#6e5410", "#3d98d6", "#8b3fd1", "#b33a3a"),
}
DARK: Theme = {
    "teacher": ("#f4f4f2", "#bfc2c6", "#dcdde0"),
    "control": ("#8f949b", "#9c9284", "#7f8d9e", "#9f919f"),
    "taught": ("#4595ea", "#e07b35", "#6fe5b0", "#c06f98", "#f5cf45", "#a5dcff", "#9b86f5", "#b9c73f"),
}
MARKERS: dict[Role, tuple[str, ...]] = {
    "teacher": ("square", "diamond", "circle"),
    "control": ("circle", "square", "triangle", "diamond"),
    "taught": ("circle", "triangle", "diamond", "wedge", "square"),
}
DASHES: dict[Role, tuple[str, ...]] = {
    "teacher": ("", "9 3"),
    "control": ("5 3", "2 3", "8 3 2 3", "1 3"),
    "taught": ("", "7 3", "3 2", "9 3 2 3"),
}
_ORDER: tuple[Role, ...] = ("teacher", "control", "taught")


@dataclass(frozen=True)
class Style:
    """How an arm is named and drawn. ``index`` is its place on the page: teachers, controls, taught.

    Arms that are not ``charted`` come last of their role, and only into tables.
    """

    index: int
    name: str
    label: str
    role: Role
    light: str
    dark: str
    marker: str
    dash: str
    charted: bool = True

    @property
    def hollow(self) -> bool:
        """Controls are drawn hollow."""
        return self.role == "control"


class Styles(dict[str, Style]):
    """Style by arm name, in the order of the page.

    Attributes:
        teachers: Of charted arms: beside others no arm is drawn.
    """

    teachers: frozenset[str] = frozenset()

    def label(self, arm: str | None) -> str:
        """How the page names ``arm``."""
        return self[arm].label if arm is not None and arm in self else arm or ""

    def charted(self, measurements: Iterable[Measurement]) -> list[Measurement]:
        """What is drawn of ``measurements``: those of charted arms and teachers, or all if none is."""
        rows = list(measurements)
        return [m for m in rows if self._is_charted(m)] or rows

    def _is_charted(self, m: Measurement) -> bool:
        is_beside = m.teacher is None or m.teacher not in self or m.teacher in self.teachers
        return is_beside and (m.arm not in self or self[m.arm].charted)

    def sorted(self, arms: Iterable[str]) -> list[Style]:
        """The styles of ``arms``, each once, in the order of the page."""
        wanted = set(arms)
        return [style for name, style in self.items() if name in wanted]


def styles(arms: Iterable[ArmRecord], others: Iterable[str] = ()) -> Styles:
    """A style for each arm, and for each name in ``others`` that is no arm of the study."""
    ordered = sorted(arms, key=lambda arm: (_ORDER.index(arm.role), not arm.charted))
    uncharted = {arm.name for arm in ordered if not arm.charted}
    named = {arm.name: (_spelt(arm.label or arm.name), arm.role) for arm in ordered}
    for other in others:
        role: Role = "teacher" if other.startswith("teacher") else "taught"
        named.setdefault(other, (_spelt(other), role))
    by_name = Styles()
    by_name.teachers = frozenset(teacher for arm in ordered if arm.charted for teacher in arm.teachers)
    counts: dict[Role, int] = dict.fromkeys(_ORDER, 0)
    for index, (name, (label, role)) in enumerate(named.items()):
        place = counts[role]
        counts[role] += 1
        by_name[name] = Style(
            index,
            name,
            label,
            role,
            light=_nth(LIGHT[role], place),
            dark=_nth(DARK[role], place),
            marker=_nth(MARKERS[role], place),
            dash=_nth(DASHES[role], place // len(LIGHT[role]) + (place if role == "control" else 0)),
            charted=name not in uncharted,
        )
    return by_name


def _spelt(label: str) -> str:
    """A label as it is set: ``mlp<-cnn`` with an arrow."""
    return label.replace("<-", " ← ") if " <- " not in label else label.replace("<-", "←")


def _nth(values: tuple[str, ...], place: int) -> str:
    return values[place % len(values)]
