"""From a study's TOML to its specification; what does not parse is left out, and the rest still checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bequest.config import faults_of
from bequest.studies.kind import KindSpec
from bequest.studies.spec import StudySpec, split_kinds

ROUNDS = 12
"""Attempts at leaving out what does not parse; each repairs every fault of the one before."""

MISSING = "⟨missing⟩"
"""Placeholder for a name that is missing or wrong; a fault that mentions it is not the study's."""

PLACEHOLDERS: tuple[Any, ...] = (MISSING, {}, [], 1.0)
"""Tried in this order in place of a required value that is missing or wrong."""


def parse_study(resolved: Mapping[str, Any]) -> tuple[StudySpec | None, list[str]]:
    """The specification and the faults of its form, each beginning with its path.

    If there are faults, the specification lacks the faulty parts, and missing names are :data:`MISSING`. It
    is None if too little is left.
    """
    content = copy.deepcopy(dict(resolved))
    measures = content.get("measures", {})
    kinds: dict[str, KindSpec] = {}
    faults: list[str] = []
    if isinstance(measures, Mapping):
        content["measures"], options = split_kinds(measures)
        kinds, faults = _parse_kinds(options)
    study, more = _parse_leniently(content)
    if study is not None:
        study = study.model_copy(update={"measures": study.measures.model_copy(update={"kinds": kinds})})
    return study, [*more, *faults]


def _parse_kinds(options: Mapping[str, Any]) -> tuple[dict[str, KindSpec], list[str]]:
    kinds: dict[str, KindSpec] = {}
    faults: list[str] = []
    for key, value in options.items():
        kind = KindSpec.registered[key]
        if value is False:
            continue
        try:
            kinds[key] = kind.model_validate(kind.configured(value))
        except ValidationError as error:
            faults += [_below(f"measures.{key}", fault) for fault in faults_of(error, kind)]
    return kinds, faults


def _below(path: str, fault: str) -> str:
    """A fault of the value at ``path``, or of a value inside it."""
    whole = fault.startswith("study: ")
    return f"{path}{fault.removeprefix('study')}" if whole else f"{path}.{fault}"


def _parse_leniently(content: dict[str, Any]) -> tuple[StudySpec | None, list[str]]:
    faults: list[str] = []
    for attempt in range(ROUNDS):
        try:
            return StudySpec.model_validate(content), faults
        except ValidationError as error:
            # Pydantic finds all faults at once; those of later attempts are about the placeholders.
            if attempt == 0:
                faults = faults_of(error, StudySpec)
            for item in error.errors():
                _mend(content, item["loc"], missing=item["type"] == "missing")
    return None, faults


def _mend(content: Any, path: tuple[int | str, ...], *, missing: bool) -> None:
    """Put a placeholder where a value is missing; drop a faulty value, or try the next placeholder.

    A faulty item of a list is dropped with its list.
    """
    table: dict[int | str, Any] | None = None
    key: int | str = ""
    for place, step in enumerate(path):
        if isinstance(content, dict):
            table, key = content, step
        if place == len(path) - 1:
            break
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return  # pydantic's path goes on with the name of a type, or a part of it was dropped before
    if table is None:
        return
    value = table.get(key)
    if missing:
        table[key] = PLACEHOLDERS[0]
    elif value in PLACEHOLDERS[:-1]:
        table[key] = PLACEHOLDERS[PLACEHOLDERS.index(value) + 1]
    else:
        table.pop(key, None)
