"""The packed codec: every bit comes back, the error is what is said, and no answer needs another."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr
from typer.testing import CliRunner

import bequest as bq
from bequest.cli.store import app
from bequest.data.views import Shift
from bequest.distill.objectives import KD, parse_objective
from bequest.distill.stores import Packed, verify_store
from bequest.distill.stores.codecs import parse_codec, reading_temperature
from bequest.distill.stores.job import as_rows
from bequest.distill.stores.manifest import MANIFEST, read_manifest
from bequest.distill.stores.packed import IndexCode
from bequest.errors import ConfigError, SignalError

from .conftest import contents

LLAMA = 128_256


def answers(rows, *shape, scale=5.0, seed=0):
    return scale * torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed))


def back(codec, logits):
    rows = codec.encode(logits, torch.arange(len(logits)), 0, seed=0)
    assert (rows.dtype, rows.shape[1:]) == codec.layout(tuple(logits.shape[1:]))
    return codec.decode(as_rows(rows), tuple(logits.shape[1:])), rows


@given(st.integers(3, 5000), st.integers(2, 64), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_set_of_classes_comes_back(classes, count, seed):
    count = min(count, classes - 1)
    dice = np.random.default_rng(seed)
    numbers = np.sort([dice.choice(classes, count, replace=False) for _ in range(3)], axis=1)
    code = IndexCode(classes, count)
    bits = code.encode(numbers)
    assert bits.shape == (3, code.bits)
    assert torch.equal(code.decode(torch.from_numpy(bits)), torch.from_numpy(numbers))


def test_the_code_of_a_set_is_near_its_information():
    code = IndexCode(LLAMA, 50)
    information = sum(math.log2((LLAMA - k) / (k + 1)) for k in range(50))
    assert information == pytest.approx(634, abs=1)
    assert code.bits == 662
    edges = np.array([[0, *range(1, 49), LLAMA - 1], [*range(LLAMA - 50, LLAMA)]])
    assert torch.equal(code.decode(torch.from_numpy(code.encode(edges))), torch.from_numpy(edges))


def test_a_token_of_50_classes_out_of_128256_takes_at_most_120_bytes():
    dtype, shape = Packed().layout((LLAMA,))
    assert (dtype.itemsize, shape) == (118, ())
    logits = answers(3, LLAMA, scale=3.0)
    decoded, rows = back(Packed(), logits)
    assert rows.nbytes == 3 * 118
    top = logits.topk(50).indices.sort().values
    assert torch.equal(decoded.topk(50).indices.sort().values, top)


@pytest.mark.parametrize("bits", [4, 5, 8, 16])
@pytest.mark.parametrize("scale", [0.5, 3.0, 10.0])
def test_kept_probabilities_are_within_half_a_level_and_masses_are_the_teachers(bits, scale):
    logits = answers(20, 1000, scale=scale)
    codec = Packed(k=30, bits=bits)
    decoded, _ = back(codec, logits)
    exact = torch.from_numpy(log_softmax(logits.double().numpy(), -1))
    read = torch.log_softmax(decoded.double(), -1)
    kept = exact.topk(30)
    step = (kept.values[:, :1] - kept.values[:, -1:]) / (2**bits - 1)
    # Half a level each, and as much again for the sum that they are normalised by; float16 rounds the range
    # and the others' mass by 2⁻¹¹ of themselves.
    gap = (read.gather(1, kept.indices) - kept.values).abs()
    rounding = (kept.values[:, :1] - kept.values[:, -1:]) * 2**-10 + 2e-3
    assert bool((gap <= step * 1.01 + rounding).all())
    masked = torch.ones_like(exact, dtype=torch.bool).scatter_(1, kept.indices, False)
    rest = [x.exp().masked_fill(~masked, 0).sum(1) for x in (exact, read)]
    assert torch.allclose(*rest, rtol=2e-3, atol=1e-6)


def test_the_error_is_the_kl_divergence_and_shrinks_with_bits():
    logits = answers(20, 1000, scale=4.0)
    p = np.exp(log_softmax(logits.double().numpy(), -1))
    errors = []
    for bits in (3, 5, 8):
        codec = Packed(k=30, bits=bits)
        decoded, _ = back(codec, logits)
        q = np.exp(log_softmax(decoded.double().numpy(), -1))
        error = codec.error(decoded, logits)
        assert np.allclose(error, rel_entr(p, q).sum(-1), atol=1e-9)
        errors.append(float(error.mean()))
    assert all(more > less for more, less in pairwise(errors))


def test_a_row_does_not_depend_on_the_others_and_positions_are_kept_apart():
    logits = answers(6, 4, 200)
    whole, rows = back(Packed(k=10), logits)
    part, some = back(Packed(k=10), logits[[4, 1]])
    assert torch.equal(part, whole[[4, 1]])
    assert some.tobytes() == rows[[4, 1]].tobytes()


def test_equal_and_masked_logits():
    flat, _ = back(Packed(k=3), torch.zeros(2, 10))
    assert torch.allclose(torch.softmax(flat, -1), torch.full((2, 10), 0.1), atol=1e-3)
    masked = torch.tensor([[3.0, 1.0, 0.0, -math.inf, -math.inf]])
    decoded, _ = back(Packed(k=3, bits=16), masked)
    assert torch.allclose(torch.softmax(decoded, -1), torch.softmax(masked, -1), atol=1e-4)
    with pytest.raises(SignalError, match="masks so many classes with -inf that 4 are not left"):
        back(Packed(k=4), masked)


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (KD(2.0), "known at T = 1 only"),
        (parse_objective("logit_mse"), "more than a mean"),
        (parse_objective("hard"), "more than a mean"),
    ],
)
def test_what_it_cannot_serve_is_refused(objective, reason):
    with pytest.raises(SignalError, match=reason):
        reading_temperature(Packed(), objective)
    assert reading_temperature(Packed(), KD(1.0)) == 1.0


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(SignalError, match="k must be below the number of classes"):
        Packed(k=10).layout((10,))
    with pytest.raises(ConfigError, match="bits"):
        parse_codec({"name": "packed", "bits": 1})


def test_a_store_says_what_it_lost_and_ends_alike_after_an_interruption(teacher, data, tmp_path):
    def build(path, **options):
        return bq.build_store(
            teacher, data, views=Shift(1), count=2, codec=Packed(k=3), path=path, batch=7, **options
        )

    store = build(tmp_path / "whole")
    (recording,) = (recording for row in store.grid for recording in row)
    lost = []
    for view in range(2):
        x = Shift(1)(data["train"].x, data["train"].ids, view, seed=0)
        logits = torch.cat([teacher.eval()(chunk) for chunk in x.split(7)]).detach()
        p = np.exp(log_softmax(logits.double().numpy(), -1))
        read = recording.logits(view, torch.arange(60)).double().numpy()
        lost += rel_entr(p, np.exp(log_softmax(read, -1))).sum(-1).tolist()
    error = store.manifests[0].error
    assert error.mean == pytest.approx(np.mean(lost), rel=1e-4)
    assert error.largest == pytest.approx(max(lost), rel=1e-4)
    checked = verify_store(tmp_path / "whole")
    assert (checked.kl_mean, checked.kl_largest) == (pytest.approx(error.mean), error.largest)

    class Stopped(Exception):
        pass

    def stop(done, total):
        if done >= 80:
            raise Stopped

    with pytest.raises(Stopped):
        build(tmp_path / "stopped", pieces=(1, 0.0), progress=stop)
    build(tmp_path / "stopped")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    fitted = bq.distill("mlp", data, signal=store, objective=KD(1.0), epochs=2, batch=15)
    assert fitted.record.teachers[0].mode == "stored"


def test_the_command_line_says_what_was_lost(teacher, data, tmp_path):
    bq.build_store(teacher, data, codec=Packed(k=3), path=tmp_path)
    for verb in ("info", "verify"):
        shown = CliRunner().invoke(app, [verb, str(tmp_path)])
        assert shown.exit_code == 0
        assert "KL from the teacher" in shown.output
        printed = json.loads(CliRunner().invoke(app, [verb, str(tmp_path), "--json"]).output)
        entry = printed if verb == "verify" else printed["recordings"][0]
        assert entry["kl_mean"] == read_manifest(tmp_path / MANIFEST).error.mean


def test_exact_and_sampled_stores_say_nothing_of_it(teacher, data, tmp_path):
    for codec in ("float32", {"name": "sampled"}):
        store = bq.build_store(teacher, data, codec=codec, path=tmp_path / str(len(str(codec))))
        assert store.manifests[0].error is None
