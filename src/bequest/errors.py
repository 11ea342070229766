"""The exceptions of bequest.

::

    BequestError
    ├── InputError            the caller's input is wrong            (exit code 2)
    │   ├── ConfigError       a study, recipe or option; lists every fault at once
    │   ├── UnknownName       no such model, dataset, measure ...; names the nearest
    │   ├── DataError         samples, labels, ids, files of data
    │   ├── ModelError        a network or its weights do not fit the task
    │   ├── ObjectiveError    an objective cannot be computed from what is there
    │   ├── SignalError       a signal store does not match, or is damaged
    │   ├── RunFolderError    a run folder that cannot be read, written or resumed
    │   └── MissingExtra      an optional package is needed and not installed
    └── RunError              the work itself failed                 (exit code 3)
        ├── TeacherChanged    a teacher's parameters or buffers moved
        ├── NonFiniteLoss     a loss became NaN or infinite
        ├── NotConverged      a solver stopped before its tolerance
        └── WorkerLost        a worker process died
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PLACE = re.compile(r"\d+: ")


class BequestError(Exception):
    """A failure that says what was expected, what was found, and what to do.

    Args:
        message: What went wrong, in one sentence.
        expected: What would have been right.
        got: What was there instead.
        remedy: What the reader can do about it.

    >>> print(DataError("labels are out of range", expected="0..9", got="12", remedy="check y"))
    labels are out of range
      expected: 0..9
      got:      12
      remedy:   check y
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        expected: object = None,
        got: object = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.got = got
        self.remedy = remedy

    def __str__(self) -> str:
        parts = (("expected", self.expected), ("got", self.got), ("remedy", self.remedy))
        lines = [f"  {name + ':':<9} {value}" for name, value in parts if value is not None]
        return "\n".join([self.message, *lines])

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled as type(self)(*args), which would lose the keyword arguments.
        return (_rebuild, (type(self), self.args, self.__dict__))


def at(path: str, fault: str) -> str:
    """``fault`` at ``path``; a fault that begins with an index into a list continues the path.

    >>> at("arms", "empty"), at("views", "0: unknown key")
    ('arms: empty', 'views.0: unknown key')
    """
    return f"{path}.{fault}" if _PLACE.match(fault) else f"{path}: {fault}"


def in_one_line(error: BequestError) -> str:
    """The error as one line of a list of faults; a suggestion replaces the list of all names.

    >>> in_one_line(DataError("labels are out of range", expected="0..9", got="12"))
    'labels are out of range; expected 0..9; got 12'
    >>> in_one_line(UnknownName("there is no view 'flop'", expected="...", remedy="did you mean 'flip'?"))
    "there is no view 'flop'; did you mean 'flip'?"
    """
    remedy = error.remedy or ""
    details = () if remedy.startswith("did you mean") else (("expected", error.expected), ("got", error.got))
    parts = [error.message, *(f"{name} {value}" for name, value in details if value is not None)]
    return " ".join("; ".join([*parts, remedy] if remedy else parts).split())


def _rebuild(kind: type[BequestError], args: tuple[object, ...], state: dict[str, object]) -> BequestError:
    """Unpickle an error, so that worker processes can raise it in their parent."""
    # Past __init__: a subclass may require arguments that are not in args.
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(BequestError):
    """The caller's input is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration is wrong; ``faults`` lists every fault that was found.

    >>> print(ConfigError.of("--budget", ["expected a time such as 20m, got 'soon'"]))
    --budget: expected a time such as 20m, got 'soon'
    >>> print(ConfigError.of("study.toml", ["train.lr: not a number", "arms: empty"]))
    study.toml: 2 errors
      1. train.lr: not a number
      2. arms: empty
    """

    faults: tuple[str, ...] = ()

    @classmethod
    def of(cls, where: str, faults: Iterable[str]) -> ConfigError:
        """An error that lists all ``faults`` found in ``where``; a single one is the headline itself."""
        listed = tuple(faults)
        if len(listed) == 1:
            error = cls(at(where, listed[0]))
        else:
            lines = [f"{where}: {len(listed)} errors", *(f"  {k}. {f}" for k, f in enumerate(listed, 1))]
            error = cls("\n".join(lines))
        error.faults = listed
        return error


class UnknownName(InputError):
    """No such name in a catalogue."""


class DataError(InputError):
    """Samples, labels, ids or files of data are wrong."""


class ModelError(InputError):
    """A network or its weights do not fit the task."""


class ObjectiveError(InputError):
    """An objective cannot be computed from the logits, labels or activations at hand."""


class SignalError(InputError):
    """A signal store does not match what it is used for, or is damaged."""


class RunFolderError(InputError):
    """A run folder cannot be read, written or resumed."""


class MissingExtra(InputError):
    """An optional package is needed and not installed."""


class RunError(BequestError):
    """The work itself failed."""

    exit_code = 3


class TeacherChanged(RunError):
    """A teacher's parameters or buffers moved while it taught."""


class NonFiniteLoss(RunError):
    """A loss became NaN or infinite."""


class NotConverged(RunError):
    """A solver stopped before its tolerance."""


class WorkerLost(RunError):
    """A worker process died."""
