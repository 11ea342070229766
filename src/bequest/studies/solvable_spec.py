"""What a study of the solvable model may say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bequest.config import Config


class LearnerSpec(Config):
    """A learner of the solvable model; see :class:`bequest.theory.Learner`.

    Attributes:
        penalty: λ, the strength of its L2 penalty.
        eta: It sees the first ηN inputs.
        mix: χ, the weight of its teachers' part in the loss; without teachers there is none.
        temperature: T, at which the teachers' logits are softened; without teachers it plays no part.
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
    """A parameter of the solvable model that a chart goes through.

    Attributes:
        parameter: ``alpha``, ``delta``, ``rho`` or ``WHO.penalty`` (``eta``, ``mix``, ``temperature``), with
            WHO an arm, a kind of student, or ``*`` for every learner.
        title: What a reader sees.
        start: The first value.
        stop: The last value.
        count: How many there are.
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
        title: What it is called, such as ``η``.
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
        arms: One line, or one map, an arm.
        x: The axis.
        y: A second axis makes the chart a map.
        observable: What is shown; a name of :func:`bequest.theory.observe`.
        less: On a map, the arm whose value is taken off.
        lines: A parameter with a line for each value, in place of a line for each arm; of one arm.
        sought: Of an arm with one plain teacher: ``penalty``, ``mix`` and ``temperature`` of the arm and
            ``teacher`` (its teacher's penalty) that make the observable least at each x, with a panel each.
        at: Parameters that differ from the study's.
        simulated: Where on the x axis dots are drawn.
        bayes: Whether the least error that any learner can have is drawn too.
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
    """The solvable model that takes the place of data and networks.

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
