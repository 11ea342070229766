from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.distill import objectives as bare
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import CKA, KD, CrossEntropy, Sum, VkD, parse_objective
from bequest.errors import ConfigError, ObjectiveError, UnknownName

RANDOM = torch.Generator().manual_seed(0)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=RANDOM)


LOGITS, Y = draw(8, 5), torch.randint(0, 5, (8,), generator=RANDOM)
STUDENT = {"fc1": draw(8, 6), "fc2": draw(8, 4), "map": draw(8, 6, 3, 3)}
GUIDE = {"conv1": draw(8, 3, 4, 4), "conv2": draw(8, 7), "words": draw(8, 5, 3)}
FULL = Exchange(LOGITS, Y, teacher_logits=(LOGITS,), student_features=STUDENT, teacher_features=({}, GUIDE))
PAIRS = CKA(("fc1", "fc2"), ("conv1", "conv2"), teacher=1)


def test_cka_is_the_mean_over_pairs_of_layers():
    loss, parts = PAIRS(FULL)
    first = bare.cka_guidance(STUDENT["fc1"], GUIDE["conv1"])
    second = bare.cka_guidance(STUDENT["fc2"], GUIDE["conv2"])
    assert float(loss) == pytest.approx(float(first + second) / 2)
    assert {k: float(v) for k, v in parts.items()} == pytest.approx(
        {"cka fc1": float(first), "cka fc2": float(second)}
    )
    biased, _ = CKA(("fc1",), ("conv1",), unbiased=False, teacher=1)(FULL)
    assert float(biased) == pytest.approx(
        float(bare.cka_guidance(STUDENT["fc1"], GUIDE["conv1"], unbiased=False))
    )


def test_a_guide_needs_neither_labels_nor_the_same_classes():
    assert not PAIRS.needs_labels
    assert PAIRS.needs_teacher
    PAIRS.check(Exchange(LOGITS, teacher_logits=(), student_features=STUDENT, teacher_features=({}, GUIDE)))


def test_vkd_projects_the_student_s_features():
    objective = VkD("fc1", "conv2", teacher=1)
    objective.check(FULL)
    module = objective.module(FULL, seed=3)
    assert sum(p.numel() for p in module.parameters()) == 6 * 7
    loss, parts = objective(FULL, module)
    assert float(loss.detach()) == pytest.approx(
        float(bare.vkd(module(STUDENT["fc1"]), GUIDE["conv2"]).detach())
    )
    assert list(parts) == ["vkd"]
    assert not parts["vkd"].requires_grad


@pytest.mark.parametrize(
    ("own", "other", "width", "wanted"), [("map", "words", 6, 3), ("fc2", "conv1", 4, 3)]
)
def test_vkd_averages_positions(own, other, width, wanted):
    objective = VkD(own, other, teacher=1)
    module = objective.module(FULL)
    assert module.linear.weight.shape == (wanted, width)
    assert bool(objective(FULL, module)[0].isfinite())


def test_the_projector_and_the_student_both_learn():
    features = STUDENT["fc1"].clone().requires_grad_()
    exchange = Exchange(LOGITS, student_features={"fc1": features}, teacher_features=({}, GUIDE))
    objective = VkD("fc1", "conv2", teacher=1)
    module = objective.module(exchange)
    objective(exchange, module)[0].backward()
    assert float(features.grad.abs().sum()) > 0
    assert all(float(p.grad.abs().sum()) > 0 for p in module.parameters())


def test_a_sum_keeps_the_parameters_of_each_term():
    objective = Sum((CrossEntropy(), VkD("fc1", "conv2", teacher=1), VkD("fc2", "conv2", teacher=1)))
    module = objective.module(FULL, seed=5)
    assert isinstance(module, nn.ModuleDict)
    assert list(module) == ["1", "2"]
    loss, parts = objective(FULL, module)
    assert list(parts) == ["cross_entropy", "vkd", "vkd_2"]
    assert float(loss.detach()) == pytest.approx(sum(float(part) for part in parts.values()))
    same = objective.module(FULL, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), same.parameters(), strict=True))
    assert objective.student_features == ("fc1", "fc2")
    assert objective.teacher_features == ("conv2",)


def test_pieces_count_by_their_rows():
    piece = Exchange(
        LOGITS[:4],
        student_features={k: v[:4] for k, v in STUDENT.items()},
        teacher_features=({}, {k: v[:4] for k, v in GUIDE.items()}),
        rows=8,
    )
    whole = Exchange(
        LOGITS[:4], student_features=piece.student_features, teacher_features=piece.teacher_features
    )
    assert float(PAIRS(piece)[0]) == pytest.approx(float(PAIRS(whole)[0]) / 2)


@pytest.mark.parametrize("objective", [PAIRS, VkD(), VkD("a", "b", 1), Sum((KD(), VkD()))])
def test_specs_round_trip(objective):
    assert parse_objective(objective.spec()) == objective


def test_wrong_configurations():
    with pytest.raises(ConfigError, match="got 2 of the student and 1 of the teacher"):
        CKA(("a", "b"), ("c",))
    with pytest.raises(ConfigError, match="each layer needs its partner, got 0"):
        CKA((), ())


def test_activations_that_do_not_exist_show_the_nearest_names():
    with pytest.raises(UnknownName, match=r"no activation of the student 'fc3'") as caught:
        CKA(("fc3",), ("conv1",), teacher=1).check(FULL)
    assert "did you mean 'fc2' or 'fc1'" in str(caught.value)
    with pytest.raises(UnknownName, match=r"no activation of the teacher 'conv'"):
        VkD("fc1", "conv", teacher=1).check(FULL)


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(ObjectiveError, match="no activations of a teacher 2"):
        VkD("fc1", "conv1", teacher=2).check(FULL)
    short = Exchange(LOGITS, student_features={"fc1": draw(7, 6)}, teacher_features=({}, GUIDE))
    with pytest.raises(ObjectiveError, match=r"is not one per sample\n  expected: *\(8, ...\)"):
        VkD("fc1", "conv1", teacher=1).check(short)
    few = Exchange(
        LOGITS[:3], student_features={"fc1": draw(3, 6)}, teacher_features=({"conv1": draw(3, 4)},)
    )
    with pytest.raises(ObjectiveError, match="CKA needs the same samples"):
        CKA(("fc1",), ("conv1",)).check(few)
