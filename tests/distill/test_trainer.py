from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bequest.data.batches import Batches
from bequest.data.datasets import Split
from bequest.data.queries import Source
from bequest.data.views import Identity, Shift, parse_views
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import KD, CrossEntropy, Objective, parse_objective
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher
from bequest.distill.trainer import Trainer
from bequest.errors import ConfigError, NonFiniteLoss, ObjectiveError, UnknownName

ADDITIVE = {
    "consistency": ["cross_entropy", "consistency"],
    "jensen_shannon": "jensen_shannon",
    "reverse_kl": "reverse_kl",
    "skew_kl": "skew_kl",
    "total_variation": "total_variation",
    "bound": {"name": "bound", "objective": "kd", "teacher": 0},
    "cross_entropy": {"name": "cross_entropy", "smoothing": 0.1},
    "dist": {"name": "dist", "gamma": 0.0},
    "dkd": "dkd",
    "hard": "hard",
    "kd": {"name": "kd", "label_weight": 0.3},
    "logit_mse": "logit_mse",
    "ofa": "ofa",
    "outputs": {"name": "outputs", "of": "1"},
    "standardised": "standardised",
    "sum": ["cross_entropy", {"name": "kd", "temperature": {"name": "linear", "start": 5, "end": 2}}],
    "tokens": [{"name": "bound", "objective": "cross_entropy", "token": 0}, "tokens"],
    "vkd": "vkd",
}


def doubled(split: Split) -> Split:
    return Split(split.x.double(), split.y, split.ids)


def trainer(
    student,
    sources,
    objective,
    *,
    teachers=(),
    steps=12,
    batch=8,
    padding=None,
    seed=0,
    signal=None,
    **recipe,
):
    batches = Batches(sources, batch=batch, seed=seed, steps=steps)
    if teachers:
        asked = [Teacher(model) for model in teachers]
        signal = LiveTeachers(asked, sources, features=objective.teacher_features)
    recipe = Recipe(batch=batch, **recipe)
    return Trainer(student, batches, objective, recipe, steps=steps, signal=signal, padding=padding)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten().double() for value in model.state_dict().values()])


def test_every_objective_is_tried():
    ours = {name for name in Objective.known if Objective.known[name].__module__.startswith("bequest.")}
    assert {*ADDITIVE, "cka"} == ours


@pytest.mark.parametrize("name", sorted(ADDITIVE))
@pytest.mark.parametrize("labelled", ["all", "some"])
def test_accumulation_equals_one_large_batch(name, labelled, network, token_network, toy):
    objective = parse_objective(ADDITIVE[name])
    split = doubled(toy["train"])
    mixup = parse_views("mixup")
    sources = (Source("train", split, mixup),)
    if labelled == "some":
        half = Source("labelled", split, Identity(), 0.5)
        sources = (half, Source("pool", split.unlabelled(), Shift(1), 0.5))
    found = []
    for pieces in (1, 2, 4):
        student = network(1).double()
        teachers = [network(2).double()] if objective.needs_teacher else []
        if name == "tokens":
            student = token_network().double()
            student.body[3].p = 0.0
            teachers.append(network(3).double())
        made = trainer(
            student, sources, objective, teachers=teachers, optimizer="sgd", lr=0.1, accumulate=pieces
        )
        for _ in range(4):
            made.step()
        found.append((weights(student), made.mean_losses()))
    (one, losses), *rest = found
    for other, parts in rest:
        assert torch.allclose(one, other, atol=1e-12, rtol=0)
        assert parts == pytest.approx(losses, abs=1e-12)


@pytest.mark.parametrize("objective", ["kd", "cross_entropy", ["cross_entropy", "hard"]])
@pytest.mark.parametrize("padding", [0, None])
def test_accumulation_counts_positions_of_sequences(objective, padding, reader, words):
    found = []
    sources = (Source("train", words["train"], Identity()),)
    objective = parse_objective(objective)
    for pieces in (1, 4):
        student = reader(1).double()
        made = trainer(
            student,
            sources,
            objective,
            teachers=[reader(2).double()] if objective.needs_teacher else [],
            padding=padding,
            optimizer="sgd",
            accumulate=pieces,
        )
        for _ in range(4):
            made.step()
        found.append(weights(student))
    assert torch.allclose(*found, atol=1e-12, rtol=0)


def test_a_step_is_that_of_a_bare_loop(network, toy):
    student, bare = network(1), network(1)
    split = toy["train"]
    made = trainer(student, (Source("train", split, Identity()),), CrossEntropy(), optimizer="adamw", lr=0.01)
    optimizer = torch.optim.AdamW(bare.parameters(), lr=0.01, weight_decay=0.0, fused=True)
    batches = Batches((Source("train", split, Identity()),), batch=8, seed=0)
    total = 0.0
    for step in range(12):
        made.step()
        rows = batches.at(step).parts[0].rows
        loss = nn.functional.cross_entropy(bare(split.x[rows]), split.y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    assert torch.equal(weights(student), weights(bare))
    assert made.mean_losses() == pytest.approx({"loss": total / 12, "cross_entropy": total / 12})


def test_clipping_bounds_the_gradient(network, toy):
    student = network(1)
    before = weights(student)
    sources = (Source("train", toy["train"], Identity()),)
    trainer(student, sources, CrossEntropy(), optimizer="sgd", lr=1.0, clip=1e-3).step()
    assert float((weights(student) - before).norm()) == pytest.approx(1e-3, rel=1e-4)


def test_the_average_is_what_is_evaluated(network, toy):
    student = network(1)
    sources = (Source("train", toy["train"], Identity()),)
    made = trainer(student, sources, CrossEntropy(), optimizer="sgd", lr=0.5, ema=0.9)
    made.step()
    average = weights(student)
    for _ in range(5):
        made.step()
        average = 0.9 * average + 0.1 * weights(student)
    assert torch.allclose(weights(made.evaluated), average, atol=1e-6)
    assert not torch.allclose(weights(student), average, atol=1e-3)
    made.finish()
    assert torch.equal(weights(student), weights(made.evaluated))
    assert not student.training


def test_schedules_turn_the_rate(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    schedule = {"name": "linear", "start": 1.0, "end": 0.0}
    made = trainer(
        network(1), sources, CrossEntropy(), lr=0.2, schedule=schedule, rates={"4.*": 10.0}, steps=4
    )
    seen = []
    for _ in range(4):
        made.step()
        seen.append([group["lr"] for group in made.optimizer.param_groups])
    assert [rate for _, rate in seen] == pytest.approx([2.0, 1.5, 1.0, 0.5])
    assert [rate for rate, _ in seen] == pytest.approx([0.2, 0.15, 0.1, 0.05])


def test_half_precision_reaches_the_student_and_not_the_teacher(network, toy):
    teacher, student = network(2), network(1)
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(torch.is_autocast_enabled("cpu"))
            return teacher(x)

    sources = (Source("train", toy["train"], Shift(1)),)
    made = trainer(student, sources, KD(), teachers=[Spy()], precision="bf16")
    student[1].register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    seen.clear()
    made.step()
    assert seen == [False, torch.bfloat16]
    assert next(student.parameters()).dtype == torch.float32


def test_fp16_scales_its_gradients(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    student, plain = network(1), network(1)
    made = trainer(student, sources, CrossEntropy(), optimizer="sgd", lr=0.1, clip=5.0, precision="fp16")
    other = trainer(plain, sources, CrossEntropy(), optimizer="sgd", lr=0.1, clip=5.0)
    for _ in range(3):
        made.step()
        other.step()
    assert torch.allclose(weights(student), weights(plain), atol=1e-3)
    assert made.state()["scaler"]["scale"] == 65536.0


def test_channels_last_lays_images_out_and_changes_no_number(toy):
    def convolutional():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))

    found = []
    sources = (Source("train", toy["train"], Identity()),)
    for last in (False, True):
        student = convolutional()
        made = trainer(student, sources, CrossEntropy(), channels_last=last)
        made.advance(3)
        found.append(weights(student))
    assert student[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(*found, atol=1e-5)


def test_channels_last_needs_images(reader, words):
    sources = (Source("train", words["train"], Identity()),)
    with pytest.raises(ConfigError, match=r"channels_last: needs images \(C, H, W\), not inputs \(5,\)"):
        trainer(reader(0), sources, CrossEntropy(), channels_last=True)


def test_frozen_batchnorm_keeps_its_statistics(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    for frozen in (True, False):
        student = network(1, batch_norm=True)
        before = copy.deepcopy(student[2].state_dict())
        trainer(student, sources, CrossEntropy(), freeze_batchnorm=frozen).advance(3)
        assert torch.equal(student[2].running_mean, before["running_mean"]) is frozen
        assert not torch.equal(student[2].weight, before["weight"])


def test_a_rate_of_nothing_leaves_parameters_alone(network, toy):
    student = network(1)
    before = copy.deepcopy(student.state_dict())
    sources = (Source("train", toy["train"], Identity()),)
    made = trainer(student, sources, CrossEntropy(), rates={"1.*": 0.0}, clip=1.0)
    made.advance(3)
    assert torch.equal(student[1].weight, before["1.weight"])
    assert not torch.equal(student[4].weight, before["4.weight"])
    assert student[1].weight.grad is None


def test_dropout_follows_from_the_step(network, toy):
    sources = (Source("train", toy["train"], Identity()),)
    found = []
    for noise in (1, 2):
        student = network(1, dropout=0.5)
        made = trainer(student, sources, CrossEntropy())
        made.advance(4)
        torch.manual_seed(noise)
        made.advance(8)
        found.append(weights(student))
    assert torch.equal(*found)
    student = network(1, dropout=0.5)
    other = trainer(student, sources, CrossEntropy(), seed=1)
    other.advance(8)
    assert not torch.equal(weights(student), found[0])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_names_the_step_and_the_part(accumulate, network, toy):
    split = toy["train"]
    sources = (Source("train", split, Identity()),)
    batches = Batches(sources, batch=8, seed=0)
    x = split.x.clone()
    x[batches.at(5).parts[0].rows[3]] = torch.inf
    broken = (Source("train", Split(x, split.y, split.ids), Identity()),)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.Tanh())

    class Careful(nn.Module):
        def forward(self, x):
            return teacher(x.nan_to_num(posinf=0.0))

    made = trainer(
        network(1),
        broken,
        parse_objective(["hard", "cross_entropy"]),
        teachers=[Careful()],
        accumulate=accumulate,
    )
    with pytest.raises(NonFiniteLoss) as caught:
        made.advance(12)
    assert str(caught.value).splitlines() == [
        "the loss of the student is not finite at step 5 of 12",
        "  expected: a finite loss",
        "  got:      loss, hard, cross_entropy not finite",
        "  remedy:   lower the learning rate, clip gradients, or check the teacher's logits",
    ]


def test_what_does_not_fit_is_refused_before_the_first_step(network, toy):
    sources = (Source("train", toy["train"].unlabelled(), Identity()),)
    with pytest.raises(ObjectiveError, match="the objective needs labels and the data has none"):
        trainer(network(1), sources, CrossEntropy())
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(ObjectiveError, match="student and teacher logits have different shapes"):
        trainer(network(1), sources, KD(), teachers=[narrow])
    with pytest.raises(ObjectiveError, match="the objective does not fit the number of teachers"):
        trainer(network(1), sources, KD(), teachers=[network(2), network(3)])
    objective = parse_objective({"name": "vkd", "student_layer": "penultimat"})
    with pytest.raises(UnknownName, match="did you mean 'penultimate'"):
        trainer(network(1), sources, objective, teachers=[network(2)])


def test_the_students_activations_are_let_go(network, toy):
    student = network(1)
    sources = (Source("train", toy["train"], Identity()),)

    def hooks():
        return sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks) for module in student.modules()
        )

    made = trainer(student, sources, parse_objective("vkd"), teachers=[network(2)])
    made.step()
    assert hooks() == 1
    made.finish()
    assert hooks() == 0
    with pytest.raises(ConfigError, match="matches no parameter"):
        trainer(student, sources, parse_objective("vkd"), teachers=[network(2)], rates={"head.*": 2.0})
    with pytest.raises(ObjectiveError):
        trainer(student, sources, parse_objective("vkd"), teachers=[])
    assert hooks() == 0


def test_trying_the_objective_changes_nothing(network, toy):
    student = network(1, dropout=0.5, batch_norm=True).train()
    student[2].eval()
    teacher = network(2)
    before, random = weights(student), torch.get_rng_state()
    trainer(student, (Source("train", toy["train"], Identity()),), KD(), teachers=[teacher])
    assert torch.equal(weights(student), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert student.training
    assert not student[2].training


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler warns of its own imports
@pytest.mark.parametrize("objective", ["kd", "vkd"])
def test_a_compiled_student_learns_the_same(objective, network, toy):
    found = []
    sources = (Source("train", toy["train"], Shift(1)),)
    for compiled in (False, True):
        student = network(1)
        made = trainer(student, sources, parse_objective(objective), teachers=[network(2)], compile=compiled)
        made.advance(6)
        found.append(weights(student))
    assert torch.allclose(*found, atol=1e-5)


def test_the_l1_penalty_adds_the_gradient_of_the_sum_of_magnitudes(toy, network):
    """One step of plain SGD on loss + l1 · Σ|w| over matrices, by autograd."""
    strength, rate = 0.03, 0.1
    sources = (Source("train", toy["train"], Identity()),)
    built = network(1)
    reference = copy.deepcopy(built)
    taken = trainer(built, sources, CrossEntropy(), optimizer="sgd", lr=rate, l1=strength)
    batch = Batches(sources, batch=8, seed=0, steps=12).at(0)
    taken.advance(1)
    loss = nn.functional.cross_entropy(reference(batch.x), batch.labels)
    loss = loss + strength * sum(p.abs().sum() for p in reference.parameters() if p.ndim > 1)
    loss.backward()
    for own, expected in zip(built.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, expected - rate * expected.grad)
