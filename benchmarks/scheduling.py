"""What a cell costs besides its training: ``python benchmarks/scheduling.py [--cells 100]``.

Half of the cells are plain, half are taught by one of them; each takes one step on eight samples with two
features, and is read once. For each engine and size: seconds on the clock and of the processor (of all
processes, which other work on the machine does not move), both a cell; what training and reading took of the
latter; peak memory of the driver; files a cell; seconds of the same command again. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bequest.config import to_toml

SIZES, ENGINES = (100, 1000, 10_000), ("local", "work", "ray")
WORKERS = 2


def write_study(folder: Path, cells: int) -> Path:
    """A study of so many cells that do next to nothing."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(24, 1, 1, 2)).astype(np.float32), np.arange(24) % 2
    splits = {"train": slice(0, 8), "val": slice(8, 16), "test": slice(16, 24)}
    arrays = {
        f"{kind}_{name}": values[part]
        for name, part in splits.items()
        for kind, values in (("x", x), ("y", y))
    }
    np.savez(folder / "data.npz", **arrays)
    study = {
        "name": "scheduling",
        "title": "Cells that do next to nothing",
        "question": "What does a cell cost?",
        "seeds": cells // 2,
        "data": {"name": f"npz:{folder / 'data.npz'}"},
        "recipe": {"steps": 1, "batch": 8},
        "models": {"mlp": {"family": "mlp", "options": {"hidden": [8]}}},
        "splits": {"test": {"description": "held out"}},
        "arms": {"plain": {"student": "mlp"}, "taught": {"student": "mlp", "teachers": ["plain"]}},
        "measures": {"profile": ["accuracy"]},
    }
    path = folder / "study.toml"
    path.write_text(to_toml(study))
    return path


class Driver:
    """A command, and the most memory that its process itself had."""

    def __init__(self, command: Sequence[str]) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.peak = 0
        thread = threading.Thread(target=self._look)
        thread.start()
        self.output = self.process.communicate()[0]
        thread.join()
        self.seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if self.process.returncode != 0:
            raise SystemExit(self.output)

    def _look(self) -> None:
        while self.process.poll() is None:
            try:
                status = Path(f"/proc/{self.process.pid}/status").read_text()
            except OSError:
                return
            peaks = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
            self.peak = max(self.peak, *peaks, 0)
            time.sleep(0.1)


def together(commands: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Run commands at the same time; seconds on the clock and of the processor."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    processes = [
        subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for each in commands
    ]
    for process in processes:
        text = process.communicate()[0]
        if process.returncode != 0:
            raise SystemExit(text.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, spent


def bequest(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bequest", *map(str, arguments)]


def measured(engine: str, cells: int, folder: Path) -> dict[str, Any]:
    study, out = write_study(folder, cells), folder / "run"
    run = bequest("run", study, "--out", out, "--workers", WORKERS, "--device", "cpu")
    if engine == "work":
        subprocess.run([*run, "--engine", "none"], check=True, capture_output=True)
        seconds, processor = together([bequest("work", out, "--device", "cpu")] * WORKERS)
        peak = None
    else:
        driver = Driver([*run, "--engine", engine])
        seconds, processor, peak = driver.seconds, driver.processor, driver.peak
    again = Driver([*run])
    records = [json.loads(path.read_text()) for path in out.glob("cells/*/record.json")]
    trained = sum(record["durations"]["total"] for record in records)
    files = sum(len(names) for _, _, names in os.walk(out / "cells"))
    size = sum(path.stat().st_size for path in (out / "cells").rglob("*") if path.is_file())
    assert len(records) == cells
    return {
        "engine": engine,
        "cells": cells,
        "seconds": round(seconds, 2),
        "milliseconds a cell": round(1e3 * seconds / cells, 2),
        "processor milliseconds a cell": round(1e3 * processor / cells, 2),
        "training milliseconds a cell": round(1e3 * trained / cells, 2),
        "driver MiB": None if peak is None else round(peak / 1024, 1),
        "files a cell": files / cells,
        "KiB a cell": round(size / cells / 1024, 2),
        "again seconds": round(again.seconds, 2),
        "again processor seconds": round(again.processor, 2),
        "again MiB": round(again.peak / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", default=",".join(map(str, SIZES)))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which are kept there")
    chosen = parser.parse_args()
    for engine in chosen.engines.split(","):
        for cells in map(int, chosen.cells.split(",")):
            base = (chosen.keep or Path(tempfile.mkdtemp(prefix="bequest-"))) / f"{engine}-{cells}"
            base.mkdir(parents=True)
            print(
                json.dumps(
                    {
                        **measured(engine, cells, base),
                        "cores": os.cpu_count(),
                        "python": platform.python_version(),
                    }
                ),
                flush=True,
            )
            if chosen.keep is None:
                shutil.rmtree(base.parent)


if __name__ == "__main__":
    main()
