"""Placement with values: a process with a second device, in which everything must give the CPU's bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITES = sorted(Path(__file__).parent.rglob("on_second_device.py"))


def test_everything_runs_on_a_second_device_with_the_bytes_of_the_cpu():
    assert len(SUITES) == 3
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", *map(str, SUITES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
