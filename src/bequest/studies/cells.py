"""Running one cell: its folder is complete when its record says so, and absent work is done anew."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bequest.data.batches import Source
from bequest.data.corruptions import CORRUPTIONS, corrupt
from bequest.data.datasets import Dataset, Split, load_dataset
from bequest.data.transforms import parse_transform
from bequest.data.views import parse_views
from bequest.distill.checkpoint import checkpointing
from bequest.distill.combine import parse_combination
from bequest.distill.engine import Callback
from bequest.distill.lesson import Lesson, record_of
from bequest.distill.objectives import parse_objective
from bequest.distill.online import OnlineTeacher
from bequest.distill.recipe import Recipe
from bequest.distill.score import predict, score, tokens_of
from bequest.distill.teachers import AnyTeacher, Teacher
from bequest.errors import BequestError, RunFolderError
from bequest.files import write_bytes, write_json, write_text
from bequest.measure import checkpoint_epochs, severity_curve
from bequest.models.catalogue import build_for
from bequest.models.taps import PENULTIMATE
from bequest.models.weights import load_weights, save_weights
from bequest.records import RunRecord, read_record, write_record
from bequest.seeding import derive, numpy_generator
from bequest.studies.parts import part_of
from bequest.studies.plan import Cell, Plan
from bequest.studies.reading import Reading
from bequest.studies.simulating import simulated
from bequest.studies.spec import DataSpec, SourceSpec, SplitSpec, StartSpec, compared_splits
from bequest.studies.starts import begin, source_scores
from bequest.studies.storing import from_store

PROBE_SPLIT = "test"
PATH_SAMPLES = 100
AGAIN = "again"
"""What a snapshot calls the answers to the same samples, asked a second time."""
ABOUT = "about_"
"""Begins the names of arrays that say what else is known of the samples."""

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
    def source(self) -> Path:
        """Scores on the source task before and after training, as JSON; of students that start from it."""
        return self.path / "source.json"

    @property
    def tokens(self) -> Path:
        """One logit vector a token on the test split, of students that have several."""
        return self.path / "tokens.npz"

    @property
    def robustness(self) -> Path:
        """Accuracy at every level of every corruption, as JSON."""
        return self.path / "robustness.json"

    @property
    def perplexity(self) -> Path:
        """A language model's perplexity on the test split, as JSON."""
        return self.path / "perplexity.json"

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
        if plan.study.theory:
            record = simulated(cell, folder.simulation, started)
        else:
            record = _run(plan, cell, root, folder, started)
    except BequestError as error:
        record = _failed(cell, str(error), started)
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        record = _failed(cell, f"{type(error).__name__}: {error}", started)
    write_record(folder.record, record)
    return record


def train_cell(plan: Plan, cell: Cell, root: Path) -> None:
    """The training of a cell that another rank leads: nothing is written here."""
    if plan.study.theory:
        return  # the first rank draws the solvable model alone
    lesson = _lesson(plan, cell, root, own_data(plan, cell))
    _begin(lesson.student, cell, root)
    lesson.run()


def own_data(plan: Plan, cell: Cell) -> Dataset:
    """What a cell trains on: the study's data with its splits, another form of it, or the source task's."""
    data = plan.study.data
    if _shown(cell) and cell.config["data"] == data.plain():
        return study_data(data, plan.study.splits)
    return study_data(DataSpec.model_validate(cell.config["data"]), {})


def _shown(cell: Cell) -> bool:
    """Whether a cell is of the study's task, so that its outputs are kept; not of the source task."""
    return cell.config.get("task") != "source"


def _begin(student: nn.Module, cell: Cell, root: Path) -> str | None:
    """Fill a student with the weights that it starts from, where it does."""
    start = cell.config.get("start")
    if start is None:
        return None
    return begin(student, StartSpec.model_validate(start), _source_of(cell, root))


def _source_of(cell: Cell, root: Path) -> Path | None:
    """The folder of the source task's cell that a cell starts from."""
    return cell_folder(root, cell.start).path if cell.start else None


def study_data(data: DataSpec, splits: Mapping[str, SplitSpec]) -> Dataset:
    """The study's dataset with its shifted splits; loaded once a process."""
    key = json.dumps([data.plain(), {name: split.plain() for name, split in splits.items()}], sort_keys=True)
    return _study_data(key)


@lru_cache(maxsize=4)
def _study_data(key: str) -> Dataset:
    spec, splits = json.loads(key)
    data = load_dataset(spec["name"], **spec.get("options", {}))
    return data.with_splits(
        {name: shifted(data, SplitSpec.model_validate(split)) for name, split in splits.items()}
    )


def shifted(data: Dataset, spec: SplitSpec) -> Split:
    """The samples of ``spec.of`` corrupted, or under each variant; copy k of sample i has id i·K + k."""
    base = data[spec.of]
    if spec.corruption is not None:
        return Split(corrupt(spec.corruption, base.x, base.ids, spec.level), base.y, base.ids)
    if not spec.variants:
        return base
    count = len(spec.variants)
    x = torch.cat([parse_transform(variant)(base.x) for variant in spec.variants])
    ids = torch.cat([base.ids * count + k for k in range(count)])
    about = {name: values.repeat(count) for name, values in base.about.items()}
    return Split(x, None if base.y is None else base.y.repeat(count), ids, about)


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
    own = own_data(plan, cell)
    data = study_data(plan.study.data, plan.study.splits) if _shown(cell) else own
    lesson, reading = _lesson(plan, cell, root, own), Reading.of(own)
    prepared = time.perf_counter()
    splits = compared_splits(plan.study)
    untrained = _answers(lesson.student, splits, data, reading) if _shown(cell) else {}
    began = _begin(lesson.student, cell, root)
    trained = lesson.run(
        callbacks=[_snapshots(lesson, folder, data, reading)]
        if cell.arm in plan.study.measures.paths
        else (),
        checkpoint=checkpointing(folder.checkpoint, seconds=CHECKPOINT_SECONDS),
    )
    evaluating = time.perf_counter()
    if _shown(cell):
        _write_outputs(plan, lesson.student, folder, data, reading, untrained)
        _write_robustness(plan, lesson.student, folder, data)
        _write_source(lesson.student, cell, root)
    if reading.next_token:
        write_json(folder.perplexity, exp(score(lesson.student, own[PROBE_SPLIT])["nll"]))
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
    return record.model_copy(update={"teachers": tuple(teachers), "start": began})


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
        padding=data.padding,
    )
    return from_store(lesson, root, config["codec"]) if config["mode"] == "stored" else lesson


def start_of(cell: Cell) -> int:
    """The seed of the initial weights: of arms alone, of taught arms, and of each restart another."""
    restart = cell.config.get("restart", 0)
    return derive(cell.seed, "student", "taught" if cell.needs else "alone", *([restart] if restart else []))


def build_network(spec: dict[str, Any], data: Dataset, *, seed: int) -> nn.Module:
    """The network that a cell's configuration describes, freshly initialised."""
    options = spec.get("options", {})
    return build_for(spec["family"], data, seed=seed, **options)


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
        part = part_of(data, spec, seed=seed)
        split = part if labelled and spec.labels else part.unlabelled()
        view, name = parse_views(list(spec.views)), f"{spec.of}/{index}"
        own = parse_views(list(spec.student_views)) if spec.student_views else None
        source = Source(name, split, view, spec.share, spec.view_count, active=spec.active, student_view=own)
        found.append(source)
    return tuple(found)


def _teacher(plan: Plan, arm: str, taught: Cell, root: Path, data: Dataset) -> AnyTeacher:
    cell, mode = plan.cell(arm, taught.seed), taught.config["mode"]
    if mode == "online":
        model = build_network(cell.config["student"], data, seed=start_of(cell))
        return OnlineTeacher(model, name=arm, recipe=Recipe.parse(cell.config["recipe"], "recipe"))
    model = build_network(cell.config["student"], data, seed=0)
    load_weights(cell_folder(root, cell.id).weights, model)
    return Teacher(model, name=arm, mode="eval" if mode == "stored" else mode)


def _answers(network: nn.Module, splits: Iterable[str], data: Dataset, reading: Reading) -> dict[str, Tensor]:
    """Logits on every one of ``splits``, and penultimate activations on the test split."""
    probed, features = reading.both(network, data[PROBE_SPLIT])
    others = {name: reading.logits(network, data[name]) for name in splits if name != PROBE_SPLIT}
    return {**others, PROBE_SPLIT: probed, PENULTIMATE: features}


def _write_outputs(
    plan: Plan,
    student: nn.Module,
    folder: CellFolder,
    data: Dataset,
    reading: Reading,
    untrained: dict[str, Tensor],
) -> None:
    """Everything that the measures read, as the student answers after and before its training."""
    trained = _answers(student, plan.study.splits, data, reading)
    for name in plan.study.splits:
        split = data[name]
        known = {} if split.y is None else {"labels": split.y}
        known |= {f"{ABOUT}{key}": values for key, values in split.about.items()}
        before = {"untrained_logits": untrained[name]} if name in untrained else {}
        save_arrays(folder.outputs(name), ids=split.ids, logits=trained[name], **before, **known)
    tokens = None if reading.next_token else tokens_of(student, data[PROBE_SPLIT].x)
    if tokens is not None:
        save_arrays(folder.tokens, ids=data[PROBE_SPLIT].ids, tokens=tokens)
    activated = {"penultimate": trained[PENULTIMATE], "untrained": untrained[PENULTIMATE]}
    save_arrays(folder.activations, ids=data[PROBE_SPLIT].ids, **activated)


def _snapshots(lesson: Lesson, folder: CellFolder, data: Dataset, reading: Reading) -> Callback:
    """Keeps activations after epochs 0, 1, 2, 4 ... and the last; a resumed run finds the earlier ones."""
    samples = len(lesson.data["train"])
    last = -(-lesson.recipe.total_steps(samples) // lesson.recipe.steps_per_epoch(samples))
    due = set(checkpoint_epochs(last))
    probe = data[PROBE_SPLIT].x[:PATH_SAMPLES]

    def keep(epoch: int, student: nn.Module) -> None:
        if epoch in due:
            asked = [reading.penultimate(student, probe) for _ in range(2)]
            save_arrays(folder.snapshot(epoch), **dict(zip((PENULTIMATE, AGAIN), asked, strict=True)))

    return keep


def _write_robustness(plan: Plan, student: nn.Module, folder: CellFolder, data: Dataset) -> None:
    """Accuracy on the test split at each level of each corruption, the clean one first."""
    probe = data[PROBE_SPLIT]
    samples = plan.study.measures.corrupted_samples
    if samples is not None and samples < len(probe):
        probe = probe.take(
            torch.from_numpy(numpy_generator(0, "corrupted").permutation(len(probe))[:samples])
        )
    if not plan.study.measures.corruptions or probe.y is None:
        return
    curves = [
        severity_curve(lambda x: predict(student, x), probe.x, probe.ids, probe.y, CORRUPTIONS[name])
        for name in plan.study.measures.corruptions
    ]
    write_json(folder.robustness, {c.name: c.values.tolist() for c in curves})


def _write_source(student: nn.Module, cell: Cell, root: Path) -> None:
    """Scores on the source task, of students that start from its weights."""
    if not cell.config.get("source"):
        return
    task = study_data(DataSpec.model_validate(cell.config["source"]), {})
    start = StartSpec.model_validate(cell.config["start"])
    found = source_scores(student, cell.config["student"], start, _source_of(cell, root), task)
    if found is not None:
        write_json(cell_folder(root, cell.id).source, found)


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
