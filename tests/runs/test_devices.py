"""A run on a GPU, where there is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import bequest as bq
from bequest.record_files import read_records
from bequest.records import Measurement
from bequest.runs.folder import MEASUREMENTS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_measures_what_the_cpu_does(tiny, write_study, tmp_path):
    study = write_study(tiny)
    here, there = (
        bq.run(study, out=tmp_path / device, device=device, per_device=2) for device in ("cpu", "cuda")
    )
    assert there.failed == ()
    assert "cuda:0" in there.study.provenance.device
    tables = [read_records(result.folder / MEASUREMENTS, Measurement) for result in (here, there)]
    for one, other in zip(*tables, strict=True):
        assert (one.measure, one.arm, one.split) == (other.measure, other.arm, other.split)
        if one.measure == "accuracy":
            assert other.value == pytest.approx(one.value, abs=0.05)


def test_what_the_page_shows_runs():
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(compile(block, "gpu.md", "exec"), names)
    assert names["student"].record.provenance.device in ("cpu", "cuda:0", "mps:0")
    for file in re.findall(r"tests/[\w/]+\.py", page):
        assert (Path(__file__).parents[2] / file).is_file(), file
