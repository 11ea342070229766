"""``--engine ray``: one long-lived actor per device does jobs; files travel through Ray's object store."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bequest.config import content_hash
from bequest.errors import ConfigError, MissingExtra, RunError
from bequest.resources import ResourcesSpec, gibibytes
from bequest.runs.engines.parcels import Delivery, Luggage, Piece, Scratch, pieces_for
from bequest.runs.jobs.queue import JobQueue
from bequest.runs.jobs.schedule import Answer
from bequest.runs.survey import READ, Job

ATTEMPTS = 3
"""How many actors (or their nodes) may die on a job before it counts as lost."""

PAUSE = 0.5
"""Seconds between two looks at what others do, and at new nodes."""

HELD = 64
"""How many files are held in the object store; the least recently used one is dropped first."""


class Hand:
    """An actor: does jobs of one run in a scratch folder of its node, shared by the actors of the node.

    Args:
        luggage: The study.
        run: A name of the run.
        device: Where it computes.
    """

    def __init__(self, luggage: Luggage, run: str, device: str) -> None:
        import ray
        import torch

        from bequest.memory import keep_heap
        from bequest.models.devices import parse_device, prefer_determinism

        place = str(parse_device(device))
        torch.set_num_threads(1)
        keep_heap()
        prefer_determinism(place)
        node = ray.get_runtime_context().get_node_id()
        self._scratch = Scratch(Path(tempfile.gettempdir()) / f"bequest-{run}-{node[:12]}", luggage, place)

    def version(self) -> str:
        """The version of bequest there."""
        return metadata.version("bequest")

    def do(self, job: str, readings: list[str], pieces: list[Piece], contents: dict[str, Any]) -> Delivery:
        """Do a job; ``contents`` are references to the files that it needs, by digest."""
        import ray

        return self._scratch.do(job, readings, pieces, lambda piece: bytes(ray.get(contents[piece.digest])))

    def clear(self) -> None:
        """Delete the scratch folder."""
        self._scratch.clear()


@dataclass(frozen=True)
class RayEngine:
    """Does jobs by actors of a Ray cluster, one for each device, whose nodes need not see the run folder.

    Args:
        resources: What each actor needs; there are as many as the cluster holds.
        device: Where actors compute; ``cpu`` asks for no GPU.
        address: Of the cluster: ``auto``, ``HOST:PORT`` or ``ray://...``; None starts Ray on this machine.
        workers: How many actors there are at most.
    """

    resources: ResourcesSpec
    device: str = "auto"
    address: str | None = None
    workers: int | None = None

    def run(self, queue: JobQueue) -> Iterator[Answer]:
        """Do the jobs of ``queue``; yields the result of each.

        If an actor or its node dies, its job goes to another; actors that wait for a node begin when there is
        one.

        Raises:
            MissingExtra: If Ray is not installed.
            ConfigError: If the cluster cannot be reached, or no node of it has what an actor needs.
        """
        with _cluster(self.address) as ray:
            crew = _Crew(ray, self, queue)
            try:
                while not queue.empty:
                    yield from queue.elsewhere()
                    crew.hand_out()
                    yield from crew.collect()
            finally:
                crew.dismiss()

    @property
    def gpus(self) -> float:
        """GPUs of an actor."""
        return 0.0 if self.device == "cpu" else self.resources.gpus

    @property
    def memory(self) -> int | None:
        """Bytes of memory of an actor; None if the study does not say."""
        memory = self.resources.memory
        return None if memory is None else int(gibibytes(memory) * 2**30)

    def fitting(self, nodes: list[dict[str, Any]]) -> int:
        """How many actors the nodes hold together.

        Raises:
            ConfigError: If not even one.
        """
        needs = {"CPU": float(self.resources.cores), "GPU": self.gpus, "memory": self.memory or 0.0}
        count = 0
        for node in (node for node in nodes if node["Alive"]):
            count += min(int(node["Resources"].get(key, 0.0) // need) for key, need in needs.items() if need)
        if not count:
            wanted = ", ".join(f"{need:g} {key}" for key, need in needs.items() if need)
            raise ConfigError.of("--engine ray", [f"no node of the cluster has {wanted} for a worker"])
        return count


@dataclass
class _Crew:
    """The actors of a run, and what they are doing."""

    ray: Any
    engine: RayEngine
    queue: JobQueue
    _waiting: dict[Any, Any] = field(default_factory=dict)
    _idle: list[Any] = field(default_factory=list)
    _busy: dict[Any, tuple[Any, Job]] = field(default_factory=dict)
    _deaths: Counter[str] = field(default_factory=Counter)
    _contents: OrderedDict[str, Any] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        needs = self.engine.resources
        count = min(self.engine.fitting(self.ray.nodes()), max(1, self.queue.schedule.left))
        self._luggage = self.ray.put(Luggage.of(self.queue.root))
        # With the process: a second driver of the same study on these nodes gets scratch folders of its own.
        self._run = content_hash([str(self.queue.root.resolve()), self.queue.plan.hash, os.getpid()])
        self._class = self.ray.remote(Hand).options(
            num_cpus=needs.cores, num_gpus=self.engine.gpus, memory=self.engine.memory
        )
        for _ in range(min(count, self.engine.workers or count)):
            self._hire()

    def hand_out(self) -> None:
        """Give jobs to idle actors."""
        while self._idle and (job := self.queue.take()) is not None:
            actor = self._idle.pop()
            pieces = pieces_for(self.queue.root, job)
            readings = self.queue.lacking(job) if job.action == READ else []
            contents = {piece.digest: self._content(piece) for piece in pieces}
            self._busy[actor.do.remote(job.id, readings, pieces, contents)] = (actor, job)

    def collect(self) -> Iterator[Answer]:
        """The results of jobs that ended within a moment; actors that have started become idle."""
        pending = [*self._waiting, *self._busy]
        ready, _ = self.ray.wait(pending, num_returns=1, timeout=PAUSE) if pending else ([], [])
        for ref in ready:
            if ref in self._waiting:
                self._begin(ref)
            else:
                actor, job = self._busy.pop(ref)
                yield from self._received(ref, actor, job)

    def dismiss(self) -> None:
        """End all actors, and delete what they left on their nodes."""
        idle = [actor.clear.remote() for actor in self._idle]
        if idle:
            self.ray.wait(idle, num_returns=len(idle), timeout=10 * PAUSE)
        for actor in (*self._idle, *self._waiting.values(), *(actor for actor, _ in self._busy.values())):
            self.ray.kill(actor)

    def _hire(self) -> None:
        actor = self._class.remote(self._luggage, self._run, self.engine.device)
        self._waiting[actor.version.remote()] = actor

    def _begin(self, ref: Any) -> None:
        """Take up an actor that has started.

        Raises:
            ConfigError: If it has another version of bequest.
            RunError: If it cannot start.
        """
        actor = self._waiting.pop(ref)
        try:
            version = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            raise RunError(
                "a worker of the Ray cluster cannot start",
                got=_last_line(error),
                remedy="look at the logs of the cluster; bequest and the data must be on every node",
            ) from None
        if version != metadata.version("bequest"):
            here = metadata.version("bequest")
            raise ConfigError.of("--engine ray", [f"a node has bequest {version}, this machine {here}"])
        self._idle.append(actor)

    def _received(self, ref: Any, actor: Any, job: Job) -> Iterator[Answer]:
        try:
            answer = self.ray.get(ref).unpack(self.queue.root, job)
        except self.ray.exceptions.RayTaskError as error:  # the job raised; the actor itself is alive
            answer = Answer(job, "failed", _last_line(error))
            self._idle.append(actor)
        except self.ray.exceptions.RayError as error:  # the actor or its node died, or its answer is lost
            self._deaths[job.id] += 1
            self._hire()
            if self._deaths[job.id] < ATTEMPTS:
                self.queue.give_back(job)
                return
            answer = Answer(job, "lost", f"its worker died {ATTEMPTS} times: {_last_line(error)}")
        else:
            self._idle.append(actor)
        self.queue.end(answer)
        yield answer

    def _content(self, piece: Piece) -> Any:
        """A reference to a file's content in the object store."""
        if piece.digest not in self._contents:
            self._contents[piece.digest] = self.ray.put(piece.path(self.queue.root).read_bytes())
        self._contents.move_to_end(piece.digest)
        content = self._contents[piece.digest]
        while len(self._contents) > HELD:
            self._contents.popitem(last=False)
        return content


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster or started on this machine: on the loopback interface, without dashboard.

    A connection that the caller has made is used, and stays open.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtra(
            "--engine ray needs the package ray",
            got=error,
            remedy="python -m pip install -c constraints.txt -e '.[ray]'",
        ) from None
    if ray.is_initialized():
        yield ray
        return
    local: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address, log_to_driver=False, **({} if address else local))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError.of("--ray-address", [f"{address}: {_last_line(error)}"]) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
