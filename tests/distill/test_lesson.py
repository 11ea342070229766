from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bequest.data.batches import Batches
from bequest.data.generators import Normal, Uniform, Unvaried
from bequest.data.queries import ActiveSpec, Generated, Source
from bequest.data.views import Identity, Shift
from bequest.distill import engine
from bequest.distill.checkpoint import CheckpointIgnored, checkpointing
from bequest.distill.combine import MeanLogits
from bequest.distill.lesson import Lesson, record_of
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import KD, CrossEntropy, Objective, parse_objective
from bequest.distill.online import OnlineTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.score import score
from bequest.distill.teachers import Teacher
from bequest.errors import ConfigError, ModelError, TeacherChanged
from bequest.models.weights import weights_digest

RECIPE = Recipe(batch=12, epochs=3, lr=0.01)
OBJECTIVES = {
    "bound": {"name": "bound", "objective": "kd", "teacher": 0},
    "cka": {"name": "cka", "student_layers": ["penultimate"], "teacher_layers": ["penultimate"]},
    "consistency": ["cross_entropy", "consistency"],
    "cross_entropy": "cross_entropy",
    "dist": "dist",
    "dkd": "dkd",
    "hard": "hard",
    "jensen_shannon": "jensen_shannon",
    "reverse_kl": "reverse_kl",
    "skew_kl": {"name": "skew_kl", "reverse": True},
    "total_variation": "total_variation",
    "kd": {"name": "kd", "label_weight": {"name": "linear", "start": 0.5, "end": 0.0}},
    "logit_mse": "logit_mse",
    "ofa": "ofa",
    "outputs": {"name": "outputs", "of": "1"},
    "standardised": "standardised",
    "sum": ["cross_entropy", "kd", "vkd"],
    "tokens": [{"name": "bound", "objective": "cross_entropy", "token": 0}, "tokens"],
    "vkd": "vkd",
}


def train_source(toy, view=None):
    return (Source("train", toy["train"], view or Identity()),)


class Killed(Exception):
    pass


def killing(checkpoint, after):
    """The ``checkpoint``, until it has kept ``after`` states; then the process is as good as dead."""
    kept = []

    def killer(state):
        found = checkpoint(state)
        if state is not None:
            kept.append(1)
            if len(kept) == after:
                raise Killed
        return found

    return killer


def test_every_objective_is_resumed():
    ours = {name for name in Objective.known if Objective.known[name].__module__.startswith("bequest.")}
    assert set(OBJECTIVES) == ours


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_a_killed_lesson_ends_with_the_same_bytes(
    name, accumulate, network, token_network, toy, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine, "STRETCH", 4)
    objective = parse_objective(OBJECTIVES[name])
    clip, schedule = (1.0, "cosine") if accumulate == 1 else (None, "one_cycle")
    recipe = Recipe(
        batch=12, epochs=3, optimizer="adamw", accumulate=accumulate, ema=0.9, clip=clip, schedule=schedule
    )

    def lesson():
        student = token_network() if name == "tokens" else network(1, dropout=0.3)
        seeds = (2, 3) if name == "tokens" else (2,)
        teachers = tuple(Teacher(network(seed)) for seed in seeds) if objective.needs_teacher else ()
        return Lesson(student, toy, train_source(toy, Shift(1)), objective, recipe, 0, teachers=teachers)

    whole = lesson()
    expected = whole.run()
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        lesson().run(checkpoint=killing(checkpointing(path), after=3))
    resumed = lesson()
    trained = resumed.run(checkpoint=checkpointing(path))
    assert weights_digest(resumed.student) == weights_digest(whole.student)
    assert trained.outcome.history == expected.outcome.history
    assert trained.outcome.steps == 18


@pytest.mark.parametrize(
    "changed",
    ["seed", "student", "teacher", "objective", "recipe", "data", "views", "labels", "generator"],
)
def test_the_checkpoint_of_another_lesson_is_not_resumed_from(changed, network, toy, tmp_path):
    """Without a key of the caller's too: two cells may have come to write the same file."""

    def lesson(what=None):
        data = toy
        if what == "data":
            train = replace(toy["train"], x=toy["train"].x + 1)
            data = replace(toy, splits={**toy.splits, "train": train})
        noise = Uniform() if what == "generator" else Normal()
        split = data["train"] if what == "labels" else data["train"].unlabelled()
        return Lesson(
            network(9 if what == "student" else 1),
            data,
            (
                Source("train", split, Shift(2 if what == "views" else 1), 0.5),
                Generated("noise", noise.bind(split), 0.5, noise.spec()),
            ),
            KD(2.0 if what == "objective" else 4.0),
            RECIPE.model_copy(update={"lr": 0.02}) if what == "recipe" else RECIPE,
            1 if what == "seed" else 0,
            teachers=(Teacher(network(3 if what == "teacher" else 2)),),
        )

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        lesson().run(checkpoint=killing(checkpointing(path), after=1))
    other, plain = lesson(changed), lesson(changed)
    with pytest.warns(CheckpointIgnored, match="different data, weights or settings; training starts over"):
        other.run(checkpoint=checkpointing(path))
    plain.run()
    assert weights_digest(other.student) == weights_digest(plain.student)


@pytest.mark.parametrize(
    ("online", "by"),
    [(True, "divergence"), (False, "random"), (False, "entropy"), (False, "badge"), (False, "badge_clean")],
)
def test_a_killed_lesson_with_active_queries_ends_with_the_same_bytes(network, toy, tmp_path, online, by):
    def lesson():
        active = ActiveSpec(by=by, budget=30, rounds=3)
        sources = (
            Source("train", toy["train"], Identity(), 0.5),
            Source("pool", toy["train"].unlabelled(), Shift(2), 0.5, view_count=3, active=active),
        )
        teachers = (Teacher(network(2)), Teacher(network(3)))
        if online:
            teachers = (OnlineTeacher(network(2, dropout=0.2)), Teacher(network(3), mode="noisy"))
        return Lesson(
            network(1, dropout=0.2), toy, sources, KD(), RECIPE, 0, teachers=teachers, combine=MeanLogits()
        )

    whole = lesson()
    expected = whole.run()
    assert [len(rows) for rows in expected.chosen["pool"]] == [10, 10, 10]
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        lesson().run(checkpoint=killing(checkpointing(path), after=2))
    resumed = lesson()
    trained = resumed.run(checkpoint=checkpointing(path))
    assert weights_digest(resumed.student) == weights_digest(whole.student)
    assert trained.teachers == expected.teachers
    for one, other in zip(trained.chosen["pool"], expected.chosen["pool"], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("generator", [Uniform(), Normal(), Unvaried(explained=0.5)])
def test_a_killed_lesson_on_made_inputs_ends_with_the_same_bytes(network, toy, tmp_path, generator):
    def lesson():
        made = Generated("noise", generator.bind(toy["train"]), 0.5, generator.spec())
        sources = (Source("train", toy["train"].unlabelled(), Identity(), 0.5), made)
        return Lesson(network(1), toy, sources, KD(), RECIPE, 0, teachers=(Teacher(network(2)),))

    whole, path = lesson(), tmp_path / "checkpoint.pt"
    whole.run()
    with pytest.raises(Killed):
        lesson().run(checkpoint=killing(checkpointing(path), after=2))
    resumed = lesson()
    resumed.run(checkpoint=checkpointing(path))
    assert weights_digest(resumed.student) == weights_digest(whole.student)


def test_the_global_random_state_is_left_alone(network, toy):
    teachers = (Teacher(network(2, dropout=0.5), mode="noisy"),)
    lesson = Lesson(network(1, dropout=0.5), toy, train_source(toy), KD(), RECIPE, 0, teachers=teachers)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    lesson.run()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_result_follows_from_the_seed_alone(network, toy):
    digests = []
    for noise, seed in ((1, 0), (2, 0), (3, 1)):
        lesson = Lesson(
            network(1, dropout=0.5), toy, train_source(toy, Shift(1)), CrossEntropy(), RECIPE, seed
        )
        torch.manual_seed(noise)
        lesson.run()
        digests.append(weights_digest(lesson.student))
    assert digests[0] == digests[1] != digests[2]


def test_a_teacher_that_is_sabotaged_while_it_teaches_fails_the_run(network, toy):
    model = network(2, batch_norm=True)

    def sabotage(epoch, student):
        if epoch == 2:
            model[2].running_mean += 1e-4

    lesson = Lesson(network(1), toy, train_source(toy), KD(), RECIPE, 0, teachers=(Teacher(model),))
    with pytest.raises(TeacherChanged, match="the teacher 'teacher' changed while it taught"):
        lesson.run(callbacks=[sabotage])


def test_the_record_says_who_taught_and_how(network, toy):
    frozen, noisy = network(2, batch_norm=True, dropout=0.2), network(3, dropout=0.2)
    teachers = (
        Teacher(frozen, name="frozen"),
        Teacher(noisy, name="noisy", mode="noisy"),
        OnlineTeacher(network(4), name="online"),
    )
    lesson = Lesson(
        network(1), toy, train_source(toy), KD(), RECIPE, 5, teachers=teachers, combine=MeanLogits()
    )
    trained = lesson.run()
    record = record_of(lesson, trained, arm="student", config={"a": 1})
    assert [(t.arm, t.mode) for t in record.teachers] == [
        ("frozen", "eval"), ("noisy", "noisy"), ("online", "online"),
    ]  # fmt: skip
    same = [t.digest_before == t.digest_after for t in record.teachers]
    assert same == [True, True, False]
    assert record.teachers[0].digest_before == weights_digest(frozen)
    assert record.teachers[2].digest_after == weights_digest(teachers[2].model)
    assert all(set(t.validation) == {"accuracy", "nll"} for t in record.teachers)
    assert (record.seed, record.arm, record.status, record.steps, record.epochs) == (
        5,
        "student",
        "done",
        18,
        3,
    )
    assert record.weights_digest == weights_digest(lesson.student)
    assert record.data_digest == toy.digest
    assert record.last["epoch"] == 3


def test_an_online_teacher_learns(network, toy):
    online = OnlineTeacher(network(2))
    recipe = Recipe(batch=12, epochs=40, lr=0.01)
    untaught = score(network(2), toy["validation"])["accuracy"]
    trained = Lesson(network(1), toy, train_source(toy), KD(), recipe, 0, teachers=(online,)).run()
    assert trained.teachers[0].validation["accuracy"] > untaught + 0.2
    assert trained.outcome.last["accuracy"] > untaught + 0.2


def test_a_teacher_worse_than_the_student_alone_is_worth_a_word(network, toy):
    for plain, count in ((1.0, 1), (0.0, 0), (None, 0)):
        lesson = Lesson(
            network(1),
            toy,
            train_source(toy),
            KD(),
            RECIPE,
            0,
            teachers=(Teacher(network(2)),),
            plain_accuracy=plain,
        )
        trained = lesson.run()
        assert len(trained.warnings) == count
    lesson = Lesson(
        network(1),
        toy,
        train_source(toy),
        KD(),
        RECIPE,
        0,
        teachers=(Teacher(network(2), name="poor"),),
        plain_accuracy=1.0,
    )
    (warning,) = lesson.run().warnings
    assert warning.startswith("the teacher 'poor' is no better on the validation split (0.")
    assert warning.endswith("than the student trained alone (1.000)")


def test_what_does_not_fit_is_refused_before_a_step(network, toy):
    student = network(1)
    before = weights_digest(student)
    wide = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(36, 9)))
    pool = Source("pool", toy["train"], Identity(), active=ActiveSpec(by="disagreement", budget=8))
    for lesson, kind in (
        (Lesson(student, toy, train_source(toy), KD(), RECIPE, 0, teachers=(wide,)), ModelError),
        (Lesson(student, toy, (pool,), KD(), RECIPE, 0, teachers=(Teacher(network(2)),)), ConfigError),
    ):
        with pytest.raises(kind):
            lesson.run()
    assert weights_digest(student) == before


def test_active_queries_are_chosen_by_the_students_divergence(network, toy):
    active = ActiveSpec(by="divergence", budget=12, rounds=2)
    pool = Source("pool", toy["train"].unlabelled(), Identity(), active=active)
    lesson = Lesson(network(1), toy, (pool,), KD(), RECIPE, 0, teachers=(Teacher(network(2)),))
    chosen = torch.cat(list(lesson.run().chosen["pool"]))
    assert len(chosen.unique()) == 12
    x = toy["train"].x
    log_p, log_q = (torch.log_softmax(network(k)(x).detach(), -1) for k in (2, 1))
    gaps = (log_p.exp() * (log_p - log_q)).sum(1)
    assert chosen[:6].tolist() == gaps.topk(6).indices.tolist()


def test_generated_queries_need_no_data_of_their_own(network, toy):
    def noise(rows, generator):
        return torch.randn(rows, 1, 6, 6, generator=generator)

    teacher, student = network(2), network(1)
    lesson = Lesson(
        student, toy, (Generated("noise", noise),), KD(), Recipe(batch=12, epochs=60, lr=0.01), 0,
        teachers=(Teacher(teacher),),
    )  # fmt: skip

    def gap():
        x = toy["test"].x
        return float((torch.softmax(student(x), -1) - torch.softmax(teacher(x), -1)).abs().mean().detach())

    before = gap()
    lesson.run()
    assert gap() < before / 2


def test_a_signal_may_stand_for_the_teachers(network, toy):
    teacher, sources = network(2), train_source(toy)
    stored = LiveTeachers([Teacher(teacher)], sources)
    found = []
    for lesson in (
        Lesson(network(1), toy, sources, KD(), RECIPE, 0, signal=stored),
        Lesson(network(1), toy, sources, KD(), RECIPE, 0, teachers=(Teacher(teacher),)),
    ):
        lesson.run()
        found.append(weights_digest(lesson.student))
    assert found[0] == found[1]


def test_padding_is_masked(reader, words):
    sources = (Source("train", words["train"], Identity()),)
    student = reader(1)
    changed = student[0].weight.detach()[0].clone()
    recipe = Recipe(batch=8, epochs=2)
    Lesson(student, words, sources, CrossEntropy(), recipe, 0, padding=0).run()
    assert torch.equal(student[0].weight[0], changed)
    Lesson(student, words, sources, CrossEntropy(), recipe, 0).run()
    assert not torch.equal(student[0].weight[0], changed)


def test_logs_are_told_each_row(network, toy):
    rows = []
    trained = Lesson(network(1), toy, train_source(toy), CrossEntropy(), RECIPE, 0).run(log=rows.append)
    assert rows == trained.outcome.history
    batches = Batches(train_source(toy), batch=12, seed=0)
    assert len(rows) == 1 + 18 // (len(toy["train"]) // batches.batch)
