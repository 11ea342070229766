"""Lessons for several ranks: ``torchrun --nproc-per-node 2 ranked_lessons.py FOLDER [die]``.

What each lesson comes to is written to FOLDER by the first rank; the test runs the same lessons alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bequest.data.datasets import Dataset, Split
from bequest.data.queries import ActiveSpec, Source
from bequest.data.views import Identity, Shift, parse_views
from bequest.distill.checkpoint import Checkpoint, State, checkpointing
from bequest.distill.lesson import Lesson
from bequest.distill.objectives import parse_objective
from bequest.distill.online import OnlineTeacher
from bequest.distill.parallel import joined
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher
from bequest.errors import BequestError

CLASSES = 4


def network(seed: int, *, batch_norm: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    norm = [nn.BatchNorm1d(12)] if batch_norm else []
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 12), *norm, nn.ReLU(), nn.Linear(12, CLASSES))


def reader(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, CLASSES))


def dataset(x: torch.Tensor, y: torch.Tensor) -> Dataset:
    whole = Split(x, y, torch.arange(len(x)))
    rows = {"train": (0, 72), "validation": (72, 92), "test": (92, 112)}
    splits = {name: whole.take(torch.arange(*ends)) for name, ends in rows.items()}
    return Dataset("ranked", splits, tuple("abcd"))


def images() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(112, 1, 6, 6, generator=generator)
    return dataset(x, (x.flatten(1) @ torch.randn(36, CLASSES, generator=generator)).argmax(1))


def words() -> Dataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(1, 9, (112, 5), generator=generator)
    x = torch.where(torch.arange(5) < torch.randint(1, 6, (112, 1), generator=generator), x, 0)
    return dataset(x, x * 7 % CLASSES)


def lessons() -> dict[str, Lesson]:
    """A lesson for each way in which rows, counts or gradients could go wrong between ranks."""
    data, text = images(), words()
    train = data["train"]
    recipe = Recipe(batch=12, epochs=2, lr=0.01)
    pool = ActiveSpec(budget=12, rounds=2)
    mixture = (
        Source("labelled", train, parse_views("mixup"), 0.25),
        Source("moved", train.unlabelled(), Shift(1), 0.5),
        Source("pool", train.unlabelled(), Shift(2), 0.25, view_count=2, active=pool),
    )
    kd = parse_objective({"name": "kd", "label_weight": 0.4})
    uneven = (Source("few", train, Identity(), 0.1), Source("many", train.unlabelled(), Identity(), 0.9))
    return {
        "mixture": Lesson(
            network(1), data, mixture, kd, recipe.model_copy(update={"clip": 0.5, "ema": 0.9}), 0,
            teachers=(Teacher(network(2)),),
        ),
        "accumulated": Lesson(
            network(1), data, uneven, parse_objective(["cross_entropy", "vkd"]),
            recipe.model_copy(update={"accumulate": 3, "optimizer": "sgd"}), 0,
            teachers=(Teacher(network(2)),),
        ),
        "sequences": Lesson(
            reader(1), text, (Source("train", text["train"], Identity()),), kd, recipe, 0,
            teachers=(Teacher(reader(2)),), padding=0,
        ),
        "online": Lesson(
            network(1), data, (Source("train", train, Shift(1)),), parse_objective("kd"),
            recipe.model_copy(update={"select": "nll", "patience": 1}), 0,
            teachers=(OnlineTeacher(network(2)),),
        ),
    }  # fmt: skip


def normed() -> Lesson:
    data = images()
    source = Source("train", data["train"], Identity())
    recipe = Recipe(batch=12, epochs=1)
    return Lesson(network(1, batch_norm=True), data, (source,), parse_objective("cross_entropy"), recipe, 0)


def result(lesson: Lesson, **options: object) -> dict[str, object]:
    trained = lesson.run(**options)
    return {
        "weights": lesson.student.state_dict(),
        "history": trained.outcome.history,
        "warnings": list(trained.warnings),
        "chosen": {name: list(rounds) for name, rounds in trained.chosen.items()},
    }


def first_only(checkpoint: Checkpoint) -> Checkpoint:
    """Keeps the first state that it is offered, as a run does that dies before the second."""
    kept = []

    def keep(state: Callable[[], State] | None) -> State | None:
        if state is not None and kept:
            return None
        kept.extend([1] if state is not None else [])
        return checkpoint(state)

    return keep


def main(folder: Path, what: str) -> None:
    with joined() as ranks:
        if what == "die":

            def die(state: object) -> None:
                if state is not None:
                    os._exit(7)

            result(lessons()["mixture"], checkpoint=die)
        found = {name: result(lesson) for name, lesson in lessons().items()}
        found["resumed"] = result(lessons()["mixture"], checkpoint=checkpointing(folder / "alone.pt"))
        result(lessons()["mixture"], checkpoint=first_only(checkpointing(folder / "ranked.pt")))
        found["normed"] = result(normed())
        mean = found["normed"]["weights"]["2.running_mean"]
        found["mean"] = ranks.sum(mean.clone()) / ranks.world
        if ranks.first:
            torch.save(found, folder / "found.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "run")
    except BequestError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
