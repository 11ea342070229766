"""Peak anonymous memory of reading a large memory-mapped data set, and its throughput against memory.

Command: ``python benchmarks/memory.py [--gib 2] [--steps 200]``. Writes float32 images of 3x32x32 to a
temporary folder, loads them by ``npy:FOLDER`` with validation and test of their own, draws shuffled batches
through a view, and prints the peak of the process's anonymous memory (``RssAnon`` of /proc, sampled every
10 ms) above the bare process. Linux only.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bequest.data import Split, load_dataset
from bequest.data.batches import Batches
from bequest.data.queries import Source
from bequest.data.views import Flip

SHAPE = (3, 32, 32)
HELD_OUT = 1000
PERIOD = 0.01


def anonymous_bytes() -> int:
    """This process's resident memory that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


@contextmanager
def peak(seen: list[int]) -> Iterator[None]:
    """Append samples of the anonymous memory to ``seen`` while the block runs."""
    done = threading.Event()

    def sample() -> None:
        while not done.wait(PERIOD):
            seen.append(anonymous_bytes())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def write(folder: Path, rows: int) -> None:
    """Images and labels by split, written block by block."""
    rng = np.random.default_rng(0)
    for split, count in (("train", rows), ("val", HELD_OUT), ("test", HELD_OUT)):
        x = np.lib.format.open_memmap(folder / f"x_{split}.npy", "w+", np.float32, (count, *SHAPE))
        for start in range(0, count, HELD_OUT):
            x[start : start + HELD_OUT] = rng.random((min(HELD_OUT, count - start), *SHAPE), dtype=np.float32)
        x.flush()
        np.save(folder / f"y_{split}.npy", np.arange(count) % 10)


def rows_a_second(split: Split, steps: int) -> float:
    """Rows that come out of the batches, in a view."""
    batches = Batches([Source("train", split, Flip())], batch=128, seed=0)
    begin = time.perf_counter()
    for step in range(steps):
        batches.at(step)
    return 128 * steps / (time.perf_counter() - begin)


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    rows = int(options.gib * 2**30 / (4 * np.prod(SHAPE)))
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), rows)
        rows_a_second(load_dataset("digits")["train"], 5)  # what the bare process needs anyway
        bare, seen = anonymous_bytes(), [0]
        with peak(seen):
            data = load_dataset(f"npy:{name}")
            digest = data.digest
            rows_a_second(data["train"], options.steps)
        part = data["train"]
        copied = Split(part.x.clone(), part.y, part.ids)
        # in turns, so that a busy neighbour slows both down alike
        pairs = [(rows_a_second(part, options.steps), rows_a_second(copied, options.steps)) for _ in range(5)]
        mapped, in_memory = (float(np.median([pair[k] for pair in pairs])) for k in (0, 1))
    print(
        json.dumps(
            {
                "images": rows, "gib": options.gib, "digest": digest[:12],
                "peak_anonymous_mib": round((max(seen) - bare) / 2**20, 1),
                "rows_a_second_mapped": round(mapped), "rows_a_second_in_memory": round(in_memory),
            },
            indent=1,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
