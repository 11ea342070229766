from __future__ import annotations

import pytest
import torch

from bequest.data.batches import Batches
from bequest.data.queries import Source
from bequest.data.views import Identity
from bequest.distill.lesson import Lesson
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import KD, CrossEntropy
from bequest.distill.online import OnlineTeacher
from bequest.distill.parallel import Ranks
from bequest.distill.recipe import Recipe
from bequest.distill.signal import Foreign, Openable, Signal
from bequest.distill.stores import build_store
from bequest.distill.stores.replay import Replay
from bequest.distill.teachers import AnyTeacher, Teacher
from bequest.models.weights import weights_digest

RECIPE = Recipe(batch=8, epochs=1)


class Bare:
    """A user's own signal: it answers, and knows no class of bequest."""

    def __init__(self, model):
        self.model = model

    def answer(self, batch):
        with torch.no_grad():
            return (self.model(batch.x),), ()


def sources_of(toy):
    return (Source("train", toy["train"].unlabelled(), Identity()),)


def test_a_users_object_that_answers_teaches_as_the_network_behind_it(network, toy):
    digests = []
    for kind in ({"signal": Bare(network(2).eval())}, {"teachers": (Teacher(network(2)),)}):
        lesson = Lesson(network(1), toy, sources_of(toy), KD(), RECIPE, 0, **kind)
        trained = lesson.run()
        digests.append(weights_digest(lesson.student))
    assert digests[0] == digests[1]
    assert [record.arm for record in trained.teachers] == ["teacher"]
    assert (
        Lesson(network(1), toy, sources_of(toy), KD(), RECIPE, 0, signal=Bare(network(2))).run().teachers
        == ()
    )


def test_the_defaults_check_record_and_prepare_nothing(network, toy):
    signal, batches = Foreign(Bare(network(2))), Batches(sources_of(toy), batch=8, seed=0)
    signal.check(network(1), toy, RECIPE)
    assert signal.opened(sources_of(toy), KD(), combined=False) is signal
    assert signal.records(toy) == signal.verified((), toy) == ()
    assert signal.learners(batches, RECIPE, steps=1, padding=None, ranks=Ranks()) == ()
    assert signal.warnings(batches, 1) == []
    with signal.reading_ahead(batches):
        assert len(signal.answer(batches.at(0))[0]) == 1


@pytest.mark.parametrize("kind", ["frozen", "online", "stored"])
def test_every_kind_says_who_answered_and_whether_it_changed(kind, network, toy, tmp_path):
    if kind == "stored":
        store = build_store(network(2), toy, path=tmp_path, codec="float32")
        assert isinstance(store, Openable)
        signal = store.opened(sources_of(toy), KD())
        assert isinstance(signal, Replay)
    else:
        teacher = Teacher(network(2)) if kind == "frozen" else OnlineTeacher(network(2))
        assert isinstance(teacher, AnyTeacher)
        assert teacher.learns is (kind == "online")
        signal = LiveTeachers([teacher], (Source("train", toy["train"], Identity()),))
    assert isinstance(signal, Signal)
    signal.check(network(1), toy, RECIPE)
    records = signal.verified(signal.records(toy), toy)
    assert [record.mode for record in records] == [{"frozen": "eval"}.get(kind, kind)]
    assert records[0].digest_before == records[0].digest_after == weights_digest(network(2))
    batches = Batches((Source("train", toy["train"], Identity()),), batch=8, seed=0)
    learners = signal.learners(batches, RECIPE, steps=2, padding=None, ranks=Ranks())
    assert len(learners) == (kind == "online")
    logits, _ = signal.answer(batches.at(0))
    assert torch.allclose(logits[0], network(2).eval()(batches.at(0).x))


def test_what_learns_is_recorded_as_it_became(network, toy):
    online = OnlineTeacher(network(2), objective=CrossEntropy())
    sources = (Source("train", toy["train"], Identity()),)
    trained = Lesson(network(1), toy, sources, KD(), RECIPE, 0, teachers=(online,)).run()
    (record,) = trained.teachers
    assert record.digest_before == weights_digest(network(2))
    assert record.digest_after == weights_digest(online.model) != record.digest_before
