"""Schedules: numbers that change over a run, pure functions of the step.

A schedule serves as a factor on the learning rate, as a weight of a loss, or as a temperature.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PlainValidator, model_validator
from typing_extensions import override

from bequest.errors import ConfigError, ObjectiveError
from bequest.variants import Listed, Variant, strict

LOOKS = 256
"""Steps of a run at which a schedule's values are checked."""

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Schedule(Variant, kind="schedule"):
    """A number for every step of a run: ``schedule.value(step, steps)``."""

    @abstractmethod
    def value(self, step: int, steps: int) -> float:
        """The number at ``step``.

        Args:
            step: Optimizer steps taken so far, 0 at the first.
            steps: Optimizer steps of the whole run, ≥ 1.
        """


@strict
class Constant(Schedule, name="constant"):
    """The same number throughout."""

    number: float = 1.0

    @override
    def value(self, step: int, steps: int) -> float:
        """``number`` at every step."""
        return self.number


@strict
class Linear(Schedule, name="linear"):
    """From ``start`` at the first step straight to ``end`` where the run ends.

    start + (end - start) · step / steps

    >>> Linear(1.0, 0.0).value(25, 100)
    0.75
    """

    start: float = 1.0
    end: float = 0.0

    @override
    def value(self, step: int, steps: int) -> float:
        """The line at ``step``."""
        return self.start + (self.end - self.start) * _progress(step, steps)


@strict
class Cosine(Schedule, name="cosine"):
    """From ``start`` to ``end`` along half a cosine.

    end + (start - end) · (1 + cos(π · step / steps)) / 2

    Source: Loshchilov & Hutter 2017, "SGDR", equation 5, without restarts.
    """

    start: float = 1.0
    end: float = 0.0

    @override
    def value(self, step: int, steps: int) -> float:
        """The cosine at ``step``."""
        return self.end + (self.start - self.end) * _half_cosine(_progress(step, steps))


@strict
class Stop(Schedule, name="stop"):
    """``number`` until a share ``at`` of the run is over, ``after`` from there on.

    Source: Cho & Hariharan 2019, "On the efficacy of knowledge distillation", section 4.3 (stopping early).
    """

    at: Share
    number: float = 1.0
    after: float = 0.0

    @override
    def value(self, step: int, steps: int) -> float:
        """``number`` or ``after``."""
        return self.number if step < self.at * steps else self.after


@strict
class WarmupCosine(Schedule, name="warmup_cosine"):
    """A straight rise to 1 over a share ``warmup`` of the run, then half a cosine down to ``end``.

    The first step has 1/w of the full value, where w = round(warmup · steps) is the number of warm-up steps.
    """

    warmup: Share = 0.05
    end: float = 0.0

    @override
    def value(self, step: int, steps: int) -> float:
        """The rise or the cosine at ``step``."""
        rise = round(self.warmup * steps)
        if step < rise:
            # + 1: with a factor of 0 the first step would train nothing.
            return (step + 1) / rise
        return self.end + (1 - self.end) * _half_cosine(_progress(step - rise, steps - rise))


@strict
class OneCycle(Schedule, name="one_cycle"):
    """Half a cosine up from 1/``first`` to 1 over a share ``rise``, half a cosine down to 1/``last``.

    Source: Smith & Topin 2018, "Super-convergence"; the cosine form with two phases.
    """

    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    first: Positive = 25.0
    last: Positive = 1e4

    @override
    def value(self, step: int, steps: int) -> float:
        """The wave at ``step``."""
        progress = _progress(step, steps)
        if progress < self.rise:
            return 1 + (1 / self.first - 1) * _half_cosine(progress / self.rise)
        return 1 / self.last + (1 - 1 / self.last) * _half_cosine((progress - self.rise) / (1 - self.rise))


@strict
class Steps(Schedule, name="steps"):
    """1, multiplied by ``factor`` each time a share of the run in ``at`` is over."""

    at: Listed[Share]
    factor: Positive = 0.1

    @model_validator(mode="after")
    def _rising(self) -> Steps:
        if not self.at or list(self.at) != sorted(set(self.at)):
            raise ValueError(f"at: expected shares of the run in rising order, got {list(self.at)}")
        return self

    @override
    def value(self, step: int, steps: int) -> float:
        """The level at ``step``."""
        return self.factor ** sum(step >= share * steps for share in self.at)


@strict
class Exponential(Schedule, name="exponential"):
    """From 1 down to ``end`` by equal factors: end^(step / steps)."""

    end: Positive = 0.01

    @override
    def value(self, step: int, steps: int) -> float:
        """The power at ``step``."""
        return math.pow(self.end, _progress(step, steps))


@strict
class CosineRestarts(Schedule, name="cosine_restarts"):
    """``cycles`` half cosines from 1 to ``end``, each ``longer`` times as long as the one before.

    Source: Loshchilov & Hutter 2017, "SGDR", equation 5.
    """

    cycles: Annotated[int, Field(ge=1)] = 3
    longer: Annotated[float, Field(ge=1)] = 1.0
    end: float = 0.0

    @override
    def value(self, step: int, steps: int) -> float:
        """The cosine of the cycle that ``step`` is in."""
        lengths = [self.longer**k for k in range(self.cycles)]
        position = _progress(step, steps) * sum(lengths)
        # The last cycle is left to ``else``: rounding may put the end of the run just past its end.
        for length in lengths[:-1]:
            if position < length:
                break
            position -= length
        else:
            length = lengths[-1]
        return self.end + (1 - self.end) * _half_cosine(min(1.0, position / length))


@dataclass(frozen=True)
class Range:
    """The range of a number: [low, high], or (low, high] if ``above``."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    def __contains__(self, number: float) -> bool:
        over = number > self.low if self.above else number >= self.low
        return math.isfinite(number) and over and number <= self.high

    def __str__(self) -> str:
        parts = [f"{'>' if self.above else '≥'} {self.low:g}"] if self.low > -math.inf else []
        parts += [f"≤ {self.high:g}"] if self.high < math.inf else []
        return " ".join(["a number", " and ".join(parts)]).rstrip()

    def parse(self, value: object) -> float | Schedule:
        """A number in the range, or a schedule, whose values :meth:`check` checks.

        Raises:
            ValueError: If it is neither.
        """
        # To Python a bool is an int, and ``temperature = true`` would mean 1.
        if isinstance(value, int | float) and not isinstance(value, bool):
            if float(value) in self:
                return float(value)
        elif isinstance(value, Schedule | Mapping | str):
            try:
                return Schedule.parse(value)
            except ConfigError as error:
                raise ValueError("; ".join(error.faults)) from None
        raise ValueError(f"expected {self} or a schedule, got {value!r}")

    def check(self, what: str, value: float | int | Schedule, steps: int) -> None:
        """Refuse a schedule that leaves the range during a run of ``steps``.

        Raises:
            ObjectiveError: Names the number and the step.
        """
        # A set: in a run shorter than LOOKS every step occurs several times.
        for step in sorted({k * max(0, steps - 1) // LOOKS for k in range(LOOKS + 1)}):
            number = at(value, step, steps)
            if number not in self:
                raise ObjectiveError(
                    f"{what} leaves its range during the run",
                    expected=f"{self} at every step",
                    got=f"{number:g} at step {step} of {steps}, by {value}",
                )


ANY, NOT_NEGATIVE, POSITIVE, SHARE = Range(), Range(0.0), Range(0.0, above=True), Range(0.0, 1.0)

Scheduled = Annotated[float | Schedule, PlainValidator(ANY.parse)]
"""A number, or a schedule of it."""

Weight = Annotated[float | Schedule, PlainValidator(NOT_NEGATIVE.parse)]
"""A number ≥ 0, or a schedule of it."""

Temperature = Annotated[float | Schedule, PlainValidator(POSITIVE.parse)]
"""A number > 0, or a schedule of it."""

Fraction = Annotated[float | Schedule, PlainValidator(SHARE.parse)]
"""A number in [0, 1], or a schedule of it."""


def at(value: float | int | Schedule, step: int, steps: int) -> float:
    """The value of a number or schedule at ``step`` of ``steps``."""
    return value.value(step, steps) if isinstance(value, Schedule) else value


def parse_schedule(spec: object, where: str = "schedule") -> Schedule:
    """The schedule that ``spec`` describes: a table with ``name``, a bare name, a number, or a schedule.

    >>> parse_schedule({"name": "linear", "end": 0.5})
    Linear(start=1.0, end=0.5)
    >>> parse_schedule(2)
    Constant(number=2.0)

    Raises:
        ConfigError: Lists every fault.
    """
    if isinstance(spec, int | float) and not isinstance(spec, bool):
        return Constant(spec)
    return Schedule.parse(spec, where)


def _progress(step: int, steps: int) -> float:
    return min(1.0, step / max(1, steps))


def _half_cosine(progress: float) -> float:
    """1 at 0, 0 at 1."""
    return (1 + math.cos(math.pi * progress)) / 2
