"""The test images whose answers change most from one arm to another, as pictures."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from io import BytesIO
from typing import ClassVar

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from bequest.evidence.kind import Kind, not_shown
from bequest.evidence.readings import Array, Readings
from bequest.records import Curve, Measurement, Point, SectionRecord
from bequest.studies.datasets import PROBE_SPLIT, tested_on
from bequest.studies.kind import KindSpec
from bequest.studies.spec import StudySpec

GAINED, LOST = "gained answers", "lost answers"
LONGEST_SIDE = 96
"""The most pixels of a picture's longer side: a page has room for dozens of them."""


class Changes(Kind):
    """The test images on which more, or fewer, seeds of one arm are right than of another.

    Attributes:
        pairs: Pairs of arms: the one before, and the one after.
        count: How many images are shown of those that gain most, and of those that lose most.
        names: Titles of classes on the page, by their names in the data.
    """

    key = "changes"
    on_study_data = True
    list_field = "pairs"
    section: ClassVar[SectionRecord | None] = SectionRecord(
        title="Which images change",
        intro="The test images whose answers change most between two arms: in how many seeds each is right, "
        "and its most frequent wrong answer.",
        place=29,
        charts=(GAINED, LOST),
    )

    pairs: tuple[tuple[str, str], ...]
    count: int = Field(8, ge=1, le=40)
    names: dict[str, str] = Field(default_factory=dict)

    @override
    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        left = tuple(pair for pair in self.pairs if set(pair) <= set(arms))
        return self.model_copy(update={"pairs": left}) if left else None

    @override
    def faults(self, study: StudySpec) -> Iterator[str]:
        arms = dict.fromkeys(arm for pair in self.pairs for arm in pair)
        yield from not_shown(f"measures.{self.key}", arms, study)
        if PROBE_SPLIT not in study.splits:
            yield f"measures.{self.key}: the study has no split {PROBE_SPLIT!r}"

    @override
    def curves(self, readings: Readings, measurements: Sequence[Measurement]) -> Iterator[Curve]:
        """Two per pair; none if the samples are no images or no seed has both arms."""
        images = tested_on(readings.study.data, readings.study.splits[PROBE_SPLIT]).x
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            return
        for before, after in self.pairs:
            seeds = readings.seeds(before, after)
            if not seeds:
                continue
            compared = _Compared(readings, before, after, seeds, self.names)
            change = compared.right[after] - compared.right[before]
            # Stable: images that change equally are shown in the order of the test set.
            order = np.argsort(-change, kind="stable")
            for chart, rows in ((GAINED, order[: self.count]), (LOST, order[::-1][: self.count])):
                changed = [row for row in rows.tolist() if change[row] * (1 if chart == GAINED else -1) > 0]
                points = [compared.point(row, images[row].numpy()) for row in changed]
                yield Curve(
                    chart=chart,
                    arm=after,
                    split=PROBE_SPLIT,
                    kind="images",
                    x_title=f"seeds of {before} that are right",
                    y_title=f"seeds of {after} that are right",
                    points=tuple(points),
                )


class _Compared:
    """The answers of two arms at the seeds that both have.

    Attributes:
        right: How many seeds of each arm are right on each sample, (N,).
    """

    def __init__(
        self, readings: Readings, before: str, after: str, seeds: Sequence[int], names: dict[str, str]
    ) -> None:
        predictions = {
            arm: [readings.predictions(arm, s, PROBE_SPLIT) for s in seeds] for arm in (before, after)
        }
        self.right: dict[str, Array] = {
            arm: np.sum([p.correct for p in of_arm], axis=0) for arm, of_arm in predictions.items()
        }
        self._answers = {arm: np.stack([p.classes for p in of_arm]) for arm, of_arm in predictions.items()}
        self._labels = predictions[before][0].labels
        self._titles = [names.get(name, name) for name in readings.data.classes]
        self._arms = (before, after)
        self._seeds = len(seeds)

    def point(self, row: int, image: Array) -> Point:
        """The sample in this row as a point of a curve of images."""
        before, after = self._arms
        parts = [
            self._titles[int(self._labels[row])],
            *(f"{arm}: {self._told(arm, row)}" for arm in self._arms),
        ]
        return Point(
            x=float(self.right[before][row]),
            y=float(self.right[after][row]),
            n=self._seeds,
            label="; ".join(parts),
            image=picture(image),
        )

    def _told(self, arm: str, row: int) -> str:
        """How often an arm is right on a sample, and its commonest wrong answer."""
        wrong = [int(k) for k in self._answers[arm][:, row] if k != self._labels[row]]
        right = f"{self._seeds - len(wrong)} of {self._seeds} right"
        return f"{right}, else {self._titles[Counter(wrong).most_common(1)[0][0]]}" if wrong else right


def picture(image: Array) -> str:
    """An image as a data URL of a PNG.

    Args:
        image: (C, H, W) in [0, 1], C of 1 or 3.
    """
    pixels = np.rint(np.clip(np.moveaxis(image, 0, -1), 0, 1) * 255).astype(np.uint8)
    drawn = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    drawn.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    content = BytesIO()
    drawn.save(content, format="PNG")
    return f"data:image/png;base64,{b64encode(content.getvalue()).decode()}"
