"""A worker process: reads cell ids from standard input, runs them, answers with one JSON line each.

Started as ``python -m bequest.studies.worker FOLDER`` by :mod:`bequest.studies.pool`. The study is read
from the folder, so an id says everything. Whatever libraries print goes to the log, not into the answers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import torch

from bequest.memory import keep_heap
from bequest.studies.cells import run_cell
from bequest.studies.folder import RunFolder


def main(folder: str) -> None:
    """Serve until standard input closes, or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    keep_heap()
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
    root = Path(folder)
    plan = RunFolder(root).plan()
    cells = {cell.id: cell for cell in plan.cells}
    for line in sys.stdin:
        record = run_cell(plan, cells[line.strip()], root)
        answers.write(json.dumps({"id": record.id, "status": record.status, "error": record.error}) + "\n")
        answers.flush()


def _die_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
