"""Time a step of the engine against a bare loop, one torch thread: ``python benchmarks/engine_overhead.py``.

Each network is trained plain, and distilled from a teacher of its own form that is asked at every step, by a
hand-written loop and by the engine with its log written to a file; they take turns in one process. Both
evaluate once at the end. Times are the processor's, as other work on the machine moves the clock on the wall.
Accelerate and Lightning Fabric do the plain job too where they are installed. Prints JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from bequest.data.batches import Batch, Source
from bequest.data.datasets import Dataset, Split
from bequest.data.views import Identity
from bequest.distill.lesson import Lesson
from bequest.distill.objectives import KD, CrossEntropy
from bequest.distill.recipe import Recipe
from bequest.distill.score import Scores
from bequest.distill.signal import Answer
from bequest.distill.teachers import Teacher
from bequest.memory import keep_heap
from bequest.models import build_model

CLASSES, RATE, DECAY, TEMPERATURE = 10, 1e-3, 1e-2, 4.0
HELD_OUT = 64


class LSTM(nn.Module):
    """Two layers over token embeddings; the last state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(500, 128)
        self.lstm = nn.LSTM(128, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (N, 10) of token sequences (N, L)."""
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(states[:, -1])


class ViT(nn.Module):
    """A small vision transformer with a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 64, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 64))
        self.places = nn.Parameter(0.02 * torch.randn(1, 50, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 28, 28)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.places
        return self.head(self.body(tokens)[:, 0])


@dataclass(frozen=True)
class Job:
    """A network, its data, and how long one turn is; ``limit`` is what engine / bare loop may be."""

    build: Callable[[], nn.Module]
    x: Tensor
    y: Tensor
    steps: int
    limit: float
    batch: int = 64

    @property
    def recipe(self) -> Recipe:
        """The engine's part of what :func:`bare` does."""
        return Recipe(batch=self.batch, steps=self.steps, lr=RATE, weight_decay=DECAY)

    @property
    def data(self) -> Dataset:
        """The samples, with a small validation split for the evaluations that the engine insists on."""
        train = Split(self.x, self.y, torch.arange(len(self.x)))
        few = Split(self.x[:HELD_OUT], self.y[:HELD_OUT], torch.arange(HELD_OUT))
        splits = {"train": train, "validation": few}
        return Dataset("made up", splits, tuple(map(str, range(CLASSES))))


def jobs() -> dict[str, Job]:
    """What the issue of speed is about: a step of a third of a millisecond, and steps of several."""
    torch.manual_seed(0)

    def images(size: int) -> Tensor:
        return torch.rand(6400, 1, size, size)

    labels = torch.randint(0, CLASSES, (6400,))
    tokens = torch.randint(0, 500, (6400, 20))
    return {
        "MLP 784-128-10": Job(
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, CLASSES)),
            images(28),
            labels,
            400,
            1.05,
        ),
        "CNN of the study": Job(
            lambda: build_model("cnn", (1, 12, 12), CLASSES, seed=0), images(12), labels, 32, 1.02
        ),
        "LSTM, 2 layers": Job(LSTM, tokens, labels, 16, 1.02),
        "ViT, 4 layers": Job(ViT, images(28), labels, 16, 1.02, batch=32),
    }


def epochs(job: Job) -> Iterator[Tensor]:
    """The rows of each step, shuffled anew each pass."""
    taken = 0
    while True:
        order = torch.randperm(len(job.x))
        for first in range(0, len(order) - job.batch + 1, job.batch):
            if taken == job.steps:
                return
            yield order[first : first + job.batch]
            taken += 1


def optimizer_of(student: nn.Module) -> torch.optim.Optimizer:
    """As the engine's default: AdamW in one call for all parameters, of which only matrices decay."""
    decays = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim <= 1]
    groups = [{"params": decays, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=RATE, fused=True)


def bare(job: Job, teacher: nn.Module | None) -> float:
    """Seconds of the loop that a careful person writes by hand."""
    student = job.build().train()
    optimizer = optimizer_of(student)
    total = torch.zeros(())
    started = time.process_time()
    for step, rows in enumerate(epochs(job)):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / job.steps))
        x = job.x[rows]
        if teacher is None:
            loss = F.cross_entropy(student(x), job.y[rows])
        else:
            with torch.no_grad():
                told = F.log_softmax(teacher(x) / TEMPERATURE, 1)
            said = F.log_softmax(student(x) / TEMPERATURE, 1)
            loss = F.kl_div(said, told, reduction="batchmean", log_target=True) * TEMPERATURE**2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
    float(total)
    accuracy(student, job)
    return time.process_time() - started


def accuracy(student: nn.Module, job: Job) -> float:
    """On the rows of the validation split."""
    student.eval()
    with torch.no_grad():
        return float((student(job.x[:HELD_OUT]).argmax(1) == job.y[:HELD_OUT]).float().mean())


class Asked:
    """A teacher asked at every step, also where its answers could have been looked up."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def answer(self, batch: Batch) -> Answer:
        """See :class:`bequest.distill.signal.Answers`."""
        return (self._teacher(batch.x),), ()


def engine(job: Job, teacher: nn.Module | None, *, looked_up: bool = False) -> float:
    """Seconds of the engine from its first look at the student to its last, with the log of both."""
    data = job.data
    split = data["train"] if teacher is None else data["train"].unlabelled()
    kind: dict[str, Any] = {}
    if teacher is not None:
        asked = Teacher(teacher)
        kind = {"teachers": (asked,)} if looked_up else {"signal": Asked(asked)}
    objective = CrossEntropy() if teacher is None else KD(temperature=TEMPERATURE)
    lesson = Lesson(
        job.build(), data, (Source("train", split, Identity()),), objective, job.recipe, 0, **kind
    )
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "metrics.jsonl").open("w") as file:
        looks: list[float] = []

        def log(row: Scores) -> None:
            print(json.dumps(row), file=file, flush=True)
            looks.append(time.process_time())

        lesson.run(log=log)
    return looks[-1] - looks[0]


def accelerate(job: Job) -> float:
    """The plain job with Hugging Face Accelerate's loop."""
    from accelerate import Accelerator  # type: ignore[import-not-found]

    helper = Accelerator(cpu=True)
    student = job.build().train()
    loader = DataLoader(TensorDataset(job.x, job.y), job.batch, shuffle=True, drop_last=True)
    student, optimizer, loader = helper.prepare(student, optimizer_of(student), loader)
    return _loop(job, student, optimizer, loader, helper.backward)


def fabric(job: Job) -> float:
    """The plain job with Lightning Fabric's loop."""
    from lightning_fabric import Fabric  # type: ignore[import-not-found]

    helper = Fabric(accelerator="cpu", devices=1)
    student = job.build().train()
    student, optimizer = helper.setup(student, optimizer_of(student))
    loader = DataLoader(TensorDataset(job.x, job.y), job.batch, shuffle=True, drop_last=True)
    return _loop(job, student, optimizer, helper.setup_dataloaders(loader), helper.backward)


def _loop(
    job: Job,
    student: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
    backward: Callable[[Tensor], object],
) -> float:
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
        getattr(optimizer, "optimizer", optimizer), job.steps
    )
    total, taken = torch.zeros(()), 0
    started = time.process_time()
    while taken < job.steps:
        for x, y in loader:
            loss = F.cross_entropy(student(x), y)
            optimizer.zero_grad()
            backward(loss)
            optimizer.step()
            scheduler.step()
            total += loss.detach()
            taken += 1
            if taken == job.steps:
                break
    float(total)
    accuracy(student, job)
    return time.process_time() - started


PEERS = {"accelerate": accelerate, "lightning_fabric": fabric}


def measure(job: Job, rounds: int) -> dict[str, Any]:
    """Milliseconds a step of every way, taking turns, and the median of the ratios within a round."""
    teacher = job.build().eval()
    ways: dict[str, Callable[[], float]] = {
        "bare": lambda: bare(job, None),
        "engine": lambda: engine(job, None),
        "bare, distilled": lambda: bare(job, teacher),
        "engine, distilled": lambda: engine(job, teacher),
        "engine, distilled, answers looked up": lambda: engine(job, teacher, looked_up=True),
    }
    for name, peer in PEERS.items():
        if importlib.util.find_spec(name):
            ways[name] = lambda peer=peer: peer(job)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in sorted(ways, reverse=bool(turn % 2)):
            spent = ways[name]()
            if turn:  # the first turn warms up
                taken[name].append(spent / job.steps * 1e3)
    result: dict[str, Any] = {"ms a step": {name: round(min(each), 3) for name, each in taken.items()}}
    ratios = {}
    for name in ways:
        other = "bare, distilled" if "distilled" in name else "bare"
        pairs = sorted(a / b for a, b in zip(taken[name], taken[other], strict=True))
        if name != other:
            ratios[name] = {
                "best / best": round(min(taken[name]) / min(taken[other]), 3),
                "median": round(statistics.median(pairs), 3),
                "quartiles": [round(pairs[len(pairs) // 4], 3), round(pairs[3 * len(pairs) // 4], 3)],
            }
    result["ratio to the bare loop"] = ratios
    result["limit"] = job.limit
    result["within the limit"] = {
        name: ratios[name]["median"] <= job.limit for name in ("engine", "engine, distilled")
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--jobs", help="comma-separated beginnings of names; default: all")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_heap()
    wanted = tuple((given.jobs or "").split(","))
    result: dict[str, Any] = {"machine": f"{platform.machine()}, torch {torch.__version__}, 1 thread"}
    for name, job in jobs().items():
        if name.startswith(wanted):
            result[name] = measure(job, given.rounds)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
