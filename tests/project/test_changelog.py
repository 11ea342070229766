"""The changelog is made from its fragments without loss, and keeps the sections of earlier versions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_changelog", ROOT / "docs" / "generate_changelog.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


changelog = loaded()


def test_bullets_and_paragraphs_become_entries():
    text = "- One\n  goes on.\n- Two.\n\nA paragraph\nof two lines.\n"
    assert changelog.entries_of(text) == ["One goes on.", "Two.", "A paragraph of two lines."]


@pytest.mark.parametrize(
    ("fragment", "area"),
    [
        ("stores", "Distillation"),
        ("distill-cli", "Distillation"),
        ("theory-study", "Studies and runs"),
        ("theory-core", "Theory"),
        ("measures-and-more", "Further"),
    ],
)
def test_the_longest_name_that_fits_decides_the_heading(fragment, area):
    assert changelog.area_of(fragment) == area


def test_no_word_of_a_fragment_is_lost():
    fragments = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "changelog.d").glob("*.md")}
    page = " ".join(changelog.page("0.1.0", fragments).split())
    for text in fragments.values():
        for entry in changelog.entries_of(text):
            assert f"- {entry}" in page


def test_earlier_versions_stay_and_the_same_one_is_replaced():
    first = changelog.page("0.1.0", {"views": "Views."})
    second = changelog.page("0.2.0", {"stores": "Stores."}, first)
    assert second.index("## 0.2.0") < second.index("## 0.1.0")
    assert second.count("Views.") == second.count("Stores.") == 1
    assert changelog.page("0.2.0", {"stores": "Stores, again."}, second).count("## 0.2.0") == 1
    assert changelog.page("0.2.0", {}, first).count("## 0.1.0") == 1
    assert changelog.page("0.1.0", {}, first) == first
