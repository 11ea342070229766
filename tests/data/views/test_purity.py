"""A view is a function of (seed, id, view id) alone, in every batch, order, thread count and process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.data.views import (
    Brightness,
    Choice,
    Compose,
    Contrast,
    Crop,
    CutMix,
    Erase,
    Flip,
    Identity,
    Mixup,
    Noise,
    Randaugment,
    ResizedCrop,
    Rotate,
    Scale,
    Shear,
    Shift,
    ShiftEach,
    WordDropout,
    parse_views,
)

IMAGES = [
    Identity(),
    Shift(3),
    Shift(2, "reflect"),
    ShiftEach(moves=((1, 0), (0, -2))),
    Crop(4),
    ResizedCrop(),
    Flip(),
    Rotate(40),
    Scale(0.6, 1.4),
    Shear(0.4),
    Erase(rate=0.7),
    Brightness(0.3),
    Contrast(0.5),
    Noise(0.2),
    Randaugment(2, 9),
    Mixup(0.8),
    CutMix(),
    Compose((Crop(4), Flip(), Noise(0.1))),
    Compose((Crop(4), Flip(), Choice((Mixup(), CutMix())), Erase())),
    Compose((Rotate(20), Choice((Identity(), Compose((Flip(), Mixup())))))),
    Choice((Compose((Shift(2), Noise(0.1))), Rotate(30), Identity()), (0.5, 0.3, 0.2)),
]
EVERY = pytest.mark.parametrize("view", IMAGES, ids=lambda v: v.name)
N = 23
X = torch.randn(N, 3, 9, 11, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(100, 100 + N)
POOL = (X, IDS)
ROWS = st.lists(st.integers(0, N - 1), min_size=1, max_size=N, unique=True)


@EVERY
@settings(deadline=None, max_examples=12)
@given(rows=ROWS, seed=st.integers(0, 2**40), view_id=st.integers(0, 300))
def test_pixels_do_not_depend_on_the_batch_or_its_order(view, rows, seed, view_id):
    whole = view(X, IDS, view_id, seed=seed, pool=POOL)
    at = torch.tensor(rows)
    assert torch.equal(view(X[at], IDS[at], view_id, seed=seed, pool=POOL), whole[at])
    alone = view(X[at[:1]], IDS[at[:1]], view_id, seed=seed, pool=POOL)
    assert torch.equal(alone, whole[at[:1]])
    labels = view.mixing(IDS, view_id, seed=seed, pool=POOL)
    if labels is not None:
        partner, share = view.mixing(IDS[at], view_id, seed=seed, pool=POOL)
        assert torch.equal(partner, labels[0][at])
        assert torch.equal(share, labels[1][at])


@settings(deadline=None, max_examples=20)
@given(rows=ROWS, length=st.integers(3, 12), view_id=st.integers(0, 300))
def test_words_do_not_depend_on_the_batch_or_its_padding(rows, length, view_id):
    view = WordDropout(0.4, replacement=1)
    tokens = torch.randint(2, 50, (N, 12), generator=torch.Generator().manual_seed(0))
    at = torch.tensor(rows)
    whole = view(tokens, IDS, view_id, seed=0)
    assert torch.equal(view(tokens[at, :length], IDS[at], view_id, seed=0), whole[at, :length])


@EVERY
def test_size_type_and_input_are_kept(view):
    for dtype in (torch.float64, torch.bfloat16):
        x = X.to(dtype)
        before = x.clone()
        got = view(x, IDS, 1, seed=0, pool=(x, IDS))
        assert got.shape == x.shape
        assert got.dtype == dtype
        assert bool(got.isfinite().all())
        assert torch.equal(x, before)


@EVERY
def test_views_differ_between_view_ids_and_specs_give_them_back(view):
    same = parse_views(view.spec())
    assert same == view
    first = view(X, IDS, 0, seed=0, pool=POOL)
    assert torch.equal(first, same(X, IDS, 0, seed=0, pool=POOL))
    assert isinstance(view, Identity) or not torch.equal(first, view(X, IDS, 1, seed=0, pool=POOL))


WORKER = """
import hashlib, json, sys, torch
from bequest.data.views import parse_views

torch.set_num_threads(int(sys.argv[1]))
x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
pool = (x, torch.arange(64))
for spec in json.loads(sys.argv[2]):
    shown = parse_views(spec)(*pool, 7, seed=3, pool=pool)
    print(hashlib.sha256(shown.numpy().tobytes()).hexdigest())
"""


def test_other_processes_with_other_threads_see_the_same_pixels():
    specs = json.dumps([view.spec() for view in IMAGES])
    seen = [
        subprocess.run(
            [sys.executable, "-c", WORKER, threads, specs], capture_output=True, text=True, check=True
        )
        for threads in ("1", "2")
    ]
    assert seen[0].stdout == seen[1].stdout
    assert len(set(seen[0].stdout.split())) == len(IMAGES)
