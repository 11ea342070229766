"""The kinds of evidence, in the order in which their measurements are listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bequest.errors import BequestError, RunError
from bequest.evidence.asked import Distance, Maps
from bequest.evidence.attention import Attention
from bequest.evidence.barriers import Barriers
from bequest.evidence.corruption import Corruptions
from bequest.evidence.efficiency import Budget, Efficiency
from bequest.evidence.inheritance import Inheritance
from bequest.evidence.kind import Kind
from bequest.evidence.layers import Layers
from bequest.evidence.likeness import Likenesses, Representations, Tokens
from bequest.evidence.paths import Paths
from bequest.evidence.properties import Against, Properties
from bequest.evidence.reading import Reading
from bequest.evidence.readings import Readings
from bequest.evidence.samples.changes import Changes
from bequest.evidence.samples.classes import Classes
from bequest.evidence.strata import Strata
from bequest.evidence.theory import Theory
from bequest.evidence.training import Forgetting, Seconds, Training
from bequest.records import Curve, Measurement, SectionRecord
from bequest.registry import Registry
from bequest.studies.kind import KindSpec
from bequest.studies.plan import Plan
from bequest.studies.spec import StudySpec

KINDS: tuple[type[Kind], ...] = (
    Theory,
    Properties,
    Against,
    Likenesses,
    Representations,
    Inheritance,
    Distance,
    Maps,
    Budget,
    Training,
    Forgetting,
    Corruptions,
    Strata,
    Classes,
    Changes,
    Efficiency,
    Tokens,
    Layers,
    Attention,
    Seconds,
    Paths,
    Barriers,
)
"""Built-in kinds; those of users follow in the order in which they were registered."""


def registered_kinds() -> list[type[Kind]]:
    """Every kind of evidence that a study may name."""
    registry: Registry[type[KindSpec]] = KindSpec.registered
    others = [registry[key] for key in registry.in_order() if registry[key] not in KINDS]
    return [*KINDS, *(kind for kind in others if issubclass(kind, Kind))]


def kinds_of(study: StudySpec) -> list[Kind]:
    """The kinds of evidence of a study with their options: those that it names, and those of every study."""
    kinds = [kind for kind in registered_kinds() if kind.of_theory == (study.theory is not None)]
    # A kind of every study has a default for each option, so that it can be made without any.
    return [study.kind(kind) or kind() for kind in kinds if kind.always or study.kind(kind) is not None]


def readings_of(plan: Plan) -> dict[str, dict[str, Reading]]:
    """The readings that each cell needs, by the ids of cell and reading.

    Two kinds that ask the same of a cell share a reading, since equal questions have equal ids.
    """
    by_cell: dict[str, dict[str, Reading]] = {}
    for kind in kinds_of(plan.study):
        for cell, reading in kind.readings(plan):
            by_cell.setdefault(cell.id, {})[reading.id_for(cell.id)] = reading
    return by_cell


def snapshot_cells(plan: Plan) -> set[str]:
    """The ids of the cells of which snapshots are taken while they train."""
    arms = {arm for kind in kinds_of(plan.study) for arm in kind.snapshot_arms()}
    return {cell.id for cell in plan.cells if cell.arm in arms}


def measure_study(readings: Readings) -> list[Measurement]:
    """Every measurement of a study.

    Raises:
        RunError: If a kind of evidence or a measure fails; names the kind.
    """
    measurements: list[Measurement] = []
    for kind in kinds_of(readings.study):
        with _named(kind):
            measurements += kind.measurements(readings)
    return measurements


def study_curves(readings: Readings, measurements: Sequence[Measurement]) -> list[Curve]:
    """Every curve of a study.

    Raises:
        RunError: If a kind of evidence fails; names it.
    """
    curves: list[Curve] = []
    for kind in kinds_of(readings.study):
        with _named(kind):
            curves += kind.curves(readings, measurements)
    return curves


@contextmanager
def _named(kind: Kind) -> Iterator[None]:
    """Name the kind of evidence in whatever a user's measure raises; our own errors pass unchanged."""
    try:
        yield
    except BequestError:  # it names its cause itself
        raise
    except Exception as error:
        raise RunError(
            f"the evidence {kind.key!r} could not be computed",
            got=f"{type(error).__name__}: {error}",
            remedy="fix the part that raises it, then run the same command again; nothing is trained again",
        ) from error


def sections_of(study: StudySpec) -> dict[str, SectionRecord]:
    """The page's section of each kind of evidence of a study, by its key."""
    by_key = {kind.key: kind.section_in(study) for kind in kinds_of(study)}
    return {key: section for key, section in by_key.items() if section is not None}
