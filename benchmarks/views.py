"""Images a second that views make, one torch thread: ``python benchmarks/views.py [--batch 128]``.

Crop + flip is measured beside the same work written as a loop over images, taking turns in one process.
Prints JSON; ``bar`` is what crop + flip must reach.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bequest.data.views import (
    Brightness,
    Choice,
    Compose,
    Contrast,
    Crop,
    CutMix,
    Erase,
    Flip,
    Mixup,
    Noise,
    Randaugment,
    ResizedCrop,
    Rotate,
    Scale,
    Shift,
    View,
)
from bequest.memory import keep_heap

BAR = 50_000
VIEWS: dict[str, View] = {
    "crop + flip": Compose((Crop(4), Flip())),
    "crop (reflect) + flip": Compose((Crop(4, "reflect"), Flip())),
    "shift": Shift(2),
    "flip": Flip(),
    "resized_crop": ResizedCrop(),
    "rotate": Rotate(20),
    "scale": Scale(0.8, 1.2),
    "erase": Erase(),
    "brightness": Brightness(0.2),
    "contrast": Contrast(0.2),
    "noise": Noise(0.1),
    "randaugment": Randaugment(2, 9),
    "mixup": Mixup(),
    "cutmix": CutMix(),
    "crop + flip + mixup or cutmix": Compose((Crop(4), Flip(), Choice((Mixup(), CutMix())))),
}


def loop(x: Tensor) -> Tensor:
    """Crop and flip as a data loader does it: an image at a time."""
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4))
    shown = []
    for image in padded:
        down, right = (int(v) for v in torch.randint(0, 9, (2,)))
        cut = image[:, down : down + 32, right : right + 32]
        shown.append(cut.flip(2) if float(torch.rand(())) < 0.5 else cut)
    return torch.stack(shown)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_heap()
    pool = (torch.randn(2000, 3, 32, 32), torch.arange(2000))
    x, ids = (part[: given.batch] for part in pool)
    works: dict[str, Callable[[], object]] = {"loop over images": lambda: loop(x)}
    for name, view in VIEWS.items():
        works[name] = lambda view=view: view(x, ids, 1, seed=0, pool=pool)
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(given.rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    rates = {name: round(given.batch / sorted(each)[len(each) // 2]) for name, each in taken.items()}
    result = {
        "machine": f"{platform.machine()}, torch {torch.__version__}, 1 thread",
        "images": f"{given.batch} a batch, 3x32x32 float32",
        "bar": BAR,
        "reached": rates["crop + flip"] >= BAR,
        "times as fast as a loop over images": round(rates["crop + flip"] / rates["loop over images"], 1),
        "images a second (median)": rates,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
