"""The benchmark of texts: both studies run, and the tables show what they measured."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from bequest.data.natural import LINZEN
from bequest.data.sources import data_root
from bequest.record_files import read_records
from bequest.records import Measurement

pytestmark = [
    pytest.mark.usefixtures("one_worker_here"),
    pytest.mark.filterwarnings("ignore"),  # of transformers, about itself
]


@pytest.fixture
def benchmark():
    """``benchmarks/text.py``."""
    if importlib.util.find_spec("transformers") is None or not (data_root() / LINZEN).is_file():
        pytest.skip(f"transformers is not installed, or {LINZEN} is not there (BEQUEST_DATA)")
    path = Path(__file__).parents[2] / "benchmarks" / "text.py"
    spec = importlib.util.spec_from_file_location("text_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_studies_run_and_their_tables_show_what_was_measured(benchmark, tmp_path, capsys):
    benchmark.main(["--tiny", "--seeds", "2", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    on_texts, on_its_own, continued = (
        dict(re.findall(r"^\| ([^|]+?) \| (.*) \|$", part, re.MULTILINE))
        for part in re.split("On what the student writes|Students that write already", printed)
    )
    students = {f"{name}, {kl} KL {where}" for name in ("GPT", "LSTM") for kl in ("forward", "reverse")
                for where in ("on text", "on-policy")}  # fmt: skip
    assert {*students, "lstm ← BERT", "transformer ← BERT", "GPT, labels alone"} <= set(on_texts)
    assert {*students, "GPT, labels alone"} <= set(on_its_own)
    assert {"GPT, on text", "GPT, on-policy", "LSTM, on text", "LSTM, on-policy"} <= set(continued)
    items = read_records(tmp_path / "text-writers" / "run" / "measurements.json", Measurement)
    (perplexity,) = [m for m in items if (m.measure, m.arm) == ("perplexity", "LSTM, reverse KL on-policy")]
    assert on_texts["LSTM, reverse KL on-policy"].startswith(f"{perplexity.value:.1f} [")
    # on-policy, half of what a student asks about follows from its own weights
    digests = {m.per_seed["0"] for m in items if m.measure == "perplexity" and m.arm in students}
    assert len(digests) == len(students)
