"""A kind of evidence as a study configures it: a key of ``[measures]``, its options, its faults.

The readings, measurements and charts of a kind are defined in :mod:`bequest.evidence`, which stands above
this package: studies check options without importing it (decisions/2026-11-25-kinds-of-evidence.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from bequest.config import Config
from bequest.registry import Registry

if TYPE_CHECKING:
    from bequest.studies.spec import StudySpec


class KindSpec(Config):
    """The options of one kind of evidence; subclasses are registered under their ``key``.

    Attributes:
        key: The key of ``[measures]`` that holds the options.
        always: True if the kind belongs to every study of networks, whether or not its key is there.
        on_study_data: True if it is read on the study's own data even for models with other data.
        list_field: The field that a bare list in TOML sets, such as the arms of ``paths = [...]``.
    """

    key: ClassVar[str] = ""
    always: ClassVar[bool] = False
    on_study_data: ClassVar[bool] = False
    list_field: ClassVar[str] = ""
    registered: ClassVar[Registry[type[KindSpec]]] = Registry("kind of evidence")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Bases of several kinds have no key, and are no kinds themselves.
        if cls.key:
            KindSpec.registered.add(cls.key, cls)

    @classmethod
    def configured(cls, options: object) -> Any:
        """The TOML value of the kind's key as a table: a bare list sets ``list_field``, ``true`` nothing."""
        if isinstance(options, list | tuple) and cls.list_field:
            return {cls.list_field: options}
        return {} if options is True else options

    def as_configured(self) -> Any:
        """The options as TOML has them under the kind's key; :meth:`configured` reads them again."""
        return self.model_dump(mode="json", exclude_unset=True)

    def faults(self, study: StudySpec) -> Iterator[str]:
        """The faults of the options in this study, one line each, beginning with the path."""
        del study
        yield from ()

    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        """The options for a study that has only ``arms``; None if nothing is left to show."""
        del arms
        return self

    def snapshot_arms(self) -> Collection[str]:
        """The arms of which snapshots are taken while they train."""
        return ()

    def named_measures(self) -> Collection[str]:
        """The measures that the options name; some are measured only if a study names them."""
        return ()
