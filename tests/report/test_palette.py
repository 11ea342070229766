from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bequest.records import ArmRecord, Measurement
from bequest.report.palette import BACKGROUND, DARK, LIGHT, styles

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; they act on linear RGB.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, D65
THEMES = {"light": LIGHT, "dark": DARK}


def linear(colour: str) -> np.ndarray:
    """Linear RGB of a hex colour, after WCAG 2's definition of relative luminance."""
    srgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    bright, dim = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (one, other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    t = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def arms(*roles: str) -> list[ArmRecord]:
    return [
        ArmRecord(name=f"arm{k}", role=role, student="mlp", label=f"Arm {k}") for k, role in enumerate(roles)
    ]


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_stands_out_from_its_background(theme):
    found = {c: contrast(c, BACKGROUND[theme]) for own in THEMES[theme].values() for c in own}
    assert min(found.values()) >= 3, found  # WCAG 2.2, 1.4.11: graphical objects


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_first_six_hues_differ_for_colour_blind_readers(theme, blindness):
    seen = [lab(np.array(BLINDNESS[blindness]) @ linear(c)) for c in THEMES[theme]["taught"][:6]]
    # 2.3 is a just noticeable difference of CIE 1976 (Mahy, Van Eycken and Oosterlinck 1994)
    nearest = min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))
    assert nearest > 6 * 2.3, nearest


def test_teachers_come_first_then_controls_then_taught():
    found = styles(arms("taught", "control", "teacher", "taught"))
    assert [style.role for style in found.values()] == ["teacher", "control", "taught", "taught"]
    assert [style.index for style in found.values()] == [0, 1, 2, 3]


def test_no_two_arms_look_alike_even_in_a_large_study():
    found = styles(arms(*["teacher"] * 3, *["control"] * 6, *["taught"] * 24))
    looks = {(style.light, style.marker, style.dash, style.hollow) for style in found.values()}
    assert len(looks) == len(found)


def test_the_arrow_of_a_name_is_set_as_an_arrow():
    found = styles([ArmRecord(name="a", role="taught", student="m", label="mlp<-cnn")], ["x <- y"])
    assert [style.label for style in found.values()] == ["mlp ← cnn", "x ← y"]


def test_a_name_of_no_arm_gets_a_style_too():
    found = styles(arms("teacher"), ["arm0", "student", "teacher, simulated"])
    assert found["student"].role == "taught"
    assert found["teacher, simulated"].role == "teacher"
    assert found.label("arm0") == "Arm 0"
    assert found.label("unheard of") == "unheard of"
    assert found.label(None) == ""


def test_beside_teachers_of_arms_that_are_not_charted_nothing_is_drawn():
    arms = [ArmRecord(name=name, role="teacher", student="cnn", label=name, charted=False) for name in "ab"]
    arms += [
        ArmRecord(name=f"s<-{t}", role="taught", student="mlp", label=t, teachers=(t,), charted=t == "a")
        for t in "ab"
    ]
    rows = [
        Measurement(measure="agreement", arm=arm, teacher=teacher, value=0.5, n=2)
        for arm in ("s<-a", "s<-b")
        for teacher in ("a", "b", "elsewhere")
    ]
    drawn = [(m.arm, m.teacher) for m in styles(arms).charted(rows)]
    assert drawn == [("s<-a", "a"), ("s<-a", "elsewhere")]
    assert styles(arms).charted(rows[1:2]) == rows[1:2]  # rather all than none
