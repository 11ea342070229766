"""What the page calls measures, reasons, charts and sections.

Measures and sections are described in ``study.json``. The catalogue of :mod:`bequest.measures` stands in for
measures, and ``CHARTS`` for sections, where a folder of version 1 does not describe them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bequest.measures import Measure, Reason, is_measure, measure_named
from bequest.records import Measurement, MeasureRecord, SectionRecord, StudyRecord

METHODS = {
    "fieller": "Fieller",
    "fieller, crossed": "crossed Fieller",
    "bca": "BCa bootstrap",
}
"""Methods of intervals that are not printed as records spell them."""

REASONS: dict[str, str] = {
    Reason.ONE_SEED: "one seed cannot tell",
    Reason.TOO_FEW: "too few values",
    Reason.NO_WIDTH: "no spread over seeds",
    Reason.NO_ERRORS: "no errors to compare",
    Reason.ALWAYS_SAME: "always the same answer",
    Reason.CONSTANT: "a constant",
    Reason.UNDEFINED_SEED: "undefined for a seed",
}
"""Words for codes that do not read as words themselves."""


@dataclass(frozen=True)
class Titles:
    """Looks up how a study describes its measures and sections."""

    measures: Mapping[str, MeasureRecord] = field(default_factory=dict)
    sections: Mapping[str, SectionRecord] = field(default_factory=dict)

    @classmethod
    def of(cls, study: StudyRecord) -> Titles:
        """The titles that ``study`` brings along."""
        return cls(study.measures, study.sections)

    def measure(self, name: str) -> Measure:
        """The description of a measure: the study's, else the catalogue's, else its name spelt out.

        >>> Titles().measure("inheritance/accuracy").title, Titles().measure("top_5").title
        ('inheritance of accuracy', 'top 5')
        """
        record = self.measures.get(name)
        if record is not None:
            return Measure(
                name, record.title, record.unit, record.better, record.group, of=record.of, mark=record.mark
            )
        if is_measure(name):
            return measure_named(name)
        # A name with a slash is derived from another, and has no table of arms of its own.
        return Measure(name, spelt(name), group="derived" if "/" in name else "property")

    def is_inheritance(self, m: Measurement) -> bool:
        """Whether ``m`` is a share of the gap between control and teacher."""
        return self.measure(m.measure).mark == "inheritance"

    def is_absolute(self, m: Measurement) -> bool:
        """Whether ``m`` belongs to one arm on one split, not to a pair of networks and not to a layer."""
        described = self.measure(m.measure)
        alone = m.split is not None and m.teacher is None and m.layer is None
        # A family such as corrupted/rotate, corrupted/fog ... would fill the page with a table for each.
        return alone and described.group != "derived" and not described.mark and "/" not in m.measure

    def is_comparison(self, m: Measurement) -> bool:
        """Whether ``m`` says how alike an arm and a teacher are."""
        return m.teacher is not None and self.measure(m.measure).group in {"likeness", "representation"}


def reason_words(m: Measurement) -> str:
    """Why a value is undefined, in a few words; empty where only the sentence says it.

    >>> reasons = {"reason": "with one seed ...", "reason_code": "one_seed"}
    >>> reason_words(Measurement(measure="kl", arm="a", value=None, n=1, **reasons))
    'one seed cannot tell'
    """
    if m.reason_code is None or m.reason_code == Reason.OTHER:
        return ""
    return REASONS.get(m.reason_code) or spelt(m.reason_code)


def undefined(m: Measurement) -> str:
    """What a table prints for an undefined value.

    >>> undefined(Measurement(measure="kl", arm="a", value=None, n=2, reason="undefined in 1 of 2 seeds"))
    'undefined in 1 of 2 seeds'
    """
    reason = m.reason or ""
    return reason if reason.startswith("undefined") else f"undefined: {reason}"


def _section(title: str, intro: str, place: int = 50) -> SectionRecord:
    return SectionRecord(title=title, intro=intro, place=place)


CHARTS = {
    "agreement": _section(
        "Agreement with the teachers",
        "How often a student gives its teacher's answer, and whether both are wrong on the same samples "
        "more often than two models of their accuracy would be by chance.",
        10,
    ),
    "robustness": _section(
        "Robustness", "How well each arm holds up as the inputs move away from the training data.", 20
    ),
    "attractors": _section(
        "Attractors",
        "Accuracy as more nouns of the other number stand between subject and verb; the training data have "
        "few. The line for the more frequent number is the accuracy without reading the sentence.",
        21,
    ),
    "distance": _section(
        "Distance", "Accuracy as subject and verb move apart, however many nouns stand between them.", 22
    ),
    "budget": _section("Budget", "How much is handed over for each query that the student may ask.", 25),
    "efficiency": _section(
        "Data efficiency", "How each way of training does with few samples and with many.", 26
    ),
    "reliability": _section(
        "Calibration",
        "Accuracy against confidence: on the diagonal a model is calibrated, below it overconfident. "
        "Grey bars count the answers in each bin.",
        30,
    ),
    "similarity": _section(
        "Similarity of representations",
        "How alike student and teacher represent the same samples, between an untrained network (null) and "
        "another seed of the teacher's family (ceiling).",
        40,
    ),
    "layers": _section(
        "Layer by layer",
        "How similar each layer of a student is to the most similar layer of its teacher.",
        42,
    ),
    "attention": _section(
        "Locality",
        "How far each layer of a transformer attends: the mean distance between a patch and the patches "
        "that it attends to.",
        43,
    ),
    "path": _section(
        "Training paths",
        "The path of each arm through function space during training, drawn in two dimensions so that "
        "distances are preserved as well as possible.",
        45,
    ),
    "barrier": _section(
        "Barriers", "The loss on the straight line between two solutions: a ridge means two basins.", 46
    ),
    "theory": _section(
        "Theory", "Lines are the limit of infinitely many inputs, dots simulations at finite size.", 48
    ),
    "training": _section("Training", "How each arm learned, epoch by epoch.", 90),
}


def chart_section(name: str) -> SectionRecord:
    """The section of a chart that no section of the study claims; an unlisted name is spelt out.

    >>> chart_section("barrier_after_matching").title, chart_section("my_own").title
    ('Barriers: after matching', 'My own')
    """
    if name in CHARTS:
        return CHARTS[name]
    head = re.split(r"[/_ -]", name)[0]
    if head not in CHARTS:
        return SectionRecord(title=capitalised(spelt(name)))
    family = CHARTS[head]
    return family.model_copy(update={"title": f"{family.title}: {spelt(name)[len(head) :].strip()}"})


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


def spelt(name: str) -> str:
    """A name with spaces for its separators.

    >>> spelt("top_5/mean")
    'top 5 mean'
    """
    return re.sub(r"[/_]+", " ", name).strip()
