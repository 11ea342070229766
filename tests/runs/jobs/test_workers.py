"""Who is at work in a run folder, and who is alive, without equal clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bequest.runs.jobs import machine, workers
from bequest.runs.jobs.workers import WORKERS, Presence, Watch, read_worker


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def elsewhere(tmp_path):
    """Writes what a worker of another machine says of itself."""

    def say(beat, name="far-1-abc"):
        with Presence(tmp_path, "work") as presence:
            record = read_worker(presence.path)
        record = record.model_copy(update={"name": name, "machine": "another", "host": "far", "beat": beat})
        (tmp_path / WORKERS / f"{name}.json").write_text(record.model_dump_json())
        return name

    return say


def test_a_worker_of_another_machine_is_dead_when_its_file_stays_the_same(tmp_path, clock, elsewhere):
    watch = Watch(tmp_path, silence=60.0, clock=clock)
    name = elsewhere(1)
    assert watch.alive(name)
    clock.now += 59
    assert watch.alive(name)
    elsewhere(2)
    clock.now += 59
    assert watch.alive(name)
    clock.now += 59
    assert watch.alive(name)
    clock.now += 2
    assert not watch.alive(name)
    elsewhere(3)
    clock.now += 2
    assert watch.alive(name)  # it was only slow


def test_the_time_of_a_file_and_of_its_machine_play_no_part(tmp_path, clock, elsewhere):
    watch = Watch(tmp_path, silence=60.0, clock=clock)
    name = elsewhere(1)
    os.utime(tmp_path / WORKERS / f"{name}.json", (1, 1))
    assert watch.alive(name)
    watch.alive(name)
    os.utime(tmp_path / WORKERS / f"{name}.json")
    clock.now += 61
    assert not watch.alive(name)


@pytest.mark.parametrize("name", ["nobody", "", "../../etc/passwd", "damaged"])
def test_a_worker_that_says_nothing_readable_of_itself_is_dead_soon(tmp_path, clock, name):
    (tmp_path / WORKERS).mkdir(parents=True)
    (tmp_path / WORKERS / "damaged.json").write_text('{"name": "damaged", "beat"')
    watch = Watch(tmp_path, silence=60.0, clock=clock)
    assert watch.alive(name)
    clock.now += workers.UNSIGNED - 1
    assert watch.alive(name)
    clock.now += 2
    assert not watch.alive(name)


def test_a_living_worker_whose_file_was_damaged_writes_it_anew_in_time(tmp_path, clock, elsewhere):
    name = elsewhere(1)
    watch = Watch(tmp_path, silence=60.0, clock=clock)
    assert watch.alive(name)
    (tmp_path / WORKERS / f"{name}.json").write_text("{")
    clock.now += workers.BEAT
    assert watch.alive(name)
    elsewhere(2, name)
    clock.now += workers.BEAT
    assert watch.alive(name)


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once_and_for_ever(tmp_path, clock):
    code = (
        "import sys, os, pathlib\n"
        "from bequest.runs.jobs.workers import Presence\n"
        "presence = Presence(pathlib.Path(sys.argv[1]), 'work').__enter__()\n"
        "print(presence.name, flush=True); sys.stdin.read(); os._exit(1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    name = process.stdout.readline().strip()
    watch = Watch(tmp_path, clock=clock)
    assert watch.proven(name)
    process.communicate()
    assert not Watch(tmp_path).alive(name)
    assert Watch(tmp_path).workers() == []
    watch.sweep()  # though it saw the worker alive a moment ago
    assert list((tmp_path / WORKERS).iterdir()) == []
    clock.now += 2  # beyond what was read last; whoever sweeps need not wait for the silence of the dead
    assert not watch.alive(name)


def test_a_number_that_another_process_took_over_is_not_the_worker(tmp_path, monkeypatch):
    with Presence(tmp_path, "work") as presence:
        assert Watch(tmp_path).alive(presence.name)
        monkeypatch.setattr(workers, "birth", lambda process: "later")
        assert not Watch(tmp_path).alive(presence.name)


def test_a_worker_elsewhere_is_proven_by_a_sign_of_life(tmp_path, clock, elsewhere):
    watch = Watch(tmp_path, silence=60.0, clock=clock)
    name = elsewhere(1)
    assert not watch.proven(name)
    elsewhere(2)
    clock.now += 2
    assert watch.proven(name)


def test_a_worker_says_what_it_does_again_and_again_and_leaves_nothing(tmp_path):
    with Presence(tmp_path, "work", beat=0.01) as presence:
        first = read_worker(presence.path)
        assert (first.role, first.process, first.machine) == ("work", os.getpid(), machine.machine())
        presence.begin("train a")
        presence.begin("train b")
        presence.end("train a", failed=False)
        presence.end("train c", failed=True)
        deadline = time.monotonic() + 10
        while (last := read_worker(presence.path)).doing != ("train b",) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (last.doing, last.done, last.failed) == (("train b",), 1, 1)
        assert last.beat > first.beat
    assert list((tmp_path / WORKERS).iterdir()) == []


def test_what_cannot_be_read_is_no_worker(tmp_path):
    (tmp_path / WORKERS).mkdir(parents=True)
    (tmp_path / WORKERS / "broken.json").write_text("{")
    assert read_worker(tmp_path / WORKERS / "broken.json") is None
    assert read_worker(tmp_path / WORKERS / "absent.json") is None
    assert Watch(tmp_path).workers() == []
