"""What the page calls measures and charts, which way is better, and what a kind of evidence shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class MeasureWords:
    """A measure's title, its unit or range, and the better direction where there is one."""

    title: str
    unit: str = ""
    better: Better | None = None

    @property
    def axis(self) -> str:
        """Title with unit, for an axis or a column."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class ChartWords:
    """A chart's heading, what it shows in one sentence, and its place among the evidence."""

    title: str
    intro: str
    place: int = 50


_ECE = MeasureWords("calibration error (ECE)", "share", "lower")
MEASURES = {
    "accuracy": MeasureWords("accuracy", "share right", "higher"),
    "error": MeasureWords("error", "share wrong", "lower"),
    "nll": MeasureWords("negative log-likelihood", "nats", "lower"),
    "brier": MeasureWords("Brier score", "", "lower"),
    "ece": _ECE,
    "expected_calibration_error": _ECE,
    "balanced_accuracy": MeasureWords("balanced accuracy", "mean over classes", "higher"),
    "a_accuracy": MeasureWords("A-accuracy", "mean over counts of attractors", "higher"),
    "d_accuracy": MeasureWords("D-accuracy", "mean over distances", "higher"),
    "perplexity": MeasureWords("perplexity", "per word", "lower"),
    "macro_f1": MeasureWords("F1", "mean over classes", "higher"),
    "ece_mass": MeasureWords("calibration error, bins of equal mass", "share", "lower"),
    "confidence_gap": MeasureWords("mean |confidence − correct|", "share", "lower"),
    "agreement": MeasureWords("agreement", "share of equal answers"),
    "agreement_on_errors": MeasureWords("agreement where the teacher is wrong", "share"),
    "error_consistency": MeasureWords("error consistency", "Cohen's κ of being right"),
    "kl": MeasureWords("divergence from the teacher", "nats", "lower"),
    "cka": MeasureWords("CKA", "unbiased, linear"),
    "rsa": MeasureWords("RSA", "rank correlation"),
    "procrustes": MeasureWords("Procrustes similarity"),
    "layer_cka": MeasureWords("CKA over layers", "mean over the student's of the best teacher layer's"),
    "corrupted_accuracy": MeasureWords("accuracy on corrupted images", "share right", "higher"),
    "attention_distance": MeasureWords("attention distance", "pixels"),
    "token_specialisation": MeasureWords("own token's agreement less the other's", "share"),
    "gain": MeasureWords("gain over the control", "share right", "higher"),
    "training_seconds": MeasureWords("time of training", "seconds", "lower"),
    "preparation_seconds": MeasureWords("time before training, stores included", "seconds", "lower"),
    "path_approach": MeasureWords("approach to the teacher in training", "share of the first distance"),
    "barrier": MeasureWords("barrier", "loss above the chord", "lower"),
    "parameters": MeasureWords("parameters"),
    "corrupted": MeasureWords("accuracy under corruption", "mean over levels", "higher"),
    "accuracy_left": MeasureWords("accuracy left under corruption", "relative to clean", "higher"),
    "epochs_to": MeasureWords("epochs to an accuracy of", "validation", "lower"),
    "accuracy_while_training": MeasureWords(
        "accuracy while training", "mean over epochs, validation", "higher"
    ),
    "source_accuracy": MeasureWords("accuracy on the source task", "under its old head", "higher"),
    "forgetting": MeasureWords("accuracy lost on the source task", "share", "lower"),
}
METHODS = {"fieller": "Fieller", "bca": "BCa bootstrap"}
"""Methods of intervals whose names are set otherwise than they are written in records."""
SIMILARITIES = ("cka", "layer_cka", "rsa", "procrustes", "path_approach")
CHARTS = {
    "agreement": ChartWords(
        "Agreement with the teachers",
        "How often a student gives its teacher's answer, and whether both are wrong on the same samples "
        "more often than two models of their accuracy would be by chance.",
        10,
    ),
    "robustness": ChartWords(
        "Robustness", "What is left of each arm as the inputs move away from training.", 20
    ),
    "attractors": ChartWords(
        "Attractors",
        "Accuracy as more nouns of the other number stand between subject and verb; training showed few. The "
        "line for the commoner number says what is to be had without reading the sentence.",
        21,
    ),
    "distance": ChartWords(
        "Distance", "Accuracy as subject and verb move apart, however many nouns stand between them.", 22
    ),
    "budget": ChartWords("Budget", "How much is handed over for each question that the student may ask.", 25),
    "efficiency": ChartWords(
        "Data efficiency", "What each way to train makes of few samples, and of many.", 26
    ),
    "reliability": ChartWords(
        "Calibration",
        "Accuracy against confidence: on the diagonal a model knows what it knows; below it, it is too sure. "
        "Grey bars count the answers in each bin.",
        30,
    ),
    "similarity": ChartWords(
        "Similarity of representations",
        "How alike student and teacher represent the same samples, between an untrained network (null) and "
        "another seed of the teacher's family (ceiling).",
        40,
    ),
    "layers": ChartWords(
        "Layer by layer",
        "How alike each layer of a student is to the layer of its teacher that is most like it.",
        42,
    ),
    "attention": ChartWords(
        "Locality",
        "How far each layer of a transformer looks: the mean distance between a patch and those that it "
        "attends to.",
        43,
    ),
    "path": ChartWords(
        "Training paths",
        "The way each arm took through function space while training, laid flat so that distances are kept "
        "as well as they can be.",
        45,
    ),
    "barrier": ChartWords(
        "Barriers", "The loss on the straight line between two solutions: a ridge means two basins.", 46
    ),
    "theory": ChartWords(
        "Theory", "Lines are the limit of infinitely many inputs, dots simulations at finite size.", 48
    ),
    "training": ChartWords("Training", "How each arm learned, epoch by epoch.", 90),
}


def measure_words(name: str) -> MeasureWords:
    """The words for a measure; a name that is not known is spelt out.

    >>> measure_words("inheritance/accuracy").title, measure_words("top_5").title
    ('inheritance of accuracy', 'top 5')
    """
    if name in MEASURES:
        return MEASURES[name]
    head, slash, tail = name.partition("/")
    if slash and head == "inheritance":
        return MeasureWords(f"inheritance of {measure_words(tail).title}", "share of the gap")
    if slash and head in MEASURES:
        return MeasureWords(f"{MEASURES[head].title}, {_spelt(tail)}", MEASURES[head].unit)
    return MeasureWords(_spelt(name))


def chart_words(name: str) -> ChartWords:
    """The words for a chart; a name that is not known is spelt out."""
    known = CHARTS.get(name) or CHARTS.get(re.split(r"[/_ -]", name)[0])
    if known is None:
        return ChartWords(capitalised(_spelt(name)), "")
    extra = _spelt(name)[len(re.split(r"[/_ -]", name)[0]) :].strip() if name not in CHARTS else ""
    return ChartWords(f"{known.title}: {extra}" if extra else known.title, known.intro, known.place)


def capitalised(text: str) -> str:
    """With a capital first letter, the rest left alone."""
    return text[:1].upper() + text[1:]


def anchor(text: str) -> str:
    """A name as an anchor of the page.

    >>> anchor("Why: CKA/null")
    'why-cka-null'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


def joined(parts: list[str]) -> str:
    """A list in a sentence.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def _spelt(name: str) -> str:
    return re.sub(r"[/_]+", " ", name).strip()
