"""Linear probes of representations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bequest.errors import DataError
from bequest.measure.arrays import Array, classes, same_length
from bequest.measure.arrays import features as checked
from bequest.measure.undefined import Undefined, no_samples
from bequest.measures import Reason

PENALTIES = tuple(10.0**k for k in range(-3, 7))


def linear_probe(
    features: Array,
    labels: Array,
    test_features: Array,
    test_labels: Array,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> float:
    """The accuracy of a linear classifier trained on one set of features and tested on another, in [0, 1].

    Ridge regression to ±1 targets on standardised features; its penalty is chosen by leave-one-out error on
    the training set alone (scikit-learn's ``RidgeClassifierCV``), so that it depends on no random number and
    no test sample.

    Args:
        features: (N, ...), further axes flattened.
        labels: int, (N,), any property of the samples, not only the task's classes.
        test_features: (M, ...), of other samples.
        test_labels: int, (M,).
        penalties: Penalties to choose from.

    Returns:
        NaN with a reason if the training labels are of one class, features are constant, or there is no test
        sample.

    Raises:
        DataError: If shapes do not fit or a number is not finite.

    >>> x = np.random.default_rng(0).normal(size=(300, 3))
    >>> labels = (x[:, 0] > 0).astype(int)
    >>> linear_probe(x[:200], labels[:200], x[200:], labels[200:]) > 0.9
    True
    """
    x, t = checked(features, "features"), checked(test_features, "test_features")
    y, truth = classes(labels, "labels"), classes(test_labels, "test_labels")
    same_length(features=x, labels=y)
    same_length(test_features=t, test_labels=truth)
    if len(y) and len(truth) and x.shape[1] != t.shape[1]:
        raise DataError("features and test_features differ in width", expected=x.shape[1], got=t.shape[1])
    if len(np.unique(y)) < 2:
        reason = f"{len(np.unique(y))} classes in the training set; a probe needs 2 or more"
        return Undefined(reason, Reason.TOO_FEW)
    if not len(truth):
        return no_samples("test samples")
    from sklearn.linear_model import RidgeClassifierCV  # slow to import, and needed here alone

    mean, deviation = x.mean(axis=0), x.std(axis=0)
    # Dividing by a deviation that is rounding alone would blow a constant feature up to noise.
    varied = deviation > 1e-12 * np.abs(x).max(axis=0)
    if not varied.any():
        return Undefined("the features are constant", Reason.CONSTANT)
    x, t = ((side[:, varied] - mean[varied]) / deviation[varied] for side in (x, t))
    reader = RidgeClassifierCV(alphas=np.array(penalties)).fit(x, y)
    return float((reader.predict(t) == truth).mean())
