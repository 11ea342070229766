"""What ``bequest measure`` computes of one file, or of two."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bequest import measure as m
from bequest.cli.measure_output import Rows, plain, row_of
from bequest.cli.saved import paired, read_features
from bequest.errors import DataError

if TYPE_CHECKING:
    from bequest.cli.saved import Predictions
    from bequest.measure import Estimate

PAIRWISE = 2000
"""So many samples are compared pair by pair; the printed n says so."""

SHUFFLES = 5
GROUPS = 10
"""A similarity's interval costs this many further similarities."""

DRAWS = 499
SMALLEST_LOG = -745.0
"""The logarithm of the smallest float64 above 0."""


def accuracy_rows(p: Predictions) -> Rows:
    """Accuracy, and with scores the scoring rules."""
    truth, answers = p.truth, p.answers
    rows = {"accuracy": row_of(m.proportion_interval(answers == truth))}
    if p.log_probs is not None and p.log_probs.shape[1] > 5:
        rows["top-5 accuracy"] = row_of(m.proportion_interval(m.among_best(p.log_probs, truth, top=5)))
    rows["balanced accuracy"] = row_of(_resampled(_balanced, answers, truth))
    rows["macro F1"] = row_of(_resampled(_macro_f1, answers, truth))
    if p.probs is not None:
        probs, log_probs = p.distributions
        chosen = -log_probs[np.arange(len(truth)), truth]
        gaps = ((np.exp(log_probs) - (truth[:, None] == np.arange(probs.shape[1]))) ** 2).sum(axis=1)
        rows["nll"], rows["brier"] = _mean_of(chosen), _mean_of(gaps)
        sure, right = probs.max(axis=1), answers == truth
        rows["ROC-AUC"] = row_of(_by_groups(lambda k: m.roc_auc(probs[k], truth[k]), len(truth)))
        rows["AUC of confidence"] = row_of(
            _by_groups(lambda k: m.confidence_auc(probs[k], truth[k]), len(truth))
        )
        rows["risk-coverage area"] = row_of(
            _by_groups(lambda k: m.risk_coverage(sure[k], right[k]).area, len(truth))
        )
    return rows


def calibration_rows(p: Predictions, bins: int) -> tuple[Rows, list[dict[str, Any]]]:
    """Calibration errors, the fitted temperature, and the reliability table."""
    probs, log_probs = p.distributions
    truth, n = p.truth, len(p.truth)
    mass = m.reliability(probs, truth, bins=bins, binning="mass")
    by_mass = row_of(m.calibration_interval(probs, truth, bins=bins, binning="mass", draws=DRAWS))
    if len(mass.count) < bins and n:
        by_mass["reason"] = f"{by_mass['reason']}; ties leave {len(mass.count)} of {bins} bins"

    def classwise(rows: Any) -> float:
        return m.classwise_calibration_error(probs[rows], truth[rows], bins=bins)

    # Each group of the jackknife goes over all classes again, which takes minutes for tens of thousands.
    groups = GROUPS if probs.shape[1] <= 1000 else 2
    confident = np.abs(np.exp(log_probs).max(axis=1) - (p.answers == truth))
    measures = {
        "ece, equal width": row_of(m.calibration_interval(probs, truth, bins=bins, draws=DRAWS)),
        "ece, equal mass": by_mass,
        "class-wise error": row_of(m.group_interval(classwise, n, groups=groups, bounds=(0.0, 1.0))),
        "mean |confidence - correct|": row_of(m.sample_interval(confident, method="t")),
        "temperature, fitted here": row_of(m.temperature_interval(log_probs.clip(min=SMALLEST_LOG), truth)),
    }
    table = m.reliability(probs, truth, bins=bins)
    columns = ("low", "high", "count", "confidence", "accuracy")
    bars = [
        {name: plain(getattr(table, name)[b].item()) for name in columns} for b in range(len(table.count))
    ]
    return measures, bars


def agreement_rows(teacher: Predictions, other: Predictions) -> Rows:
    """Agreement, divergence and error consistency of two files of predictions."""
    t, s = matched(teacher, other)
    theirs, answers = t.called(t.answers), s.called(s.answers)
    rows = {"agreement": row_of(m.proportion_interval(theirs == answers))}
    if t.log_probs is not None and s.log_probs is not None:
        rows["KL(first || other)"] = _mean_of(m.teacher_student_kl(t.log_probs, s.log_probs))
    truth = _common_labels(t, s)
    if truth is None:
        return rows
    right, answer_right = theirs == truth, answers == truth
    n = len(truth)
    rows["error consistency"] = row_of(
        m.bootstrap_interval(lambda k: m.error_consistency(right[k], answer_right[k]), n, draws=DRAWS)
    )
    rows["agreement on the first's errors"] = row_of(_on_errors(theirs == answers, ~right))
    rows["shared errors (Jaccard)"] = row_of(
        m.bootstrap_interval(lambda k: m.error_overlap(right[k], answer_right[k]).jaccard, n, draws=DRAWS)
    )
    return rows


def similarity_rows(
    first: Path,
    other: Path,
    null: tuple[Path, Path] | None,
    ceiling: tuple[Path, Path] | None,
    keys: dict[str, str],
) -> Rows:
    """How alike two representations are, by each measure."""
    pairs = {"value": _features(first, other, keys)}
    pairs |= {
        name: _features(*files, keys) for name, files in (("null", null), ("ceiling", ceiling)) if files
    }
    rows: Rows = {}
    for name, measure, most, bounds in (
        ("cka", m.cka, None, (-1.0, 1.0)),
        ("rsa", m.rsa, PAIRWISE, (-1.0, 1.0)),
        ("procrustes", m.procrustes, None, (0.0, 1.0)),
        ("cosine of cosines", m.cosine_of_cosines, PAIRWISE, (-1.0, 1.0)),
        ("mutual neighbours, 10", m.mutual_neighbours, PAIRWISE, (0.0, 1.0)),
    ):
        sides = {key: tuple(_thinned(side, most) for side in pair) for key, pair in pairs.items()}
        x, y = sides.pop("value")
        beside = {key: measure(*pair) for key, pair in sides.items()}
        shuffled = m.shuffled_null(measure, x, y, draws=SHUFFLES)
        beside["shuffled"] = float(shuffled.mean())
        rows[name] = row_of(similarity_interval(measure, x, y, bounds), **beside)
    return rows


def similarity_interval(
    measure: Callable[[Any, Any], float], x: Any, y: Any, bounds: tuple[float, float]
) -> Estimate:
    """A similarity with the jackknife over groups of samples; without an interval for few samples."""
    return m.group_interval(lambda rows: measure(x[rows], y[rows]), len(x), groups=GROUPS, bounds=bounds)


def matched(teacher: Predictions, other: Predictions) -> tuple[Predictions, Predictions]:
    """Both files' samples in one order.

    Raises:
        DataError: If samples do not pair, or classes differ.
    """
    counts = len(teacher.answers), len(other.answers)
    one, two = paired(teacher.ids, other.ids, counts, (teacher.file, other.file))
    t, s = teacher.rows(one), other.rows(two)
    if t.probs is not None and s.probs is not None and t.probs.shape != s.probs.shape:
        raise DataError(
            f"{t.file} and {s.file} differ in the number of classes",
            expected=t.probs.shape[1],
            got=s.probs.shape[1],
        )
    if (t.names is None) != (s.names is None) or (
        t.names is not None and s.names is not None and t.probs is not None and s.probs is not None
        and list(t.names) != list(s.names)
    ):  # fmt: skip
        raise DataError(
            f"{t.file} and {s.file} differ in the names of their classes",
            expected="the same names in the same order",
            got=f"{_listed(t.names)} and {_listed(s.names)}",
        )
    return t, s


def _listed(names: Any) -> str:
    return "none" if names is None else ", ".join(map(str, names[:5]))


def _by_groups(statistic: Callable[[Any], float], n: int) -> Estimate:
    """A statistic between 0 and 1 with the jackknife over groups of samples."""
    return m.group_interval(statistic, n, groups=GROUPS, bounds=(0.0, 1.0))


def _resampled(statistic: Callable[[Any, Any], float], answers: Any, truth: Any) -> Estimate:
    """A statistic of answers and labels, resampled; between 0 and 1."""
    return m.bootstrap_interval(lambda rows: statistic(answers[rows], truth[rows]), len(truth), draws=DRAWS)


def _balanced(answers: Any, truth: Any) -> float:
    size = int(max(answers.max(initial=0), truth.max(initial=0))) + 1
    held, right = np.bincount(truth, minlength=size), np.bincount(truth[answers == truth], minlength=size)
    return float((right[held > 0] / held[held > 0]).mean()) if held.any() else m.Undefined("no samples")


def _macro_f1(answers: Any, truth: Any) -> float:
    size = int(max(answers.max(initial=0), truth.max(initial=0))) + 1
    named = np.bincount(truth, minlength=size) + np.bincount(answers, minlength=size)
    right = np.bincount(truth[answers == truth], minlength=size)
    return (
        float((2 * right[named > 0] / named[named > 0]).mean()) if named.any() else m.Undefined("no samples")
    )


def _on_errors(same: Any, wrong: Any) -> Estimate:
    from bequest.measures import Reason

    if not wrong.any():
        missing = m.Undefined("the first model makes no error", Reason.NO_ERRORS)
        return m.Estimate(missing, 0, math.nan, math.nan, 0.95, "wilson", missing.reason, missing.code)
    return m.proportion_interval(same[wrong])


def _mean_of(values: Any) -> Rows:
    """The mean over samples with its interval; infinite without one where a sample's is."""
    if np.isinf(values).any():
        reason = f"infinite at {int(np.isinf(values).sum())} of {len(values)} samples"
        return {"value": "inf", "n": len(values), "low": None, "high": None, "reason": reason}
    return row_of(m.sample_interval(values, method="t"))


def _common_labels(t: Predictions, s: Predictions) -> Any:
    """The labels that both files agree on; those of one where the other has none; None without any."""
    labels, others = (None if p.labels is None else p.called(p.labels) for p in (t, s))
    if labels is not None and others is not None and (labels != others).any():
        raise DataError(
            f"{t.file} and {s.file} have different labels",
            expected="one label per sample",
            got=f"{int((labels != others).sum())} that differ",
            remedy="save ids in both files, so that rows are paired",
        )
    return labels if labels is not None else others


def _thinned(side: Any, most: int | None) -> Any:
    """At most so many samples, evenly spaced; what compares all pairs would need memory with their square."""
    if most is None or len(side) <= most:
        return side
    return side[[k * len(side) // most for k in range(most)]]


def _features(first: Path, other: Path, keys: dict[str, str]) -> tuple[Any, Any]:
    (x, ids), (y, other_ids) = read_features(first, keys), read_features(other, keys)
    one, two = paired(
        ids, other_ids, (len(np.atleast_1d(x)), len(np.atleast_1d(y))), (str(first), str(other))
    )
    return x[one], y[two]
