"""Faults of processes: drivers, workers, builders and reports killed, stopped and doubled."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fault_kinds.campaign import Command, Ended, Fault, Outcome, bequest, contents, expect
from fault_kinds.reference import Reference, often, store_command, store_files

INTERRUPTED = 130
KILLED = -signal.SIGKILL


def faults(reference: Reference, seed: int) -> Iterator[Fault]:
    """Every kind, at instants that are spread over the time that the command takes."""
    for turn in range(12):
        yield Fault("driver killed", str(turn), _killed(reference, seed, turn, group=False))
    for turn in range(8):
        yield Fault("driver and workers killed", str(turn), _killed(reference, seed, turn, group=True))
    for turn, number in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL) * 3):
        yield Fault("worker killed", f"{turn} {number.name}", _worker_killed(reference, seed, turn, number))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        for turn in range(4):
            yield Fault(
                f"asked to end by {number.name}", str(turn), _asked_to_end(reference, seed, turn, number)
            )
    yield from _faults_of_several(reference, seed)
    yield from _faults_of_others(reference, seed)


def _faults_of_several(reference: Reference, seed: int) -> Iterator[Fault]:
    """Processes beside each other."""
    for turn in range(4):
        yield Fault("driver stopped for a while", str(turn), _stopped(reference, seed, turn))
    for turn in range(6):
        yield Fault("two drivers at once", str(turn), _two_drivers(reference, seed, turn))
    for turn in range(4):
        yield Fault("driver killed beside bequest work", str(turn), _beside_work(reference, seed, turn))
    for turn in range(2):
        yield Fault("two builders at once", str(turn), _two_builders(reference))


def _faults_of_others(reference: Reference, seed: int) -> Iterator[Fault]:
    """Other commands than a run."""
    for turn in range(12):
        yield Fault("store build killed", str(turn), _build_killed(reference, seed, turn))
    for turn in range(6):
        yield Fault("report killed", str(turn), _report_killed(reference, seed, turn))
    for turn in range(6):
        yield Fault("data import killed", str(turn), _import_killed(seed, turn))
    for turn in range(6):
        yield Fault("training killed after a checkpoint", str(turn), _training_killed(reference, seed, turn))


def instant(seed: int, turn: int, kind: str, seconds: float) -> float:
    """When: evenly over ``seconds``, each within its part."""
    dice = random.Random(f"{seed} {kind} {turn}")
    return (turn % 6 + dice.random()) / 6 * seconds


def started(reference: Reference, run: Path, workers: int = 2) -> Command:
    """The reference's command, under way."""
    return Command(["run", reference.study, "--out", run, "--workers", workers])


def resumed(reference: Reference, run: Path, before: Ended) -> Outcome:
    """Finish a run by the same command."""
    reference.run_again(run)
    return Outcome("same" if before.code == 0 else "resumed")


def _killed(reference: Reference, seed: int, turn: int, *, group: bool) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run, command = folder / "run", started(reference, folder / "run")
        time.sleep(instant(seed, turn, f"killed {group}", reference.seconds))
        command.signal(signal.SIGKILL, group=group)
        ended = command.wait()
        expect(ended.code in (0, KILLED), "wrong", ended.last)
        return resumed(reference, run, ended)

    return do


def children(process: int) -> list[int]:
    """The processes that a process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            found.append(int(path.parent.name))
    return found


def _worker_killed(reference: Reference, seed: int, turn: int, number: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run, command = folder / "run", started(reference, folder / "run")
        time.sleep(instant(seed, turn, "worker", reference.seconds / 2))
        until, workers = time.monotonic() + 5, []
        while not workers and command.running() and time.monotonic() < until:
            workers = children(command.pid)
        for worker in workers[:1]:
            os.kill(worker, number)
        ended = command.wait()
        expect(ended.code == 0, "wrong", ended.last)
        reference.check(run)
        return Outcome("same", "" if workers else "there was no worker")

    return do


def _asked_to_end(reference: Reference, seed: int, turn: int, number: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run, command = folder / "run", started(reference, folder / "run")
        time.sleep(instant(seed, turn, f"asked {number}", reference.seconds))
        command.signal(number, group=turn % 2 == 1)
        ended = command.wait()
        # Before the program is ready to take signals they end it as they end any other.
        expect(ended.code in (0, INTERRUPTED, -number), "wrong", f"exit code {ended.code}: {ended.last}")
        if (run / "study.json").exists():
            status = json.loads((run / "study.json").read_text())["status"]
            expect(status in ("interrupted", "complete"), "wrong", f"the run says {status}")
        return resumed(reference, run, ended)

    return do


def _stopped(reference: Reference, seed: int, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run, command = folder / "run", started(reference, folder / "run")
        time.sleep(instant(seed, turn, "stopped", reference.seconds))
        command.signal(signal.SIGSTOP)
        time.sleep(1.0)
        command.signal(signal.SIGCONT)
        ended = command.wait()
        expect(ended.code == 0, "wrong", ended.last)
        reference.check(run)
        return Outcome("same")

    return do


def _two_drivers(reference: Reference, seed: int, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run, first = folder / "run", started(reference, folder / "run", workers=1)
        time.sleep(instant(seed, turn, "two", reference.seconds))
        second = started(reference, run, workers=1)
        one, two = first.wait(), second.wait()
        expect({one.code, two.code} <= {0, 2}, "wrong", f"{one.last} | {two.last}")
        refused = [each for each in (one, two) if each.code == 2]
        expect(all("another run is at work" in each.text for each in refused), "wrong", two.last)
        reference.run_again(run)
        return Outcome("named" if refused else "same")

    return do


def _beside_work(reference: Reference, seed: int, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run, driver = folder / "run", started(reference, folder / "run", workers=1)
        until = time.monotonic() + 10
        while not (run / "study.toml").exists() and time.monotonic() < until:
            time.sleep(0.01)
        worker = Command(["work", run])
        time.sleep(instant(seed, turn, "beside", reference.seconds / 2))
        driver.signal(signal.SIGKILL, group=True)
        driver.wait()
        ended = worker.wait(90)
        expect(ended.code in (0, 2), "wrong", ended.last)
        reference.run_again(run)
        return Outcome("resumed", ended.last)

    return do


def _build_killed(reference: Reference, seed: int, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        store = folder / "store"
        command = Command(store_command(reference, store))
        time.sleep(instant(seed, turn, "build", reference.store_seconds))
        command.signal(signal.SIGKILL, group=True)
        before = command.wait()
        ended = bequest(*store_command(reference, store))
        expect(ended.code == 0, "wrong", ended.last)
        expect(store_files(store) == reference.store, "silent", "another store")
        return Outcome("same" if before.code == 0 else "resumed")

    return do


def _two_builders(reference: Reference) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        store = folder / "store"
        builders = [Command(store_command(reference, store)) for _ in range(2)]
        ended = [builder.wait() for builder in builders]
        expect({each.code for each in ended} <= {0, 2}, "wrong", ended[1].last)
        refused = [each for each in ended if each.code == 2]
        expect(all("another build is writing" in each.text for each in refused), "wrong", ended[1].last)
        expect(store_files(store) == reference.store, "silent", "another store")
        return Outcome("named" if refused else "same")

    return do


def _report_killed(reference: Reference, seed: int, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        page = folder / "page.html"
        page.write_text("old")
        command = Command(["report", reference.run, "-o", page])
        time.sleep(instant(seed, turn, "report", 0.6))
        command.signal(signal.SIGKILL)
        before = command.wait()
        expect(page.read_bytes() in (b"old", reference.page), "lost", "a part of a page")
        ended = bequest("report", reference.run, "-o", page)
        expect(ended.code == 0 and page.read_bytes() == reference.page, "silent", ended.last)
        return Outcome("same" if before.code == 0 else "resumed")

    return do


def _import_killed(seed: int, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        rng = np.random.default_rng(seed)
        x, y = rng.integers(0, 255, (4000, 28, 28), dtype=np.uint8), np.arange(4000, dtype=np.uint8) % 10
        np.savez(folder / "mnist.npz", x_train=x, y_train=y, x_test=x[:1000], y_test=y[:1000])
        take = ["data", "import", "mnist", folder / "mnist.npz", "--unverified", "--root"]
        expect(bequest(*take, folder / "whole").code == 0, "wrong", "the import itself")
        command = Command([*take, folder / "killed"])
        time.sleep(instant(seed, turn, "import", 0.1))
        command.signal(signal.SIGKILL)
        before = command.wait()
        for name, content in contents(folder / "killed").items():
            whole = name.endswith(".part") or contents(folder / "whole")[name] == content
            expect(whole, "lost", f"a part of {name}")
        ended = bequest(*take, folder / "killed")
        left = {name for name in contents(folder / "killed") if not name.endswith(".part")}
        expect(ended.code == 0 and left == set(contents(folder / "whole")), "wrong", ended.last)
        return Outcome("same" if before.code == 0 else "resumed")

    return do


def _training_killed(reference: Reference, seed: int, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run, study = folder / "run", reference.root / "long.toml"
        shutil.copytree(reference.root / "interrupted", run)
        command = Command(["run", study, "--out", run, "--workers", 1], before=often)
        time.sleep(instant(seed, turn, "training", 1.5))
        command.signal(signal.SIGKILL, group=True)
        command.wait()
        ended = bequest("run", study, "--out", run, "--workers", 1)
        expect(ended.code == 0, "wrong", ended.last)
        (weights,) = run.glob("cells/*/weights.safetensors")
        (whole,) = (reference.root / "long").glob("cells/*/weights.safetensors")
        expect(weights.read_bytes() == whole.read_bytes(), "silent", "other weights")
        return Outcome("resumed")

    return do
