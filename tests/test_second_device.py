"""Placement with values: a process with a second device, in which everything must give the CPU's bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

SUITES = sorted(Path(__file__).parent.rglob("on_second_device.py"))


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch cannot have a device that is written in Python",
)
def test_everything_runs_on_a_second_device_with_the_bytes_of_the_cpu():
    assert len(SUITES) == 3
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", *map(str, SUITES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
