"""The theory of the solvable model alongside its simulations: measurements, curves and maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from bequest.evidence.estimates import inherited, over_seeds, point
from bequest.evidence.kind import Kind
from bequest.evidence.readings import Readings
from bequest.measure import seed_values
from bequest.measures import MEASURES, Reason, add, measure_named
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.solvable import ModelPoint, Value, axis_values, model_point, stacked
from bequest.studies.solvable_spec import AxisSpec, TheoryChart
from bequest.studies.spec import StudySpec
from bequest.theory import Mixture, bayes_error, observe, optimise, solve_chain
from bequest.theory.parameters import Array

IN_THEORY, OFF_THEORY = "/in_theory", "/off_theory"
BAYES = "Bayes-optimal"
ACCURACY, DRAWN = 1e-8, 1e-6
"""Accuracy of the solver for measurements, and for charts."""
SOUGHT = {
    "penalty": "lambda_student",
    "mix": "mix",
    "temperature": "temperature",
    "teacher": "lambda_teacher",
}
"""The parameters that a chart optimises, with their names in :func:`bequest.theory.optimise`."""
BEST = {
    "penalty": "best penalty λₛ of the student",
    "mix": "best mix χ",
    "temperature": "best temperature T",
    "teacher": "best penalty λₜ of the teacher",
}
"""Their titles on the page."""

add("error", "test error", "share wrong", "lower")
add("m", "overlap with the class centre")
add("q", "squared norm of the weights")
add("b", "bias")
add("alignment", "cosine with the class centre", "", "higher")
add("calibration_error", "calibration error", "share", "lower")
add("training_error", "training error", "share wrong", "lower")
add("training_loss", "training loss", "nats", "lower")
add("overlap", "overlap with the teacher's weights", group="likeness", needs=("split", "teacher"))
add("cosine", "cosine with the teacher's weights", group="likeness", needs=("split", "teacher"))


class Theory(Kind):
    """Every observable of every arm at every split: simulated, in theory, and their difference."""

    key = "theory"
    always = True
    of_theory = True

    @override
    def section_in(self, study: StudySpec) -> SectionRecord | None:
        charts = study.theory.charts.values() if study.theory else ()
        return SectionRecord(
            title="Theory",
            intro="Lines are the limit of infinitely many inputs, dots simulations at finite size.",
            place=48,
            charts=tuple(_name(chart) for chart in charts),
        )

    @override
    def measurements(self, readings: Readings) -> Iterator[Measurement]:
        assert readings.study.theory is not None
        names = readings.study.theory.observables
        # By arm first, since one solve gives all observables of an arm; the list goes by observable.
        by_arm = [list(_measured(readings, arm, names)) for arm in readings.arms.shown]
        for name in names:
            yield from (m for measurements in by_arm for m in measurements if _observable(m) == name)
        yield from _inheritances(readings)

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        """Every chart of the study: theory as lines with simulations as dots, or maps."""
        study = readings.study
        assert study.theory is not None
        for chart in study.theory.charts.values():
            if chart.y is not None:
                yield from (_map(study, chart, chart.y, arm) for arm in chart.arms)
                continue
            for name, arm, at in _strands(chart):
                if chart.sought:
                    yield from _at_best(study, chart, name, arm, at)
                else:
                    yield from _lines(readings, chart, name, arm, at)
            if chart.bayes:
                yield _bayes(study, chart)


def _observable(measurement: Measurement) -> str:
    """The observable of a measurement, whether simulated, in theory or their difference."""
    measure = measure_named(measurement.measure)
    return measure.of or measure.name


def _measured(readings: Readings, arm: str, names: Sequence[str]) -> Iterator[Measurement]:
    """The observables of one arm at every split; theory is solved for all splits at once."""
    splits = readings.study.splits
    at_splits = [model_point(readings.study, arm, split.at) for split in splits.values()]
    expected = _solved(stacked(at_splits), names)
    for name, by_split in expected.items():
        for split, at, exact in zip(splits, at_splits, by_split.tolist(), strict=True):
            by_seed = _simulated(readings, arm, at, name)
            if by_seed:
                yield from _beside(by_seed, exact, name, {"arm": arm, "split": split})


def _beside(
    by_seed: dict[int, float], exact: float, name: str, where: dict[str, str]
) -> Iterator[Measurement]:
    """An observable as simulated, in theory, and the difference."""
    yield over_seeds(by_seed, measure=name, **where)
    undefined = (
        {}
        if np.isfinite(exact)
        else {
            "reason": "the model has no solution there",
            "reason_code": Reason.NO_SOLUTION,
        }
    )
    yield Measurement(measure=name + IN_THEORY, value=exact, n=0, **undefined, **where)  # exact: no seeds
    gaps = {seed: value - exact for seed, value in by_seed.items()}
    yield over_seeds(gaps, measure=name + OFF_THEORY, **where)


def _inheritances(readings: Readings) -> Iterator[Measurement]:
    """How much of the teacher's test error each taught arm inherited, beyond its control."""
    for arm, control, teacher in readings.arms.taught:
        for split, spec in readings.study.splits.items():
            roles = [
                _simulated(readings, role, model_point(readings.study, role, spec.at), "error")
                for role in (arm, control, teacher)
            ]
            if all(roles):
                sides = [seed_values(by_seed) for by_seed in roles]
                yield inherited("error", sides, arm=arm, teacher=teacher, split=split)


def _simulated(readings: Readings, arm: str, at: ModelPoint, name: str) -> dict[int, float]:
    """An observable by seed; empty if the arm lacks it, as agreement for an arm without teacher."""
    by_seed = {seed: readings.simulation(arm, seed, at.key) for seed in readings.seeds(arm)}
    return {seed: observables[name] for seed, observables in by_seed.items() if name in observables}


def _solved(at: ModelPoint, names: Sequence[str], accuracy: float = ACCURACY) -> dict[str, Array]:
    """Observables in theory, in the shape of the point's parameters; only those that the arm has."""
    mixture, learners = at.built()
    # Without a solution a point is NaN, and is reported as undefined instead of ending the study.
    solution = solve_chain(mixture, learners, accuracy=accuracy, throw=False)
    return observe(solution, only=names)


def _name(chart: TheoryChart) -> str:
    return f"theory/{chart.title}"


def _titles(chart: TheoryChart) -> dict[str, Any]:
    return {"chart": _name(chart), "x_title": chart.x.title, "note": chart.note or None}


def _strands(chart: TheoryChart) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Each line of a chart: its name, its arm, and the parameters that differ."""
    if chart.lines is None:
        yield from ((arm, arm, chart.at) for arm in chart.arms)
        return
    for value in chart.lines.values:
        yield f"{chart.lines.title} = {value:g}", chart.arms[0], {**chart.at, chart.lines.parameter: value}


def _at_best(
    study: StudySpec, chart: TheoryChart, name: str, arm: str, at: dict[str, float]
) -> Iterator[Curve]:
    """The minimum of the observable at each x, and the parameters at which it is reached."""
    xs = axis_values(chart.x)
    place = model_point(study, arm, {**at, chart.x.parameter: xs})
    teacher, student = place.learners
    point = {
        "lambda_teacher": teacher["penalty"],
        "lambda_student": student["penalty"],
        **{key: student[key] for key in ("eta", "mix", "temperature")},
    }
    over = [SOUGHT[key] for key in chart.sought]
    fixed: dict[str, Any] = {
        key: np.broadcast_to(value, xs.shape) for key, value in point.items() if key not in over
    }
    best = optimise(Mixture(**place.mixture), over, observable=chart.observable, **fixed)
    titles = {**_titles(chart), "arm": name}
    yield Curve(**titles, y_title=f"lowest {_title(chart.observable)}", points=_line_points(xs, best.value))
    for key in chart.sought:
        yield Curve(**titles, y_title=BEST[key], points=_line_points(xs, best.values[SOUGHT[key]]))


def _lines(
    readings: Readings, chart: TheoryChart, name: str, arm: str, at: dict[str, float]
) -> Iterator[Curve]:
    study, xs = readings.study, axis_values(chart.x)
    titles = {**_titles(chart), "arm": name, "y_title": _title(chart.observable)}
    values = _on(study, arm, {**at, chart.x.parameter: xs}, chart.observable, xs.shape)
    if values is None:
        return
    yield Curve(**titles, points=_line_points(xs, values))
    dots = []
    for x in chart.simulated:
        dot = model_point(study, arm, {**at, chart.x.parameter: x})
        by_seed = _simulated(readings, arm, dot, chart.observable)
        if by_seed:
            dots.append(point(x, by_seed.values()))
    if dots:
        yield Curve(**titles, kind="points", points=tuple(dots))


def _bayes(study: StudySpec, chart: TheoryChart) -> Curve:
    xs = axis_values(chart.x)
    at = model_point(study, chart.arms[0], {**chart.at, chart.x.parameter: xs})
    values = np.broadcast_to(bayes_error(Mixture(**at.mixture)), xs.shape)
    return Curve(
        **_titles(chart), arm=BAYES, y_title=_title(chart.observable), points=_line_points(xs, values)
    )


def _line_points(xs: Array, ys: Array) -> tuple[Point, ...]:
    return tuple(Point(x=x, y=y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def _map(study: StudySpec, chart: TheoryChart, y: AxisSpec, arm: str) -> Curve:
    xs, ys = axis_values(chart.x), axis_values(y)
    # The axes broadcast to the grid, which is solved in one call.
    at: dict[str, Value] = {**chart.at, chart.x.parameter: xs[None, :], y.parameter: ys[:, None]}
    shape = (ys.size, xs.size)
    values = _on(study, arm, at, chart.observable, shape)
    assert values is not None
    z_title = _title(chart.observable)
    if chart.less is not None:
        other = _on(study, chart.less, at, chart.observable, shape)
        assert other is not None
        values = values - other
        label = study.arms[chart.less].label or chart.less
        z_title = f"{z_title} minus that of: {label}"
    points = tuple(
        Point(x=float(xs[i]), y=float(ys[j]), z=float(values[j, i]))
        for j in range(ys.size)
        for i in range(xs.size)
    )
    return Curve(**_titles(chart), arm=arm, kind="map", y_title=y.title, z_title=z_title, points=points)


def _on(study: StudySpec, arm: str, at: dict[str, Value], name: str, shape: tuple[int, ...]) -> Array | None:
    """An observable of ``arm`` on a grid; constant along axes that are no parameter of the arm."""
    values = _solved(model_point(study, arm, at), [name], DRAWN)
    return np.broadcast_to(values[name], shape) if name in values else None


def _title(observable: str) -> str:
    return MEASURES[observable].title if observable in MEASURES else observable.replace("_", " ")
