"""Placement: everything that a step reads is where the student is. ``meta`` stands for a second device."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.batches import Batches
from bequest.data.queries import ActiveSpec, Source
from bequest.data.views import Identity, Mixup, Shift
from bequest.distill import trainer as engine_trainer
from bequest.distill.devices import batch_to, device_of, parse_device, to_device
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import KD, parse_objective
from bequest.distill.online import OnlineTeacher
from bequest.distill.random_teachers import RandomTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.signal import Combined
from bequest.distill.teachers import Teacher
from bequest.distill.trainer import Trainer
from bequest.errors import ConfigError

from .test_lesson import OBJECTIVES

META = torch.device("meta")
SOURCE = Path(bq.__file__).parent / "distill"
MAKES = {
    "zeros",
    "ones",
    "empty",
    "full",
    "arange",
    "eye",
    "rand",
    "randn",
    "randint",
    "randperm",
    "linspace",
    "tensor",
}
ON_THE_CPU = {
    "asked.py: zeros",  # counts queries; no network reads it
    "model_queries.py: randint",  # which prompts, drawn by a CPU generator
    "preflight.py: randn",  # drawn by a CPU generator, so that every device gets the same noise, then moved
    "random_teachers.py: randperm",  # pairs rows of samples; moved to where their ids are
    "stores/job.py: arange",  # rows of samples
    "stores/replay.py: zeros",  # a row of a store
    "stores/verify.py: randint",  # rows and views of samples
    "stores/workers.py: empty",  # stands for samples that travel in a file
}


def test_no_tensor_is_made_without_a_device():
    made = set()
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
                placed = any(keyword.arg == "device" for keyword in node.keywords)
                if of_torch and node.func.attr in MAKES and not placed:
                    made.add(f"{path.relative_to(SOURCE).as_posix()}: {node.func.attr}")
    assert made == ON_THE_CPU


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "expected auto, cpu, cuda, cuda:N or mps, got 'gpu'"),
        ("xla", "expected auto"),
        ("cuda:99", "this machine has"),
        ("", "expected auto"),
    ],
)
def test_a_device_that_is_not_here_is_refused(device, message, toy):
    with pytest.raises(ConfigError, match=message):
        parse_device(device)
    with pytest.raises(ConfigError, match=message):
        bq.fit("mlp", toy, device=device, epochs=0)


def test_auto_is_the_best_there_is():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert parse_device("auto").type == best
    assert parse_device(torch.device("cpu")) == torch.device("cpu")
    assert device_of(nn.Flatten()) == torch.device("cpu")
    assert device_of(nn.Linear(2, 2, device="meta")) == META


def test_a_batch_goes_there_whole_and_its_rows_stay(toy):
    mixed = Source("train", toy["train"], Mixup(0.5), student_view=Shift(1))
    batch = Batches((mixed,), batch=12, seed=0).at(0)
    moved = batch_to(batch, META)
    for name in ("x", "labels", "partner_labels", "label_weight", "seen"):
        assert getattr(moved, name).device == META, name
    assert moved.parts[0].rows.device.type == "cpu"
    assert batch_to(batch, torch.device("cpu")) is batch
    assert to_device(batch.x, torch.device("cpu")) is batch.x


@pytest.fixture
def unread(monkeypatch):
    """Without the checks of values before the first step: a tensor on ``meta`` has none."""
    monkeypatch.setattr(engine_trainer, "check_alive", lambda *_: None)

    def without_checks(objective):
        monkeypatch.setattr(type(objective), "check", lambda *_: None)
        for part in getattr(objective, "terms", ()):
            monkeypatch.setattr(type(part), "check", lambda *_: None)
        return objective

    return without_checks


def steps(student, objective, teachers, source, recipe, combine=None, stored=None):
    batches = Batches((source,), batch=12, seed=0, steps=3)
    signal = None
    if teachers:
        signal = LiveTeachers(teachers, (source,), features=objective.teacher_features, seed=0)
        for teacher in teachers:
            teacher.to(META)
    peers = (
        ()
        if signal is None
        else signal.learners(batches, recipe, steps=3, padding=None, ranks=engine_trainer.Ranks())
    )
    asked = Combined(signal, combine) if combine else signal
    trainer = Trainer(student.to(META), batches, objective, recipe, steps=3, signal=asked, peers=peers)
    for _ in range(3):
        trainer.step()
    assert {value.device for value in (*student.parameters(), *student.buffers())} == {META}
    assert {value.device for value in trainer._pending} == {META}
    return trainer


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_a_step_of_every_objective_is_where_the_student_is(
    name, accumulate, network, token_network, toy, unread
):
    objective = unread(parse_objective(OBJECTIVES[name]))
    student = token_network() if name == "tokens" else network(1, dropout=0.3, batch_norm=True)
    seeds = (2, 3) if name == "tokens" else (2,)
    teachers = [Teacher(network(seed)) for seed in seeds] if objective.needs_teacher else []
    recipe = Recipe(batch=12, optimizer="rmsprop", accumulate=accumulate, ema=0.9, clip=1.0, l1=1e-3)
    steps(student, objective, teachers, Source("train", toy["train"], Shift(1)), recipe)


TEACHERS = {
    "eval": lambda network: Teacher(network(2)),
    "adapter": lambda network: Teacher(network(2), adapter=lambda x: x.flip(-1)),
    "noisy": lambda network: Teacher(network(2, dropout=0.5, batch_norm=True), mode="noisy"),
    "online": lambda network: OnlineTeacher(network(2)),
    "noise": lambda network: RandomTeacher(Teacher(network(2)), answers="noise"),
    "another": lambda network: RandomTeacher(Teacher(network(2)), answers="another"),
}


@pytest.mark.parametrize("view", [Identity(), Shift(1), Mixup(0.5)])
@pytest.mark.parametrize("kind", sorted(TEACHERS))
def test_a_teacher_of_every_kind_answers_where_the_student_is(kind, view, network, toy, unread):
    recipe = Recipe(batch=12, optimizer="rmsprop")
    monkeypatched = unread(KD())
    unread(parse_objective("cross_entropy"))
    source = Source("train", toy["train"], view, view_count=None if isinstance(view, Identity) else 2)
    steps(network(1), monkeypatched, [TEACHERS[kind](network)], source, recipe)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("by", [None, "divergence"])
def test_a_gpu_trains_as_the_cpu_does(by, network, toy):
    active = None if by is None else ActiveSpec(by=by, budget=30, rounds=3)
    options = {"teachers": [network(2)], "batch": 12, "epochs": 2, "active": active}
    there = bq.distill(network(1), toy, device="cuda", **options)
    here = bq.distill(network(1), toy, device="cpu", **options)
    assert there.record.provenance.device.startswith("cuda")
    for one, two in zip(there.model.cpu().parameters(), here.model.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-4)
