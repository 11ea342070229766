"""Time and memory of the measures, as JSON: ``python benchmarks/measure.py [--large]``.

Each measurement runs in a process of its own, on one thread. Ratios are between things timed in turn in the
same process. Memory is the peak of anonymous resident memory above what the data take; files that are
mapped are not in it. ``--large`` adds CKA of 50,000 × 4,096, which takes minutes and 1.6 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

MIB = 1 << 20
IMAGES = 2000


def resident() -> float:
    """Anonymous resident memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def peak_above(work: Callable[[], object]) -> float:
    """The most memory that ``work`` holds above what there was, MiB, looked at every millisecond."""
    before, most, done = resident(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return max(most, resident()) - before


def best_of(runs: int, *works: Callable[[], object]) -> list[float]:
    """Best seconds of each of ``works``, timed in turn."""
    best = [float("inf")] * len(works)
    for _ in range(runs):
        for k, work in enumerate(works):
            start = time.perf_counter()
            work()
            best[k] = min(best[k], time.perf_counter() - start)
    return best


def cka_small() -> dict[str, Any]:
    """CKA of 10,000 × 512 float32 against one float64 product of that size."""
    import numpy as np

    from bequest.measure import cka

    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(10_000, 512)).astype(np.float32) for _ in range(2))
    cka(x[:100], y[:100])
    memory = peak_above(lambda: cka(x, y))
    a, b = x.astype(np.float64), y.astype(np.float64)
    ours, product = best_of(5, lambda: cka(x, y), lambda: a.T @ b)
    return {
        "shape": [10_000, 512],
        "seconds": ours,
        "product_seconds": product,
        "ratio": ours / product,
        "ratio_limit": 5,
        "mib_above_data": memory,
        "mib_limit": 64,
        "value": cka(x, y),
    }


def cka_large() -> dict[str, Any]:
    """CKA of 50,000 × 4,096 float32 from files that are mapped."""
    import numpy as np

    from bequest.measure import cka

    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for k in range(2):
            path = Path(folder) / f"{k}.npy"
            file = np.lib.format.open_memmap(path, "w+", np.float32, (50_000, 4_096))
            rng = np.random.default_rng(k)
            for start in range(0, 50_000, 2_000):
                file[start : start + 2_000] = rng.standard_normal((2_000, 4_096), dtype=np.float32)
            del file
            sides.append(np.load(path, mmap_mode="r"))
        start = time.perf_counter()
        memory = peak_above(lambda: cka(*sides))
        return {
            "shape": [50_000, 4_096],
            "seconds": time.perf_counter() - start,
            "mib_above_data": memory,
            "mib_limit": 1024,
        }


def bootstrap() -> dict[str, Any]:
    """9,999 resamples of 10,000 samples, against SciPy's in batches of 100."""
    import numpy as np
    from scipy import stats

    from bequest.measure import sample_interval

    values = np.random.default_rng(0).normal(size=10_000)
    sample_interval(values[:50])
    memory = peak_above(lambda: sample_interval(values))

    def scipys() -> object:
        return stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9_999, batch=100, rng=0)

    ours, theirs = best_of(2, lambda: sample_interval(values), scipys)
    return {
        "samples": 10_000,
        "draws": 9_999,
        "seconds": ours,
        "seconds_limit": 2,
        "scipy_seconds": theirs,
        "ratio": ours / theirs,
        "mib_above_data": memory,
        "mib_limit": 200,
    }


def corruptions() -> dict[str, Any]:
    """Images a second of the 15 corruptions of MNIST-C on 28 × 28, and of all 15 together."""
    import torch

    torch.set_num_threads(1)
    from bequest.data.corruptions import MNIST_C

    images = torch.rand(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    images = images * (images > 0.7)
    ids = torch.arange(IMAGES)
    seconds = best_of(3, *(lambda c=c: c(images, ids) for c in MNIST_C))
    return {
        "images": IMAGES,
        "images_per_second": 15 * IMAGES / sum(seconds),
        "images_per_second_limit": 5_000,
        "by_corruption": {c.name: round(IMAGES / s) for c, s in zip(MNIST_C, seconds, strict=True)},
    }


def alone(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """``work`` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="add CKA of 50,000 x 4,096")
    works = [cka_small, bootstrap, corruptions]
    works += [cka_large] if parser.parse_args().large else []
    found = {work.__name__: alone(work) for work in works}
    print(json.dumps({"machine": platform.machine(), "cores": os.cpu_count(), **found}, indent=1))


if __name__ == "__main__":
    main()
