from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bequest.errors import RunFolderError
from bequest.records import Measurement
from bequest.report.differences import compare, difference
from bequest.report.folder import read_run

SEED_VALUES = st.lists(st.integers(0, 16).map(lambda k: k / 16), min_size=2, max_size=6, unique=True)


def of_seeds(values, first_seed=0, **more) -> Measurement:
    per_seed = {str(first_seed + k): value for k, value in enumerate(values)}
    place = {"measure": "accuracy", "arm": "a", "split": "test", "n": len(values)}
    return Measurement(**place | {"value": float(np.mean(values)), "per_seed": per_seed} | more)


@given(SEED_VALUES, SEED_VALUES)
def test_runs_of_other_seeds_have_welchs_interval(one, two):
    found = difference(of_seeds(one), of_seeds(two, first_seed=100))
    oracle = stats.ttest_ind(two, one, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-6)
    assert found.value == pytest.approx(np.mean(two) - np.mean(one))


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=2, max_size=6))
def test_runs_of_the_same_seeds_have_a_paired_interval(pairs):
    one, two = ([value / 128 for value in values] for values in zip(*pairs, strict=True))
    found = difference(of_seeds(one), of_seeds(two))
    gains = np.subtract(two, one)
    if np.ptp(gains) == 0:
        assert (found.low, found.high) == (None, None)
        return
    half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    assert (found.low, found.high) == pytest.approx((gains.mean() - half, gains.mean() + half), abs=1e-6)


def test_a_ratio_of_means_a_single_seed_and_an_undefined_seed_have_no_interval():
    mean = of_seeds([0.2, 0.4])
    for other in (
        mean.model_copy(update={"value": 0.9}),
        of_seeds([0.9]),
        mean.model_copy(update={"per_seed": {"0": 0.3, "1": None}}),
    ):
        found = difference(mean, other)
        assert (found.low, found.high) == (None, None)
        assert found.value == pytest.approx(other.value - 0.3)


def test_what_one_run_does_not_have_has_no_difference():
    undefined = Measurement(measure="accuracy", arm="a", value=None, n=0, reason="none")
    assert difference(None, of_seeds([0.1, 0.2])) is None
    assert difference(undefined, of_seeds([0.1, 0.2])) is None


def test_arms_are_matched_by_name_and_differences_shown(two):
    comparison = compare([read_run(folder) for folder in two])
    assert comparison.names == ("first/run", "second/run")
    assert [fact.name for fact in comparison.facts if fact.differs] == ["scale", "arms"]
    assert comparison.unmatched == ("cnn<-mlp",)
    accuracy = comparison.tables[0]
    assert accuracy.measure == "accuracy"
    assert "cnn<-mlp" not in {number.arm for number in accuracy.numbers}
    changed = [number for number in accuracy.numbers if number.differences[0].value]
    assert [(number.arm, number.split) for number in changed] == [("mlp<-cnn+views", "translated")]
    assert changed[0].differences[0].value == pytest.approx(-0.125)
    assert not {"cka/null", "cka/ceiling"} & {table.measure for table in comparison.tables}


def test_claims_are_matched_by_their_id(two):
    claims = compare([read_run(folder) for folder in two]).claims
    assert [v and v.verdict for v in claims[0].verdicts] == ["upheld", "undecided"]
    assert all(claim.verdicts[1] is None for claim in claims[1:])


def test_a_run_is_not_compared_with_itself(two):
    with pytest.raises(RunFolderError, match="a comparison needs different runs"):
        compare([read_run(two[0]), read_run(two[0] / ".." / "run")])
