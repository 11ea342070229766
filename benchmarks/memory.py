"""Memory and throughput of training on data that is larger than memory should be.

Command: ``python benchmarks/memory.py [--gib 2] [--files 20000]``. Each case runs in a process of its own:

- ``mapped``: float32 images of 3x32x32 in .npy files, ``npy:FOLDER``; one pass of an MLP over them;
- ``held``: the same arrays, read into memory first: the same work, for its throughput;
- ``pixels``: the images of ``files`` as uint8 arrays in .npy files, ``npy:FOLDER``;
- ``folder``: JPEG files of 64x64 in class folders, ``folder:PATH``: decoded into the cache, then one pass;
- ``items``: the same files as a map-style torch Dataset, read by index in two processes.

Reported are the peak of anonymous memory (``Pss_Anon`` of /proc, sampled every 20 ms, over the process and
its children: pages that a fork shares count once) above what the process had after its imports, and the rows
of a pass by the seconds of a whole training. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import bequest as bq
from bequest.data import Dataset, Split, as_dataset, load_dataset
from bequest.data.views import Flip

SHAPE = (3, 32, 32)
SIDE = 64
HELD_OUT = 1000
CLASSES = 10
PERIOD = 0.02
ROUNDS = 3
"""Trainings on the mapped and on the held arrays, in turns; the medians are compared."""


def anonymous_bytes() -> int:
    """Resident memory that no file backs, of this process and its children."""
    total = 0
    for pid in [os.getpid(), *children(os.getpid())]:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))
    return total


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


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


class Files(torch.utils.data.Dataset):
    """Image files in class folders, as a user's own Dataset reads them."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*/*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        path = self.paths[row]
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1), int(path.parent.name)


def write_arrays(folder: Path, rows: int, shape: tuple[int, ...], dtype: type) -> None:
    """Images and labels by split, written block by block."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", rows), ("val", HELD_OUT), ("test", HELD_OUT)):
        x = np.lib.format.open_memmap(folder / f"x_{split}.npy", "w+", dtype, (count, *shape))
        for start in range(0, count, HELD_OUT):
            size = (min(HELD_OUT, count - start), *shape)
            drawn = rng.integers(0, 256, size, np.uint8)
            x[start : start + HELD_OUT] = drawn if dtype == np.uint8 else drawn.astype(np.float32) / 255
        x.flush()
        np.save(folder / f"y_{split}.npy", np.arange(count) % CLASSES)


def write_files(folder: Path, count: int) -> None:
    """JPEG files of noise in ten class folders."""
    rng = np.random.default_rng(0)
    for k in range(CLASSES):
        (folder / str(k)).mkdir(parents=True)
    for row in range(count):
        image = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
        image.save(folder / str(row % CLASSES) / f"{row}.jpg", quality=60)


def loaded(case: str, folder: Path) -> Dataset:
    """The data of a case."""
    if case in ("mapped", "held"):
        data = load_dataset(f"npy:{folder / 'mapped'}")
        return data if case == "mapped" else copied(data)
    if case == "pixels":
        return load_dataset(f"npy:{folder / 'pixels'}")
    if case == "folder":
        return load_dataset(f"folder:{folder / 'files'}", size=SIDE)
    return as_dataset(Files(folder / "files"))


def copied(data: Dataset) -> Dataset:
    """The same in memory."""
    splits = {name: Split(part.x.clone(), part.y, part.ids) for name, part in data.splits.items()}
    return Dataset(data.name, splits, data.classes)


def run_case(case: str, folder: Path) -> dict[str, float]:
    """Load and train in this process."""
    torch.set_num_threads(1)
    bare, seen = anonymous_bytes(), [0]
    with peak(seen):
        begin = time.perf_counter()
        data = loaded(case, folder)
        ready = time.perf_counter() - begin
        rates = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            bq.fit("mlp", data, epochs=1, batch=128, views=Flip(), progress=False)
            rates.append(len(data["train"]) / (time.perf_counter() - begin))
    return {
        "rows": len(data["train"]),
        "peak_anonymous_mib": round((max(seen) - bare) / 2**20),
        "seconds_to_load": round(ready, 1),
        "rows_a_second": round(statistics.median(rates)),
    }


def main() -> None:
    """Run every case in a process of its own; one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--case")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(options.case, options.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_arrays(folder / "mapped", int(options.gib * 2**30 / (4 * np.prod(SHAPE))), SHAPE, np.float32)
        write_arrays(folder / "pixels", options.files, (3, SIDE, SIDE), np.uint8)
        write_files(folder / "files", options.files)
        results = {}
        for case in ("mapped", "held", "pixels", "folder", "items"):
            command = [sys.executable, __file__, "--case", case, "--folder", name]
            environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            results[case] = json.loads(done.stdout)
        ratio = results["mapped"]["rows_a_second"] / results["held"]["rows_a_second"]
        results["mapped_to_held"] = round(ratio, 3)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
