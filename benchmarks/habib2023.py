"""Stored against live teachers for a vision transformer, as JSON: ``python benchmarks/habib2023.py``.

For the models of the study ``habib2023`` at scale ``small``, and for DeiT-Ti with RegNetY-4.0 and
RedNet-101 at 224×224: processor time and wall time a step of the student without teachers, from a store
and from live teachers, and what the store takes to build; from these the epoch at which the store pays off.
Steps are taken in turn, on one thread; each number is the median over rounds. The involution is timed beside
a depthwise 7×7 convolution of the same width.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import bequest as bq
from bequest.data.batches import Batches, Source
from bequest.data.datasets import Dataset, Split
from bequest.data.views import parse_views
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import CrossEntropy, parse_objective
from bequest.distill.recipe import Recipe
from bequest.distill.stores.replay import Replay
from bequest.distill.teachers import Teacher
from bequest.distill.trainer import Trainer
from bequest.models import build_model
from bequest.models.involution import Involution

Clock = tuple[float, float]
VIEWS = [{"name": "crop", "padding": 2}, {"name": "flip"}]


def timed(work: Callable[[], object]) -> Clock:
    """Wall and processor seconds of ``work``."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def medians(found: list[Clock]) -> dict[str, float]:
    return {
        "wall": statistics.median(wall for wall, _ in found),
        "processor": statistics.median(cpu for _, cpu in found),
    }


def noise(rows: int, shape: tuple[int, ...], classes: int) -> Dataset:
    """As many images of noise: what a step costs does not depend on what is on them."""
    x = torch.rand(rows, *shape, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(rows) % classes, torch.arange(rows))
    return Dataset("noise", {"train": split, "validation": split}, tuple(str(k) for k in range(classes)))


def pays_off(
    folder: Path,
    student: nn.Module,
    teachers: list[nn.Module],
    data: Dataset,
    *,
    batch: int,
    steps: int,
    rounds: int,
) -> dict[str, Any]:
    """Seconds an image: without teachers, from the store, live; and the epoch at which the store pays off."""
    view = parse_views(VIEWS)
    objective = parse_objective(
        [{"name": "bound", "objective": "cross_entropy", "token": 0}, {"name": "tokens"}]
    )
    asked = [Teacher(network) for network in teachers]
    building = [
        timed(lambda k=k: bq.build_store(asked, data, views=view, count=1, path=folder / str(k)))
        for k in range(2)
    ]
    store = bq.open_store(folder / "1")
    sources = tuple(replace(source, split=data["train"]) for source in store.sources(data))
    labelled = (Source("train", data["train"], view, view_seed=0),)
    recipe = Recipe(batch=batch, optimizer="adamw", lr=1e-4, steps=10**6)

    def trainer(own: Any, signal: Any, loss: Any) -> Trainer:
        batches = Batches(own, batch=batch, seed=0, steps=recipe.steps or 0, steps_per_epoch=1)
        return Trainer(student, batches, loss, recipe, steps=recipe.steps or 0, signal=signal)

    live = LiveTeachers(asked, labelled, features=(), seed=0)
    replay = store.opened(sources, objective, combined=False)
    assert isinstance(replay, Replay)
    ways = {
        "no teacher": trainer(labelled, None, CrossEntropy()),
        "from the store": trainer(sources, replay, objective),
        "live teachers": trainer(labelled, live, objective),
    }
    found: dict[str, list[Clock]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            spent = timed(lambda w=way: [w.step() for _ in range(steps)])
            if round_:
                found[name].append((spent[0] / steps / batch, spent[1] / steps / batch))
    built = min(building, key=lambda spent: spent[1])
    seconds = {name: medians(each) for name, each in found.items()}
    seconds["build of the store, a view"] = {
        "wall": built[0] / len(data["train"]), "processor": built[1] / len(data["train"])
    }  # fmt: skip
    return {"milliseconds an image": _rounded(seconds), "ratios": _ratios(seconds)}


def _rounded(seconds: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {clock: round(1e3 * s, 3) for clock, s in each.items()} for name, each in seconds.items()}


def _ratios(seconds: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What the store saves an epoch, and when its build is paid back, for stores of 75 views of 300 epochs.

    One student: views that come again cost no answer. Several students share the build.
    """
    cpu = {name: each["processor"] for name, each in seconds.items()}
    none, stored, live, build = (cpu[name] for name in cpu)
    saved = live - stored
    found: dict[str, Any] = {
        "live / from the store": round(live / stored, 2),
        "from the store / no teacher": round(stored / none, 2),
        "build of a view / saved an epoch": round(build / saved, 2) if saved > 0 else None,
    }
    for views in (1, 25, 75):
        epoch = math.ceil(views * build / saved) if saved > 0 else None
        found[f"epoch at which a store of {views} views has paid off"] = epoch
    total = {
        "live": 300 * live,
        "stored": 300 * stored + 75 * build,
        "stored, 5 students": 300 * stored + 15 * build,
    }
    found["300 epochs, 75 views: live / stored with build"] = round(total["live"] / total["stored"], 2)
    found["the same a student, 5 students"] = round(total["live"] / total["stored, 5 students"], 2)
    return found


def involution(rounds: int = 9) -> dict[str, Any]:
    """A layer's forward pass, and forward and backward, beside a depthwise 7×7 convolution."""
    return {
        f"{rows}×{width}×{side}×{side}": beside_depthwise(rows, width, side, rounds)
        for rows, width, side in ((64, 32, 16), (64, 64, 8), (4, 64, 56), (16, 128, 14))
    }


def beside_depthwise(rows: int, width: int, side: int, rounds: int) -> dict[str, Any]:
    x = torch.rand(rows, width, side, side, requires_grad=True)
    depthwise, layer = nn.Conv2d(width, width, 7, padding=3, groups=width), Involution(width, 7)

    def untracked(network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        with torch.no_grad():
            network(x)

    ways: dict[str, Callable[[], object]] = {
        "depthwise, forward": lambda: untracked(depthwise),
        "involution, forward": lambda: untracked(layer),
        "its kernels alone": lambda: untracked(lambda x: layer.span(torch.relu(layer.norm(layer.reduce(x))))),
        "depthwise, forward and backward": lambda: depthwise(x).sum().backward(),
        "involution, forward and backward": lambda: layer(x).sum().backward(),
    }
    best = dict.fromkeys(ways, math.inf)
    for _ in range(rounds):
        for name, way in ways.items():
            best[name] = min(best[name], 1e3 * timed(way)[1])
    return {
        "milliseconds": {name: round(value, 2) for name, value in best.items()},
        **{
            f"ratio, {what}": round(best[f"involution, {what}"] / best[f"depthwise, {what}"], 2)
            for what in ("forward", "forward and backward")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    shape = (3, 16, 16)
    small = {"form": "advised", "width": 48, "depth": 3, "heads": 3, "patch": 4, "stem": 32}
    large = (3, 224, 224)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "involution / depthwise 7×7": involution(),
            "study, scale small": pays_off(
                folder / "small",
                build_model("vit", shape, 10, seed=0, **small),
                [
                    build_model("resnet8", shape, 10, seed=0),
                    build_model("rednet", shape, 10, seed=0, blocks=[1, 1, 1], kernel=5),
                ],
                noise(1024, shape, 10),
                batch=64,
                steps=4,
                rounds=rounds,
            ),
            "DeiT-Ti with RegNetY-4.0 and RedNet-101, 224×224": pays_off(
                folder / "large",
                build_model("deit_tiny", large, 8, seed=0, form="advised"),
                [build_model(name, large, 8, seed=0) for name in ("regnety_040", "rednet101")],
                noise(8, large, 8),
                batch=4,
                steps=1,
                rounds=rounds,
            ),
        }
    print(json.dumps(result, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
