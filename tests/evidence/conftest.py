"""One small study with every kind of evidence of networks, run once for all test processes."""

from __future__ import annotations

import copy
import os
import time

import pytest

import bequest as bq
from bequest.config import to_toml
from bequest.evidence.readings import Readings
from bequest.locks import exclusive_lock
from bequest.record_files import read_records
from bequest.records import Curve, Measurement
from bequest.runs.planning import planned

STUDY = {
    "name": "evidence",
    "title": "Evidence",
    "question": "Is everything measured?",
    "seeds": 2,
    "data": {"name": "digits"},
    "recipe": {"epochs": 3, "batch": 64, "lr": 5e-3},
    "models": {
        "mlp": {"family": "mlp", "options": {"hidden": [16]}},
        "cnn": {"family": "cnn", "options": {"channels": [4], "pool_after": [1]}},
        "vit": {
            "family": "vit",
            "options": {"form": "advised", "width": 32, "depth": 2, "heads": 2, "patch": 4, "stem": 32},
            "recipe": {"epochs": 1},
        },
    },
    "splits": {
        "test": {"description": "held-out digits"},
        "moved": {"description": "moved", "variants": [{"name": "translate", "dx": 1}]},
        "foggy": {"description": "fog", "corruption": "fog"},
    },
    "queries": {
        "part": [{"fraction": 0.1}],
        "asked": [
            {"share": 0.5},
            {
                "share": 0.5,
                "views": [{"name": "shift", "pixels": 1}],
                "view_count": 2,
                "active": {"by": "random", "budget": 200, "rounds": 2},
            },
        ],
        "asked all": [
            {"share": 0.5},
            {
                "share": 0.5,
                "views": [{"name": "shift", "pixels": 1}],
                "view_count": 2,
                "active": {"by": "random", "budget": 2594},
            },
        ],
    },
    "arms": {
        "cnn": {"student": "cnn"},
        "mlp": {"student": "mlp"},
        "mlp part": {"student": "mlp", "queries": "part", "control": "mlp", "aside": True},
        "mlp<-mlp": {"student": "mlp", "teachers": ["mlp"]},
        "mlp<-cnn": {"student": "mlp", "teachers": ["cnn"]},
        "asked": {
            "student": "mlp",
            "teachers": ["cnn"],
            "queries": "asked",
            "control": "mlp<-mlp",
            "aside": True,
        },
        "asked all": {
            "student": "mlp",
            "teachers": ["cnn"],
            "queries": "asked all",
            "control": "mlp<-mlp",
            "aside": True,
        },
        "mlp<-asked": {
            "student": "mlp",
            "teachers": ["asked"],
            "queries": "asked all",
            "control": "mlp<-mlp",
            "aside": True,
        },
        "vit<-cnn&mlp": {
            "student": "vit",
            "teachers": ["cnn", "mlp"],
            "control": "mlp<-mlp",
            "objective": [
                {"name": "bound", "objective": "cross_entropy", "token": 0},
                {"name": "tokens"},
            ],
        },
    },
    "measures": {
        "splits": ["test", "moved"],
        "groups": {"both": ["moved", "foggy"]},
        "profile": ["accuracy", "nll", "agreement", "cka", "cosine_of_cosines"],
        "corruptions": {"families": ["contrast", "gaussian_noise"], "samples": 100},
        "training": {"reach": 0.5},
        "paths": ["cnn", "mlp", "mlp<-cnn"],
        "barriers": [["mlp", "mlp"], ["mlp<-cnn", "mlp<-mlp"]],
        "against": [["accuracy", "ece"]],
        "layers": {"mlp": ["1", "2"], "cnn": ["0", "2"]},
        "attention": True,
        "seconds": True,
        "efficiency": {"lines": {"MLP": ["mlp part", "mlp"]}},
        "budget": {
            "split": "moved",
            "of": ["accuracy", "agreement"],
            "lines": {"at random": ["asked", "asked all"], "between": ["mlp<-asked"]},
            "whole": "asked all",
            "parts": [0.5],
        },
    },
}


@pytest.fixture
def study():
    """The study's configuration, to change at will."""
    return copy.deepcopy(STUDY)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, one_worker_here_while):
    """The finished run; no test may change it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # shared by the processes of one test session
    place = base / "evidence"
    place.mkdir(exist_ok=True)
    while True:
        with exclusive_lock(place / ".once") as acquired:
            if acquired:
                (place / "study.toml").write_text(to_toml(STUDY))
                with one_worker_here_while():
                    result = bq.run(place / "study.toml", out=place / "run", workers=1)
                assert result.failed == ()
                return place / "run"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def readings(folder):
    return Readings(planned(STUDY), folder)


@pytest.fixture(scope="session")
def measured(folder):
    """Finds the one measurement with these fields."""
    items = read_records(folder / "measurements.json", Measurement)

    def find(measure, arm, **where):
        matching = [m for m in items if (m.measure, m.arm) == (measure, arm)]
        (one,) = [m for m in matching if all(getattr(m, key) == value for key, value in where.items())]
        return one

    find.all = items
    return find


@pytest.fixture(scope="session")
def curves(folder):
    """Finds the curves of a chart with these fields."""
    items = read_records(folder / "curves.json", Curve)

    def find(chart, **where):
        matching = [c for c in items if c.chart == chart]
        return [c for c in matching if all(getattr(c, key) == value for key, value in where.items())]

    return find
