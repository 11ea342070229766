"""A cell is one arm at one seed, which is one training; its identity and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bequest.config import Config, content_hash
from bequest.data.text.tokenizer import FILE as TOKENIZER
from bequest.distill.combine import Combination
from bequest.distill.objectives import Objective
from bequest.distill.recipe import Recipe
from bequest.distill.stores.codecs import Codec
from bequest.errors import RunFolderError
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.seeding import derive
from bequest.studies.source import SourceSpec
from bequest.studies.spec import DataSpec, Initial, Mode, StartSpec

CELL_FORMAT = 2
"""Part of every cell's id: raise it when a change of the code changes what a configuration trains."""


class NetworkSpec(Config):
    """The architecture of a cell's network.

    Attributes:
        family: A name of ``bequest ls models``.
        options: Options of its factory.
    """

    family: str
    options: dict[str, Any] = Field(default_factory=dict)


class CellConfig(Config):
    """Everything that decides how a network is trained, and nothing else.

    Attributes:
        student: The network.
        data: The dataset that it is trained on.
        recipe: How it is trained.
        objective: What each step minimises.
        sources: The inputs that the student trains on, or asks its teachers about.
        mode: How teachers answer; see :class:`bequest.studies.spec.ArmSpec`.
        combine: How several teachers' answers become one.
        codec: How stored answers are encoded; None unless ``mode`` is ``stored``.
        task: ``source`` for a network that others start from.
        start: Pretrained weights that it starts from.
        start_digest: The digest of those weights, or the id of the cell that trains them.
        restart: Another number gives other initial weights.
        initial: Which weights of its first teacher the network starts with.
        parts: Digests of the user's parts that it uses, by ``kind name``.
    """

    student: NetworkSpec
    data: DataSpec
    recipe: Recipe
    objective: Objective
    sources: tuple[SourceSpec, ...]
    mode: Mode = "eval"
    combine: Combination | None = None
    codec: Codec | None = None
    task: Literal["target", "source"] = "target"
    start: StartSpec | None = None
    start_digest: str | None = None
    restart: int = 0
    initial: Initial | None = None
    parts: dict[str, str] = Field(default_factory=dict)


class SimulationConfig(Config):
    """The configuration of a cell of the solvable model.

    Attributes:
        points: The parameters at which it is drawn; see :class:`bequest.studies.solvable.ModelPoint`.
        inputs: N, the number of inputs.
        samples: Fresh samples on which each observable is measured.
    """

    points: tuple[dict[str, Any], ...]
    inputs: int
    samples: int


@dataclass(frozen=True)
class Cell:
    """One arm at one seed.

    Attributes:
        id: Content hash of everything that decides the trained network.
        arm: The arm's name in the study.
        seed: The seed.
        config: How it is trained, or what is simulated.
        teachers: Arm names of its teachers to their cells' ids.
        plain: The cell of the same student trained alone; it runs first, but decides nothing.
        start: The cell of the source task whose network this one starts from.
        like: The cell of the first teacher, if the network starts with some of its weights.
    """

    id: str
    arm: str
    seed: int
    config: CellConfig | SimulationConfig
    teachers: Mapping[str, str] = field(default_factory=dict)
    plain: str | None = None
    start: str | None = None
    like: Cell | None = None

    @property
    def training(self) -> CellConfig:
        """How it is trained; only for cells that train a network."""
        assert isinstance(self.config, CellConfig)
        return self.config

    @property
    def requires(self) -> set[str]:
        """The cells without which it cannot run: its teachers', and that of the network it starts from."""
        return {*self.teachers.values(), *([self.start] if self.start else [])}

    @property
    def initial_seed(self) -> int:
        """Seed of the initial weights: one for plain arms, one for taught arms, another for each restart.

        A self-taught control that started where its teacher started would share its basin for that reason
        alone (decisions/2026-11-21-initial-weights-of-taught-students.md).
        """
        restart = self.training.restart
        role = "taught" if self.teachers else "alone"
        return derive(self.seed, "student", role, *([restart] if restart else []))


def cell_id(config: Config, teachers: Mapping[str, str], seed: int) -> str:
    """The id of a cell: equal exactly if the trained network is the same."""
    # Teachers by id, not by arm: an arm that is renamed keeps its students' cells.
    decides = {"format": CELL_FORMAT, **config.plain(), "teachers": list(teachers.values()), "seed": seed}
    return content_hash(decides)


@dataclass(frozen=True)
class CellFolder:
    """The files of one cell."""

    path: Path

    @property
    def record(self) -> Path:
        """The record of the training; it names every other file with its digest, and is written last."""
        return self.path / "record.json"

    @property
    def weights(self) -> Path:
        """The selected epoch's weights."""
        return self.path / "weights.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON line for each evaluation on the validation split."""
        return self.path / "metrics.jsonl"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of the data, if the data are texts."""
        return self.path / TOKENIZER

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of an unfinished training."""
        return self.path / "checkpoint.pt"

    @property
    def simulation(self) -> Path:
        """The observables of the solvable model at each point, by the point's key, as JSON."""
        return self.path / "simulation.json"

    def readable_record(self) -> RunRecord | None:
        """The cell's record; None if it is absent or damaged."""
        try:
            return read_record(self.record, RunRecord) if self.record.is_file() else None
        except RunFolderError:
            return None

    def reading(self, reading_id: str) -> Path:
        """The answer to a reading, as arrays."""
        return self.path / "readings" / f"{reading_id}.npz"

    def snapshot(self, epoch: int) -> Path:
        """Penultimate activations after ``epoch`` on the first samples of the test split."""
        return self.path / "snapshots" / f"{epoch:05d}.npz"

    def relative(self, file: Path) -> str:
        """The name of a file of the cell in its record."""
        return file.relative_to(self.path).as_posix()


def cell_folder(root: Path, cell_id: str) -> CellFolder:
    """The folder of the cell with this id in the run folder ``root``."""
    return CellFolder(root / "cells" / cell_id)
