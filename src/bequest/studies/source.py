"""A source in a study: a part of every batch, of samples or of generated inputs."""

from __future__ import annotations

from pydantic import Field, model_validator

from bequest.config import Config
from bequest.data.generators import Generator
from bequest.data.queries import ActiveSpec
from bequest.data.views import Identity, View
from bequest.distill.model_queries import Written


class SourceSpec(Config):
    """A part of every batch: samples, view, share.

    Attributes:
        of: The split that the samples come from.
        share: Fraction of the batch's rows.
        fraction: The share of the split's samples that is used, of each class; see
            :func:`bequest.data.fractions.fraction`. Seeded by the cell's seed, the same for all its arms.
        views: How they are shown; see ``bequest ls views``.
        view_count: Epoch e shows view e modulo this count.
        labels: False withholds the labels.
        active: Ask about a part of the views only, chosen in rounds; needs ``view_count``.
        per_class: A few-shot subset: the number of samples per class, chosen by the cell's seed, so that all
            arms at one seed have the same ones.
        student_views: Further views that only the student is shown; teachers answer to the inputs that these
            are made from. Chosen queries are shown to the student in a new view each pass.
        generate: Inputs that are generated instead, unlabelled, of the shape and range of the samples; new
            ones each step.
        count: The number of inputs that are generated, once; they can then have views and be chosen from.
    """

    of: str = "train"
    share: float = Field(1.0, gt=0, le=1)
    fraction: float = Field(1.0, gt=0, le=1)
    views: View = Identity()
    view_count: int | None = Field(None, ge=1)
    labels: bool = True
    active: ActiveSpec | None = None
    per_class: int | None = Field(None, ge=1)
    student_views: View = Identity()
    generate: Generator | None = None
    count: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _finite(self) -> SourceSpec:
        if self.generate is None:
            if self.count is not None:
                raise ValueError("count: only inputs that are made can be counted; give generate")
            return self
        if self.count is not None and isinstance(self.generate, Written):
            raise ValueError("count: what a network writes changes with it, and is made for each step")
        shown = not isinstance(self.views, Identity) or not isinstance(self.student_views, Identity)
        if self.count is None and (shown or self.view_count or self.active):
            raise ValueError("inputs that are made for each step have no views and no choice; give count")
        return self

    @property
    def endless(self) -> bool:
        """Whether its inputs are made for each step."""
        return self.generate is not None and self.count is None
