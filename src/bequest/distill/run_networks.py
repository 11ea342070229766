"""Networks that a run trained, named ``RUN:ARM[:SEED]`` and looked up in the run's records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bequest.config import read_toml
from bequest.data.datasets import load_dataset
from bequest.errors import ConfigError, ModelError, RunFolderError
from bequest.files import file_digest
from bequest.models.network_names import NetworkName
from bequest.parts import load_parts
from bequest.record_files import read_record
from bequest.records import CellRecord, RunRecord, StudyRecord
from bequest.registry import unknown

WEIGHTS = "weights.safetensors"


def network_of_run(text: str) -> NetworkName | None:
    """The network that ``RUN:ARM[:SEED]`` names; None if ``text`` is not of that form.

    Without a seed, the network of the arm's first seed.

    Raises:
        UnknownName: If the run has no such arm.
        ConfigError: If the seed is not a number, or not one of the arm's.
        ModelError: If the arm trains no network, is not trained yet, or its weights are damaged.
    """
    named = _cell_of_run(text)
    if named is None:
        return None
    folder, record = named
    student = record.config["student"]
    return NetworkName(student["family"], student["options"], str(folder / WEIGHTS))


def classes_of_run(text: str) -> tuple[str, ...] | None:
    """The classes of the network ``RUN:ARM[:SEED]``, in the order of its logits.

    None if ``text`` is not of that form. The data set that it was trained on is loaded to get them.

    Raises:
        InputError: See :func:`network_of_run`; also if the data set cannot be loaded.
    """
    named = _cell_of_run(text)
    if named is None:
        return None
    data: Mapping[str, Any] = named[1].config["data"]
    return load_dataset(data["name"], **data.get("options", {})).classes


def _cell_of_run(text: str) -> tuple[Path, RunRecord] | None:
    """The folder and the record of the trained cell that ``text`` names."""
    name, _, rest = text.partition(":")
    run = Path(name).expanduser()
    if not (run / "study.toml").is_file():
        return None
    if not (run / "study.json").is_file():
        raise ModelError(
            f"{run} holds a study and no trained networks",
            expected="a folder that bequest run wrote",
            remedy="run that study first",
        )
    _load_parts_of(run / "study.toml")
    arm, colon, number = rest.partition(":")
    cells = read_record(run / "study.json", StudyRecord).cells
    if arm not in {cell.arm for cell in cells}:
        raise unknown("arm", arm, {cell.arm for cell in cells})
    cell = _at_seed([cell for cell in cells if cell.arm == arm], number if colon else None, text)
    folder = run / "cells" / cell.id
    record = _trained(folder, cell)
    if record is None:
        raise ModelError(
            f"{arm}, seed {cell.seed}, of {run} is not trained, or its weights are damaged",
            remedy="run that study first",
        )
    if "student" not in record.config:
        raise ModelError(
            f"{arm} of {run} is not a network",
            expected="an arm of a study that trains networks",
            got="a learner of the solvable model",
        )
    return folder, record


def _load_parts_of(configuration: Path) -> None:
    """Import the user's files that a run used: its network may be defined in one of them."""
    use = read_toml(configuration).get("use", [])
    if not isinstance(use, list) or not all(isinstance(file, str) for file in use):
        raise ConfigError.of(str(configuration), ["use: expected a list of Python files"])
    load_parts(use)


def _at_seed(cells: list[CellRecord], number: str | None, text: str) -> CellRecord:
    by_seed = {cell.seed: cell for cell in sorted(cells, key=lambda cell: cell.seed)}
    if number is None:
        return next(iter(by_seed.values()))
    if not (number.isdecimal() and int(number) in by_seed):
        raise ConfigError.of(
            text, [f"there is no seed {number!r}; there are {min(by_seed)} to {max(by_seed)}"]
        )
    return by_seed[int(number)]


def _trained(folder: Path, cell: CellRecord) -> RunRecord | None:
    """The record of a cell whose training is complete; None if it is not, or a file is damaged."""
    try:
        record = read_record(folder / "record.json", RunRecord)
        if record.id != cell.id or record.status != "done":
            return None
        if "student" in record.config and file_digest(folder / WEIGHTS) != record.files.get(WEIGHTS):
            return None
    except (RunFolderError, OSError):
        return None
    return record
