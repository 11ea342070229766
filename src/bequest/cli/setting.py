"""The solvable model as the command line names it: checked all at once, then solved or simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bequest.cli.ranges import option, parse_all
from bequest.errors import ConfigError
from bequest.theory import Mixture, Simulation, Solution, simulate, solve
from bequest.theory.learner import LOSS_NAMES, TARGET_NAMES
from bequest.theory.parameters import RANGES, Array
from bequest.theory.solver import LEAST_ACCURACY, MOST_ACCURACY

MIXTURE = ("alpha", "delta", "rho")
MODEL = (*MIXTURE, "lambda_teacher", "lambda_student", "eta", "mix", "temperature")
OPTIONS = ("teacher_loss", "student_loss", "target", "accuracy")
SYMBOLS = dict(zip(MODEL, ("α", "Δ", "ρ", "λₜ", "λₛ", "η", "χ", "T"), strict=True))


@dataclass(frozen=True)
class Setting:
    """Parameters of a teacher and a student; ``swept`` names those with several values, slowest first."""

    values: dict[str, list[float]]
    options: dict[str, Any]

    @property
    def swept(self) -> tuple[str, ...]:
        """The parameters that have several values."""
        return tuple(name for name in MODEL if len(self.values[name]) > 1)

    def value(self, name: str) -> float:
        """A parameter that is one number."""
        return self.values[name][0]

    def grid(self) -> dict[str, Array]:
        """Every parameter, broadcasting to the grid: one axis for each that is swept."""
        axes = {}
        for name, numbers in self.values.items():
            shape = [1] * len(self.swept)
            if len(numbers) > 1:
                shape[self.swept.index(name)] = len(numbers)
            axes[name] = np.array(numbers).reshape(shape)
        return axes

    def mixture(self) -> Mixture:
        """The mixture of Gaussians that the options describe."""
        return Mixture(**{name: values for name, values in self.grid().items() if name in MIXTURE})

    def solve(self, *, throw: bool) -> Solution:
        """Solve the theory at each point of the grid."""
        rest: dict[str, Any] = {name: values for name, values in self.grid().items() if name not in MIXTURE}
        return solve(self.mixture(), **rest, **self.options, throw=throw)

    def simulate(self, *, inputs: int, seeds: int, samples: int, workers: int) -> Simulation:
        """Drawn data at the one point."""
        rest: dict[str, Any] = {name: self.value(name) for name in MODEL if name not in MIXTURE}
        options = {name: value for name, value in self.options.items() if name != "accuracy"}
        mixture = Mixture(*(self.value(name) for name in MIXTURE))
        return simulate(
            mixture, **rest, **options, inputs=inputs, seeds=seeds, samples=samples, workers=workers
        )

    def plain(self) -> dict[str, Any]:
        """The point as values of JSON."""
        return {name: self.value(name) for name in MODEL} | self.options

    def text(self) -> str:
        """The parameters that are one number, for a headline."""
        return " ".join(f"{SYMBOLS[name]}={self.value(name):g}" for name in MODEL if name not in self.swept)


def read_setting(
    where: str,
    model: Mapping[str, str | None],
    options: Mapping[str, Any],
    *,
    swept: Sequence[int] = (0,),
    faults: Sequence[str] = (),
) -> Setting:
    """The setting that was typed.

    Args:
        where: The command, for the message.
        model: Texts of the parameters by name.
        options: Losses, target and accuracy.
        swept: How many parameters may have several values.
        faults: What is known to be wrong already.

    Raises:
        ConfigError: Lists every option that is wrong.
    """
    values, wrong = parse_all(model, most_swept=max(swept))
    for name, numbers in values.items():
        array = np.array(numbers)
        if not np.isfinite(array).all():
            wrong.append(f"{option(name)}: must be finite (got {array[~np.isfinite(array)][0]:g})")
        elif not RANGES[name].holds(array).all():
            outside = array[~RANGES[name].holds(array)][0]
            wrong.append(f"{option(name)}: must be {RANGES[name]} (got {outside:g})")
    if len(values) == len(model) and sum(len(v) > 1 for v in values.values()) < min(swept):
        wrong.append("no parameter is swept: give one or two of them as START:STOP:COUNT or A,B,C")
    choices = {"teacher_loss": LOSS_NAMES, "student_loss": LOSS_NAMES, "target": TARGET_NAMES}
    for name, allowed_names in choices.items():
        if options[name] not in allowed_names:
            wrong.append(f"{option(name)}: must be {' or '.join(allowed_names)} (got {options[name]!r})")
    if not MOST_ACCURACY <= options["accuracy"] <= LEAST_ACCURACY:
        allowed = f"[{MOST_ACCURACY:g}, {LEAST_ACCURACY:g}]"
        wrong.append(f"--accuracy: must be in {allowed} (got {options['accuracy']:g})")
    wrong += faults
    if wrong:
        raise ConfigError.of(where, wrong)
    return Setting(values, dict(options))
