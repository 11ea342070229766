"""The specification of a study of the solvable model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bequest.config import Config


class LearnerSpec(Config):
    """A learner of the solvable model; see :class:`bequest.theory.Learner`.

    Attributes:
        penalty: λ, the strength of its L2 penalty.
        eta: η: it sees the first ηN inputs.
        mix: χ, the weight of its teachers' part in the loss; without teachers there is none.
        temperature: T, at which the teachers' logits are softened; without teachers it has no effect.
        loss: The loss on labels and on logits.
        target: What is handed over: the teachers' mean logit (``soft``) or its sign alone (``hard``).
        fresh: It learns on as many other samples, which its teachers have not seen.
    """

    penalty: float = Field(1.0, ge=0)
    eta: float = Field(1.0, gt=0, le=1)
    mix: float = Field(1.0, ge=0, le=1)
    temperature: float = Field(1.0, gt=0)
    loss: Literal["logistic", "square"] = "logistic"
    target: Literal["soft", "hard"] = "soft"
    fresh: bool = False


class AxisSpec(Config):
    """A parameter of the solvable model that is an axis of a chart.

    Attributes:
        parameter: ``alpha``, ``delta``, ``rho`` or ``WHO.penalty`` (``eta``, ``mix``, ``temperature``), with
            WHO an arm, a kind of student, or ``*`` for every learner.
        title: The title of the axis.
        start: The first value.
        stop: The last value.
        count: The number of values.
        log: Whether they are spaced by equal factors.
    """

    parameter: str
    title: str
    start: float
    stop: float
    count: int = Field(41, ge=2, le=400)
    log: bool = False


class LinesSpec(Config):
    """A parameter with a line for each of its values.

    Attributes:
        parameter: As on an axis.
        title: Its name on the page, such as ``η``.
        values: The values.
    """

    parameter: str
    title: str
    values: tuple[float, ...] = Field(min_length=1)


class TheoryChart(Config):
    """A chart of theory, with simulations as dots.

    Attributes:
        title: Its heading.
        note: What it shows.
        arms: One line, or one map, per arm.
        x: The axis.
        y: A second axis, which makes the chart a map.
        observable: What is shown; a name of :func:`bequest.theory.observe`.
        less: On a map, the arm whose value is subtracted.
        lines: A parameter with a line for each value, instead of a line for each arm; for one arm.
        sought: For an arm with one plain teacher: ``penalty``, ``mix`` and ``temperature`` of the arm and
            ``teacher`` (its teacher's penalty) that minimise the observable at each x, with a panel each.
        at: Parameters that differ from the study's.
        simulated: The values of x at which simulations are drawn as dots.
        bayes: Whether the Bayes error, the least of any learner, is drawn too.
    """

    title: str
    note: str = ""
    arms: tuple[str, ...]
    x: AxisSpec
    y: AxisSpec | None = None
    observable: str = "error"
    less: str | None = None
    lines: LinesSpec | None = None
    sought: tuple[Literal["penalty", "mix", "temperature", "teacher"], ...] = ()
    at: dict[str, float] = Field(default_factory=dict)
    simulated: tuple[float, ...] = ()
    bayes: bool = False


class TheorySpec(Config):
    """The solvable model, instead of data and networks.

    Attributes:
        alpha: Samples per input.
        delta: Variance of the noise.
        rho: P(y = 1).
        inputs: N of the simulations.
        samples: Fresh samples of each.
        observables: What is measured on every split.
        charts: What is drawn.
    """

    alpha: float = Field(gt=0)
    delta: float = Field(1.0, gt=0)
    rho: float = Field(0.5, gt=0, lt=1)
    inputs: int = Field(400, ge=10)
    samples: int = Field(4000, ge=100)
    observables: tuple[str, ...] = ("error",)
    charts: dict[str, TheoryChart] = Field(default_factory=dict)
