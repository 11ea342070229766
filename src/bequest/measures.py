"""The catalogue of measures: name, title, unit, which direction is better, and what each needs.

Everything that names a measure looks it up here: claims and answers of a study, ``bequest ls measures``, the
report.
A name is one of the catalogue, or derived from one:

* ``inheritance/P``, ``inheritance_by_budget/P``, ``gain/P``: a property or likeness P, compared over arms;
* ``L/null``, ``L/ceiling``, ``L/other_teacher``, ``L/own_minus_other``: reference values of a likeness L;
* ``P/in_theory``, ``P/off_theory``: the solvable model's value of P, and a simulation's value minus it;
* ``share_of_pool/P``: how much of P is handed over, as a share of how much the whole pool hands over;
* ``queries_needed/P/X``, ``queries_relative/P/X``: the queries needed for a part X of that;
* ``F/X``: the measure F at one value X of its parameter, such as ``epochs_to/0.9``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from bequest.errors import UnknownName
from bequest.registry import Registry, unknown

Better = Literal["higher", "lower"]
Group = Literal["property", "likeness", "representation", "derived"]
Bounds = tuple[float, float]
SHARE: Bounds = (0.0, 1.0)
DIFFERENCES: Bounds = (-1.0, 1.0)
"""Bounds of correlations, and of differences of two shares."""

Need = Literal["split", "teacher", "layer", "several_tokens", "strata", "source_task", "corruptions"]


class Reason(StrEnum):
    """Why a value or its interval is undefined, or how to read it. Code compares these codes, never messages.

    Attributes:
        NO_SAMPLES: Nothing to average: no samples, seeds, pairs or batches.
        ONE_SEED: One seed, or one pair of seeds, has no spread.
        TOO_FEW: Fewer samples, classes or checkpoints than the formula needs.
        NO_GAP: Teacher and control do not differ, or ceiling and null do not, so no share of the gap exists.
        NO_WIDTH: The interval has no width, since all values are equal: no verdict can rest on it.
        NO_ERRORS: A model that makes no error has no errors to compare.
        ALWAYS_SAME: A model is always right or always wrong, so that kappa is the same for any other model.
        CONSTANT: Features, similarities or checkpoints do not vary.
        NO_STRUCTURE: A map is no better than a map of shuffled distances, or its stress is poor.
        NO_DIRECTION: Steps lead in no direction, as those of a random walk.
        ZERO_REFERENCE: A ratio's denominator is 0, such as a clean accuracy of 0.
        AT_RESOLUTION: All values are equal; the interval is as wide as one sample counts.
        BIASED: The value exists, and is biased by about what the reason says.
        NOT_MEASURED: It was not measured.
        NOT_REACHED: The level in question was never reached.
        NOT_FINITE: A number that it is computed from is not finite.
        NO_SOLUTION: An equation has no solution, such as a best temperature.
        UNDEFINED_SEED: It is undefined at one seed or pair at least, so that a mean over them is too.
        UNDEFINED_PART: It is undefined at one part at least, such as a corruption or a level.
        UNDEFINED_RESAMPLE: It is undefined in a resample, so that there is no bootstrap interval.
        OTHER: Anything else.
    """

    NO_SAMPLES = "no_samples"
    ONE_SEED = "one_seed"
    TOO_FEW = "too_few"
    NO_GAP = "no_gap"
    NO_WIDTH = "no_width"
    NO_ERRORS = "no_errors"
    ALWAYS_SAME = "always_same"
    CONSTANT = "constant"
    NO_STRUCTURE = "no_structure"
    NO_DIRECTION = "no_direction"
    ZERO_REFERENCE = "zero_reference"
    NOT_MEASURED = "not_measured"
    NOT_REACHED = "not_reached"
    NOT_FINITE = "not_finite"
    NO_SOLUTION = "no_solution"
    AT_RESOLUTION = "at_resolution"
    BIASED = "biased"
    UNDEFINED_SEED = "undefined_seed"
    UNDEFINED_PART = "undefined_part"
    UNDEFINED_RESAMPLE = "undefined_resample"
    OTHER = "other"


@dataclass(frozen=True)
class Measure:
    """One entry of the catalogue.

    Attributes:
        name: As it is written in studies and records.
        title: As it is shown to a reader.
        unit: Unit or range, such as ``nats``; empty where there is none.
        better: The better direction; None where neither is.
        group: ``property`` of one model on a split; ``likeness`` of two models' answers on a split;
            ``representation``: likeness of two models' activations; ``derived`` from other measures.
        needs: Inputs without which it cannot be computed.
        parametric: Names of the form ``name/value`` are values of this measure.
        bounds: The smallest and the largest possible value; None if it is unbounded.
        of: The measure that a derived one is computed from; empty otherwise.
        mark: The derivation, such as ``inheritance`` or ``null``; empty otherwise.
    """

    name: str
    title: str
    unit: str = ""
    better: Better | None = None
    group: Group = "property"
    needs: frozenset[Need] = frozenset({"split"})
    parametric: bool = False
    bounds: Bounds | None = None
    of: str = ""
    mark: str = ""

    @property
    def axis(self) -> str:
        """Title with unit, for an axis or a column."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


MEASURES: Registry[Measure] = Registry("measure")

PREFIXES = {
    "inheritance": ("inheritance of {}", "share of the gap"),
    "inheritance_by_budget": ("inheritance of {} at a budget of queries", "share of the gap"),
    "share_of_pool": ("{}, of what the whole pool hands over", "share"),
    "gain": ("gain in {} over the control", ""),
}
PARTS = {
    "queries_needed": ("queries for {} of the {} that the whole pool hands over", "queries"),
    "queries_relative": ("queries for {} of that {}, compared with those of the first line", "ratio"),
}
MARKS = {
    "null": "{}, untrained student",
    "ceiling": "{}, two seeds of the teacher",
    "other_teacher": "{}, with another teacher of the family",
    "own_minus_other": "{}, own teacher minus another of the family",
    "in_theory": "{}, in theory",
    "off_theory": "{}, simulated minus theory",
}

DIFFERENT = ("own_minus_other", "off_theory")
"""Marks of differences, which are not within the bounds of the measure itself."""


def add(
    name: str,
    title: str,
    unit: str = "",
    better: Better | None = None,
    group: Group = "property",
    *,
    needs: tuple[Need, ...] = ("split",),
    parametric: bool = False,
    bounds: Bounds | None = None,
) -> Measure:
    """Add a measure to the catalogue; a name is added once."""
    entry = Measure(name, title, unit, better, group, frozenset(needs), parametric, bounds)
    return MEASURES.add(name, entry)


def measure_named(name: str) -> Measure:
    """The measure called ``name``, derived ones included.

    Raises:
        UnknownName: If there is none; names the nearest.

    >>> measure_named("inheritance/accuracy").title, measure_named("cka/null").mark
    ('inheritance of accuracy', 'null')
    >>> measure_named("acuracy")
    Traceback (most recent call last):
    bequest.errors.UnknownName: there is no measure 'acuracy'
    ...
    """
    if name in MEASURES:
        return MEASURES[name]
    head, _, tail = name.partition("/")
    if head in PREFIXES and tail:
        title, unit = PREFIXES[head]
        base = measure_named(tail)
        return replace(
            base,
            name=name,
            title=title.format(base.title),
            unit=unit or base.unit,
            better=base.better if head == "gain" else None,
            group="derived",
            bounds=None,
            of=base.name,
            mark=head,
        )
    if head in PARTS and "/" in tail:
        # From the right: P itself may contain a slash, as in queries_needed/agreement/null/0.5.
        return _at_part(head, *tail.rsplit("/", 1))
    if tail in MARKS and head in MEASURES:
        base = MEASURES[head]
        bounds = None if tail in DIFFERENT else base.bounds
        return replace(
            base, name=name, title=MARKS[tail].format(base.title), bounds=bounds, of=head, mark=tail
        )
    if tail and head in MEASURES and MEASURES[head].parametric:
        base = MEASURES[head]
        return replace(base, name=name, title=f"{base.title}, {tail.replace('_', ' ')}")
    derived = [f"{prefix}/{tail}" for prefix in PREFIXES] if tail in MEASURES else []
    raise unknown("measure", name, [*MEASURES, *derived])


def _at_part(head: str, of: str, part: str) -> Measure:
    """The measure of the queries needed for a part of ``of``."""
    base, (title, unit) = measure_named(of), PARTS[head]
    return replace(
        base,
        name=f"{head}/{of}/{part}",
        title=title.format(part, base.title),
        unit=unit,
        better="lower",
        group="derived",
        bounds=None,
        of=base.name,
        mark=head,
    )


def is_measure(name: str) -> bool:
    """Whether :func:`measure_named` knows ``name``."""
    try:
        measure_named(name)
    except UnknownName:
        return False
    return True


BY_NAME = frozenset(
    {
        "macro_precision",
        "roc_auc",
        "confidence_auc",
        "aurc",
        "negative_transfer",
        "mutual_neighbours",
        "cosine_of_cosines",
    }
)
"""Measured only where a study names them."""

# Properties: of one model on a split.
add("accuracy", "accuracy", "share right", "higher", bounds=SHARE)
add("balanced_accuracy", "balanced accuracy", "mean over classes", "higher", bounds=SHARE)
add("macro_precision", "precision", "mean over classes", "higher", bounds=SHARE)
add("macro_f1", "F1", "mean over classes", "higher", bounds=SHARE)
add("nll", "negative log-likelihood", "nats", "lower")
add("brier", "Brier score", "", "lower", bounds=(0.0, 2.0))
add("ece", "calibration error (ECE)", "share", "lower", bounds=SHARE)
add("ece_mass", "calibration error, bins of equal mass", "share", "lower", bounds=SHARE)
add("roc_auc", "area under the ROC", "mean over classes", "higher", bounds=SHARE)
add("confidence_auc", "AUC of confidence for being right", "", "higher", bounds=SHARE)
add("aurc", "area under risk–coverage", "mean risk", "lower", bounds=SHARE)
add("confidence_gap", "mean |confidence − correct|", "share", "lower", bounds=SHARE)
add("d_accuracy", "D-accuracy", "mean over distances", "higher", needs=("split", "strata"), bounds=SHARE)
add(
    "a_accuracy",
    "A-accuracy",
    "mean over counts of attractors",
    "higher",
    needs=("split", "strata"),
    bounds=SHARE,
)
add(
    "worst_group",
    "accuracy of the worst group",
    "share right",
    "higher",
    needs=("split", "strata"),
    bounds=SHARE,
)
add(
    "shortcut_answers",
    "answers that the shortcut gives",
    "share",
    needs=("split", "strata"),
    bounds=SHARE,
)
add("perplexity", "perplexity", "per word", "lower")

# Of a student and a teacher: likeness of their answers on a split, then of their representations.
add(
    "agreement",
    "agreement",
    "share of equal answers",
    None,
    "likeness",
    needs=("split", "teacher"),
    bounds=SHARE,
)
add(
    "agreement_on_errors",
    "agreement where the teacher is wrong",
    "share",
    None,
    "likeness",
    needs=("split", "teacher"),
    bounds=SHARE,
)
add(
    "error_consistency",
    "error consistency",
    "Cohen's κ of correctness",
    None,
    "likeness",
    needs=("split", "teacher"),
    bounds=DIFFERENCES,
)
add(
    "negative_transfer",
    "agreement where the teacher is wrong minus where it is right",
    "difference of shares",
    None,
    "likeness",
    needs=("split", "teacher"),
    bounds=DIFFERENCES,
)
add("kl", "divergence from the teacher", "nats", None, "likeness", needs=("split", "teacher"))
add(
    "cka",
    "CKA",
    "unbiased, linear",
    None,
    "representation",
    needs=("split", "teacher", "layer"),
    bounds=DIFFERENCES,
)
add(
    "rsa",
    "RSA",
    "rank correlation",
    None,
    "representation",
    needs=("split", "teacher", "layer"),
    bounds=DIFFERENCES,
)
add(
    "cosine_of_cosines",
    "cosine of rows of cosines",
    "mean over samples",
    None,
    "representation",
    needs=("split", "teacher", "layer"),
    bounds=DIFFERENCES,
)
add(
    "mutual_neighbours",
    "mutual nearest neighbours",
    "share of 10",
    None,
    "representation",
    needs=("split", "teacher", "layer"),
    bounds=SHARE,
)
add(
    "procrustes",
    "Procrustes similarity",
    "",
    None,
    "representation",
    needs=("split", "teacher", "layer"),
    bounds=SHARE,
)
