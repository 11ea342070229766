"""A study of the solvable model: its arms are learners, its splits and charts are sets of parameters.

Nothing is trained on data: a cell simulates the model at finite N at every point where its arm is needed, and
theory is solved when it is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.config import content_hash
from bequest.studies.arms import Arms
from bequest.studies.solvable_spec import AxisSpec, LearnerSpec, TheoryChart
from bequest.studies.spec import ArmSpec, StudySpec
from bequest.theory import Learner, Mixture

Value = float | NDArray[Any]
MIXTURE = ("alpha", "delta", "rho")
OWN = ("penalty", "eta", "mix", "temperature")
TAUGHT_ONLY = ("mix", "temperature")
"""Parameters without meaning for a learner that has no teacher."""

EVERY = "*"
"""Used in place of an arm for every learner."""


@dataclass(frozen=True)
class ModelPoint:
    """A mixture and the chain of learners whose last is the arm; a value may be an array."""

    mixture: dict[str, Value]
    learners: tuple[dict[str, Any], ...]

    @property
    def key(self) -> str:
        """A hash of the parameters: splits and charts that need the same point share its simulation."""
        return content_hash({"mixture": self.mixture, "learners": list(self.learners)})

    def plain(self) -> dict[str, Any]:
        """The point as JSON values."""
        return {"mixture": self.mixture, "learners": list(self.learners)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> ModelPoint:
        """The inverse of :meth:`plain`."""
        return cls(dict(plain["mixture"]), tuple(plain["learners"]))

    def built(self) -> tuple[Mixture, tuple[Learner, ...]]:
        """The arguments of :func:`bequest.theory.solve_chain`."""
        return Mixture(**self.mixture), tuple(Learner(**learner) for learner in self.learners)


def model_point(study: StudySpec, arm: str, at: Mapping[str, Value]) -> ModelPoint:
    """The model of ``arm`` with the study's parameters overridden by ``at``.

    A parameter is ``alpha``, ``delta``, ``rho``, or ``WHO.penalty`` (``eta``, ``mix``, ``temperature``),
    where WHO is an arm, a kind of student, or ``*``. Parameters outside the arm's chain change nothing.
    """
    assert study.theory is not None
    mixture: dict[str, Value] = {name: at.get(name, getattr(study.theory, name)) for name in MIXTURE}
    chain = chain_of(study, arm)
    learners = []
    for name in chain:
        spec = study.arms[name]
        learner = (spec.learner or LearnerSpec()).model_dump(mode="json")
        if not learner["fresh"]:  # the key holds it only if it is set, so that other points keep their keys
            del learner["fresh"]
        if not spec.teachers:
            # without teachers only labels count, and equal points get equal keys
            learner |= {"mix": 0.0, "temperature": 1.0}
        for key, value in at.items():
            who, dot, parameter = key.rpartition(".")
            touched = dot and who in (name, spec.student, EVERY)
            if touched and (spec.teachers or parameter not in TAUGHT_ONLY):
                learner[parameter] = value
        if spec.teachers:
            learner["teachers"] = [chain.index(teacher) for teacher in spec.teachers]
        learners.append(learner)
    return ModelPoint(mixture, tuple(learners))


def stacked(points: Sequence[ModelPoint]) -> ModelPoint:
    """Points of one arm as one whose parameters are arrays with an entry per point, to be solved at once."""
    first = points[0]
    mixture: dict[str, Value] = {name: np.array([s.mixture[name] for s in points]) for name in MIXTURE}
    learners = tuple(
        {**learner, **{name: np.array([s.learners[k][name] for s in points]) for name in OWN}}
        for k, learner in enumerate(first.learners)
    )
    return ModelPoint(mixture, learners)


def chain_of(study: StudySpec, arm: str) -> list[str]:
    """The arm and all its direct and indirect teachers, each after its own teachers."""
    chain: list[str] = []

    def add(name: str) -> None:
        for teacher in study.arms[name].teachers:
            add(teacher)
        if name not in chain:
            chain.append(name)

    add(arm)
    return chain


def model_points(study: StudySpec, arm: str) -> list[ModelPoint]:
    """Every point at which ``arm`` is simulated: the splits, and the dots of its charts; each once."""
    assert study.theory is not None
    points: dict[str, ModelPoint] = {}
    for split in study.splits.values():
        point = model_point(study, arm, split.at)
        points[point.key] = point
    for chart in study.theory.charts.values():
        if arm in chart.arms and chart.y is None:
            for x in chart.simulated:
                point = model_point(study, arm, {**chart.at, chart.x.parameter: x})
                points[point.key] = point
    return list(points.values())


def axis_values(axis: AxisSpec) -> NDArray[Any]:
    """The values of an axis."""
    spaced = np.geomspace if axis.log else np.linspace
    return np.array([float(f"{value:.9g}") for value in spaced(axis.start, axis.stop, axis.count)])


def without_arms(resolved: Mapping[str, Any], remaining: set[str], arms: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose splits and charts are about the ``remaining`` arms only."""
    theory, places = resolved["theory"], resolved["splits"]
    present = {*remaining, *(arms[arm].get("student") for arm in remaining)}
    gone = {*arms, *(arm.get("student") for arm in arms.values())} - present

    def lasting(at: Mapping[str, float]) -> dict[str, float]:
        return {name: value for name, value in at.items() if name.rpartition(".")[0] not in gone}

    charts = {}
    for name, chart in theory.get("charts", {}).items():
        shown = [arm for arm in chart.get("arms", []) if arm in remaining]
        axes = [chart[axis]["parameter"] for axis in ("x", "y") if axis in chart]
        if shown and chart.get("less", shown[0]) in remaining and all(lasting({axis: 0.0}) for axis in axes):
            charts[name] = {**chart, "arms": shown, "at": lasting(chart.get("at", {}))}
    splits = {name: {**split, "at": lasting(split.get("at", {}))} for name, split in places.items()}
    return {**resolved, "theory": {**theory, "charts": charts}, "splits": splits}


def theory_faults(study: StudySpec) -> Iterator[str]:
    """The faults of a study of the solvable model, one line each."""
    assert study.theory is not None
    for name, arm in study.arms.items():
        yield from _arm_faults(study, name, arm)
    if Arms(study).circle:  # the chain of an arm would have no end
        return
    places = {f"splits.{name}.at": split.at for name, split in study.splits.items()}
    for name, chart in study.theory.charts.items():
        places[f"theory.charts.{name}.at"] = chart.at
        yield from _chart_faults(study, f"theory.charts.{name}", chart)
    for path, at in places.items():
        yield from _place_faults(study, path, list(at))


def _arm_faults(study: StudySpec, name: str, arm: ArmSpec) -> Iterator[str]:
    if arm.learner is None:
        yield f"arms.{name}.learner: an arm of the solvable model is a learner; give it one"
    for teacher in arm.teachers:
        if teacher not in study.arms:
            yield f"arms.{name}.teachers: there is no arm {teacher!r}"
    if arm.control is not None and arm.control not in study.arms:
        yield f"arms.{name}.control: there is no arm {arm.control!r}"


def _chart_faults(study: StudySpec, path: str, chart: TheoryChart) -> Iterator[str]:
    for arm in (*chart.arms, *([chart.less] if chart.less else [])):
        if arm not in study.arms:
            yield f"{path}.arms: there is no arm {arm!r}"
    axes = [chart.x, *([chart.y] if chart.y else [])]
    yield from _place_faults(study, path, [axis.parameter for axis in axes])
    for axis in axes:
        if axis.log and min(axis.start, axis.stop) <= 0:
            yield f"{path}: {axis.parameter} on a logarithmic axis must lie above 0"
    if chart.y is not None and chart.simulated:
        yield f"{path}.simulated: a map shows theory only"
    if chart.lines is not None:
        yield from _place_faults(study, f"{path}.lines", [chart.lines.parameter])
        if len(chart.arms) != 1 or chart.y is not None or chart.simulated:
            yield f"{path}.lines: lines of one arm over x alone, without simulations"
    for arm in chart.arms if chart.sought else ():
        if arm in study.arms and not has_optimum(study, arm):
            yield f"{path}.sought: {arm!r} is not a student of one plain teacher's logits on its samples"
    if chart.sought and (chart.y is not None or chart.simulated):
        yield f"{path}.sought: what is optimised is theory over x alone"


def has_optimum(study: StudySpec, arm: str) -> bool:
    """Whether :func:`bequest.theory.optimise` covers the arm: a student of one plain teacher's logits."""
    learners = [study.arms[name].learner or LearnerSpec() for name in chain_of(study, arm)]
    by_logits = all(one.loss == "logistic" and one.target == "soft" and not one.fresh for one in learners)
    return len(learners) == 2 and learners[0].eta == 1.0 and by_logits


def _place_faults(study: StudySpec, path: str, parameters: Sequence[str]) -> Iterator[str]:
    learners = {*study.arms, *(arm.student for arm in study.arms.values()), EVERY}
    for parameter in parameters:
        who, dot, name = parameter.rpartition(".")
        if not dot and parameter not in MIXTURE:
            yield f"{path}: {parameter!r} is none of {', '.join(MIXTURE)}, and no ARM.PARAMETER"
        elif dot and (who not in learners or name not in OWN):
            yield f"{path}: {parameter!r} must be an arm or student and one of {', '.join(OWN)}"
