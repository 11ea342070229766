"""The solvable model, solved: ``solve`` for a teacher and a student, ``solve_chain`` for any chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bequest.errors import ConfigError, NotConverged
from bequest.theory.grid_solver import GridSolver
from bequest.theory.learner import Learner, check_chain
from bequest.theory.link_problem import LinkProblem
from bequest.theory.macrostate import Macrostate, Setting
from bequest.theory.mixture import Mixture
from bequest.theory.parameters import Array, Indices, Mask, Numbers, checked
from bequest.theory.separability import separability_threshold
from bequest.theory.solution import Solution
from bequest.theory.status import REMEDIES, Status

LEAST_ACCURACY, MOST_ACCURACY = 1e-2, 1e-12


def solve(
    mixture: Mixture,
    *,
    lambda_teacher: Numbers,
    lambda_student: Numbers,
    eta: Numbers = 1.0,
    mix: Numbers = 1.0,
    temperature: Numbers = 1.0,
    teacher_loss: str = "logistic",
    student_loss: str = "logistic",
    target: str = "soft",
    accuracy: float = 1e-9,
    throw: bool = True,
) -> Solution:
    r"""Order parameters of a teacher and of the student it teaches, in the limit N → ∞.

    The teacher minimises Σ CE(y, σ(h_t)) + (λ_t/2)|w_t|². The student sees the first ηN inputs of the same
    samples and minimises Σ (1 − χ) CE(y, σ(h_s)) + χ T² CE(σ(h_t/T), σ(h_s/T)) + (λ_s/2)|w_s|². Both
    have an unpenalised bias. See ``docs/theory.md``.

    Args:
        mixture: The data.
        lambda_teacher: λ_t ≥ 0.
        lambda_student: λ_s ≥ 0.
        eta: Fraction of inputs that the student sees, in (0, 1].
        mix: χ in [0, 1]: 0 is plain training, 1 pure distillation.
        temperature: T > 0.
        teacher_loss: "logistic" or "square", see :class:`Learner`.
        student_loss: "logistic" or "square".
        target: "soft" hands over the teacher's logits, "hard" its decisions.
        accuracy: Bound on the residual, in [1e-12, 1e-2]; it determines the quadrature too.
        throw: Raise if a point fails; otherwise its status says so and its numbers are NaN.

    Every parameter may be an array; they broadcast with the mixture's to a grid that is solved at once.

    Raises:
        ConfigError: Lists every argument that is out of range.
        NotConverged: If ``throw`` and a point fails; names the first.

    Source: Saglietti & Zdeborová 2022, arXiv:2012.00194, §§2–3.

    >>> solution = solve(Mixture(2, 1, 0.2), lambda_teacher=1, lambda_student=[0.001, 1], eta=0.7)
    >>> solution.student.m.round(5)
    array([0.33668, 0.11187])
    >>> solution.status
    array(['converged', 'converged'], dtype='<U12')
    """
    teacher = Learner(lambda_teacher, loss=teacher_loss)
    student = Learner(lambda_student, eta, mix, temperature, student_loss, target)
    names = {
        "penalty[0]": "lambda_teacher",
        "penalty[1]": "lambda_student",
        "eta[1]": "eta",
        "mix[1]": "mix",
        "temperature[1]": "temperature",
    }
    return _solve(mixture, (teacher, student), names, "solve", accuracy, throw)


def solve_chain(
    mixture: Mixture,
    learners: Sequence[Learner],
    *,
    accuracy: float = 1e-9,
    throw: bool = True,
) -> Solution:
    """Order parameters of a chain of learners, each taught by those before it.

    Self-distillation k times is ``[Learner(λ)] + k * [Learner(λ, mix=1)]``; two teachers and their student
    ``[Learner(λ_1), Learner(λ_2), Learner(λ_s, mix=1, teachers=(0, 1))]``. The number of nodes multiplies
    with each link: four learners take seconds, five take minutes.

    Args:
        mixture: The data.
        learners: The chain, the teacher first.
        accuracy: As in :func:`solve`.
        throw: As in :func:`solve`.

    Raises:
        ConfigError: Lists every fault of the chain.
        NotConverged: If ``throw`` and a point fails.

    >>> chain = [Learner(0.1), *3 * [Learner(0.1, mix=1.0)]]
    >>> solution = solve_chain(Mixture(1.5, 1, 0.5), chain)
    >>> [round(float(solution.order(k).q), 4) for k in range(4)]
    [2.9578, 1.2272, 0.7146, 0.475]
    """
    return _solve(mixture, tuple(learners), {}, "solve_chain", accuracy, throw)


def _solve(
    mixture: Mixture,
    learners: tuple[Learner, ...],
    names: dict[str, str],
    where: str,
    accuracy: float,
    throw: bool,
) -> Solution:
    setting, shape = _setting(mixture, learners, names, where, accuracy)
    state = Macrostate.empty(len(learners), setting.size)
    status = np.full(setting.size, Status.CONVERGED, dtype="<U12")  # as long as "undetermined"
    steps = np.zeros(setting.size, dtype=np.int64)
    residual = np.zeros(setting.size)
    for a in range(len(learners)):
        status = np.where(status == Status.CONVERGED, _forecast(setting, a), status)
        # Where a teacher failed, its student cannot be solved.
        alive = np.flatnonzero(status == Status.CONVERGED)
        if not alive.size:
            break
        exhausted = _solve_link(setting, state, a, alive, steps, residual, accuracy)
        unsolved = ~(residual[alive] <= accuracy)
        failed = alive[unsolved]
        if failed.size:
            ending = np.where(exhausted[unsolved], Status.EXHAUSTED, Status.STALLED)
            # Without distillation only separable data let the weights grow without end.
            plain = (setting.mix[a] == 0)[failed] & _separable(setting.take(failed), a)
            status[failed] = np.where(plain, Status.SEPARABLE, ending)
            state.forget(failed, a)
    residual = np.where(status == Status.CONVERGED, residual, np.nan)
    solution = Solution(
        mixture,
        learners,
        shape,
        status.reshape(shape),
        steps.reshape(shape),
        residual.reshape(shape),
        setting,
        state,
    )
    if throw:
        _require(solution)
    return solution


def _solve_link(
    setting: Setting,
    state: Macrostate,
    a: int,
    alive: Indices,
    steps: NDArray[np.int64],
    residual: Array,
    accuracy: float,
) -> Mask:
    """Solve learner ``a`` once for each distinct point: a sweep over the student shares its teacher.

    Returns:
        Which of the ``alive`` points were given up because of their cost.
    """
    first, which = _distinct(setting.take(alive), a)
    some = alive[first]
    part = state.take(some)
    link = GridSolver(LinkProblem(setting.take(some), part, a), accuracy=accuracy)
    link.solve()
    for field in fields(state):
        getattr(state, field.name)[..., alive] = getattr(part, field.name)[..., which]
    steps[alive] += link.steps[which]
    residual[alive] = np.maximum(residual[alive], link.residual[which])
    return np.asarray(link.exhausted[which])


def _distinct(setting: Setting, a: int) -> tuple[Indices, Indices]:
    """The first of each set of equal points, in their order, and the set of each point."""
    parameters = [setting.penalty, setting.eta, setting.mix, setting.temperature]
    keys = np.stack(
        [setting.alpha, setting.delta, setting.rho, *(row for one in parameters for row in one[: a + 1])]
    )
    _, first, which = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    # In the order of the grid: the coarse pass begins with every k-th point, which must be spread over it.
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return first[order], rank[which.reshape(-1)]


def _setting(
    mixture: Mixture, learners: tuple[Learner, ...], names: dict[str, str], where: str, accuracy: float
) -> tuple[Setting, tuple[int, ...]]:
    """Everything checked and broadcast, points on the last axis."""
    numbers: dict[str, Numbers] = {}
    for position, learner in enumerate(learners):
        for name in ("penalty", "eta", "mix", "temperature"):
            key = f"{name}[{position}]"
            numbers[names.get(key, key)] = getattr(learner, name)
    faults = check_chain(learners)
    if not MOST_ACCURACY <= accuracy <= LEAST_ACCURACY:
        faults.append(f"accuracy: must be in [{MOST_ACCURACY:g}, {LEAST_ACCURACY:g}] (got {accuracy:g})")
    try:
        values = checked(where, {**mixture.values(), **numbers})
    except ConfigError as error:
        raise ConfigError.of(where, [*error.faults, *faults]) from None
    if faults:
        raise ConfigError.of(where, faults)
    shape = values["alpha"].shape
    flat = {name: value.ravel() for name, value in values.items()}

    def rows(name: str) -> Array:
        keys = (f"{name}[{position}]" for position in range(len(learners)))
        return np.stack([flat[names.get(key, key)] for key in keys])

    setting = Setting(
        flat["alpha"],
        flat["delta"],
        flat["rho"],
        rows("penalty"),
        rows("eta"),
        rows("mix"),
        rows("temperature"),
        learners,
    )
    return setting, shape


def _forecast(setting: Setting, a: int) -> NDArray[Any]:
    """The status known beforehand of learner ``a``: without a penalty it may have no minimiser, or many."""
    learner, free = setting.learners[a], setting.penalty[a] == 0
    if not free.any():
        return np.full(setting.size, Status.CONVERGED, dtype="<U12")
    plain = (setting.mix[a] == 0) & (learner.loss == "logistic")
    by_decisions = learner.target == "hard" and learner.loss == "logistic"
    diverges = _separable(setting, a) & plain
    if by_decisions:
        # A student that sees all inputs of its teacher can separate its decisions: the teacher's weights do.
        diverges |= (setting.mix[a] == 1) & (setting.eta[a] >= setting.eta[learner.taught_by(a)[0]])
    many = ~plain & (setting.alpha <= setting.eta[a])
    forecast = np.where(many, Status.UNDETERMINED, np.full(setting.size, Status.CONVERGED, dtype="<U12"))
    return np.where(free, np.where(diverges, Status.SEPARABLE, forecast), Status.CONVERGED)


def _separable(setting: Setting, a: int) -> NDArray[np.bool_]:
    """Whether learner ``a`` can separate the true labels on the inputs it sees."""
    if setting.learners[a].loss != "logistic":
        return np.zeros(setting.size, dtype=np.bool_)
    return np.asarray(setting.alpha < separability_threshold(setting.delta, setting.rho, setting.eta[a]))


def _require(solution: Solution) -> None:
    """Raise if points failed, naming the first one and how many there are."""
    failed = np.flatnonzero(~solution.converged.ravel())
    if not failed.size:
        return
    first, setting = failed[0], solution.setting
    where = {"alpha": setting.alpha, "delta": setting.delta, "rho": setting.rho}
    shown = ", ".join(f"{name}={values[first]:g}" for name, values in where.items())
    penalties = ", ".join(f"{value:g}" for value in setting.penalty[:, first])
    status = Status(solution.status.ravel()[first])
    raise NotConverged(
        f"{failed.size} of {setting.size} points have no solution; the first is {status}",
        expected="a unique, finite minimiser for every learner",
        got=f"{shown}, penalties {penalties}",
        remedy=REMEDIES[status] + "; or pass throw=False to keep the points that are solved",
    )
