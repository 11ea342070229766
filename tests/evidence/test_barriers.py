"""The loss along the line between two solutions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from bequest.distill.score import predict
from bequest.errors import ConfigError
from bequest.evidence.barriers import Barriers, written_symmetries
from bequest.measure import check_symmetries, match_weights, permuted
from bequest.models.catalogue import build_model
from bequest.runs.planning import planned


def nll(network, part):
    return float(cross_entropy(predict(network, part.x).double(), part.y))


def mixed(one, other, share):
    network = copy.deepcopy(one)
    second = other.state_dict()
    network.load_state_dict({k: torch.lerp(v, second[k], share) for k, v in one.state_dict().items()})
    return network


def test_the_line_goes_from_one_solution_to_the_other(readings, curves):
    (curve,) = curves("barrier", arm="mlp<-cnn")
    assert curve.teacher == "mlp<-mlp"
    assert [point.x for point in curve.points] == pytest.approx([k / 10 for k in range(11)])
    test = readings.data["test"]
    for place, share in ((0, 0.0), (5, 0.5), (10, 1.0)):
        losses = [
            nll(mixed(readings.network("mlp<-cnn", s), readings.network("mlp<-mlp", s), share), test)
            for s in (0, 1)
        ]
        assert curve.points[place].y == pytest.approx(sum(losses) / 2, rel=1e-4)


def test_matching_moves_no_end_and_an_arm_is_set_beside_its_next_seed(readings, curves):
    plain, matched = (curves(f"barrier{end}", arm="mlp")[0] for end in ("", "_after_matching"))
    test = readings.data["test"]
    ends = [nll(readings.network("mlp", seed), test) for seed in (0, 1)]
    for curve in (plain, matched):
        assert curve.points[0].y == pytest.approx(sum(ends) / 2, rel=1e-4)
        assert curve.points[-1].y == pytest.approx(sum(ends) / 2, rel=1e-4)
    assert plain.points[5].y != pytest.approx(matched.points[5].y, rel=1e-4)


def test_heights_are_measured_before_and_after_matching(measured):
    for first, second in (("mlp", "mlp"), ("mlp<-cnn", "mlp<-mlp")):
        for name in ("barrier", "barrier/matched"):
            m = measured(name, first, teacher=second, split="test")
            assert list(m.per_seed) == ["0", "1"]
            assert m.value is not None


def test_only_pairs_of_the_arms_that_remain():
    pairs = (("a", "a"), ("a", "b"))
    assert Barriers(pairs=pairs).restricted({"a"}) == Barriers(pairs=(("a", "a"),))
    assert Barriers(pairs=pairs).restricted({"b"}) is None


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([["mlp", "mpl"]], "measures.barriers: there is no arm 'mpl'; did you mean 'mlp'"),
        ([["mlp", "cnn"]], "measures.barriers: mlp and cnn have different architectures"),
        ([["mlp"]], r"measures\.barriers\.pairs"),
    ],
)
def test_faults_are_found_before_anything_runs(study, pairs, text):
    study["measures"]["barriers"] = pairs
    with pytest.raises(ConfigError, match=text):
        planned(study)


SENTENCES = ("lstm", "transformer", "transformer_seq", "utransformer_seq", "lstm_lm", "transformer_lm")


@pytest.mark.parametrize("family", SENTENCES)
def test_networks_for_sentences_compute_the_same_with_their_units_in_another_order(family):
    layers = 2
    options = {"width": 8, "layers": layers}
    options |= {"positions": 16, "heads": 2} if "transformer" in family else {}
    options |= {} if family.endswith("_lm") else {"vocabulary": 30}
    classes = 30 if family.endswith("_lm") else 2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model(family, (10,), classes, seed=0, **options)
        for parameter in network.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape)  # fresh norms and biases are constant
        words = torch.randint(1, 30, (5, 10))
    symmetries = written_symmetries(network)
    units = {symmetry.name: symmetry.size for symmetry in symmetries}
    if "lstm" in family:
        assert units == {"embedding": 8, "states.0": 8, "states.1": 8}
    else:
        blocks = range(1 if family == "utransformer_seq" else layers)
        of_blocks = {f"blocks.{k}{end}": size for k in blocks for end, size in (("", 2), (".expand", 32))}
        assert units == {"stream": 8, **of_blocks}
    check_symmetries(network, symmetries, words)
    orders = {s.name: torch.arange(s.size).roll(1) for s in symmetries}
    shuffled = permuted(network, symmetries, orders)
    matched = match_weights(shuffled, network, symmetries=symmetries)
    assert all(torch.equal(matched.orders[name], order.argsort()) for name, order in orders.items())
