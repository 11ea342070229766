"""The options that the verbs of the solvable model share, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def _number(text: str) -> Any:
    return Annotated[str | None, typer.Option(metavar="NUMBER", help=text)]


def _word(text: str) -> Any:
    return Annotated[str, typer.Option(help=text)]


MODEL_OPTIONS: dict[str, tuple[Any, str | None]] = {
    "alpha": (_number("Samples per input, α > 0; required."), None),
    "delta": (_number("Variance of the noise, Δ > 0."), "1"),
    "rho": (_number("Probability of class 1, P(y = 1), in (0, 1)."), "0.5"),
    "lambda_teacher": (_number("The teacher's penalty, λ ≥ 0; required unless optimised."), None),
    "lambda_student": (_number("The student's penalty, λ ≥ 0; required unless optimised."), None),
    "eta": (_number("Share of the inputs the student sees, in (0, 1]."), "1"),
    "mix": (_number("Mix χ of the loss: 0 is plain training, 1 pure distillation."), "1"),
    "temperature": (_number("Temperature, T > 0."), "1"),
}
"""Annotation and default of every parameter of the model, as it is typed."""

SOLVE_OPTIONS: dict[str, tuple[Any, Any]] = {
    "teacher_loss": (_word("The teacher's loss: logistic or square."), "logistic"),
    "student_loss": (_word("The student's loss: logistic or square."), "logistic"),
    "target": (_word("What is handed over: soft (logits) or hard (decisions)."), "soft"),
    "accuracy": (Annotated[float, typer.Option(help="Bound on the residual, in [1e-12, 1e-2].")], 1e-9),
}


@dataclass(frozen=True)
class TypedModel:
    """What was typed: ``where`` names the command, ``numbers`` are texts by parameter."""

    where: str
    numbers: dict[str, str | None]
    options: dict[str, Any]


def with_model(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes the model's options in front of its own, and gets them as one ``model``.

    Typer reads a command's options from its signature, so the signature is put together here.
    """
    shared = MODEL_OPTIONS | SOLVE_OPTIONS
    kinds = inspect.Parameter
    hints = get_type_hints(command, include_extras=True)
    rest = [
        parameter.replace(annotation=hints[name], kind=kinds.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "model"
    ]
    declared = [
        kinds(name, kinds.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in shared.items()
    ]

    def run(**typed: Any) -> None:
        numbers = {name: typed.pop(name) for name in MODEL_OPTIONS}
        options = {name: typed.pop(name) for name in SOLVE_OPTIONS}
        command(TypedModel(f"bequest theory {command.__name__}", numbers, options), **typed)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature([*declared, *rest])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*declared, *rest)}
    return run
