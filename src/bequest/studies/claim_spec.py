"""What a study may claim, and the sentence that opens its report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from bequest.config import Config

Direction = Literal["above", "below", "within"]

LABEL = re.compile(r"\{(\w+)\.label\}")
"""Placeholder in a claim's text for the label of an arm."""


class ClaimSpec(Config):
    """A sentence that the evidence will judge.

    Attributes:
        id: Its name; no two claims have the same.
        text: The sentence, as a reader sees it; ``{arm.label}``, ``{against.label}`` and ``{teacher.label}``
            stand for the labels of these arms.
        source: Where it comes from.
        measure: A name of ``bequest ls measures``, also ``inheritance/NAME``.
        arm: The arm whose value is judged.
        split: The split, or group of splits; default: the first on which the measure is measured.
        teacher: The teacher of a likeness; default: the first that it is measured with.
        against: The arm whose value is subtracted, paired by seed; default: the value itself is judged.
        against_split: The split of ``against``, if it is another.
        against_measure: The measure of ``against``, if it is another, as for a likeness against its ceiling.
        direction: ``above``: upheld if the whole interval lies above ``margin``, contradicted if all of it
            lies below; ``below``: the reverse; ``within``: upheld if the interval lies inside ±margin,
            contradicted if it lies outside. Anything else is undecided. The level of the interval is adjusted
            so that all claims of the study together err in 5 %.
        margin: The value that the interval is compared with.
        published: The number that ``source``, a paper, reports; shown next to the measured one.
        expected: The number of an own probe or pilot; shown next to the measured one.
        exploratory: Made, or given its margin, after seeing the data that judge it; not part of the family.
        exact: Its two values are equal by construction, so that an interval of zero width decides it.
    """

    id: str
    text: str
    source: str
    measure: str
    arm: str
    split: str | None = None
    teacher: str | None = None
    against: str | None = None
    against_split: str | None = None
    against_measure: str | None = None
    direction: Direction = "above"
    margin: float = 0.0
    published: float | None = None
    expected: float | None = None
    exploratory: bool = False
    exact: bool = False

    @property
    def named_arms(self) -> dict[str, str]:
        """The arms that the claim names, by key."""
        arms = {"arm": self.arm, "against": self.against, "teacher": self.teacher}
        return {key: arm for key, arm in arms.items() if arm is not None}

    def worded(self, labels: Mapping[str, str]) -> ClaimSpec:
        """The claim with the ``labels`` of arms filled into its text."""
        named = self.named_arms
        text = LABEL.sub(lambda match: labels[named[match[1]]], self.text)
        return self.model_copy(update={"text": text})


class ValueSpec(Config):
    """A measurement that the answer sentence quotes.

    Attributes:
        measure: A name of ``bequest ls measures``, also ``inheritance/NAME``.
        arm: The arm whose value is quoted.
        split: The split, or group of splits; default: the first on which the measure is measured.
        teacher: The teacher of a likeness; default: the first that it is measured with.
        style: Shown as ``percent``, or as a ``number`` with three digits.
    """

    measure: str
    arm: str
    split: str | None = None
    teacher: str | None = None
    style: Literal["percent", "number"] = "percent"


class AnswerSpec(Config):
    """The sentence that opens the report; ``{name}`` stands for a value, ``{n}`` for the seeds.

    Attributes:
        text: The sentence.
        values: The measurements that the names in it stand for.
        picture: The chart that is shown next to it.
    """

    text: str
    values: dict[str, ValueSpec] = Field(default_factory=dict)
    picture: str | None = None
