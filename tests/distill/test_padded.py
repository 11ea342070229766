"""Attention masks: padding is never read as words, however much of it there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.datasets import Dataset, Split
from bequest.distill.online import OnlineTeacher
from bequest.distill.padded import asking, attention_mask
from bequest.distill.teachers import Teacher
from bequest.seeding import torch_generator

PAD = 0


class Pooled(nn.Module):
    """A sentence's class by the mean of its words, as the mask says which these are."""

    def __init__(self, seed, *, dropout=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(12, 8)
        self.drop, self.head = nn.Dropout(dropout), nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask=None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        seen = attention_mask.unsqueeze(-1).to(self.embedding.weight.dtype)
        return self.head(self.drop((self.embedding(input_ids) * seen).sum(1) / seen.sum(1)))


class Maskless(Pooled):
    def forward(self, input_ids):
        return super().forward(input_ids)


def sentences(*, doubled=False, padding=PAD):
    generator = torch_generator(0, "sentences")
    x = torch.randint(1, 12, (60, 6), generator=generator)
    length = torch.randint(2, 7, (60, 1), generator=generator)
    x = torch.where(torch.arange(6)[None] < length, x, PAD)
    y = x[:, 0] % 3
    if doubled:
        x = torch.cat([x, torch.full((60, 6), PAD)], 1)
    ids = torch.arange(60)
    splits = {
        name: Split(x[a:b], y[a:b], ids[a:b])
        for name, (a, b) in {"train": (0, 40), "validation": (40, 50), "test": (50, 60)}.items()
    }
    words = tuple(map(str, range(12)))
    return Dataset("sentences", splits, ("a", "b", "c"), vocabulary=words, padding=padding)


def noisy(seed):
    return Teacher(Pooled(seed, dropout=0.0), mode="noisy")


@pytest.mark.parametrize("kind", [Pooled, noisy, lambda seed: OnlineTeacher(Pooled(seed))])
def test_twice_the_padding_changes_nothing(kind):
    students = [
        bq.distill(Pooled(1), sentences(doubled=doubled), teachers=[kind(2)], batch=8, epochs=2)
        for doubled in (False, True)
    ]
    one, two = (student.model.state_dict() for student in students)
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-6), name
    assert students[0].score() == pytest.approx(students[1].score(), abs=1e-6)
    x = [sentences(doubled=doubled)["test"].x for doubled in (False, True)]
    assert torch.allclose(students[0].logits(x[0]), students[0].logits(x[1]), atol=1e-6)


def test_the_proof_can_fail():
    """A network without a mask, and one that nobody tells of the padding, read it as words."""
    for make, padding in ((Maskless, PAD), (Pooled, None)):
        weights = [
            bq.fit(make(1), sentences(doubled=doubled, padding=padding), batch=8, epochs=2).model.head.weight
            for doubled in (False, True)
        ]
        assert not torch.allclose(*weights, atol=1e-4)


def test_the_mask_is_1_at_words_and_given_to_those_that_take_it():
    x = torch.tensor([[3, 4, PAD], [5, PAD, PAD]])
    model = Pooled(0)
    assert attention_mask(model, x, PAD).tolist() == [[1, 1, 0], [1, 0, 0]]
    assert attention_mask(Maskless(0), x, PAD) is None
    assert attention_mask(model, x.float(), PAD) is None
    assert asking(model, None) is model
    assert isinstance(asking(Maskless(0), PAD), Maskless)
    assert torch.equal(asking(model, PAD)(x), model(x, attention_mask=(x != PAD).long()))
    assert not torch.equal(asking(model, PAD)(x), model(x))


def test_active_queries_are_ranked_with_the_mask():
    from bequest.data.queries import ActiveSpec

    chosen = []
    for doubled in (False, True):
        data = sentences(doubled=doubled)
        pool = replace(data["train"], y=None)
        active = ActiveSpec(by="entropy", budget=8, rounds=2)
        fitted = bq.distill(
            Pooled(1), data, teachers=[Pooled(2)], queries=pool, active=active, batch=4, epochs=2
        )
        chosen.append(fitted.record.weights_digest is not None and fitted.model.head.weight)
    assert torch.allclose(*chosen, atol=1e-6)
