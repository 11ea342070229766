"""Simulations beside theory: measurements with oracles, curves and maps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bequest.errors import ConfigError
from bequest.evidence.theory import BEST, Theory, _at_best, _lines, _strands
from bequest.files import read_json
from bequest.measure import inheritance
from bequest.record_files import read_record, read_records
from bequest.records import Curve, Measurement, StudyRecord
from bequest.report import write_report
from bequest.runs.folder import RunFolder
from bequest.runs.planning import planned
from bequest.theory import Learner, Mixture, bayes_error, error, law, observe, optimise, solve, solve_chain

POINT = {"lambda_teacher": 1, "lambda_student": 0.1, "eta": 0.5}


@pytest.fixture
def by_name(simulated):
    folder, _ = simulated
    measurements = read_records(folder / "run" / "measurements.json", Measurement)
    return {(m.measure, m.arm, m.split): m for m in measurements}


@pytest.fixture
def curves(simulated):
    return read_records(simulated[0] / "run" / "curves.json", Curve)


def test_measurements_are_simulations_beside_theory(by_name):
    theory = float(error(law(solve(Mixture(2, 1, 0.2), **POINT))))
    simulated, in_theory, off_theory = (
        by_name[name, "student", "base"] for name in ("error", "error/in_theory", "error/off_theory")
    )
    assert in_theory.value == pytest.approx(theory, abs=1e-6)
    assert (simulated.n, in_theory.n, off_theory.n) == (3, 0, 3)
    assert off_theory.value == pytest.approx(simulated.value - theory, abs=1e-6)
    for seed, gap in off_theory.per_seed.items():
        assert gap == pytest.approx(simulated.per_seed[seed] - in_theory.value)
    assert ("agreement", "teacher", "base") not in by_name
    assert ("agreement", "student", "weak") in by_name
    assert by_name["inheritance/error", "student", "base"].teacher == "teacher"


def test_the_inheritance_of_the_error_is_that_of_the_simulations(by_name):
    roles = [by_name["error", arm, "base"].per_seed for arm in ("student", "plain", "teacher")]
    expected = inheritance(*(list(by_seed.values()) for by_seed in roles))
    share = by_name["inheritance/error", "student", "base"]
    assert (share.reason, share.reason_code) == (expected.reason, expected.code)
    assert share.value is None if np.isnan(expected.value) else share.value == pytest.approx(expected.value)
    taught, control, teacher = roles
    for seed, ratio in share.per_seed.items():
        gap = teacher[seed] - control[seed]
        assert ratio is None if gap == 0 else ratio == pytest.approx((taught[seed] - control[seed]) / gap)


def test_charts_are_lines_dots_and_maps(curves):
    drawn = [(c.chart, c.arm, c.kind, len(c.points)) for c in curves]
    for arm in ("teacher", "plain", "student"):
        assert ("theory/penalty", arm, "line", 3) in drawn
        assert ("theory/penalty", arm, "points", 2) in drawn
    assert ("theory/penalty", "Bayes-optimal", "line", 3) in drawn
    line = next(c for c in curves if (c.arm, c.kind) == ("teacher", "line"))
    assert [p.x for p in line.points] == [0.1, 1.0, 10.0]
    assert np.isfinite([p.y for p in line.points]).all()
    bayes = next(c for c in curves if c.arm == "Bayes-optimal")
    assert [p.y for p in bayes.points] == pytest.approx([float(bayes_error(Mixture(2, 1, 0.2)))] * 3)


def test_a_line_is_theory_at_each_of_its_points(curves):
    line = next(c for c in curves if (c.arm, c.kind) == ("student", "line"))
    for point in line.points:
        exact = error(law(solve(Mixture(2, 1, 0.2), **{**POINT, "lambda_teacher": point.x})))
        assert point.y == pytest.approx(float(exact), abs=1e-4)


def test_dots_are_the_means_of_simulations_over_seeds(curves, by_name):
    dots = next(c for c in curves if (c.arm, c.kind) == ("student", "points"))
    weak, base = (by_name["error", "student", split].value for split in ("weak", "base"))
    assert [(p.x, p.y, p.n) for p in dots.points] == [
        (0.1, pytest.approx(weak), 3),
        (1.0, pytest.approx(base), 3),
    ]


def test_a_map_is_a_grid_of_differences(curves):
    (plane,) = [c for c in curves if c.kind == "map"]
    values = {(p.x, p.y): p.z for p in plane.points}
    assert set(values) == {(x, y) for x in (0.5, 0.75, 1.0) for y in (1.0, 4.0)}
    assert plane.z_title == "test error minus that of: plain"
    at = Mixture(4, 1, 0.2)
    assert solve(at, **POINT).converged
    taught = float(error(law(solve(at, lambda_teacher=1, lambda_student=0.1, eta=1))))
    alone = solve_chain(at, [Learner(0.1, eta=1.0, mix=0.0)])
    plain = float(observe(alone, only=["error"])["error"])
    assert values[1.0, 4.0] == pytest.approx(taught - plain, abs=1e-4)


def test_the_claim_compares_places_and_the_page_is_drawn(simulated):
    folder, _ = simulated
    (claim,) = read_json(folder / "run" / "claims.json")
    assert claim["contrast"].startswith("error on weak: teacher − teacher on base")
    assert claim["n"] == 3
    page = write_report(folder / "run").read_text()
    assert 'class="cell"' in page
    assert "Bayes-optimal" in page


def test_the_section_names_the_charts_of_the_study(simulated):
    folder, _ = simulated
    study = RunFolder(folder / "run").plan().study
    section = Theory().section_in(study)
    assert section.charts == ("theory/penalty", "theory/plane")
    assert read_record(folder / "run" / "study.json", StudyRecord).sections == {"theory": section}


def test_a_line_for_each_value_of_a_parameter(solvable):
    x = {"parameter": "student.penalty", "title": "λₛ", "start": 0.1, "stop": 1.0, "count": 3}
    lines = {"parameter": "small.eta", "title": "η", "values": [0.25, 1.0]}
    solvable["theory"]["charts"] = {"size": {"title": "size", "arms": ["student"], "x": x, "lines": lines}}
    study = planned(solvable).study
    chart = study.theory.charts["size"]
    strands = list(_strands(chart))
    assert [name for name, _, _ in strands] == ["η = 0.25", "η = 1"]
    for (name, arm, at), eta in zip(strands, (0.25, 1.0), strict=True):
        (curve,) = _lines(SimpleNamespace(study=study), chart, name, arm, at)
        assert curve.arm == name
        expected = error(
            law(solve(Mixture(2, 1, 0.2), lambda_teacher=1, lambda_student=[0.1, 0.55, 1.0], eta=eta))
        )
        assert [point.y for point in curve.points] == pytest.approx(expected.tolist(), abs=1e-5)


def test_what_is_sought_is_the_library_s_optimum(solvable):
    x = {"parameter": "teacher.penalty", "title": "λₜ", "start": 0.1, "stop": 1.0, "count": 2}
    solvable["theory"]["charts"] = {
        "best": {"title": "best", "arms": ["student"], "x": x, "sought": ["penalty", "mix"]}
    }
    study = planned(solvable).study
    least, penalty, mix = _at_best(study, study.theory.charts["best"], "student", "student", {})
    best = optimise(Mixture(2, 1, 0.2), ["lambda_student", "mix"], lambda_teacher=[0.1, 1.0], eta=0.5)
    assert [point.y for point in least.points] == pytest.approx(best.value.tolist(), abs=1e-7)
    assert [point.y for point in penalty.points] == pytest.approx(
        best.values["lambda_student"].tolist(), rel=1e-3
    )
    assert (penalty.y_title, mix.y_title) == (BEST["penalty"], BEST["mix"])
    plain = error(law(solve(Mixture(2, 1, 0.2), lambda_teacher=1, lambda_student=0.1, eta=0.5, mix=0)))
    assert all(point.y < float(plain) for point in least.points)


def test_what_cannot_be_sought_is_named(solvable):
    x = {"parameter": "teacher.penalty", "title": "λₜ", "start": 0.1, "stop": 1.0, "count": 2}
    sought = {"title": "best", "arms": ["plain"], "x": x, "sought": ["mix"], "simulated": [0.1]}
    lines = {"parameter": "nobody.eta", "title": "η", "values": [0.5]}
    several = {"title": "lines", "arms": ["plain", "student"], "x": x, "lines": lines}
    solvable["theory"]["charts"] = {"best": sought, "lines": several}
    with pytest.raises(ConfigError) as caught:
        planned(solvable)
    text = str(caught.value)
    assert "theory.charts.best.sought: 'plain' is not a student of one plain teacher's logits" in text
    assert "what is optimised is theory over x alone" in text
    assert "theory.charts.lines.lines: lines of one arm over x alone" in text
    assert "'nobody.eta'" in text
