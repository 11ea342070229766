"""A run folder like the digits study's, and one like a theory study's; made of numbers that look real."""

from __future__ import annotations

import hashlib
import math
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bequest.files import write_text
from bequest.measures import Reason, measure_named
from bequest.provenance import Provenance
from bequest.record_files import write_record, write_records
from bequest.records import (
    ArmRecord,
    CellRecord,
    Curve,
    LookRecord,
    Measurement,
    MeasureRecord,
    Point,
    RoundsRecord,
    RunRecord,
    SectionRecord,
    StudyRecord,
    TeacherRecord,
    Verdict,
)

SEEDS = (0, 1, 2, 3, 4)
SPLITS = {
    "test": "360 digits, as they are",
    "translated": "the same, moved by 2 pixels along both axes, all four diagonals",
    "scaled": "the same, scaled to 0.8",
    "rotated": "the same, rotated by 20° either way",
}
# name | role | student | label | teacher | control | queries | accuracy on each split
ARMS = """
cnn            | teacher | cnn | CNN              |     |                |          | .99 .93 .95 .96
mlp            | control | mlp | MLP              |     |                |          | .98 .09 .74 .88
mlp+views      | control | mlp | MLP, views       |     |                | shifted  | .985 .96 .78 .89
mlp<-mlp       | control | mlp | MLP ← MLP        | mlp |                | training | .975 .085 .74 .88
mlp<-mlp+views | control | mlp | MLP ← MLP, views | mlp |                | shifted  | .965 .087 .75 .87
mlp<-cnn       | taught  | mlp | MLP ← CNN        | cnn | mlp<-mlp       | training | .98 .082 .75 .88
cnn<-mlp       | taught  | cnn | CNN ← MLP        | mlp | cnn            | training | .98 .88 .92 .94
mlp<-cnn+views | taught  | mlp | MLP ← CNN, views | cnn | mlp<-mlp+views | shifted  | .98 .925 .84 .91
cnn<-mlp+views | taught  | cnn | CNN ← MLP, views | mlp | cnn            | shifted  | .97 .14 .82 .91
"""
ARM_LINES = [[cell.strip() for cell in line.split("|")] for line in ARMS.strip().splitlines()]
STUDIED = tuple(
    ArmRecord(
        name=name,
        role=role,
        student=student,
        label=label,
        teachers=(teacher,) if teacher else (),
        control=control or None,
        queries=queries or None,
        objective="kd, T = 4" if teacher else None,
    )
    for name, role, student, label, teacher, control, queries, _ in ARM_LINES
)
ACCURACY = {line[0]: dict(zip(SPLITS, map(float, line[-1].split()), strict=True)) for line in ARM_LINES}
ANSWER = (
    "Taught through shifted queries, the MLP took over 0.998 [0.984, 1.01] of the CNN's accuracy "
    "on translated digits; without queries −0.004 [−0.012, 0.005]. 5 seeds."
)
CONFIG = """name = "digits"
scale = "small"

[objective]
name = "kd"
temperature = 4.0
"""


@dataclass
class Folder:
    """The records of a run folder before they are written; a test changes what it is about."""

    study: StudyRecord
    config: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    cells: list[RunRecord] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        write_text(folder / "study.toml", self.config)
        results = [
            write_records(folder / "measurements.json", self.measurements),
            write_records(folder / "curves.json", self.curves),
            write_records(folder / "claims.json", self.verdicts),
        ]
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in results}
        write_record(folder / "study.json", self.study.model_copy(update={"files": files}))
        for cell in self.cells:
            write_record(folder / "cells" / cell.id / "record.json", cell)
        return folder


def rng(*names: object) -> np.random.Generator:
    """Random numbers that depend on the names alone."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, names)).encode()))


def measured(measure: str, arm: str, values: dict[str, float], **more: object) -> Measurement:
    """The mean over seeds with a normal-theory interval."""
    found = np.array(list(values.values()))
    mean, half = float(found.mean()), 2.776 * float(found.std(ddof=1)) / math.sqrt(len(found))
    return Measurement(
        measure=measure,
        arm=arm,
        value=mean,
        n=len(found),
        low=mean - half,
        high=mean + half,
        method="paired t",
        per_seed=values,
        **more,
    )


def seeded(mean: float, spread: float, *names: object) -> dict[str, float]:
    return {str(seed): mean + spread * float(rng(*names, seed).normal()) for seed in SEEDS}


def absolute() -> list[Measurement]:
    found = []
    for name in ACCURACY:
        for split in SPLITS:
            right = ACCURACY[name][split]
            wrong = 1 - right
            pairs = {"accuracy": right, "nll": 0.05 + 3.1 * wrong**1.2, "ece": 0.008 + 0.7 * wrong**1.5}
            for measure, mean in pairs.items():
                values = seeded(mean, 0.004 + 0.01 * wrong, measure, name, split)
                found.append(measured(measure, name, values, split=split))
    return found


def inherited(found: list[Measurement]) -> list[Measurement]:
    """(taught − control) / (teacher − control), seed by seed; undefined where the gap is small."""
    at = {(m.measure, m.arm, m.split): m for m in found}
    shares = []
    for arm in (arm for arm in STUDIED if arm.role == "taught"):
        for measure in ("accuracy", "nll", "ece"):
            for split in SPLITS:
                trio = (arm.name, arm.control, arm.teachers[0])
                taught, own, teacher = (at[measure, name, split] for name in trio)
                place = {"split": split, "teacher": arm.teachers[0]}
                gap = abs(teacher.value - own.value)
                if gap < 0.02:
                    reason = "teacher and control do not differ over 5 seeds"
                    nothing = {"value": None, "n": 5, "reason": reason, "reason_code": Reason.NO_GAP.value}
                    shares.append(
                        Measurement(measure=f"inheritance/{measure}", arm=arm.name, **nothing, **place)
                    )
                    continue
                seeds = {
                    seed: (value - own.per_seed[seed]) / (teacher.per_seed[seed] - own.per_seed[seed])
                    for seed, value in taught.per_seed.items()
                }
                shares.append(measured(f"inheritance/{measure}", arm.name, seeds, **place))
    return shares


def compared() -> list[Measurement]:
    """Agreement, error consistency and CKA of every student with every teacher."""
    found = []
    for arm in STUDIED:
        name, taught_by = arm.name, arm.teachers
        for teacher in ("cnn", "mlp"):
            if teacher == name:
                continue
            for split in SPLITS:
                near = 1 - abs(ACCURACY[name][split] - ACCURACY[teacher][split])
                place = {"split": split, "teacher": teacher}
                own = 0.03 if teacher in taught_by else 0.0
                means = {"agreement": 0.93 * near, "error_consistency": 0.6 * near - 0.1, "cka": 0.5 * near}
                for measure, mean in means.items():
                    values = seeded(mean + own, 0.012, measure, name, teacher, split)
                    found.append(measured(measure, name, values, **place))
                for mark, mean in (("cka/null", 0.11), ("cka/ceiling", 0.81)):
                    values = seeded(mean, 0.01, mark, name, teacher, split)
                    found.append(measured(mark, name, values, **place))
    return found


def curve(chart: str, arm: str, titles: str, xs, ys, *, band: float | None = None, ns=None, **more) -> Curve:
    """A curve through (xs, ys); ``titles`` are "x title; y title"."""
    places = zip(xs, ys, ns if ns is not None else [None] * len(xs), strict=True)
    points = tuple(
        Point(x=x, y=y, n=n, low=y - band if band else None, high=y + band if band else None)
        for x, y, n in places
    )
    x_title, y_title = titles.split("; ")
    return Curve(chart=chart, arm=arm, x_title=x_title, y_title=y_title, points=points, **more)


def learning() -> list[Curve]:
    curves = []
    epochs = np.arange(60)
    for name in ACCURACY:
        for seed in SEEDS:
            noise = rng("training", name, seed).normal(size=60)
            right = (
                ACCURACY[name]["test"] * (1 - 0.75 * np.exp(-epochs / (4 + len(name) / 3))) + 0.004 * noise
            )
            loss = 0.04 + 2.2 * np.exp(-epochs / 6) + 0.01 * np.abs(noise)
            for title, ys in (("validation accuracy", right), ("training loss (nats)", loss)):
                curves.append(curve("training", name, f"epoch; {title}", epochs + 1, ys, seed=str(seed)))
    return curves


def calibration() -> list[Curve]:
    curves = []
    x = (np.arange(15) + 0.5) / 15
    for name in ACCURACY:
        for split in SPLITS:
            right = ACCURACY[name][split]
            ns = np.append(np.arange(14) * (right - 0.1), 900).astype(int)
            noise = 0.03 * rng(name, split).normal(size=15)
            ys = np.where(ns > 0, np.clip(x * (0.35 + 0.65 * right) + noise, 0, 1), np.nan)
            more = {"ns": ns.tolist(), "kind": "points", "split": split}
            curves.append(curve("reliability", name, "confidence; accuracy", x, ys, **more))
    return curves


SHIFTS = range(-4, 5)
MAPPED = {"cnn": (0.98, 0.9), "mlp": (0.98, 0.25), "mlp<-cnn+views": (0.97, 0.85), "mlp+views": (0.98, 0.95)}
"""Accuracy without a shift, and what is left of it for each pixel further."""


def asked(x: int, y: int) -> str | None:
    """Half of the shifts of up to two pixels were asked."""
    return "asked" if max(abs(x), abs(y)) <= 2 and (x + y) % 2 else None


def shift_maps() -> list[Curve]:
    """Accuracy at every shift of up to four pixels, for four arms side by side."""
    return [
        Curve(
            chart="shift_map", arm=arm, kind="map", x_title="pixels to the right", y_title="pixels down",
            z_title="accuracy (share right)",
            points=tuple(
                Point(x=x, y=y, z=clean * left ** max(abs(x), abs(y)), label=asked(x, y))
                for x in SHIFTS
                for y in SHIFTS
            ),
        )
        for arm, (clean, left) in MAPPED.items()
    ]  # fmt: skip


def distances() -> list[Curve]:
    """The share of the gap over the distance from what was asked; inputs at 0 were asked."""
    xs = [0, 1, 2, 3, 4]
    titles = "distance from what was asked (pixels); share of the gap"
    return [
        curve("distance/accuracy", "mlp<-cnn+views", titles, xs, [0.92, 0.9, 0.61, 0.34, 0.2], band=0.06),
        curve("distance/accuracy", "mlp<-cnn", titles, xs, [0.02, 0.01, 0.0, 0.01, 0.02], band=0.03),
    ]


def provenance() -> Provenance:
    return Provenance(
        bequest="0.1.0",
        python="3.11.9",
        platform="Linux x86_64",
        packages={"torch": "2.13.0", "numpy": "2.3.4", "scipy": "1.16.2"},
        commit="d4e88af0c1b2a3948576d4e88af0c1b2a3948576",
        dirty=True,
    )


def cells() -> tuple[list[CellRecord], list[RunRecord]]:
    listed, records = [], []
    for arm in STUDIED:
        name = arm.name
        for seed in SEEDS:
            digest = "".join(f"{b:02x}" for b in rng(name, seed).bytes(32))
            seconds = float(rng("seconds", name, seed).uniform(2, 9))
            listed.append(CellRecord(id=digest[:16], arm=name, seed=seed, status="done", seconds=seconds))
            records.append(
                RunRecord(
                    id=digest[:16],
                    arm=name,
                    seed=seed,
                    status="done",
                    config={"student": arm.student},
                    weights_digest=digest,
                    parameters=105_226,
                    teachers=tuple(
                        TeacherRecord(arm=t, cell=digest[:16], digest_before=digest, digest_after=digest)
                        for t in arm.teachers
                    ),
                    epochs=60,
                    durations={"train": seconds},
                )
            )
    return listed, records


def claims() -> list[Verdict]:
    shared = {"source": "Abnar et al. 2020, section 4", "n": 5}
    views, clean = ("mlp<-cnn+views",), ("mlp<-cnn", "mlp<-mlp")
    return [
        Verdict(
            id="views-hand-over", verdict="upheld",
            text="Through shifted queries an MLP takes over most of a CNN's accuracy on translated digits.",
            contrast="inheritance/accuracy[mlp<-cnn+views, translated] > 0.8",
            value=0.998, low=0.984, high=1.01, adjusted_low=0.979, adjusted_high=1.02, margin=0.8,
            expected=0.95, arms=views, **shared,
        ),
        Verdict(
            id="clean-hands-over",
            text="Distilling on the training images alone hands translation invariance over.",
            contrast="accuracy[mlp<-cnn, translated] - accuracy[mlp<-mlp, translated] > 0",
            verdict="contradicted", published=0.12, value=-0.003, low=-0.011, high=0.005,
            adjusted_low=-0.013, adjusted_high=0.007, margin=0.02, arms=clean, **shared,
        ),
        Verdict(
            id="calibration",
            text="The teacher's calibration comes along with its accuracy.",
            contrast="inheritance/ece[mlp<-cnn, test] > 0.5",
            verdict="undecided", margin=0.5, arms=clean[:1],
            reason="the measurement is undefined: no gap", **shared,
        ),
        Verdict(
            id="after-the-fact",
            text="The MLP's shifted queries also improve its calibration on scaled digits.",
            contrast="inheritance/ece[mlp<-cnn+views, scaled] > 0.5", exploratory=True,
            verdict="upheld", value=0.71, low=0.62, high=0.8, margin=0.5, arms=views, source="this run", n=5,
        ),
    ]  # fmt: skip


def sections() -> dict[str, SectionRecord]:
    """What a study of today says about its kinds of evidence; training is left to the report."""
    return {
        "distance": SectionRecord(
            title="Asked and unasked",
            intro="The share of the gap over the distance of an input from the nearest one that was asked.",
            place=5,
            charts=("distance/accuracy",),
        ),
        "agreement": SectionRecord(
            title="Agreement", intro="How often two networks give the same answer.", place=10,
            measures=("agreement", "error_consistency"),
        ),
        "likeness": SectionRecord(
            title="Likeness of representations", intro="CKA.", place=40, measures=("cka",)
        ),
        "calibration": SectionRecord(title="Calibration", intro="Sure?", place=30, charts=("reliability",)),
    }  # fmt: skip


def described(name: str) -> MeasureRecord:
    """A measure of the catalogue as a study records it."""
    m = measure_named(name)
    return MeasureRecord(title=m.title, unit=m.unit, better=m.better, group=m.group, of=m.of, mark=m.mark)


def digits() -> Folder:
    """A complete digits study, its lists free to change."""
    made = _digits()
    lists = {name: list(getattr(made, name)) for name in ("measurements", "curves", "verdicts", "cells")}
    return replace(made, **lists)


@cache
def _digits() -> Folder:
    listed, records = cells()
    found = absolute()
    study = StudyRecord(
        name="digits",
        title="Digits: translation invariance from a CNN to an MLP",
        question="Does an MLP inherit translation invariance from a CNN?",
        scale="small",
        status="complete",
        config_hash="5f0c9a7be1d24c3a",
        command="bequest run digits --scale small",
        arms=STUDIED,
        splits=SPLITS,
        seeds=SEEDS,
        cells=tuple(listed),
        provenance=provenance(),
        answer=ANSWER,
        data_digest="sha256:" + "3c" * 32,
        seconds=142.3,
        picture="shift_map",
        sections=sections(),
    )
    rows = [*found, *inherited(found), *compared()]
    study = study.model_copy(update={"measures": {m.measure: described(m.measure) for m in rows}})
    return Folder(
        study,
        CONFIG,
        rows,
        [*shift_maps(), *distances(), *learning(), *calibration()],
        claims(),
        records,
    )


@pytest.fixture
def study_in_rounds() -> Folder:
    """The digits study after two of three looks: two of its claims were decided, an arm has ten seeds."""
    study = digits()
    upheld, contradicted, undecided, aside = study.verdicts
    spread = {"value": 0.4, "low": 0.1, "high": 0.7, "reason": None}
    study.verdicts = [
        upheld.model_copy(update={"look": 1}),
        contradicted.model_copy(update={"look": 2, "n": 10}),
        undecided.model_copy(update={"look": 2, "n": 10, "seeds_needed": 34, **spread}),
        aside,
    ]
    first, second = ({"judged": 3, "seconds": 142.0}, {"judged": 2, "seconds": 65.0})
    looks = (
        LookRecord(seeds=5, level=0.9875, taken=True, verdicts=(study.verdicts[0],), **first),
        LookRecord(
            seeds=10,
            level=0.9875,
            taken=True,
            verdicts=(study.verdicts[1],),
            further=("calibration",),
            **second,
        ),
        LookRecord(seeds=20, level=0.975),
    )
    later = [CellRecord(id=f"later{k}", arm="mlp<-cnn", seed=k, status="done") for k in range(5, 10)]
    study.study = study.study.model_copy(
        update={"rounds": RoundsRecord(key="k", looks=looks), "cells": (*study.study.cells, *later)}
    )
    return study


@pytest.fixture
def theory_study() -> Folder:
    """A study of the solvable model: no arm, no split, no cell."""
    ridge = np.geomspace(1e-4, 10, 21)
    curves = []
    for arm, best in (("teacher", 0.6), ("student", 0.05)):
        ys = 0.11 + 0.05 * np.log10(ridge / best) ** 2 / 4
        place = ("theory", arm, "ridge λ; generalisation error")
        curves.append(curve(*place, ridge, ys, note="Lines: theory."))
        simulated = {"band": 0.008, "kind": "points", "note": "Dots: 20 simulations, d = 2000."}
        curves.append(curve(*place, ridge[::4], ys[::4] + 0.002, ns=[20] * 6, **simulated))
    study = StudyRecord(
        name="saglietti2020",
        title="Solvable model: does a student inherit the teacher's regularisation?",
        question="Does an unregularised student inherit the teacher's regularisation?",
        scale="paper",
        status="complete",
        config_hash="00ff00ff00ff00ff",
        command="bequest run saglietti2020 --scale paper",
        arms=(),
        splits={},
        seeds=(0,),
        cells=(),
        provenance=provenance(),
        seconds=3.2,
    )
    found = [
        Measurement(measure="sharpness", arm="student", value=0.8734, n=1),
        Measurement(measure="residual", arm="student", value=3.2e-11, n=1),
        Measurement(measure="replica_gap", arm="teacher", value=None, n=0, reason="no convergence"),
    ]
    return Folder(study, "", found, curves, claims()[:1])


@pytest.fixture
def partial_study() -> Folder:
    """A digits study of which one arm failed at every seed, and another cell is still waiting."""
    folder = digits()
    lost = "mlp<-cnn+views"
    error = "NonFiniteLoss: the loss became NaN at step 120\n  remedy:   lower train.lr"

    def state(cell: CellRecord) -> CellRecord:
        if cell.arm == lost:
            return cell.model_copy(update={"status": "failed", "error": error, "seconds": None})
        waiting = cell.arm == "cnn" and cell.seed == 4
        return cell.model_copy(update={"status": "waiting", "seconds": None}) if waiting else cell

    cells = tuple(state(cell) for cell in folder.study.cells)
    folder.study = folder.study.model_copy(update={"cells": cells, "status": "partial", "answer": None})
    folder.measurements = [m for m in folder.measurements if m.arm != lost]
    folder.curves = [c for c in folder.curves if c.arm != lost]
    return folder


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[Folder], Path]:
    return lambda folder: folder.write(tmp_path / "run")


@pytest.fixture
def digits_study() -> Folder:
    return digits()


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits().write(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def digits_copy(digits_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_folder, tmp_path / "copy"))


@pytest.fixture
def two(digits_study, tmp_path):
    """A study, and the same with another scale, one arm fewer, a claim that turned, and a better student."""
    first = digits_study.write(tmp_path / "first" / "run")
    gained = [
        m.model_copy(
            update={"value": m.value - 0.125, "per_seed": {s: v - 0.125 for s, v in m.per_seed.items()}}
        )
        if (m.measure, m.arm, m.split) == ("accuracy", "mlp<-cnn+views", "translated")
        else m
        for m in digits_study.measurements
        if m.arm != "cnn<-mlp"
    ]
    arms = tuple(arm for arm in digits_study.study.arms if arm.name != "cnn<-mlp")
    verdicts = [digits_study.verdicts[0].model_copy(update={"verdict": "undecided"})]
    other = replace(
        digits_study,
        study=digits_study.study.model_copy(update={"scale": "paper", "arms": arms}),
        measurements=gained,
        verdicts=verdicts,
    )
    return first, other.write(tmp_path / "second" / "run")
