"""What the pages about objectives and views show is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch

from bequest.data.views import View, parse_views
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import Objective, parse_objective

DOCS = Path(__file__).parents[2] / "docs"
OBJECTIVES = (DOCS / "objectives.md").read_text(encoding="utf-8")
VIEWS = (DOCS / "views.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(("text", "parse"), [(OBJECTIVES, parse_objective), (VIEWS, parse_views)])
def test_every_toml_line_parses_and_comes_back(text, parse):
    lines = [line for block in blocks(text, "toml") for line in block.splitlines()]
    assert len(lines) >= 2
    for line in lines:
        (spec,) = tomllib.loads(line).values()
        assert parse(parse(spec).spec()) == parse(spec)


@pytest.mark.parametrize(
    ("text", "kind", "unnamed"), [(OBJECTIVES, Objective, set()), (VIEWS, View, {"compose"})]
)
def test_every_name_has_its_row(text, kind, unnamed):
    shown = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert shown | unnamed == {name for name in kind.known if name != "margin"}


def test_an_objective_of_one_s_own_works_as_shown():
    code = blocks(OBJECTIVES, "python")[-1]
    exec(code, {})
    random = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(4, 3, generator=random), torch.randn(4, 3, generator=random)
    objective = parse_objective("margin")
    objective.check(Exchange(student, teacher_logits=(teacher,)))
    loss, parts = objective(Exchange(student, teacher_logits=(teacher,)))
    assert float(loss) == float(parts["margin"]) > 0
    assert float(objective(Exchange(teacher, teacher_logits=(teacher,)))[0]) == 0


def test_the_objectives_shown_are_losses():
    student, teacher = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    scope = {"student_logits": student, "teacher_logits": teacher}
    exec(blocks(OBJECTIVES, "python")[0], scope)
    exchange = Exchange(student, teacher_logits=(teacher,), labels=torch.tensor([0, 1, 2, 0]))
    soft, both = scope["KD"](4.0)(exchange)[0], scope["objective"](exchange)[0]
    hard = torch.nn.functional.cross_entropy(student, exchange.labels)
    assert torch.allclose(scope["loss"], soft)
    assert torch.allclose(both, 0.1 * hard + 0.9 * soft)


def test_the_views_shown_give_images_and_what_is_mixed():
    shape = (8, 3, 12, 12)
    images, ids = torch.rand(shape, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    scope = {"images": images, "pool": (images, ids), "ids": ids, "view_id": 1}
    plain, mixing = blocks(VIEWS, "python")
    exec(plain, scope)
    assert scope["x"].shape == shape
    exec(mixing, scope)
    assert scope["mixed"] is None
    scope["view"] = parse_views("mixup")
    exec(mixing, scope)
    assert scope["partner_rows"].shape[0] == scope["label_weight"].shape[0] == 8
