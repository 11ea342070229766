"""What a signal store costs and gains: reads, epochs, bytes, builds; everything is timed in turn.

``python benchmarks/store.py [--rows 200000] [--vocabulary]``; prints JSON. HDF5 and LMDB if they are there.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import bequest as bq
from bequest.data.batches import Batch, Part, Source
from bequest.data.datasets import Dataset, Split
from bequest.data.views import Shift
from bequest.distill.lesson import Lesson
from bequest.distill.objectives import KD, CrossEntropy
from bequest.distill.recipe import Recipe
from bequest.distill.stores.codecs import Dense, Sampled, TopK
from bequest.distill.stores.job import as_rows, shown
from bequest.distill.stores.packed import Packed
from bequest.distill.teachers import Teacher
from bequest.models import build_model

BATCH = 256
FILES = 20_000
"""Pickles that are written: one file a sample, so not more than a folder bears."""
MIB = 2**20
VOCABULARY = 128_256


def rate(
    reads: dict[str, Callable[[np.ndarray], object]], rows: dict[str, int], seconds: float = 0.6
) -> dict[str, float]:
    """Rows a second of each way to read, the best of five rounds, each round one way after the other."""
    best: dict[str, float] = dict.fromkeys(reads, 0.0)
    dice = np.random.default_rng(0)
    for _ in range(5):
        for name, read in reads.items():
            batches = [dice.integers(0, rows[name], BATCH) for _ in range(64)]
            read(batches[0])
            count, started = 0, time.perf_counter()
            while (spent := time.perf_counter() - started) < seconds / 5:
                read(batches[count % 64])
                count += 1
            best[name] = max(best[name], count * BATCH / spent)
    return best


def flat(rows: int, classes: int) -> tuple[Dataset, nn.Module]:
    """Vectors of four numbers and a linear teacher: the answers are what is measured."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 4, generator=generator)
    split = Split(x, torch.arange(rows) % classes, torch.arange(rows))
    data = Dataset("flat", {"train": split}, tuple(map(str, range(classes))))
    torch.manual_seed(0)
    return data, nn.Linear(4, classes)


def reads(folder: Path, rows: int, classes: int) -> dict[str, Any]:
    """Random batches of 256 rows of float16 logits."""
    data, teacher = flat(rows, classes)
    store = bq.build_store(teacher, data, path=folder / "store", batch=4096)
    replay = store.opened(store.sources(data), KD())
    path = folder / "store" / "view-00000.npy"
    mapped = np.load(path, mmap_mode="r")
    recording, x, ids = store.grid[0][0], torch.empty(BATCH, 4), torch.arange(BATCH)

    def from_store(index: np.ndarray) -> object:
        part = Part(0, torch.from_numpy(index), 0)
        return replay.answer(Batch(x, ids, None, None, None, (part,)))

    ways: dict[str, Callable[[np.ndarray], object]] = {
        "bare memory-mapped gather": lambda index: mapped[index],
        "bare gather, to float32": lambda index: torch.from_numpy(mapped[index]).float(),
        "store, stored rows": lambda index: recording.rows("logits", 0).index_select(
            0, torch.from_numpy(index)
        ),
        "store, answers in float32": from_store,
        "one pickle a sample": pickles(folder / "pickles", mapped[: min(rows, FILES)]),
    }
    sizes = dict.fromkeys(ways, rows) | {"one pickle a sample": min(rows, FILES)}
    for name, made in (("HDF5", hdf5), ("LMDB", lmdb)):
        read = made(folder / name, mapped)
        if read is not None:
            ways[name], sizes[name] = read, rows
    found = rate(ways, sizes)
    bare = found["bare memory-mapped gather"]
    result = {
        "million rows a second": {name: round(value / 1e6, 3) for name, value in found.items()},
        "store's answers / bare gather": round(found["store, answers in float32"] / bare, 2),
        "store's answers / bare gather to float32": round(
            found["store, answers in float32"] / found["bare gather, to float32"], 2
        ),
    }
    shutil.rmtree(folder)
    return result


def pickles(folder: Path, rows: np.ndarray) -> Callable[[np.ndarray], object]:
    folder.mkdir(parents=True)
    for index, row in enumerate(rows):
        (folder / f"{index}.pkl").write_bytes(pickle.dumps(row))
    return lambda index: [pickle.loads((folder / f"{k}.pkl").read_bytes()) for k in index]


def hdf5(path: Path, rows: np.ndarray) -> Callable[[np.ndarray], object] | None:
    try:
        import h5py
    except ImportError:
        return None
    with h5py.File(path, "w") as file:
        file.create_dataset("logits", data=rows)
    opened = h5py.File(path, "r")["logits"]

    def read(index: np.ndarray) -> object:
        unique, inverse = np.unique(index, return_inverse=True)
        return opened[unique][inverse]

    return read


def lmdb(path: Path, rows: np.ndarray) -> Callable[[np.ndarray], object] | None:
    try:
        import lmdb as database
    except ImportError:
        return None
    environment = database.open(str(path), map_size=8 * rows.nbytes + 64 * MIB)
    with environment.begin(write=True) as writing:
        for index, row in enumerate(rows):
            writing.put(index.to_bytes(8, "big"), row.tobytes())
    reading = environment.begin(buffers=True)

    def read(index: np.ndarray) -> object:
        return np.stack([np.frombuffer(reading.get(int(k).to_bytes(8, "big")), np.float16) for k in index])

    return read


class AtHand:
    """Answers that cost nothing: what an objective costs without whoever answers."""

    answers = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))

    def answer(self, batch: Batch) -> Any:  # noqa: D102
        return (self.answers[: len(batch.ids)],), ()


def epochs(folder: Path, student: str, count: int, rounds: int = 5) -> dict[str, Any]:
    """A student's epoch on shifted digits: labelled, from a store, with live teachers; best of ``rounds``."""
    data = bq.load_dataset("digits")
    teachers = {
        "light teacher (MLP)": build_model("mlp", data.input_shape, 10, seed=1),
        "heavy teacher (ResNet-20)": build_model("resnet20", data.input_shape, 10, seed=1),
    }
    store = bq.build_store(teachers["light teacher (MLP)"], data, views=Shift(2), count=count, path=folder)
    stored = store.sources(data)
    fresh = tuple(replace(source, view_count=None) for source in stored)
    labelled = (Source("train", data["train"], Shift(2), view_seed=0),)
    labelled_not = (replace(labelled[0], split=data["train"].unlabelled()),)
    recipe = Recipe(epochs=count, evaluate_every=count)

    def run(sources: Any, objective: Any, **how: Any) -> tuple[float, float]:
        lesson = Lesson(
            build_model(student, data.input_shape, 10, seed=0), data, sources, objective, recipe, 0, **how
        )
        cpu = time.process_time()
        wall = lesson.run().outcome.seconds
        return wall / count, (time.process_time() - cpu) / count

    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "labelled": lambda: run(labelled, CrossEntropy()),
        "KD, answers at hand": lambda: run(labelled_not, KD(), signal=AtHand()),
        "from the store": lambda: run(stored, KD(), signal=store),
    }
    for name, network in teachers.items():
        ways[name] = lambda n=network: run(fresh, KD(), teachers=(Teacher(n),))
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu = way()
            best[name] = (min(best[name][0], wall), min(best[name][1], cpu))
    shutil.rmtree(folder)
    found: dict[str, Any] = {"seconds an epoch": {name: round(wall, 4) for name, (wall, _) in best.items()}}
    for kind, clock in ((0, "wall time"), (1, "processor time")):
        seconds = {name: each[kind] for name, each in best.items()}
        stored_seconds = seconds["from the store"]
        at_hand = seconds["KD, answers at hand"]
        ratios = {f"{name} / store": round(seconds[name] / stored_seconds, 2) for name in teachers}
        found[clock] = {
            "store / labelled": round(stored_seconds / seconds["labelled"], 3),
            "store / KD with answers at hand": round(stored_seconds / at_hand, 3),
            **ratios,
        }
    return found


def record_bytes() -> dict[str, dict[int, int | None]]:
    """Bytes a record of each codec."""
    found: dict[str, dict[int, int | None]] = {}
    for codec in (
        Dense("float32"),
        Dense("float16"),
        TopK(10),
        TopK(50),
        Packed(50),
        Sampled(12),
        Sampled(50),
    ):
        sizes: dict[int, int | None] = {}
        for classes in (10, 100, 1000, 128_256):
            too_few = isinstance(codec, TopK | Packed) and codec.k >= classes
            dtype, shape = (np.dtype("u1"), (0,)) if too_few else codec.layout((classes,))
            sizes[classes] = None if too_few else dtype.itemsize * int(np.prod(shape))
        found[json.dumps(codec.spec())] = sizes
    return found


def builds(folder: Path, family: str, shape: tuple[int, ...], rows: int, rounds: int = 3) -> dict[str, Any]:
    """Answers a second of a build against the bare forward pass over the same pixels, made beforehand."""
    x = torch.rand(rows, *shape, generator=torch.Generator().manual_seed(0))
    split = Split(x, torch.arange(rows) % 10, torch.arange(rows))
    data = Dataset("noise", {"train": split}, tuple("abcdefghij"))
    teacher = Teacher(build_model(family, shape, 10, seed=0))
    source = Source("train", split, Shift(2), view_count=1, view_seed=0)
    batches = [shown(source, part, 0) for part in torch.split(torch.arange(rows), BATCH)]
    best: dict[str, list[float]] = {"bare forward": [float("inf")] * 2, "build": [float("inf")] * 2}

    def timed(name: str, views: int, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        spent = ((time.perf_counter() - wall) / views, (time.process_time() - cpu) / views)
        best[name] = [min(old, new) for old, new in zip(best[name], spent, strict=True)]

    for round_ in range(rounds):
        path = folder / str(round_)
        timed("bare forward", 1, lambda: [teacher(pixels) for pixels in batches])
        timed("build", 2, lambda p=path: bq.build_store(teacher, data, views=Shift(2), count=2, path=p))
    shutil.rmtree(folder)
    (bare_wall, bare_cpu), (build_wall, build_cpu) = best["bare forward"], best["build"]
    return {
        "answers a second": {"bare forward": round(rows / bare_wall), "build": round(rows / build_wall)},
        "build / bare forward": round(bare_wall / build_wall, 3),
        "build / bare forward, processor time": round(bare_cpu / build_cpu, 3),
    }


def tokens(count: int, *, classes: int = VOCABULARY, seed: int = 0) -> torch.Tensor:
    """Logits like a language model's: Zipf's law with an exponent of 1.1 to 2.2 and noise, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    zipf = -1.1 * torch.log(torch.arange(1, classes + 1, dtype=torch.float32))
    rows = []
    for _ in range(count):
        sharpness = 1 + torch.rand(1, generator=generator)
        noise = 0.5 * torch.randn(classes, generator=generator)
        rows.append((zipf * sharpness + noise)[torch.randperm(classes, generator=generator)])
    return torch.stack(rows)


def vocabulary(count: int = 256, rounds: int = 3) -> dict[str, dict[str, float]]:
    """Bytes, KL from the teacher at T = 1 (mean and largest) and rows a second of codecs for tokens."""
    logits, ids = tokens(count), torch.arange(count)
    codecs = (Dense("float16"), TopK(50), Packed(50), Packed(50, 8), Sampled(50))
    result: dict[str, dict[str, float]] = {json.dumps(codec.spec()): {} for codec in codecs}
    for _ in range(rounds):
        for codec, numbers in zip(codecs, result.values(), strict=True):
            started = time.perf_counter()
            encoded = codec.encode(logits, ids, 0, seed=0)
            written = count / (time.perf_counter() - started)
            rows, started = as_rows(encoded), time.perf_counter()
            decoded = codec.decode(rows, (VOCABULARY,))
            read = count / (time.perf_counter() - started)
            error = codec.error(decoded, logits)
            numbers["bytes"] = encoded.nbytes / count
            if error is not None:
                numbers |= {"KL": float(error.mean()), "largest KL": float(error.max())}
            numbers["encoded a second"] = max(numbers.get("encoded a second", 0.0), round(written, 1))
            numbers["decoded a second"] = max(numbers.get("decoded a second", 0.0), round(read))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--vocabulary", action="store_true", help="codecs for a large vocabulary only")
    options = parser.parse_args()
    rows = options.rows
    torch.set_num_threads(1)
    if options.vocabulary:
        print(json.dumps(vocabulary(), indent=1))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "reads": {f"C = {c}": reads(folder / "reads", rows, c) for c in (10, 100, 1000)},
            "bytes a record": record_bytes(),
            "a vocabulary of 128,256": vocabulary(),
            "build": {
                "MLP, 1×12×12": builds(folder / "mlp", "mlp", (1, 12, 12), 32768),
                "CNN, 1×12×12": builds(folder / "cnn", "cnn", (1, 12, 12), 16384),
                "ResNet-20, 3×32×32": builds(folder / "resnet", "resnet20", (3, 32, 32), 2048),
            },
            "epoch": {
                student: epochs(folder / student, student, count)
                for student, count in (("mlp", 8), ("cnn", 2))
            },
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
