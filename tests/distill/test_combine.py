from __future__ import annotations

import pytest
import torch

from bequest.distill.combine import MeanLogits, MeanProbs, Separate, parse_combination
from bequest.errors import ConfigError, ObjectiveError

RANDOM = torch.Generator().manual_seed(0)
A, B, C = (2 * torch.randn(6, 5, generator=RANDOM, dtype=torch.float64) for _ in range(3))
SHARES = (0.5, 0.3, 0.2)


def test_mean_logits_is_the_geometric_mean_of_probabilities_at_every_temperature():
    (got,) = MeanLogits(SHARES)((A, B, C))
    torch.testing.assert_close(got, 0.5 * A + 0.3 * B + 0.2 * C)
    for t in (1.0, 4.0):
        powers = (
            torch.softmax(A / t, 1) ** 0.5 * torch.softmax(B / t, 1) ** 0.3 * torch.softmax(C / t, 1) ** 0.2
        )
        torch.testing.assert_close(torch.softmax(got / t, 1), powers / powers.sum(1, keepdim=True))


@pytest.mark.parametrize("t", [1.0, 4.0])
def test_mean_probs_has_the_mean_probability_at_its_temperature(t):
    (got,) = MeanProbs(SHARES, temperature=t)((A, B, C))
    expected = 0.5 * torch.softmax(A / t, 1) + 0.3 * torch.softmax(B / t, 1) + 0.2 * torch.softmax(C / t, 1)
    torch.testing.assert_close(torch.softmax(got / t, 1), expected)


@pytest.mark.parametrize("combine", [MeanLogits(), MeanProbs()])
def test_equal_shares_by_default_and_one_teacher_is_itself(combine):
    weighed = type(combine)((0.5, 0.5))
    assert torch.equal(combine((A, B))[0], weighed((A, B))[0])
    assert combine((A,)) == (A,)


def test_a_weight_of_zero_leaves_a_teacher_out():
    torch.testing.assert_close(torch.softmax(MeanProbs((1.0, 0.0))((A, B))[0], 1), torch.softmax(A, 1))


def test_half_precision_is_averaged_in_float32():
    half = A.to(torch.bfloat16), B.to(torch.bfloat16)
    assert torch.equal(MeanProbs()(half)[0], MeanProbs()((half[0].float(), half[1].float()))[0])


def test_sequences_are_combined_alike():
    x, y = A.view(2, 3, 5), B.view(2, 3, 5)
    assert torch.equal(MeanProbs()((x, y))[0].view(6, 5), MeanProbs()((A, B))[0])


def test_separate_teachers_stay_apart():
    assert Separate()((A, B)) == (A, B)


@pytest.mark.parametrize("combine", [MeanLogits(SHARES), MeanProbs(temperature=2.0), Separate()])
def test_specs_round_trip(combine):
    assert parse_combination(combine.spec()) == combine


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"weights must sum to 1, not 0\.9"):
        MeanLogits((0.5, 0.4))
    with pytest.raises(ConfigError, match="weights must sum to 1, not 2"):
        MeanProbs((1.0, 1.0))
    with pytest.raises(ConfigError, match="greater than or equal to 0"):
        MeanLogits((1.5, -0.5))
    with pytest.raises(ObjectiveError, match="3 weights, one per teacher"):
        MeanLogits((0.5, 0.5))((A, B, C))
    with pytest.raises(ObjectiveError, match=r"different shapes\n.*\n.*\(6, 4\), \(6, 5\)"):
        MeanProbs()((A, B[:, :4]))
