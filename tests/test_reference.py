"""The reference of a study's keys is complete, says what each means, and is what the specifications say."""

from __future__ import annotations

import importlib.util
import re
import sys
import typing
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel, Field

from bequest.config import Config
from bequest.studies.kind import KindSpec
from bequest.studies.spec import StudySpec
from bequest.variants import Variant

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "studies.md").read_text(encoding="utf-8")


def loaded() -> ModuleType:
    """The script that writes the page, as a module."""
    spec = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


reference = loaded()


def test_the_page_is_what_the_specifications_say():
    assert reference.page() == PAGE, "run: python docs/generate_reference.py"


@pytest.mark.parametrize("model", reference.models(), ids=lambda model: model.__name__)
def test_every_key_of_a_table_has_a_meaning(model):
    assert [key.name for key in reference.keys_of(model) if not key.meaning] == []


@pytest.mark.parametrize("cls", reference.variants(), ids=lambda cls: f"{cls.kind} {cls.name}")
def test_every_key_of_a_variant_has_a_meaning(cls):
    prose = reference.prose_of(cls)
    assert prose
    unexplained = [
        key.name
        for key in reference.keys_of_variant(cls)
        if not key.meaning and not re.search(rf"\b{key.name}\b", prose)
    ]
    assert unexplained == []


def test_every_specification_that_a_study_leads_to_is_on_the_page():
    seen: set[type] = set()
    waiting: list[typing.Any] = [StudySpec, *(KindSpec.registered[key] for key in KindSpec.registered)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            if item not in seen and item is not KindSpec:
                waiting += [field.annotation for field in item.model_fields.values()]
                seen.add(item)
        elif isinstance(item, type) and issubclass(item, Variant):
            seen.add(item)
        else:
            waiting += typing.get_args(item)
    bundled = {cls for cls in seen if cls.__module__.startswith("bequest.")}
    shown = {*reference.models(), *(kind for _, kind, _ in reference.VARIANTS)}
    assert bundled <= shown
    assert {cls for cls in shown - bundled if not issubclass(cls, Variant)} == set()


def test_every_link_leads_to_a_heading_or_a_page():
    anchors = {reference._anchor(title) for title in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]*)\)", PAGE):
        page, _, anchor = target.partition("#")
        assert (DOCS / page).is_file() if page else anchor in anchors, target


def test_keys_are_shown_as_toml_has_them():
    class Sample(Config):
        """A sample.

        Attributes:
            share: How much,
                in all.
            names: Which; see :func:`bequest.run` or ``a|b``.
        """

        share: float = Field(0.25, gt=0, le=1)
        names: tuple[str, ...] = ("a",)
        pairs: dict[str, tuple[int, int]] = Field(default_factory=dict)
        level: int | None = Field(None, ge=1)
        kind: typing.Literal["soft", "hard"] = "soft"
        title: str

    keys = {key.name: (key.type, key.default, key.meaning) for key in reference.keys_of(Sample)}
    assert keys == {
        "share": ("number in (0, 1]", "`0.25`", "How much, in all."),
        "names": ("list of texts", '`["a"]`', "Which; see `bequest.run` or `a\\|b`."),
        "pairs": ("table of pairs of integers", "–", ""),
        "level": ("integer ≥ 1", "–", ""),
        "kind": ('`"soft"`, `"hard"`', '`"soft"`', ""),
        "title": ("text", "required", ""),
    }
