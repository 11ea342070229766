"""The files of a run's cells as arrays and records, loaded when first needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from cachetools import LRUCache, cachedmethod
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import nn

from bequest.data.datasets import Dataset
from bequest.errors import RunFolderError
from bequest.evidence.reading import (
    ABOUT,
    Perplexity,
    Reading,
    SourceAccuracy,
    answers_on,
    probe_activations,
)
from bequest.files import load_arrays, read_json
from bequest.measure import predictions_of
from bequest.models.taps import PENULTIMATE
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.studies.cell import Cell, CellFolder, cell_folder
from bequest.studies.datasets import load
from bequest.studies.networks import trained_network
from bequest.studies.plan import Plan

Array = NDArray[Any]
T = TypeVar("T")

AGAIN = "again"
"""Name of a snapshot's activations of a second pass over the same samples."""

HELD_BYTES = 32 << 20
"""Bytes of the most recently used readings that stay in memory; others are loaded again when needed."""

OBJECT_BYTES = 200
"""About the bytes that an array takes besides its numbers: header, buffer and entry in a dictionary."""


@dataclass(frozen=True)
class Predictions:
    """One network's answers on a split, in the order of ``ids``; ``about`` has attributes of the samples."""

    ids: Array
    labels: Array
    logits: Array
    about: Mapping[str, Array] = field(default_factory=dict)

    @property
    def held_bytes(self) -> int:
        """About the bytes in memory once all cached properties below are computed."""
        count = self.logits.size
        # For each logit log_probs, probs (float64) and one_hot; for each sample classes (int64) and correct.
        computed = (8 + 8 + 1) * count + (8 + 1) * len(self.labels) + 5 * OBJECT_BYTES
        return computed + _held({"ids": self.ids, "labels": self.labels, "logits": self.logits, **self.about})

    @cached_property
    def log_probs(self) -> Array:
        """Log-probabilities, float64 (N, C)."""
        log_probs: Array = log_softmax(self.logits.astype(np.float64), axis=-1)
        return log_probs

    @cached_property
    def probs(self) -> Array:
        """Probabilities, float64 (N, C)."""
        probs: Array = np.exp(self.log_probs)
        return probs

    @cached_property
    def one_hot(self) -> Array:
        """1 for the true class, 0 for the others, bool (N, C)."""
        one_hot: Array = self.labels[:, None] == np.arange(self.logits.shape[1])
        return one_hot

    @cached_property
    def classes(self) -> Array:
        """Predicted classes, (N,)."""
        return predictions_of(self.logits)

    @cached_property
    def correct(self) -> Array:
        """Where the answer is right, bool (N,)."""
        correct: Array = self.classes == self.labels
        return correct


class Readings:
    """The readings, records and networks of every finished cell of a run.

    Args:
        plan: The study.
        root: The run folder.
        failed: Ids of cells that are left out.
        device: Device of the networks that a measure evaluates.
    """

    def __init__(self, plan: Plan, root: Path, failed: Collection[str] = (), *, device: str = "cpu") -> None:
        self.plan = plan
        self.study = plan.study
        self.arms = plan.arms
        self.root = root
        self.device = torch.device(device)
        self._failed = failed
        self._caches: list[LRUCache[Any, Any]] = []
        self._arrays: LRUCache[Any, dict[str, Array]] = self.cache(HELD_BYTES, _held)
        self._predictions: LRUCache[Any, Predictions] = self.cache(HELD_BYTES, attrgetter("held_bytes"))
        self._shared: dict[object, Any] = {}

    def seeds(self, *arms: str) -> list[int]:
        """The seeds at which every one of ``arms`` is finished."""
        return [seed for seed in self.plan.seeds if all((arm, seed) in self._finished for arm in arms)]

    def shared(self, make: Callable[[Readings], T]) -> T:
        """The result of ``make(self)``, computed once and shared by all callers with the same function."""
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast("T", self._shared[make])

    def forget(self) -> None:
        """Release everything that was loaded or computed; later calls compute it again."""
        for cache in self._caches:
            cache.clear()
        self._shared.clear()

    def cache(self, most: int, size: Callable[[Any], int] | None = None) -> LRUCache[Any, Any]:
        """A cache that :meth:`forget` empties too; ``size`` gives the size of a value, by default 1."""
        cache: LRUCache[Any, Any] = LRUCache(most, getsizeof=size)
        self._caches.append(cache)
        return cache

    def arrays(self, arm: str, seed: int, reading: Reading) -> dict[str, Array]:
        """The answer to one reading."""
        cell = self.plan.cell(arm, seed)
        return self._loaded(cell.id, reading.id_for(cell.id))

    @cachedmethod(attrgetter("_arrays"))
    def _loaded(self, cell_id: str, reading_id: str) -> dict[str, Array]:
        return load_arrays(cell_folder(self.root, cell_id).reading(reading_id))

    @cachedmethod(attrgetter("_predictions"))
    def predictions(self, arm: str, seed: int, split: str, *, untrained: bool = False) -> Predictions:
        """Answers of ``arm`` on ``split``, after or before training."""
        cell = self.plan.cell(arm, seed)
        reading = answers_on(self.study, split, arm=arm, trained=not untrained)
        # Not through `_loaded`, whose cache would hold the same logits a second time.
        arrays = load_arrays(cell_folder(self.root, cell.id).reading(reading.id_for(cell.id)))
        about = {name.removeprefix(ABOUT): x for name, x in arrays.items() if name.startswith(ABOUT)}
        return Predictions(arrays["ids"], arrays["labels"], arrays["logits"], about)

    def tokens(self, arm: str, seed: int, split: str) -> Array | None:
        """Logits of each token (N, T, C) of ``arm`` on ``split``; None if it has only one."""
        return self.arrays(arm, seed, answers_on(self.study, split, arm=arm)).get("tokens")

    def penultimate(self, arm: str, seed: int, *, untrained: bool = False) -> Array:
        """Penultimate activations (N, F) of ``arm`` on the test split, after or before training."""
        reading = probe_activations(self.study, arm=arm, trained=not untrained)
        features = self.arrays(arm, seed, reading)[PENULTIMATE]
        return features.reshape(len(features), -1)

    def perplexity(self, arm: str, seed: int) -> float | None:
        """Perplexity of ``arm`` on the test split of its data; None if it is no language model."""
        value = self.arrays(arm, seed, Perplexity()).get("perplexity")
        return None if value is None else float(value)

    def source_accuracy(self, arm: str, seed: int) -> dict[str, float]:
        """Accuracy on the source task ``before`` and ``after`` training; empty without an old head."""
        assert self.study.source is not None
        arrays = self.arrays(arm, seed, SourceAccuracy(task=self.study.source))
        return {when: float(value) for when, value in arrays.items()}

    def record(self, arm: str, seed: int) -> RunRecord:
        """The record of the training of ``arm``."""
        return read_record(self._folder(arm, seed).record, RunRecord)

    def simulation(self, arm: str, seed: int, key: str) -> dict[str, float]:
        """The observables of the solvable model's ``arm`` at the point with this key; NaN if undefined."""
        by_key = self.shared(_simulations)[arm, seed]
        return {name: float("nan") if value is None else float(value) for name, value in by_key[key].items()}

    def snapshots(self, arm: str, seed: int) -> dict[int, Array]:
        """Penultimate activations (N, F) by epoch, on the first samples of the test split."""
        paths = sorted(self._folder(arm, seed).snapshot(0).parent.glob("*.npz"))
        by_epoch = {int(path.stem): load_arrays(path)[PENULTIMATE] for path in paths}
        return {epoch: x.reshape(len(x), -1) for epoch, x in by_epoch.items()}

    def asked_twice(self, arm: str, seed: int) -> list[Array]:
        """The last snapshot of penultimate activations, and those of the same network's second pass."""
        last = max(self._folder(arm, seed).snapshot(0).parent.glob("*.npz"))  # names are padded epochs
        arrays = load_arrays(last)
        return [arrays[name].reshape(len(arrays[name]), -1) for name in (PENULTIMATE, AGAIN)]

    def network(self, arm: str, seed: int) -> nn.Module:
        """The trained network of ``arm``."""
        return trained_network(self.root, self.plan.cell(arm, seed))

    @cached_property
    def data(self) -> Dataset:
        """The data set of the study, loaded once."""
        return load(self.study.data)

    def history(self, arm: str, seed: int) -> list[dict[str, float]]:
        """The evaluations on the validation split."""
        path = self._folder(arm, seed).metrics
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"{path} cannot be read",
                got=error,
                remedy="repeat the command that wrote this folder: what is damaged is made again",
            ) from error
        return [{name: float(value) for name, value in row.items()} for row in rows]

    @cached_property
    def _finished(self) -> set[tuple[str, int]]:
        cells = [cell for cell in self.plan.cells if cell.id not in self._failed]
        return {(cell.arm, cell.seed) for cell in cells if finished(self.root, cell)}

    def _folder(self, arm: str, seed: int) -> CellFolder:
        return cell_folder(self.root, self.plan.cell(arm, seed).id)


def _held(arrays: Mapping[str, Array]) -> int:
    """About the bytes that arrays take in memory."""
    return sum(OBJECT_BYTES + x.nbytes for x in arrays.values())


def finished(root: Path, cell: Cell) -> bool:
    """Whether the record of a cell says that it is done; False if the record cannot be read."""
    record = cell_folder(root, cell.id).readable_record()
    return record is not None and record.status == "done" and record.id == cell.id


def _simulations(readings: Readings) -> dict[tuple[str, int], dict[str, dict[str, float | None]]]:
    """The observables of every finished cell of the solvable model, by arm and seed, then by point."""
    return {
        (cell.arm, cell.seed): read_json(cell_folder(readings.root, cell.id).simulation)
        for cell in readings.plan.cells
        if cell.seed in readings.seeds(cell.arm)
    }
