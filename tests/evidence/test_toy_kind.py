"""A kind of evidence of a user's own, defined in one place, is checked, read, measured, charted and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pytest

import bequest as bq
from bequest import measures
from bequest.errors import ConfigError
from bequest.evidence.estimates import over_seeds, point
from bequest.evidence.kind import Kind, cells_of
from bequest.evidence.reading import OfSplit, probe_split
from bequest.files import read_json
from bequest.records import Curve, SectionRecord
from bequest.report import write_report
from bequest.runs.planning import planned
from bequest.studies.kind import KindSpec


class MeanLogit(OfSplit):
    """The mean logit of the first samples."""

    what = "mean_logit"
    first: int

    def read(self, network):
        logits = network.logits(self.data, self.split, trained=True)
        return {"mean": np.array(float(logits[: self.first].mean()))}


@pytest.fixture
def toy():
    """Registers the toy for one test."""

    class Toy(Kind):
        """The mean logit of every arm."""

        key = "toy"
        section: ClassVar[SectionRecord | None] = SectionRecord(
            title="A toy of mine", intro="What nobody asked.", place=15, charts=("toy chart",)
        )

        first: int = 10

        def faults(self, study) -> Iterator[str]:
            if self.first > 100:
                yield f"measures.toy.first: at most 100, not {self.first}"

        def readings(self, plan):
            for arm in plan.arms.shown:
                for cell in cells_of(plan, arm):
                    yield cell, self._reading(plan.study)

        def measurements(self, readings):
            for arm in readings.arms.shown:
                yield over_seeds(self._values(readings, arm), measure="mean_logit", arm=arm, split="test")

        def curves(self, readings, measurements: Sequence):
            for arm in readings.arms.charted:
                values = self._values(readings, arm).values()
                yield curve(arm, [point(0, values), point(1, values)])

        def _reading(self, study):
            return MeanLogit(data=study.data, split=probe_split(study), first=self.first)

        def _values(self, readings, arm):
            reading = self._reading(readings.study)
            return {seed: float(readings.arrays(arm, seed, reading)["mean"]) for seed in readings.seeds(arm)}

    measures.add("mean_logit", "mean logit", "nats", "higher")
    yield Toy
    del KindSpec.registered._values["toy"]
    del measures.MEASURES._values["mean_logit"]


def curve(arm, points):
    return Curve(chart="toy chart", arm=arm, x_title="nothing", y_title="mean logit", points=tuple(points))


def test_a_toy_kind_is_checked_read_measured_charted_and_shown(toy, tiny, tmp_path, monkeypatch):
    from bequest.runs.engines import choice
    from bequest.runs.jobs.queue import serve
    from bequest.runs.work import Workbench

    class Here:
        """A pool in this process: the toy lives in this test, where no worker can import it."""

        def __init__(self, root, devices, budget):
            self.root = root

        def run(self, queue):
            return serve(queue, Workbench(queue.plan, self.root).do)

    monkeypatch.setattr(choice, "LocalPool", Here)
    tiny["measures"] = {"toy": {"first": 20}}
    tiny["claims"].append(
        {
            "id": "toy",
            "text": "Logits are positive.",
            "source": "this test",
            "measure": "mean_logit",
            "arm": "cnn",
        }
    )
    result = bq.run(tiny, seeds=1, out=tmp_path / "run")
    assert result.failed == ()
    items = read_json(tmp_path / "run" / "measurements.json")
    assert {m["arm"] for m in items if m["measure"] == "mean_logit"} == set(tiny["arms"])
    page = write_report(tmp_path / "run").read_text()
    assert "A toy of mine" in page
    assert "What nobody asked." in page
    assert "mean logit" in page
    tiny["measures"]["toy"]["first"] = 30
    again = bq.run(tiny, seeds=1, out=tmp_path / "run")
    assert (again.trained, again.read) == (0, 4)


def test_the_options_of_a_toy_kind_are_checked(toy, tiny):
    tiny["measures"] = {"toy": {"first": 1000}}
    with pytest.raises(ConfigError, match=r"measures\.toy\.first: at most 100, not 1000"):
        planned(tiny)
    tiny["measures"] = {"toy": {"frist": 10}}
    with pytest.raises(ConfigError, match=r"measures\.toy\.frist: unknown key; did you mean 'first'"):
        planned(tiny)
    tiny["measures"] = {"toi": {}}
    with pytest.raises(ConfigError, match=r"measures\.toi: unknown key; did you mean 'toy'"):
        planned(tiny)
