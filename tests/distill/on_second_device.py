"""Whatever runs on a GPU, on the second device: the CPU's bytes; run by ``test_second_device.py``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import bequest as bq
from bequest.data.datasets import Dataset
from bequest.data.queries import ActiveSpec, Generated, Source
from bequest.data.views import Mixup, Shift
from bequest.distill import engine
from bequest.distill.checkpoint import checkpointing
from bequest.distill.combine import MeanLogits
from bequest.distill.lesson import Lesson
from bequest.distill.model_queries import written_by
from bequest.distill.objectives import KD, ReverseKL, parse_objective
from bequest.distill.online import OnlineTeacher
from bequest.distill.random_teachers import RandomTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.stores import build_store, verify_store
from bequest.distill.teachers import Teacher
from bequest.models.weights import weights_digest

from .stores.conftest import contents
from .stores.conftest import images as pictures
from .stores.conftest import network as convolution
from .test_lesson import OBJECTIVES, Killed, killing
from .test_model_queries import PROMPTS, Bigram, language

PART = Path(__file__).parents[1] / "second_device.py"
NAME = "twin"


@pytest.fixture(autouse=True)
def _there(twin):
    """Every test here needs the device."""


def test_the_second_device_refuses_what_is_elsewhere(twin):
    here, there = torch.ones(3), torch.ones(3, device=twin)
    assert torch.equal((there + 1).cpu(), here + 1)
    with pytest.raises(RuntimeError, match="has tensors on twin and on cpu"):
        there + here
    with pytest.raises(RuntimeError, match="has tensors on twin and on cpu"):
        there[torch.tensor([0, 2])]


def trained(lesson, **options):
    done = lesson.run(**options)
    return weights_digest(lesson.student), done.outcome.history, dict(done.chosen)


def equal(one, other):
    assert one[:2] == other[:2]
    for rounds, others in zip(one[2].values(), other[2].values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(rounds, others, strict=True))


@pytest.mark.parametrize(
    ("name", "accumulate"),
    [*((name, 1) for name in sorted(OBJECTIVES)), ("kd", 3), ("cka", 3), ("tokens", 3)],
)
def test_a_lesson_with_every_objective_is_resumed_with_the_bytes_of_the_cpu(
    name, accumulate, network, token_network, toy, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine, "STRETCH", 4)
    objective = parse_objective(OBJECTIVES[name])
    recipe = Recipe(batch=12, epochs=2, optimizer="adamw", accumulate=accumulate, ema=0.9, clip=1.0, l1=1e-3)

    def lesson(device):
        student = token_network() if name == "tokens" else network(1, dropout=0.3, batch_norm=True)
        seeds = (2, 3) if name == "tokens" else (2,)
        teachers = tuple(Teacher(network(seed)) for seed in seeds) if objective.needs_teacher else ()
        source = Source("train", toy["train"], Shift(1))
        return Lesson(student, toy, (source,), objective, recipe, 0, teachers=teachers, device=device)

    expected = trained(lesson("cpu"))
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        lesson(NAME).run(checkpoint=killing(checkpointing(path), after=2))
    equal(expected, trained(lesson(NAME), checkpoint=checkpointing(path)))


TEACHERS = {
    "eval": lambda network: Teacher(network(2)),
    "adapter": lambda network: Teacher(network(2), adapter=lambda x: x.flip(-1)),
    "noisy": lambda network: Teacher(network(2, dropout=0.5, batch_norm=True), mode="noisy"),
    "online": lambda network: OnlineTeacher(network(2)),
    "noise": lambda network: RandomTeacher(Teacher(network(2)), answers="noise"),
    "another": lambda network: RandomTeacher(Teacher(network(2)), answers="another"),
}


SOURCES = {
    "views": lambda toy: Source("train", toy["train"], Shift(1), view_count=2),
    "mixed": lambda toy: Source("train", toy["train"], Mixup(0.5), student_view=Shift(1)),
    "random": lambda toy: chosen(toy, "random"),
    "far": lambda toy: chosen(toy, "far"),
    "divergence": lambda toy: chosen(toy, "divergence"),
    "made": lambda toy: Generated("made", lambda rows, g: torch.randn(rows, 1, 6, 6, generator=g)),
}


def chosen(toy, by):
    return Source(
        "train", toy["train"].unlabelled(), Shift(1), view_count=3,
        active=ActiveSpec(by=by, budget=30, rounds=2),
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(TEACHERS))
@pytest.mark.parametrize("queries", sorted(SOURCES))
def test_every_source_asks_every_kind_of_teacher(kind, queries, network, toy):
    if kind == "online" and queries not in ("views", "mixed"):
        pytest.skip("a teacher that learns needs labels")

    def lesson(device):
        teachers = (TEACHERS[kind](network), Teacher(network(4), name="second"))
        source, recipe = SOURCES[queries](toy), Recipe(batch=12, epochs=2)
        return Lesson(
            network(1),
            toy,
            (source,),
            KD(),
            recipe,
            0,
            teachers=teachers,
            combine=MeanLogits(),
            device=device,
        )

    equal(trained(lesson("cpu")), trained(lesson(NAME)))


@pytest.mark.parametrize("writer", ["teacher", "student"])
def test_a_model_writes_the_same_queries(writer):
    def lesson(device):
        model = Bigram(2) if writer == "teacher" else None
        source = written_by(model, PROMPTS, 6)
        recipe = Recipe(batch=8, epochs=2)
        teachers = (Teacher(model or Bigram(2)),)
        return Lesson(
            Bigram(1),
            language(),
            (source,),
            ReverseKL(),
            recipe,
            0,
            teachers=teachers,
            padding=0,
            device=device,
        )

    equal(trained(lesson("cpu")), trained(lesson(NAME)))


CODECS = {
    "float32": "float32",
    "float16": "float16",
    "topk": {"name": "topk", "k": 3},
    "sampled": {"name": "sampled", "draws": 4},
    "packed": {"name": "packed", "k": 3},
}


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_a_store_has_the_bytes_of_the_cpu_and_teaches_the_same(codec, tmp_path):
    splits = {"train": pictures(60, 0, 1), "validation": pictures(20, 60, 2), "test": pictures(20, 80, 3)}
    data, teacher = Dataset("tiny", splits, tuple("abcde")), convolution()
    features = ["1"] if codec == "float16" else []
    options = {"views": Shift(1), "count": 2, "codec": CODECS[codec], "features": features}
    stores = {
        device: build_store(teacher, data, path=tmp_path / device, device=device, **options)
        for device in ("cpu", NAME)
    }
    assert contents(tmp_path / "cpu") == contents(tmp_path / NAME)
    assert verify_store(tmp_path / NAME, teachers=teacher, data=data, device=NAME).deviation == 0.0
    objective = KD(temperature=1.0)
    students = [
        bq.distill("mlp", data, signal=stores[NAME], objective=objective, epochs=2, device=device)
        for device in stores
    ]
    assert students[0].record.weights_digest == students[1].record.weights_digest


def test_a_whole_run_has_the_records_of_the_cpu(tiny, write_study, tmp_path):
    tiny["measures"] = {
        "barriers": [["mlp", "mlp"]], "paths": ["mlp"], "corruptions": ["gaussian_noise"],
        "layers": {"mlp": ["1", "2"], "cnn": ["penultimate"]},
    }  # fmt: skip
    tiny["queries"]["few"] = [{"views": [{"name": "shift", "pixels": 1}], "view_count": 2}]
    tiny["arms"]["stored"] = {"student": "mlp", "teachers": ["cnn"], "queries": "few", "mode": "stored"}
    study = write_study(tiny)
    folders = {}
    for device in ("cpu", NAME):
        folders[device] = tmp_path / device
        result = bq.run(study, out=folders[device], device=device, workers=1, use=[PART])
        assert result.failed == ()
        assert result.study.provenance.device in (device, f"{device}:0")
    names = ("measurements.json", "claims.json", "curves.json")
    for name in names:
        assert (folders["cpu"] / name).read_bytes() == (folders[NAME] / name).read_bytes(), name
    cells = sorted(path.name for path in (folders["cpu"] / "cells").iterdir())
    assert cells == sorted(path.name for path in (folders[NAME] / "cells").iterdir())
    for cell in cells:
        records = [json.loads((folders[d] / "cells" / cell / "record.json").read_text()) for d in folders]
        assert records[0]["files"] == records[1]["files"]
        assert [r["provenance"]["device"] for r in records] == ["cpu", "twin:0"]
        assert [r["provenance"]["read_on"] for r in records] == [["cpu"], [NAME]]
