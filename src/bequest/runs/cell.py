"""Train one cell: its folder is complete once its record says so, and the record names every file."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from torch import nn

from bequest.data.batches import AnySource, Source
from bequest.data.datasets import Dataset
from bequest.data.generators import generated_split
from bequest.data.queries import Generated
from bequest.data.views import Identity
from bequest.distill.checkpoint import checkpointing
from bequest.distill.engine import Callback
from bequest.distill.lesson import Lesson, Trained, record_of
from bequest.distill.online import OnlineTeacher
from bequest.distill.random_teachers import RandomTeacher
from bequest.distill.teachers import AnyTeacher, Teacher
from bequest.errors import BequestError
from bequest.evidence.reading import as_plain_arrays, penultimate
from bequest.evidence.readings import AGAIN
from bequest.files import SYNCED_FROM, file_digest, save_arrays, unsynced, write_text
from bequest.interrupts import deferred
from bequest.measure import checkpoint_epochs
from bequest.models.devices import Device
from bequest.models.taps import PENULTIMATE
from bequest.models.weights import save_weights
from bequest.record_files import read_record, write_record
from bequest.records import RunRecord
from bequest.runs.simulation import simulated
from bequest.runs.store import from_store
from bequest.runs.survey import record_of_cell, state_of
from bequest.studies.cell import Cell, CellConfig, CellFolder, cell_folder
from bequest.studies.datasets import PROBE_SPLIT, load, part_of
from bequest.studies.networks import initial_network, trained_network
from bequest.studies.plan import Plan
from bequest.studies.source import SourceSpec
from bequest.studies.starts import begin

PATH_SAMPLES = 100
CHECKPOINT_SECONDS = 20.0
"""Seconds between two checkpoints: about what a killed training has to repeat."""


def run_cell(
    plan: Plan, cell: Cell, root: Path, *, snapshots: bool = False, device: Device = "cpu"
) -> RunRecord:
    """Train a cell and write its record. A failure is recorded too; only an interrupt propagates.

    Args:
        plan: The study.
        cell: The cell.
        root: The run folder.
        snapshots: Keep the network's activations after some epochs, for its training path.
        device: Where it trains.
    """
    folder = cell_folder(root, cell.id)
    started = time.perf_counter()
    try:
        if plan.study.theory:
            record = simulated(cell, folder, started)
        else:
            record = _train(plan, cell, root, started, snapshots=snapshots, device=device)
    except BequestError as error:
        record = _failed(cell, str(error), started)
    except Exception as error:  # a user's model or objective may raise anything
        record = _failed(cell, f"{type(error).__name__}: {error}", started)
    earlier = record_of_cell(folder, cell)
    # A training that was only repeated, for its path, leaves the finished one as it was when it fails.
    if record.status == "done" or earlier is None or earlier.status != "done":
        with unsynced(when=time.perf_counter() - started < SYNCED_FROM):
            write_record(folder.record, record)
    return record


def train_cell(plan: Plan, cell: Cell, root: Path, *, device: Device = "cpu") -> None:
    """Take part in training a cell that the first rank leads; nothing is written here."""
    if plan.study.theory:
        return  # the first rank draws the solvable model alone
    lesson, _ = _lesson(plan, cell, root, device)
    _begin(lesson.student, cell, root)
    lesson.run()


def _begin(student: nn.Module, cell: Cell, root: Path) -> str | None:
    """Load the pretrained weights that a student starts from; returns a note on them, None if it has none."""
    start = cell.training.start
    if start is None:
        return None
    return begin(student, start, cell_folder(root, cell.start).path if cell.start else None)


def _train(
    plan: Plan, cell: Cell, root: Path, started: float, *, snapshots: bool, device: Device
) -> RunRecord:
    folder = cell_folder(root, cell.id)
    lesson, store = _lesson(plan, cell, root, device)
    prepared = time.perf_counter()
    start = _begin(lesson.student, cell, root)
    taking = [_snapshots(plan, lesson, folder)] if snapshots else []
    # A training without snapshots took none of the early epochs, so its checkpoint must not be resumed here.
    run = f"{cell.id} with snapshots" if snapshots else cell.id
    # A request to end is only noted here: the training saves a checkpoint before the interrupt is raised.
    with deferred() as ending:
        checkpoint = checkpointing(folder.checkpoint, seconds=CHECKPOINT_SECONDS, run=run, ending=ending)
        trained = lesson.run(callbacks=taking, checkpoint=checkpoint)
    with unsynced(when=time.perf_counter() - started < SYNCED_FROM):
        files = _write_files(folder, lesson, trained, snapshots=snapshots)
    durations = {
        "preparation": prepared - started,
        "training": trained.outcome.seconds,
        "total": time.perf_counter() - started,
    }
    record = record_of(
        lesson,
        trained,
        arm=cell.arm,
        config=cell.config.plain(),
        id=cell.id,
        needs=dict(cell.teachers),
        durations=durations,
        start=start,
        store=store,
    )
    teachers = [t.model_copy(update={"cell": cell.teachers[t.arm]}) for t in record.teachers]
    files |= _readings_of_same_weights(root, cell, record.weights_digest)
    return record.model_copy(update={"teachers": tuple(teachers), "files": files})


def _write_files(folder: CellFolder, lesson: Lesson, trained: Trained, *, snapshots: bool) -> dict[str, str]:
    """Write weights, history and tokenizer; returns the digest of each file of the training."""
    rows = [json.dumps(row) + "\n" for row in trained.outcome.history]
    write_text(folder.metrics, "".join(rows))
    save_weights(folder.weights, lesson.student)
    # Only after the weights are written: a kill between the two then costs no training.
    folder.checkpoint.unlink(missing_ok=True)
    paths = [folder.metrics, folder.weights]
    if lesson.data.tokenizer is not None:
        paths.append(lesson.data.tokenizer.save(folder.tokenizer))
    if snapshots:
        paths += sorted(folder.snapshot(0).parent.glob("*.npz"))
    return {folder.relative(path): file_digest(path) for path in paths}


def _readings_of_same_weights(root: Path, cell: Cell, weights_digest: str | None) -> dict[str, str]:
    """The undamaged readings of an earlier training of this cell, if that ended with the same weights."""
    folder = cell_folder(root, cell.id)
    earlier = record_of_cell(folder, cell)
    if earlier is None or earlier.weights_digest != weights_digest:
        return {}
    # Other processes trust the readings that the new record names, so a damaged one must not be among them.
    names = {folder.relative(folder.reading(each)) for each in state_of(root, cell).readings}
    return {name: digest for name, digest in earlier.files.items() if name in names}


def _lesson(plan: Plan, cell: Cell, root: Path, device: Device) -> tuple[Lesson, str | None]:
    """Everything that decides the training, and the name of the store that it learns from, if any."""
    config, data = cell.training, load(cell.training.data)
    # An online teacher learns from the labels of each batch even if the student's objective ignores them.
    labelled = config.objective.needs_labels or config.mode == "online"
    lesson = Lesson(
        initial_network(cell, root),
        data,
        _sources(config, data, seed=cell.seed, labelled=labelled),
        config.objective,
        config.recipe,
        cell.seed,
        teachers=tuple(_teacher(plan.cell(arm, cell.seed), cell, root) for arm in cell.teachers),
        combine=config.combine,
        plain_accuracy=_plain_accuracy(cell, root),
        padding=data.padding,
        device=device,
    )
    return (lesson, None) if config.codec is None else from_store(lesson, root, config.codec)


def _sources(config: CellConfig, data: Dataset, *, seed: int, labelled: bool) -> tuple[AnySource, ...]:
    """The sources of a cell; labels that the objective does not use are withheld."""
    return tuple(
        _source(spec, index, data, seed=seed, labelled=labelled) for index, spec in enumerate(config.sources)
    )


def _source(spec: SourceSpec, index: int, data: Dataset, *, seed: int, labelled: bool) -> AnySource:
    part, name = part_of(data, spec, seed=seed), f"{spec.of}/{index}"
    if spec.generate is not None:
        if spec.count is None:
            # Without a count inputs are made for each step and never repeat; with one they are a pool.
            return Generated(name, spec.generate.bind(part), spec.share, spec.generate.spec())
        part = generated_split(spec.generate, part, spec.count, seed=seed, name=name)
    student_view = None if isinstance(spec.student_views, Identity) else spec.student_views
    return Source(
        name,
        part if labelled and spec.labels else part.unlabelled(),
        spec.views,
        spec.share,
        spec.view_count,
        active=spec.active,
        student_view=student_view,
    )


def _teacher(cell: Cell, taught: Cell, root: Path) -> AnyTeacher:
    mode = taught.training.mode
    if mode == "online":
        return OnlineTeacher(initial_network(cell, root), name=cell.arm, recipe=cell.training.recipe)
    network = trained_network(root, cell)
    classes = load(cell.training.data).classes
    teacher = Teacher(network, name=cell.arm, mode="noisy" if mode == "noisy" else "eval", classes=classes)
    if mode in ("noise", "another"):
        return RandomTeacher(teacher, answers=mode, seed=taught.seed)
    return teacher


def _plain_accuracy(cell: Cell, root: Path) -> float | None:
    """Validation accuracy of the student trained alone, if the study has one; a teacher should exceed it."""
    if cell.plain is None:
        return None
    path = cell_folder(root, cell.plain).record
    if not path.is_file():
        return None
    record = read_record(path, RunRecord)
    return record.selected.get("accuracy") if record.status == "done" else None


def _snapshots(plan: Plan, lesson: Lesson, folder: CellFolder) -> Callback:
    """Save activations after epochs 0, 1, 2, 4 ... and the last; a resumed run finds the earlier files."""
    samples = len(lesson.data["train"])
    last = -(-lesson.recipe.total_steps(samples) // lesson.recipe.steps_per_epoch(samples))
    due = set(checkpoint_epochs(last))
    # The study's own inputs, even for a model with other data: all networks of one map answer the same ones.
    data = load(plan.study.data)
    probe, at_verb = data[PROBE_SPLIT].x[:PATH_SAMPLES], lesson.data.next_token and not data.next_token

    def keep(epoch: int, student: nn.Module) -> None:
        if epoch in due:
            # Twice: the distance between two passes of one network is the noise floor of the map.
            asked = [
                penultimate(student, probe, next_token=at_verb, padding=lesson.padding) for _ in range(2)
            ]
            answers: dict[str, torch.Tensor] = dict(zip((PENULTIMATE, AGAIN), asked, strict=True))
            save_arrays(folder.snapshot(epoch), as_plain_arrays(answers))

    return keep


def _failed(cell: Cell, error: str, started: float) -> RunRecord:
    return RunRecord(
        id=cell.id,
        arm=cell.arm,
        seed=cell.seed,
        status="failed",
        config=cell.config.plain(),
        needs=dict(cell.teachers),
        error=error,
        durations={"total": time.perf_counter() - started},
    )
