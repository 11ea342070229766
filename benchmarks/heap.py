"""What :func:`bequest.memory.keep_heap` gains: a small CNN's training step and the pages it faults in.

``python benchmarks/heap.py``; each case is a process of its own, since the allocator remembers. Prints JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import torch
from torch import nn

from bequest.memory import keep_heap


def case(how: str) -> None:
    torch.set_num_threads(1)
    if how == "kept":
        keep_heap()
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    x, y = torch.randn(64, 1, 12, 12), torch.randint(0, 10, (64,))
    taken, faults = [], 0
    for _ in range(120):
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        taken.append(time.perf_counter() - started)
        faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    print(json.dumps({"ms": 1e3 * sorted(taken[20:])[50], "faults": faults / len(taken)}))


def main() -> None:
    rounds: dict[str, list[dict[str, float]]] = {"as it is": [], "kept": []}
    for _ in range(5):
        for how, found in rounds.items():
            done = subprocess.run([sys.executable, __file__, how], capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout))
    median = {how: sorted(each["ms"] for each in found)[2] for how, found in rounds.items()}
    faults = {how: sorted(each["faults"] for each in found)[2] for how, found in rounds.items()}
    result = {
        "ms a step (median of medians)": {how: round(value, 2) for how, value in median.items()},
        "page faults a step": {how: round(value) for how, value in faults.items()},
        "as it is / kept": round(median["as it is"] / median["kept"], 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    case(sys.argv[1]) if len(sys.argv) > 1 else main()
