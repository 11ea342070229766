"""Numbers and ranges of them as typed on the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

MOST_VALUES = 100_000


def parse_range(text: str) -> list[float]:
    """A number, several (``1,2,5``), or a range (``START:STOP:COUNT``, with ``:log`` in equal factors).

    Raises:
        ValueError: If it is none of these; says why.

    >>> parse_range("0.5"), parse_range("1,2"), parse_range("0:1:3"), parse_range("0.01:1:3:log")
    ([0.5], [1.0, 2.0], [0.0, 0.5, 1.0], [0.01, 0.1, 1.0])
    """
    if ":" not in text:
        return [_number(part) for part in text.split(",")]
    start, stop, count, *rest = [*text.split(":"), "", ""][: max(3, len(text.split(":")))]
    if rest not in ([], ["log"]) or not count.isdigit() or not 2 <= int(count) <= MOST_VALUES:
        raise ValueError(f"must be START:STOP:COUNT or START:STOP:COUNT:log with COUNT ≥ 2 (got {text!r})")
    low, high, n = _number(start), _number(stop), int(count)
    if not rest:
        return [low + (high - low) * k / (n - 1) for k in range(n)]
    if not (low > 0 and high > 0):
        raise ValueError(f"a logarithmic range must lie above 0 (got {text!r})")
    ratio = math.log(high / low)
    inner = [float(f"{low * math.exp(ratio * k / (n - 1)):.12g}") for k in range(1, n - 1)]
    return [low, *inner, high]


def parse_all(
    typed: Mapping[str, str | None], *, most_swept: int
) -> tuple[dict[str, list[float]], list[str]]:
    """The values of each option that was typed, and one line for each that is wrong.

    Args:
        typed: Texts by parameter name; None where the option was left out.
        most_swept: How many parameters may have more than one value.
    """
    values: dict[str, list[float]] = {}
    faults = []
    for name, text in typed.items():
        if text is None:
            faults.append(f"{option(name)}: is required")
            continue
        try:
            values[name] = parse_range(text)
        except ValueError as error:
            faults.append(f"{option(name)}: {error}")
    swept = [option(name) for name, numbers in values.items() if len(numbers) > 1]
    if len(swept) > most_swept:
        allowed = (
            f"at most {most_swept} of them may have several values" if most_swept else "must be one number"
        )
        faults.append(f"{', '.join(swept)}: {allowed}")
    return values, faults


def option(name: str) -> str:
    """A parameter's name as its option.

    >>> option("lambda_teacher")
    '--lambda-teacher'
    """
    return f"--{name.replace('_', '-')}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number (got {text.strip()!r})") from None


def parse_bounds(texts: Sequence[str]) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Intervals by parameter from texts like ``mix=0:0.5``, and one line for each text that is none.

    >>> parse_bounds(["mix=0:0.5", "eta"])
    ({'mix': (0.0, 0.5)}, ["--bounds: must be NAME=LOW:HIGH (got 'eta')"])
    """
    bounds: dict[str, tuple[float, float]] = {}
    faults = []
    for text in texts:
        name, _, interval = text.partition("=")
        try:
            low, high = (float(end) for end in interval.split(":"))
        except ValueError:
            faults.append(f"--bounds: must be NAME=LOW:HIGH (got {text!r})")
            continue
        bounds[name.strip().replace("-", "_")] = (low, high)
    return bounds, faults
