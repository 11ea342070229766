"""From a study's name or file to its checked plan, with every kind of evidence known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bequest.data.datasets import located
from bequest.data.folders import existing
from bequest.errors import ConfigError

# Importing the kinds registers them, before a study that names one is parsed.
from bequest.evidence import kinds as kinds
from bequest.parts import load_parts
from bequest.runs.networks import with_named_networks
from bequest.runs.survey import Job
from bequest.studies.plan import Plan, make_plan
from bequest.studies.resolving import read_study, resolve

Study = str | Path | Mapping[str, Any]


def planned(
    study: Study,
    *,
    scale: str = "small",
    seeds: int | None = None,
    seeds_from: int | None = None,
    arms: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    use: Sequence[str | Path] = (),
) -> Plan:
    """The checked plan of a study at a scale; see :func:`bequest.runs.run.run`.

    Raises:
        InputError: If there is no such study, or anything in it is wrong; lists every fault.
    """
    raw = with_parts(read_study(study), study, use)
    resolved = resolve(raw, scale=scale, seeds=seeds, seeds_from=seeds_from, arms=arms, settings=settings)
    return make_plan(with_named_networks(resolved), scale=scale, where=_name(study))


def with_parts(raw: Mapping[str, Any], study: Study, use: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Import the parts that a study and ``use`` name, before the rest of the study is checked.

    ``use`` may be one file.

    Returns:
        The study with the paths of its files written out, so that every process finds them.

    Raises:
        ConfigError: If a file is absent, or fails to import.
    """
    use = [use] if isinstance(use, str | Path) else use
    named = raw.get("use", [])
    if not isinstance(named, list) or not all(isinstance(file, str) for file in named):
        raise ConfigError.of(_name(study), ["use: expected a list of Python files"])
    # pathlib answers a null character with a bare ValueError, which would be a traceback.
    impossible = [file for file in [*named, *map(str, use)] if "\0" in file]
    if impossible:
        faults = [f"use: {file!r} is not the name of a file" for file in impossible]
        raise ConfigError.of(_name(study), faults)
    folder = Path(study).parent if isinstance(study, str | Path) and Path(study).is_file() else Path()
    files = [str((folder / file).resolve()) for file in named] + [str(Path(file).resolve()) for file in use]
    load_parts(files)
    return {**raw, "use": files} if files else dict(raw)


FILES = ("csv", "folder", "idx", "npy", "npz", "parquet", "token")
"""Families of datasets that are read from a path on this machine."""


def check_files(plan: Plan, jobs: Sequence[Job]) -> None:
    """Refuse jobs whose data file is absent, with one error instead of one failure per cell.

    Raises:
        DataError: Names the file.
    """
    if plan.study.theory is not None:
        return
    for name in sorted({job.cell.training.data.name for job in jobs}):
        family, place = located(name)
        if family in FILES and "path" in place:
            existing(place["path"])


def _name(study: Study) -> str:
    return str(study.get("name", "the study")) if isinstance(study, Mapping) else str(study)
