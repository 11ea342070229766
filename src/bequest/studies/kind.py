"""A kind of evidence as a study configures it: a key of ``[measures]``, its options, its faults.

What a kind reads, measures and draws is defined where it is implemented, in :mod:`bequest.evidence`.
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
        on_study_data: True if it is read on the study's own data, whatever data a model has.
        list_field: The field that a bare list in TOML stands for, such as the arms of ``paths = [...]``.
    """

    key: ClassVar[str] = ""
    always: ClassVar[bool] = False
    on_study_data: ClassVar[bool] = False
    list_field: ClassVar[str] = ""
    registered: ClassVar[Registry[type[KindSpec]]] = Registry("kind of evidence")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.key:
            KindSpec.registered.add(cls.key, cls)

    @classmethod
    def configured(cls, options: object) -> Any:
        """The TOML value of the kind's key as a table: a bare list fills one field, ``true`` none."""
        if isinstance(options, list | tuple) and cls.list_field:
            return {cls.list_field: options}
        return {} if options is True else options

    def as_configured(self) -> Any:
        """The options as TOML has them under the kind's key; :meth:`configured` reads them again."""
        return self.model_dump(mode="json", exclude_unset=True)

    def faults(self, study: StudySpec) -> Iterator[str]:
        """What is wrong with the options in this study, one line each, beginning with the path."""
        del study
        yield from ()

    def restricted(self, arms: Collection[str]) -> KindSpec | None:
        """The options for a study that has only ``arms``; None if nothing is left to show."""
        del arms
        return self

    def snapshot_arms(self) -> Collection[str]:
        """The arms whose networks must be looked at while they train."""
        return ()

    def named_measures(self) -> Collection[str]:
        """The measures that the options name; some are measured only where a study names them."""
        return ()
