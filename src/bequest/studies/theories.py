"""What the solvable model says, beside what its simulations found: measurements, curves and maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bequest.measure import seed_interval
from bequest.records import Curve, Measurement, Point
from bequest.studies.estimates import over_seeds
from bequest.studies.evidence import Evidence
from bequest.studies.measuring import inherited
from bequest.studies.plan import control_of, shown_arms
from bequest.studies.solvable import Setting, Value, axis_values, setting_at, stacked
from bequest.studies.spec import AxisSpec, StudySpec, TheoryChart
from bequest.theory import Mixture, bayes_error, observe, solve_chain
from bequest.theory.parameters import Array

IN_THEORY, OFF_THEORY = "_in_theory", "_off_theory"
BAYES = "Bayes-optimal"
ACCURACY, DRAWN = 1e-8, 1e-6
"""Of what is measured, and of what is drawn."""


def measure_theory(evidence: Evidence) -> list[Measurement]:
    """Every observable of every arm at every split: simulated, in theory, and their difference."""
    study = evidence.plan.study
    assert study.theory is not None
    found = [m for arm in shown_arms(study) for m in _measured(evidence, arm, study.theory.observables)]
    order = {name: place for place, name in enumerate(study.theory.observables)}
    found.sort(key=lambda m: order[m.measure.removesuffix(IN_THEORY).removesuffix(OFF_THEORY)])
    return [*found, *_inheritances(evidence)]


def _measured(evidence: Evidence, arm: str, names: Sequence[str]) -> Iterator[Measurement]:
    """The observables of one arm at every split; theory is solved at all of them at once."""
    splits = evidence.plan.study.splits
    settings = [setting_at(evidence.plan.study, arm, split.at) for split in splits.values()]
    expected = _solved(stacked(settings), names)
    for name, by_split in expected.items():
        for split, setting, exact in zip(splits, settings, by_split.tolist(), strict=True):
            values = _simulated(evidence, arm, setting, name)
            if values:
                yield from _beside(values, exact, name, {"arm": arm, "split": split})


def _beside(
    values: dict[int, float], exact: float, name: str, where: dict[str, str]
) -> Iterator[Measurement]:
    """An observable as simulated, in theory, and the difference."""
    yield over_seeds(values, measure=name, **where)
    reason = None if np.isfinite(exact) else "the model has no solution there"
    yield Measurement(measure=name + IN_THEORY, value=exact, n=0, reason=reason, **where)
    gaps = {seed: value - exact for seed, value in values.items()}
    yield over_seeds(gaps, measure=name + OFF_THEORY, **where)


def _inheritances(evidence: Evidence) -> Iterator[Measurement]:
    """How much of the teacher's test error each taught arm took over, beyond its control."""
    study = evidence.plan.study
    for arm in shown_arms(study):
        control = control_of(study, arm)
        for teacher in study.arms[arm].teachers if control else ():
            if study.arms[teacher].student == study.arms[arm].student:
                continue
            for split, spec in study.splits.items():
                who = (arm, str(control), teacher)
                settings = [setting_at(study, one, spec.at) for one in who]
                values = [
                    _simulated(evidence, one, at, "error") for one, at in zip(who, settings, strict=True)
                ]
                if all(values):
                    yield inherited("error", values, arm, teacher, split, None)


def _simulated(evidence: Evidence, arm: str, setting: Setting, name: str) -> dict[int, float]:
    """An observable by seed; empty for what the arm does not have, such as an agreement with nobody."""
    found = {seed: evidence.simulation(arm, seed, setting.key) for seed in evidence.seeds(arm)}
    return {seed: values[name] for seed, values in found.items() if name in values}


def _solved(setting: Setting, names: Sequence[str], accuracy: float = ACCURACY) -> dict[str, Array]:
    """Observables in theory, in the shape of the setting's parameters; only those that there are."""
    mixture, learners = setting.built()
    solution = solve_chain(mixture, learners, accuracy=accuracy, throw=False)
    return observe(solution, only=names)


def theory_curves(evidence: Evidence) -> list[Curve]:
    """Every chart of the study: theory as lines with simulations as dots, or maps."""
    study = evidence.plan.study
    assert study.theory is not None
    found: list[Curve] = []
    for chart in study.theory.charts.values():
        if chart.y is not None:
            found += [_map(study, chart, chart.y, arm) for arm in chart.arms]
            continue
        for arm in chart.arms:
            found += _lines(evidence, chart, arm)
        if chart.bayes:
            found.append(_bayes(study, chart))
    return found


def _titles(chart: TheoryChart) -> dict[str, Any]:
    return {"chart": f"theory/{chart.title}", "x_title": chart.x.title, "note": chart.note or None}


def _lines(evidence: Evidence, chart: TheoryChart, arm: str) -> Iterator[Curve]:
    study, xs = evidence.plan.study, axis_values(chart.x)
    titles = {**_titles(chart), "arm": arm, "y_title": _words(chart.observable)}
    values = _on(study, arm, {**chart.at, chart.x.parameter: xs}, chart.observable, xs.shape)
    if values is None:
        return
    points = tuple(Point(x=x, y=y) for x, y in zip(xs.tolist(), values.tolist(), strict=True))
    yield Curve(**titles, points=points)
    dots = []
    for x in chart.simulated:
        setting = setting_at(study, arm, {**chart.at, chart.x.parameter: x})
        by_seed = _simulated(evidence, arm, setting, chart.observable)
        if by_seed:
            found = seed_interval(list(by_seed.values()))
            dots.append(Point(x=x, y=found.value, low=found.low, high=found.high, n=found.n))
    if dots:
        yield Curve(**titles, kind="points", points=tuple(dots))


def _bayes(study: StudySpec, chart: TheoryChart) -> Curve:
    xs = axis_values(chart.x)
    setting = setting_at(study, chart.arms[0], {**chart.at, chart.x.parameter: xs})
    values = np.broadcast_to(bayes_error(Mixture(**setting.mixture)), xs.shape)
    points = tuple(Point(x=x, y=y) for x, y in zip(xs.tolist(), values.tolist(), strict=True))
    return Curve(**_titles(chart), arm=BAYES, y_title=_words(chart.observable), points=points)


def _map(study: StudySpec, chart: TheoryChart, y: AxisSpec, arm: str) -> Curve:
    xs, ys = axis_values(chart.x), axis_values(y)
    at: dict[str, Value] = {**chart.at, chart.x.parameter: xs[None, :], y.parameter: ys[:, None]}
    shape = (ys.size, xs.size)
    values = _on(study, arm, at, chart.observable, shape)
    assert values is not None
    z_title = _words(chart.observable)
    if chart.less is not None:
        other = _on(study, chart.less, at, chart.observable, shape)
        assert other is not None
        values = values - other
        label = study.arms[chart.less].label or chart.less
        z_title = f"{z_title} less that of: {label}"
    points = tuple(
        Point(x=float(xs[i]), y=float(ys[j]), z=float(values[j, i]))
        for j in range(ys.size)
        for i in range(xs.size)
    )
    return Curve(**_titles(chart), arm=arm, kind="map", y_title=y.title, z_title=z_title, points=points)


def _on(study: StudySpec, arm: str, at: dict[str, Value], name: str, shape: tuple[int, ...]) -> Array | None:
    """An observable of ``arm`` on a grid; the same everywhere where the grid does not touch the arm."""
    values = _solved(setting_at(study, arm, at), [name], DRAWN)
    return np.broadcast_to(values[name], shape) if name in values else None


def _words(observable: str) -> str:
    return {"error": "test error"}.get(observable, observable.replace("_", " "))
