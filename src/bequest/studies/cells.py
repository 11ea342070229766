"""Running one cell: its folder is complete when its record says so, and absent work is done anew."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bequest.data.batches import Source
from bequest.data.corruptions import CORRUPTIONS
from bequest.data.datasets import Dataset, Split, load_dataset
from bequest.data.fractions import fraction
from bequest.data.transforms import parse_transform
from bequest.data.views import parse_views
from bequest.distill.checkpoint import checkpointing
from bequest.distill.combine import parse_combination
from bequest.distill.engine import Callback
from bequest.distill.lesson import Lesson, record_of
from bequest.distill.objectives import parse_objective
from bequest.distill.online import OnlineTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.score import predict, tokens_of
from bequest.distill.teachers import Teacher
from bequest.errors import BequestError, RunFolderError
from bequest.files import write_bytes, write_json, write_text
from bequest.measure import checkpoint_epochs, severity_curve
from bequest.models.catalogue import build_model
from bequest.models.taps import PENULTIMATE, activations
from bequest.models.weights import load_weights, save_weights
from bequest.records import Provenance, RunRecord, read_record, write_record
from bequest.seeding import derive
from bequest.studies.plan import Cell, Plan
from bequest.studies.solvable import Setting
from bequest.studies.spec import DataSpec, SourceSpec, SplitSpec
from bequest.studies.storing import from_store
from bequest.theory import simulate_chain

PROBE_SPLIT = "test"
PATH_SAMPLES = 100
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class CellFolder:
    """The files of one cell."""

    path: Path

    @property
    def record(self) -> Path:
        """What was asked and what came of it; written last."""
        return self.path / "record.json"

    @property
    def weights(self) -> Path:
        """The selected epoch's weights."""
        return self.path / "weights.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON line a look at the validation split."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished run stopped."""
        return self.path / "checkpoint.pt"

    @property
    def activations(self) -> Path:
        """Penultimate activations on the test split, trained and untrained."""
        return self.path / "activations.npz"

    @property
    def simulation(self) -> Path:
        """What the solvable model does at each setting, by the setting's key, as JSON."""
        return self.path / "simulation.json"

    def outputs(self, split: str) -> Path:
        """ids, labels and logits on ``split``."""
        return self.path / "outputs" / f"{split}.npz"

    @property
    def tokens(self) -> Path:
        """One logit vector a token on the test split, of students that have several."""
        return self.path / "tokens.npz"

    @property
    def robustness(self) -> Path:
        """Accuracy at every level of every corruption, as JSON."""
        return self.path / "robustness.json"

    def snapshot(self, epoch: int) -> Path:
        """Penultimate activations after ``epoch`` on the first samples of the test split."""
        return self.path / "snapshots" / f"{epoch:05d}.npz"

    def done(self) -> bool:
        """True if the cell is complete."""
        if not self.record.exists():
            return False
        return read_record(self.record, RunRecord).status == "done"


def cell_folder(root: Path, cell: str) -> CellFolder:
    """The folder of the cell with this id."""
    return CellFolder(root / "cells" / cell)


def run_cell(plan: Plan, cell: Cell, root: Path) -> RunRecord:
    """Train, predict, record. A failure becomes a record too; only an interrupt passes through."""
    folder = cell_folder(root, cell.id)
    started = time.perf_counter()
    try:
        record = (simulated if plan.study.theory else _run)(plan, cell, root, folder, started)
    except BequestError as error:
        record = _failed(cell, str(error), started)
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        record = _failed(cell, f"{type(error).__name__}: {error}", started)
    write_record(folder.record, record)
    return record


def simulated(plan: Plan, cell: Cell, root: Path, folder: CellFolder, started: float) -> RunRecord:  # noqa: ARG001
    """Draw the solvable model at each setting of the cell, and measure the arm."""
    found = {}
    for plain in cell.config["settings"]:
        setting = Setting.of(plain)
        run = simulate_chain(
            *setting.built(),
            inputs=cell.config["inputs"],
            seeds=[cell.seed],
            samples=cell.config["samples"],
            workers=1,
        )
        values = {name: float(one[0]) for name, one in run.measured[-1].items()}
        found[setting.key] = {name: value if np.isfinite(value) else None for name, value in values.items()}
    write_json(folder.simulation, found)
    return RunRecord(
        id=cell.id,
        arm=cell.arm,
        seed=cell.seed,
        status="done",
        config=cell.config,
        provenance=Provenance.here(),
        durations={"total": time.perf_counter() - started},
    )


def train_cell(plan: Plan, cell: Cell, root: Path) -> None:
    """The training of a cell that another rank leads: nothing is written here."""
    if plan.study.theory:
        return  # the first rank draws the solvable model alone
    _lesson(plan, cell, root, study_data(plan.study.data, plan.study.splits)).run()


def study_data(data: DataSpec, splits: Mapping[str, SplitSpec]) -> Dataset:
    """The study's dataset with its shifted splits; loaded once a process."""
    key = json.dumps([data.plain(), {name: split.plain() for name, split in splits.items()}], sort_keys=True)
    return _study_data(key)


@lru_cache(maxsize=2)
def _study_data(key: str) -> Dataset:
    spec, splits = json.loads(key)
    data = load_dataset(spec["name"], **spec.get("options", {}))
    return data.with_splits(
        {name: shifted(data, SplitSpec.model_validate(split)) for name, split in splits.items()}
    )


def shifted(data: Dataset, spec: SplitSpec) -> Split:
    """The samples of ``spec.of`` under each variant in turn; copy k of sample i has id i·K + k."""
    base = data[spec.of]
    if not spec.variants:
        return base
    count = len(spec.variants)
    x = torch.cat([parse_transform(variant)(base.x) for variant in spec.variants])
    ids = torch.cat([base.ids * count + k for k in range(count)])
    return Split(x, None if base.y is None else base.y.repeat(count), ids)


def save_arrays(path: Path, **arrays: np.ndarray | Tensor) -> None:
    """Write named arrays whole, as an uncompressed .npz."""
    buffer = io.BytesIO()
    plain = {k: v.cpu().numpy() if isinstance(v, Tensor) else v for k, v in arrays.items()}
    np.savez(buffer, **plain)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a .npz.

    Raises:
        RunFolderError: If it is absent or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise RunFolderError(
            f"{path} cannot be read", got=error, remedy="delete its cell, then run the same command again"
        ) from error


def _run(plan: Plan, cell: Cell, root: Path, folder: CellFolder, started: float) -> RunRecord:
    data = study_data(plan.study.data, plan.study.splits)
    lesson = _lesson(plan, cell, root, data)
    prepared = time.perf_counter()
    untrained = _answers(lesson.student, plan, data)
    trained = lesson.run(
        callbacks=[_snapshots(lesson, folder, data)] if cell.arm in plan.study.measures.paths else (),
        checkpoint=checkpointing(folder.checkpoint, seconds=CHECKPOINT_SECONDS),
    )
    evaluating = time.perf_counter()
    _write_outputs(plan, lesson, folder, data, untrained)
    _write_robustness(plan, lesson.student, folder, data)
    write_text(folder.metrics, "".join(json.dumps(row) + "\n" for row in trained.outcome.history))
    save_weights(folder.weights, lesson.student)
    folder.checkpoint.unlink(missing_ok=True)
    ended = time.perf_counter()
    durations = {
        "preparation": prepared - started,
        "training": trained.outcome.seconds,
        "evaluation": ended - evaluating,
        "total": ended - started,
    }
    record = record_of(
        lesson, trained, arm=cell.arm, config=cell.config, id=cell.id, needs=cell.needs, durations=durations
    )
    teachers = [teacher.model_copy(update={"cell": cell.needs[teacher.arm]}) for teacher in record.teachers]
    return record.model_copy(update={"teachers": tuple(teachers)})


def _lesson(plan: Plan, cell: Cell, root: Path, data: Dataset) -> Lesson:
    config = cell.config
    objective = parse_objective(config["objective"] or _default_objective(bool(cell.needs)))
    labelled = objective.needs_labels or config["mode"] == "online"
    lesson = Lesson(
        build_network(config["student"], data, seed=start_of(cell)),
        data,
        _sources(config["sources"], data, seed=cell.seed, labelled=labelled),
        objective,
        Recipe.parse(config["recipe"], "recipe"),
        cell.seed,
        teachers=tuple(_teacher(plan, arm, cell, root, data) for arm in cell.needs),
        combine=parse_combination(config["combine"]) if config["combine"] else None,
        plain_accuracy=_plain_accuracy(cell, root),
    )
    return from_store(lesson, root, config["codec"]) if config["mode"] == "stored" else lesson


def start_of(cell: Cell) -> int:
    """The seed of the initial weights: of arms alone, of taught arms, and of each restart another."""
    restart = cell.config.get("restart", 0)
    return derive(cell.seed, "student", "taught" if cell.needs else "alone", *([restart] if restart else []))


def build_network(spec: dict[str, Any], data: Dataset, *, seed: int) -> nn.Module:
    """The network that a cell's configuration describes, freshly initialised."""
    options = spec.get("options", {})
    return build_model(spec["family"], data.input_shape, len(data.classes), seed=seed, **options)


def _plain_accuracy(cell: Cell, root: Path) -> float | None:
    """Validation accuracy of the student that was trained alone, where the study has one."""
    if cell.plain is None:
        return None
    folder = cell_folder(root, cell.plain)
    return read_record(folder.record, RunRecord).selected.get("accuracy") if folder.done() else None


def _default_objective(taught: bool) -> dict[str, Any]:
    return {"name": "kd", "temperature": 4.0} if taught else {"name": "cross_entropy"}


def _sources(specs: list[dict[str, Any]], data: Dataset, *, seed: int, labelled: bool) -> tuple[Source, ...]:
    """The sources of a cell; labels that the objective does not use are withheld."""
    found = []
    for index, plain in enumerate(specs or [{}]):
        spec = SourceSpec.model_validate(plain)
        part = fraction(data[spec.of], spec.fraction, seed=seed)
        split = part if labelled and spec.labels else part.unlabelled()
        view, name = parse_views(list(spec.views)), f"{spec.of}/{index}"
        found.append(Source(name, split, view, spec.share, spec.view_count, active=spec.active))
    return tuple(found)


def _teacher(plan: Plan, arm: str, taught: Cell, root: Path, data: Dataset) -> Teacher:
    cell, mode = plan.cell(arm, taught.seed), taught.config["mode"]
    if mode == "online":
        model = build_network(cell.config["student"], data, seed=start_of(cell))
        return OnlineTeacher(model, name=arm, recipe=Recipe.parse(cell.config["recipe"], "recipe"))
    model = build_network(cell.config["student"], data, seed=0)
    load_weights(cell_folder(root, cell.id).weights, model)
    return Teacher(model, name=arm, mode="eval" if mode == "stored" else mode)


def _answers(network: nn.Module, plan: Plan, data: Dataset) -> dict[str, Tensor]:
    """Logits on every split, and penultimate activations on the test split."""
    found = {name: predict(network, data[name].x) for name in plan.study.splits}
    return {**found, PENULTIMATE: activations(network, data[PROBE_SPLIT].x)[PENULTIMATE]}


def _write_outputs(
    plan: Plan, lesson: Lesson, folder: CellFolder, data: Dataset, untrained: dict[str, Tensor]
) -> None:
    """Everything that the measures read, as the student answers after and before its training."""
    trained = _answers(lesson.student, plan, data)
    for name in plan.study.splits:
        split = data[name]
        labels = {} if split.y is None else {"labels": split.y}
        logits = {"logits": trained[name], "untrained_logits": untrained[name]}
        save_arrays(folder.outputs(name), ids=split.ids, **logits, **labels)
    tokens = tokens_of(lesson.student, data[PROBE_SPLIT].x)
    if tokens is not None:
        save_arrays(folder.tokens, ids=data[PROBE_SPLIT].ids, tokens=tokens)
    activated = {"penultimate": trained[PENULTIMATE], "untrained": untrained[PENULTIMATE]}
    save_arrays(folder.activations, ids=data[PROBE_SPLIT].ids, **activated)


def _snapshots(lesson: Lesson, folder: CellFolder, data: Dataset) -> Callback:
    """Keeps activations after epochs 0, 1, 2, 4 ... and the last; a resumed run finds the earlier ones."""
    samples = len(data["train"])
    last = -(-lesson.recipe.total_steps(samples) // lesson.recipe.steps_per_epoch(samples))
    due = set(checkpoint_epochs(last))
    probe = data[PROBE_SPLIT].x[:PATH_SAMPLES]

    def keep(epoch: int, student: nn.Module) -> None:
        if epoch in due:
            save_arrays(folder.snapshot(epoch), **activations(student, probe))

    return keep


def _write_robustness(plan: Plan, student: nn.Module, folder: CellFolder, data: Dataset) -> None:
    """Accuracy on the test split at each level of each corruption, the clean one first."""
    probe = data[PROBE_SPLIT]
    if not plan.study.measures.corruptions or probe.y is None:
        return
    curves = [
        severity_curve(lambda x: predict(student, x), probe.x, probe.ids, probe.y, CORRUPTIONS[name])
        for name in plan.study.measures.corruptions
    ]
    write_json(folder.robustness, {c.name: c.values.tolist() for c in curves})


def _failed(cell: Cell, error: str, started: float) -> RunRecord:
    return RunRecord(
        id=cell.id,
        arm=cell.arm,
        seed=cell.seed,
        status="failed",
        config=cell.config,
        needs=cell.needs,
        error=error,
        durations={"total": time.perf_counter() - started},
    )
