from __future__ import annotations

import pytest
import torch

from bequest.data.batches import Batches
from bequest.data.queries import Generated, Source
from bequest.data.views import Identity, Shift
from bequest.distill.lesson import Lesson
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import KD
from bequest.distill.random_teachers import RandomTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher

RECIPE = Recipe(batch=12, epochs=2)


def live_of(network, source, kind, seed=0):
    control = RandomTeacher(Teacher(network(2)), answers=kind, seed=seed)
    return LiveTeachers([control], (source,), seed=0), Batches((source,), batch=12, seed=0)


@pytest.mark.parametrize("view", [Identity(), Shift(1)])
def test_noise_is_the_querys_own_and_as_large_as_the_teachers_logits(network, toy, view):
    source = Source("train", toy["train"].unlabelled(), view, view_count=None)
    live, batches = live_of(network, source, "noise")
    batch = batches.at(0)
    ((noise,), _), (again,) = live.answer(batch), live.answer(batch)[0]
    plain = Teacher(network(2))(batch.x)
    assert torch.equal(noise, again)
    assert not torch.allclose(noise, plain, atol=0.1)
    z = (noise - plain.mean(-1, keepdim=True)) / plain.std(-1, correction=0, keepdim=True)
    assert abs(float(z.mean())) < 0.5
    assert 0.6 < float(z.std()) < 1.4
    half = batch.every(2, 1)
    assert torch.equal(live.answer(half)[0][0], noise[1::2])
    other, _ = live_of(network, source, "noise", seed=1)
    assert not torch.equal(other.answer(batch)[0][0], noise)


@pytest.mark.parametrize("view", [Identity(), Shift(1)])
def test_another_sample_answers_in_the_same_view_and_never_the_sample_itself(network, toy, view):
    source = Source("train", toy["train"].unlabelled(), view)
    live, batches = live_of(network, source, "another")
    partners = live.teachers[0]._partners[0]
    rows = torch.arange(72)
    assert torch.equal(partners.sort().values, rows)
    assert not bool((partners == rows).any())
    batch = batches.at(7)
    (part,) = batch.parts
    split = toy["train"]
    chosen = partners[part.rows]
    x = split.x[chosen]
    shown = x if isinstance(view, Identity) else view(x, split.ids[chosen], part.view, seed=0)
    assert torch.allclose(live.answer(batch)[0][0], Teacher(network(2))(shown), atol=1e-6)


def test_of_made_inputs_the_next_row_answers(network):
    noise = Generated("noise", lambda rows, generator: torch.rand(rows, 1, 6, 6, generator=generator))
    live, batches = live_of(network, noise, "another")
    batch = batches.at(3)
    expected = Teacher(network(2))(batch.x).roll(1, 0)
    assert torch.allclose(live.answer(batch)[0][0], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["noise", "another"])
def test_a_student_of_it_is_recorded_as_a_control(network, toy, kind):
    source = Source("train", toy["train"].unlabelled(), Shift(1))
    teacher = RandomTeacher(Teacher(network(2), name="cnn"), answers=kind)
    trained = Lesson(network(1), toy, (source,), KD(), RECIPE, 0, teachers=(teacher,)).run()
    assert any("the teacher 'cnn' answered with" in text and "a control" in text for text in trained.warnings)
    assert trained.teachers[0].digest_before == trained.teachers[0].digest_after
    assert trained.teachers[0].validation == pytest.approx(
        Lesson(network(1), toy, (source,), KD(), RECIPE, 0, teachers=(Teacher(network(2)),))
        .run()
        .teachers[0]
        .validation
    )
    assert trained.asked == {"cnn": 2 * 6 * 12}
