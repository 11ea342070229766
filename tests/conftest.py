"""Set up for every test: shapes are checked by beartype, one torch thread; a study that runs in seconds."""

from __future__ import annotations

import copy
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

settings.register_profile("same", derandomize=True)  # the same examples in every run
settings.register_profile("search", max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

install_import_hook("bequest", "beartype.beartype")

import torch  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

import bequest as bq  # noqa: E402
from bequest.config import to_toml  # noqa: E402

torch.set_num_threads(1)
# A plugin of pytest has imported NumPy before the environment above could limit its threads.
threadpool_limits(1)

TINY = {
    "name": "tiny",
    "title": "Tiny",
    "question": "Does it run?",
    "seeds": 2,
    "data": {"name": "digits"},
    "recipe": {"epochs": 1, "batch": 64},
    "models": {
        "mlp": {"family": "mlp", "options": {"hidden": [16]}},
        "cnn": {"family": "cnn", "options": {"channels": [4], "pool_after": [1]}},
    },
    "splits": {
        "test": {"description": "held-out digits"},
        "moved": {"description": "moved", "variants": [{"name": "translate", "dx": 1}]},
    },
    "queries": {
        "views": [{"share": 0.5}, {"share": 0.5, "views": [{"name": "shift", "pixels": 1}]}],
    },
    "arms": {
        "cnn": {"student": "cnn"},
        "mlp": {"student": "mlp"},
        "mlp<-mlp": {"student": "mlp", "teachers": ["mlp"], "queries": "views"},
        "mlp<-cnn": {"student": "mlp", "teachers": ["cnn"], "queries": "views"},
    },
    "answer": {
        "text": "It took over {share} over {n} seeds.",
        "values": {"share": {"measure": "inheritance/nll", "arm": "mlp<-cnn", "split": "moved"}},
    },
    "claims": [
        {
            "id": "better",
            "text": "A taught student is better.",
            "source": "nowhere",
            "measure": "accuracy",
            "arm": "mlp<-cnn",
            "against": "mlp<-mlp",
            "split": "moved",
        }
    ],
    "scales": {"smoke": {"seeds": 1}, "small": {}},
}


@pytest.fixture
def tiny():
    """The study's configuration, to change at will."""
    return copy.deepcopy(TINY)


@pytest.fixture
def write_study(tmp_path):
    """Writes a configuration as a TOML file."""

    def write(content, name="study.toml"):
        path = tmp_path / name
        path.write_text(to_toml(content))
        return path

    return write


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One uninterrupted run: its folder (study.toml and run/), its result and the updates it sent."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "study.toml").write_text(to_toml(TINY))
    updates = []
    result = bq.run(folder / "study.toml", out=folder / "run", workers=2, progress=updates.append)
    return folder, result, updates
