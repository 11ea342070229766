"""A worker process: reads jobs from standard input, does them, answers with one JSON line each.

Started as ``python -m bequest.runs.worker FOLDER DEVICE`` by :mod:`bequest.runs.pool`. The study is read from
the folder, so that a job's id (``train CELL`` or ``read CELL``) says everything. What libraries print goes to
the log, not into the answers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from bequest.memory import collect_seldom, keep_heap

if __name__ == "__main__":  # before torch is imported; a program that imports this file keeps its settings
    collect_seldom()

import torch

from bequest.models.devices import prefer_determinism
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.machine import end_with
from bequest.runs.work import Workbench


def main(folder: str, device: str) -> None:
    """Serve until standard input closes, or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # On the descriptor, not sys.stdout: C libraries print there too, and would write between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    keep_heap()
    # Nothing reads standard input during a training, so that the end of a killed driver would go unnoticed.
    end_with(os.getppid())
    root = Path(folder)
    bench = Workbench(RunFolder(root).plan(), root, device)
    prefer_determinism(device)
    for line in sys.stdin:
        try:
            answer = bench.do(bench.job(line))
        except KeyboardInterrupt:  # SIGTERM during a training, which is now saved
            return
        answers.write(json.dumps([answer.status, answer.error, answer.readings]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
