"""The losses of the solvable model and their proximal operators.

Everything is written in *margins* κ = (2y − 1) h, so that both labels share one formula. The **force** is
minus the derivative of the loss by the learner's own margin, the **curvature** its second derivative. The
proximal point of a cavity margin ψ under the response v solves κ = ψ + v · force(κ).

The drive is the part of the force that a teacher's margin κ̄ determines; ``cross`` is ∂force/∂κ̄.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from bequest.theory.parameters import Array

STEP = 1e-5
"""The largest last step of the proximal iteration: its error is of third order, and of second in the
curvature."""

FREE_STEPS = 8
"""Steps that are only clipped to the first bracket; later ones shrink the bracket, which cannot fail."""

MOST_STEPS = 200


class Lesson(NamedTuple):
    """The teachers' part of a loss: its weight χ, its temperature T, and whether only decisions are used."""

    mix: Array
    temperature: Array
    hard: bool


class Drive(NamedTuple):
    """The teachers' part of the force at each node, and ∂force/∂κ̄."""

    value: Array
    cross: Array


class Proximal(NamedTuple):
    """The proximal point at each node, with force and curvature there."""

    margin: Array
    force: Array
    curvature: Array


class Loss(ABC):
    """A learner's loss of one sample, as a function of margins."""

    @abstractmethod
    def reach(self, mix: Array, temperature: Array) -> Array:
        """Half-width of the strip around the real axis in which the proximal point is analytic."""

    @abstractmethod
    def drive(self, margin: Array, lesson: Lesson) -> Drive:
        """The drive of the teachers' mean ``margin``."""

    @abstractmethod
    def force(self, margin: Array, lesson: Lesson, drive: Array) -> Array:
        """Minus the loss's derivative by the learner's margin."""

    @abstractmethod
    def pull(self, margin: Array, lesson: Lesson, drive: Array) -> tuple[Array, Array]:
        """Force and curvature at ``margin``."""

    @abstractmethod
    def proximal(
        self, cavity: Array, response: Array, lesson: Lesson, drive: Array, guess: Array | None
    ) -> Proximal:
        """Solve κ = cavity + response · force(κ), starting from ``guess``."""

    @abstractmethod
    def value(self, margin: Array, lesson: Lesson, teacher: Array) -> Array:
        """The loss of one sample at the learner's ``margin`` and its teachers' mean margin."""


def against(x: Array) -> tuple[Array, Array]:
    """σ(−x) and σ'(x), both to full relative precision at either end.

    >>> against(np.array([0.0, 800.0]))
    (array([0.5, 0. ]), array([0.25, 0.  ]))
    """
    small = np.exp(-np.abs(x))
    whole = 1.0 / (1.0 + small)
    small *= whole
    return np.where(x > 0, small, whole), small * whole


def softplus(x: Array) -> Array:
    """log(1 + eˣ)."""
    return np.asarray(np.logaddexp(0.0, x))


class Logistic(Loss):
    """(1 − χ) CE(y, σ(h)) + χ T² CE(σ(h̄/T), σ(h/T))."""

    def reach(self, mix: Array, temperature: Array) -> Array:
        """π, or πT for a temperature below one."""
        return np.pi * np.where(mix > 0, np.minimum(1.0, temperature), 1.0)

    def drive(self, margin: Array, lesson: Lesson) -> Drive:
        """σ(−κ̄/T), the probability that the teachers give to the wrong label."""
        if lesson.hard:
            return Drive(np.where(margin > 0, 0.0, 1.0), np.zeros_like(margin))
        wrong, slope = against(margin / lesson.temperature)
        return Drive(wrong, lesson.mix * slope)

    def force(self, margin: Array, lesson: Lesson, drive: Array) -> Array:
        """(1 − χ) σ(−κ) + χT [σ(−κ/T) − σ(−κ̄/T)]."""
        return _pull(margin, lesson, drive)[0]

    def pull(self, margin: Array, lesson: Lesson, drive: Array) -> tuple[Array, Array]:
        """The force, and (1 − χ) σ'(κ) + χ σ'(κ/T)."""
        return _pull(margin, lesson, drive)[:2]

    def proximal(
        self, cavity: Array, response: Array, lesson: Lesson, drive: Array, guess: Array | None
    ) -> Proximal:
        """Halley's iteration inside a bracket."""
        taught = lesson.mix * lesson.temperature
        # The force lies between −χT·drive and that plus 1 − χ + χT, which brackets the proximal point.
        low = cavity - response * taught * drive
        high = low + response * (1.0 - lesson.mix + taught)
        point = np.clip(0.0 if guess is None else guess, low, high)
        previous: Array | float = np.inf
        for count in range(MOST_STEPS):
            force, curvature, skew = _pull(point, lesson, drive)
            excess = point - cavity - response * force
            slope = 1.0 + response * curvature
            newton = excess / slope
            if max(newton.max(), -newton.min()) < STEP:
                break
            # Clipped: far from the solution Halley's denominator may vanish or change sign.
            step = newton / np.clip(1.0 - 0.5 * newton * response * skew / slope, 0.5, 2.0)
            if count < FREE_STEPS:
                point = np.clip(point - step, low, high)
                continue
            low, high = np.where(excess < 0, point, low), np.where(excess < 0, high, point)
            moved = point - step
            # Bisection if the step leaves the bracket, or the steps do not at least halve.
            halve = (moved < low) | (moved > high) | (np.abs(newton) > 0.5 * previous)
            point, previous = np.where(halve, 0.5 * (low + high), moved), np.abs(newton)
        # The last step is not evaluated again: force and curvature follow by Taylor's series (see STEP).
        step = newton * (1.0 + 0.5 * newton * response * skew / slope)
        return Proximal(
            point - step,
            force + step * (curvature - 0.5 * step * skew),
            curvature - step * skew,
        )

    def value(self, margin: Array, lesson: Lesson, teacher: Array) -> Array:
        """CE(y, σ(h)) is log(1 + e^−κ); in CE(σ(h̄/T), σ(h/T)) the teachers' odds weigh both labels."""
        wrong = self.drive(teacher, lesson).value
        scaled = margin / lesson.temperature
        taught = (1.0 - wrong) * softplus(-scaled) + wrong * softplus(scaled)
        return (1.0 - lesson.mix) * softplus(-margin) + lesson.mix * lesson.temperature**2 * taught


def _pull(margin: Array, lesson: Lesson, drive: Array) -> tuple[Array, Array, Array]:
    """Force, curvature, and the derivative of the curvature, of the logistic loss."""
    mix, temperature, _ = lesson
    # Two common cases need one logistic function instead of two, which is most of the time.
    if np.all(temperature == 1.0):
        wrong, slope = against(margin)
        return wrong - mix * drive, slope, slope * (2.0 * wrong - 1.0)
    soft_wrong, soft_slope = against(margin / temperature)
    soft_skew = soft_slope * (2.0 * soft_wrong - 1.0) / temperature
    if np.all(mix == 1.0):
        return temperature * (soft_wrong - drive), soft_slope, soft_skew
    wrong, slope = against(margin)
    skew = slope * (2.0 * wrong - 1.0)
    plain = 1.0 - mix
    return (
        plain * wrong + mix * temperature * (soft_wrong - drive),
        plain * slope + mix * soft_slope,
        plain * skew + mix * soft_skew,
    )


class Square(Loss):
    """(1 − χ) (h − τ)²/2 + χ (h − h̄)²/2, with τ = ±1."""

    def reach(self, mix: Array, temperature: Array) -> Array:
        """Infinite: everything is a polynomial."""
        return np.full(np.broadcast_shapes(mix.shape, temperature.shape), np.inf)

    def drive(self, margin: Array, lesson: Lesson) -> Drive:
        """The margin to reach: κ̄ itself, or its sign."""
        if lesson.hard:
            return Drive(np.sign(margin), np.zeros_like(margin))
        return Drive(margin, np.broadcast_to(lesson.mix, margin.shape))

    def force(self, margin: Array, lesson: Lesson, drive: Array) -> Array:
        """The distance to the target (1 − χ) + χ κ̄."""
        return (1.0 - lesson.mix) + lesson.mix * drive - margin

    def pull(self, margin: Array, lesson: Lesson, drive: Array) -> tuple[Array, Array]:
        """The force, and its curvature of one."""
        return self.force(margin, lesson, drive), np.ones_like(margin)

    def proximal(
        self,
        cavity: Array,
        response: Array,
        lesson: Lesson,
        drive: Array,
        guess: Array | None,  # noqa: ARG002
    ) -> Proximal:
        """In closed form: κ = ψ + v f(ψ)/(1 + v)."""
        force = self.force(cavity, lesson, drive) / (1.0 + response)
        return Proximal(cavity + response * force, force, np.ones_like(force))

    def value(self, margin: Array, lesson: Lesson, teacher: Array) -> Array:
        """Half the squared distances."""
        target = self.drive(teacher, lesson).value
        return 0.5 * ((1.0 - lesson.mix) * (margin - 1.0) ** 2 + lesson.mix * (margin - target) ** 2)


LOSSES: dict[str, Loss] = {"logistic": Logistic(), "square": Square()}
