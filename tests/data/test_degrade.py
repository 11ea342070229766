"""Degraded images as a view, and students that alone see it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.batches import Batches
from bequest.data.corruptions import CORRUPTIONS, Degrade
from bequest.data.datasets import load_dataset
from bequest.data.queries import Source
from bequest.data.views import Identity, Shift, parse_views
from bequest.errors import ConfigError
from bequest.seeding import derive


@pytest.fixture(scope="module")
def train():
    return load_dataset("digits")["train"]


def test_an_image_follows_from_its_id_and_the_view_alone(train):
    view = Degrade(("gaussian_noise", "contrast"), level=3)
    some = train.take(torch.arange(40))
    whole = view(some.x, some.ids, 2, seed=1)
    rows = torch.tensor([7, 3])
    assert torch.equal(view(some.x[rows], some.ids[rows], 2, seed=1), whole[rows])
    assert not torch.equal(view(some.x, some.ids, 3, seed=1), whole)
    assert not torch.equal(whole, some.x)
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1


def test_with_one_family_and_one_level_it_is_the_corruption(train):
    some = train.take(torch.arange(10))
    found = Degrade(("contrast",), level=1)(some.x, some.ids, 0, seed=5)
    assert torch.equal(found, CORRUPTIONS["contrast"](some.x, some.ids, 1, seed=0))


def test_the_rate_is_the_share_that_is_degraded(train):
    found = Degrade(("contrast",), rate=0.25)(train.x, train.ids, 0, seed=5)
    changed = (found != train.x).flatten(1).any(1).double().mean()
    assert 0.2 < float(changed) < 0.3


def test_what_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="gausian"):
        parse_views([{"name": "degrade", "families": ["gausian_blur"]}])
    with pytest.raises(ConfigError, match="has 1 levels"):
        parse_views([{"name": "degrade", "families": ["stripe"]}])


def test_the_student_alone_sees_its_view(train):
    view = Degrade(("gaussian_noise",))
    sources = [
        Source("a", train, Shift(1), share=0.5, student_view=view),
        Source("b", train.unlabelled(), Identity(), share=0.5),
    ]
    batches = Batches(sources, batch=20, seed=3)
    batch = batches.at(4)
    first = batch.parts[0]
    clean = Shift(1)(train.x[first.rows], train.ids[first.rows], first.view, seed=3)
    assert torch.equal(batch.x[:10], clean)
    own = view(clean, train.ids[first.rows], first.view, seed=derive(3, "student view"))
    assert torch.equal(batch.seen[:10], own)
    assert torch.equal(batch.seen[10:], batch.x[10:])
    assert torch.equal(batch.pieces(2)[1].seen, batch.seen[1::2])


class Watching(nn.Module):
    """Keeps the inputs that it is asked about."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(144, 10)
        self.asked = []

    def forward(self, x):
        self.asked.append(x.clone())
        return self.head(x.flatten(1))


def test_the_teacher_answers_to_the_clean_image():
    data = load_dataset("digits")
    teacher = Watching()
    source = Source("train", data["train"], Shift(1), student_view=Degrade(("contrast",), level=5))
    student = Watching()
    bq.distill(student, data, teachers=[teacher], queries=[source], epochs=None, steps=1, batch=16)
    batch = Batches([source], batch=16, seed=0).at(0)
    assert any(torch.equal(batch.x, asked) for asked in teacher.asked)
    assert not any(asked.shape == batch.x.shape and torch.equal(batch.seen, asked) for asked in teacher.asked)
