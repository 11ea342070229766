"""A worker that trains each cell by several processes of its own, started with torchrun.

One of them is ``python -m torch.distributed.run ... -m bequest.runs.jobs.launched FOLDER JOB DEVICE PARENT``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from typing_extensions import override

from bequest.distill.parallel import Ranks
from bequest.memory import keep_heap
from bequest.models.devices import prefer_determinism
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.machine import end_with
from bequest.runs.jobs.schedule import Answer
from bequest.runs.ranks import RankedBench, follow, leading
from bequest.runs.survey import TRAIN, Job, record_of_cell
from bequest.runs.work import Workbench
from bequest.studies.cell import cell_folder
from bequest.studies.plan import Plan

ENDING = 60.0
"""Seconds that the processes have to save a training when they are asked to end."""


def workbench(plan: Plan, root: Path, device: str = "cpu", ranks: Ranks | None = None) -> Workbench:
    """The workbench of a worker: one that trains with other ranks, with processes of its own, or alone."""
    if ranks is not None and ranks.world > 1:
        return RankedBench(plan, root, device, ranks)
    return (LaunchingBench if plan.study.resources.processes > 1 else Workbench)(plan, root, device)


class LaunchingBench(Workbench):
    """A workbench that trains each cell by as many processes as ``[resources]`` says, and reads it alone."""

    @override
    def do(self, job: Job, *, readings: Collection[str] | None = None) -> Answer:
        if job.action != TRAIN:
            return super().do(job, readings=readings)
        path = cell_folder(self.root, job.cell.id).record
        # Processes that die before they begin leave an earlier record behind, whose "done" is not theirs.
        earlier = path.read_bytes() if path.is_file() else None
        exit_code, last_line = self._launched(job)
        record = record_of_cell(cell_folder(self.root, job.cell.id), job.cell)
        if record is None or path.read_bytes() == earlier:
            return Answer(job, "failed", f"its processes ended with exit code {exit_code}: {last_line}")
        return Answer(job, record.status, record.error)

    def _launched(self, job: Job) -> tuple[int, str]:
        """The exit code of torchrun, and the last line that the processes wrote."""
        processes = self.plan.study.resources.processes
        # Not "cuda:N": with "cuda" each rank takes the GPU of its own number.
        rank_device = "cuda" if self.device.startswith("cuda") else self.device
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        arguments = ["bequest.runs.jobs.launched", str(self.root), job.id, rank_device, str(os.getpid())]
        process = subprocess.Popen(
            [sys.executable, "-m", *launcher, "-m", *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            error_output = process.communicate()[1]
        except BaseException:  # asked to end: the training is saved first
            process.terminate()
            try:
                process.communicate(timeout=ENDING)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        lines = [line.strip() for line in error_output.splitlines() if line.strip()]
        return process.returncode, lines[-1] if lines else ""


def main(folder: str, job: str, device: str, parent: str) -> None:
    """Do one job as one of the processes; exits with 1 if it failed."""
    end_with(int(parent))
    keep_heap()
    prefer_determinism(device)
    if follow(device):
        return
    root = Path(folder)
    with leading() as ranks:
        bench = RankedBench(RunFolder(root).plan(), root, device, ranks)
        if bench.do(bench.job(job)).status != "done":
            os._exit(1)  # past `leading`, which would wait for ranks at other places; torchrun ends those


if __name__ == "__main__":
    main(*sys.argv[1:])
