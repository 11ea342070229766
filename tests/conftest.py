"""Set up for every test: shapes are checked by beartype, one torch thread; a study that runs in seconds."""

from __future__ import annotations

import copy
import os
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from packaging.version import Version

settings.register_profile("same", derandomize=True)  # the same examples in every run
settings.register_profile("search", max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Modules with shapes are checked: a checked call takes tens of microseconds, and mypy checks plain types.
SOURCES = Path(__file__).parents[1] / "src"
WITH_SHAPES = tuple(
    ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    for path in SOURCES.rglob("*.py")
    if "jaxtyping" in path.read_text(encoding="utf-8")
)
if Version(version("torch")) >= Version("2.13"):  # PyTorch 2.6 cannot trace the checks when it exports
    install_import_hook(WITH_SHAPES, "beartype.beartype")

from bequest.memory import collect_seldom  # noqa: E402

collect_seldom()

import torch  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

import bequest as bq  # noqa: E402
from bequest import parts  # noqa: E402
from bequest.config import to_toml  # noqa: E402
from bequest.runs.engines.choice import Choice  # noqa: E402
from bequest.runs.folder import RunFolder  # noqa: E402
from bequest.runs.jobs.queue import serve  # noqa: E402
from bequest.runs.work import Workbench  # noqa: E402

LONGEST = (
    "test_second_device.py",
    "studies/test_abnar2020_mnist.py",
    "studies/test_habib2023.py",
    "runs/test_run.py",
    "runs/jobs/test_taking.py",
    "runs/test_ranks.py",
    "runs/test_growth.py",
    "test_platforms.py",
    "distill/test_parallel.py",
    "project/test_text_benchmark.py",
    "cli/test_received_folders.py",
    "studies/test_thapa2022.py",
    "studies/test_queries.py",
    "studies/test_abnar2020_agreement.py",
)
"""The files of ten seconds or more: a process that began one last would keep the other waiting."""

# Whoever imports it has a second device from then on, and the search for doctests imports every file.
collect_ignore = ["second_device.py"]

torch.set_num_threads(1)
# A plugin of pytest has imported NumPy before the environment above could limit its threads.
threadpool_limits(1)


def pytest_collection_modifyitems(items):
    """The longest files first; the others, and the tests of each file, stay in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    assert all(path.is_file() for path in places)
    items.sort(key=lambda item: places.get(item.path, len(places)))


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


SOLVABLE = {
    "name": "solvable",
    "title": "Solvable",
    "question": "Is it solved?",
    "seeds": 3,
    "theory": {
        "alpha": 2.0,
        "rho": 0.2,
        "inputs": 40,
        "samples": 200,
        "observables": ["error", "agreement"],
        "charts": {
            "penalty": {
                "title": "penalty",
                "arms": ["teacher", "plain", "student"],
                "x": {
                    "parameter": "teacher.penalty",
                    "title": "λ",
                    "start": 0.1,
                    "stop": 10,
                    "count": 3,
                    "log": True,
                },
                "simulated": [0.1, 1.0],
                "bayes": True,
            },
            "plane": {
                "title": "plane",
                "arms": ["student"],
                "less": "plain",
                "x": {"parameter": "*.eta", "title": "η", "start": 0.5, "stop": 1, "count": 3},
                "y": {"parameter": "alpha", "title": "α", "start": 1, "stop": 4, "count": 2},
            },
        },
    },
    "splits": {
        "base": {"description": "as it is"},
        "weak": {"description": "weak", "at": {"teacher.penalty": 0.1}},
    },
    "arms": {
        "teacher": {"student": "big", "learner": {"penalty": 1.0}},
        "plain": {"student": "small", "learner": {"penalty": 0.1, "eta": 0.5}},
        "student": {"student": "small", "teachers": ["teacher"], "learner": {"penalty": 0.1, "eta": 0.5}},
    },
    "claims": [
        {
            "id": "worse",
            "text": "The weak teacher errs more.",
            "source": "nowhere",
            "measure": "error",
            "arm": "teacher",
            "split": "weak",
            "against": "teacher",
            "against_split": "base",
        }
    ],
}


@pytest.fixture(scope="session")
def twin():
    """The second device of ``second_device.py``: for suites in a process of their own, as it stays."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("second_device", Path(__file__).with_name("second_device.py"))
    spec.loader.exec_module(module_from_spec(spec))
    return torch.device("twin", 0)


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


class JobsHere:
    """An engine that does jobs in this process, as ``bequest work`` does."""

    def __init__(self, queue):
        self.bench = Workbench(RunFolder(queue.root).plan(), queue.root)

    def run(self, queue):
        return serve(queue, self.bench.do)


@contextmanager
def one_worker_in_this_process():
    """Runs with one worker do their jobs in this process: another takes seconds to start, to import torch.

    Those with several still have processes of their own, so that tests compare the bytes of both.
    """
    by_choice = Choice.engine

    def engine(choice, queue, ranks, devices):
        alone = choice.name == "local" and len(devices) == 1
        return JobsHere(queue) if alone else by_choice(choice, queue, ranks, devices)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Choice, "engine", engine)
        yield


@pytest.fixture
def one_worker_here():
    with one_worker_in_this_process():
        yield


@pytest.fixture(scope="module")
def one_worker_here_all_along():
    """As ``one_worker_here``, for the fixtures of a whole module."""
    with one_worker_in_this_process():
        yield


@pytest.fixture(scope="session")
def one_worker_here_while():
    """A context manager that does as ``one_worker_here``, for fixtures of a whole session."""
    return one_worker_in_this_process


@pytest.fixture(scope="module", autouse=True)
def parts_stay_in_their_file():
    """Parts that a file of tests loads are taken back at its end: other tests list what there is."""
    before = parts.loaded_files()
    yield
    for module in [*parts._contents]:
        if (file := str(sys.modules[module].__file__)) not in before:
            parts._forget(file, module)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One uninterrupted run: its folder (study.toml and run/), its result and the updates it sent."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "study.toml").write_text(to_toml(TINY))
    updates = []
    with one_worker_in_this_process():
        result = bq.run(folder / "study.toml", out=folder / "run", workers=1, progress=updates.append)
    return folder, result, updates


@pytest.fixture
def solvable():
    """The configuration of a study of the solvable model, to change at will."""
    return copy.deepcopy(SOLVABLE)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """One run of a study of the solvable model: its folder (study.toml and run/) and its result."""
    folder = tmp_path_factory.mktemp("solvable")
    (folder / "study.toml").write_text(to_toml(SOLVABLE))
    with one_worker_in_this_process():
        return folder, bq.run(folder / "study.toml", out=folder / "run", workers=1)
