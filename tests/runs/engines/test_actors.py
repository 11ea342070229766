"""``--engine ray``: actors on nodes that see no run folder; a node that dies; a cluster without room."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import bequest as bq
from bequest.config import to_toml
from bequest.errors import ConfigError, MissingExtra
from bequest.resources import ResourcesSpec
from bequest.runs.engines.actors import RayEngine
from bequest.runs.folder import RESULTS, RunFolder
from bequest.studies.cell import cell_folder
from bequest.studies.resolving import read_study, resolve

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes on this machine, the first with the driver; they share nothing but the network."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield nodes
    nodes.shutdown()


def scratch_folders():
    """Where actors of this machine work, or worked."""
    return {path.parent for path in Path(tempfile.gettempdir()).glob("bequest-*-*/study.toml")}


@pytest.mark.slow
def test_a_run_by_actors_has_the_bytes_of_a_local_run_and_leaves_nothing_on_the_nodes(finished, tmp_path):
    pytest.importorskip("ray")
    before = scratch_folders()  # a node that was killed, as by another test, cannot clear up
    updates = []
    result = bq.run(
        finished[0] / "study.toml",
        out=tmp_path / "run",
        engine="ray",
        device="cpu",
        workers=2,
        progress=updates.append,
    )
    assert (result.trained, result.failed) == (8, ())
    assert [update.done for update in updates] == list(range(17))
    for name in RESULTS:
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / "run" / name).read_bytes()
    assert scratch_folders() == before


@pytest.mark.slow
def test_digits_on_two_nodes_of_which_one_is_killed_has_the_bytes_of_a_local_run(cluster, tmp_path):
    study = tmp_path / "digits.toml"
    study.write_text(to_toml(resolve(read_study("digits"), scale="smoke")))
    local = bq.run(study, out=tmp_path / "local", device="cpu")
    assert local.failed == ()
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    killed = []

    def kill(update):
        if update.done == 4 and not killed:
            killed.append(time.monotonic())
            threading.Thread(
                target=cluster.remove_node, args=(doomed,), kwargs={"allow_graceful": False}
            ).start()

    result = bq.run(
        study, out=tmp_path / "run", engine="ray", ray_address=cluster.address, device="cpu", progress=kill
    )
    assert killed
    assert result.failed == ()
    for name in RESULTS:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


@pytest.mark.slow
def test_an_actor_with_two_processes_trains_a_cell_with_both(finished, tmp_path):
    pytest.importorskip("ray")
    result = bq.run(
        finished[0] / "study.toml",
        out=tmp_path / "run",
        engine="ray",
        device="cpu",
        workers=1,
        seeds=1,
        settings=["resources.processes=2"],
    )
    assert (result.trained, result.failed) == (4, ())
    for cell in RunFolder(tmp_path / "run").plan().cells:
        ours, alone = (
            load_file(cell_folder(root, cell.id).weights) for root in (tmp_path / "run", finished[0] / "run")
        )
        for name, values in ours.items():
            torch.testing.assert_close(values, alone[name], atol=1e-5, rtol=0)


NODES = [
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 32.0 * 2**30}},
    {"Alive": True, "Resources": {"CPU": 4.0, "memory": 8.0 * 2**30}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0, "memory": 2.0**40}},
]


@pytest.mark.parametrize(
    ("resources", "device", "count"),
    [
        (ResourcesSpec(), "auto", 12),
        (ResourcesSpec(cpus=3), "auto", 3),
        (ResourcesSpec(processes=3), "auto", 3),
        (ResourcesSpec(gpus=1.0), "auto", 2),
        (ResourcesSpec(gpus=0.25), "auto", 8),
        (ResourcesSpec(gpus=1.0), "cpu", 12),
        (ResourcesSpec(memory="8G"), "auto", 5),
    ],
)
def test_there_are_as_many_actors_as_the_living_nodes_hold(resources, device, count):
    assert RayEngine(resources, device).fitting(NODES) == count


def test_a_cluster_without_room_is_one_message():
    with pytest.raises(ConfigError, match="no node of the cluster has 1 CPU, 4 GPU for a worker"):
        RayEngine(ResourcesSpec(gpus=4.0)).fitting(NODES)


def test_without_ray_one_message_says_so(finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match="needs the package ray"):
        bq.run(finished[0] / "study.toml", out=tmp_path / "run", engine="ray")


def test_an_address_without_ray_is_refused(finished, tmp_path):
    with pytest.raises(ConfigError, match="needs --engine ray, not --engine local"):
        bq.run(finished[0] / "study.toml", out=tmp_path / "run", ray_address="auto")
