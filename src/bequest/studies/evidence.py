"""What the cells of a run left behind, as arrays; read when first asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import nn

from bequest.data.datasets import Dataset
from bequest.errors import RunFolderError
from bequest.files import read_json
from bequest.measure import predictions_of
from bequest.models.taps import PENULTIMATE
from bequest.models.weights import load_weights
from bequest.records import RunRecord, read_record
from bequest.studies.cells import (
    ABOUT,
    AGAIN,
    CellFolder,
    build_network,
    cell_folder,
    load_arrays,
    own_data,
    start_of,
    study_data,
)
from bequest.studies.plan import Plan

Array = NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """One network's answers on one split, rows in the order of ``ids``; ``about`` tells more of them."""

    ids: Array
    labels: Array
    logits: Array
    about: Mapping[str, Array] = field(default_factory=dict)

    @cached_property
    def log_probs(self) -> Array:
        """float64 (N, C)."""
        found: Array = log_softmax(self.logits.astype(np.float64), axis=-1)
        return found

    @cached_property
    def probs(self) -> Array:
        """float64 (N, C)."""
        found: Array = np.exp(self.log_probs)
        return found

    @cached_property
    def classes(self) -> Array:
        """Predicted classes, (N,)."""
        return predictions_of(self.logits)

    @cached_property
    def correct(self) -> Array:
        """Where the answer is right, bool (N,)."""
        found: Array = self.classes == self.labels
        return found


@dataclass
class Evidence:
    """The outputs and activations of every finished cell of a run."""

    plan: Plan
    root: Path
    _outputs: dict[tuple[str, int, str], dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    _activations: dict[tuple[str, int], dict[str, Array]] = field(default_factory=dict)

    def seeds(self, *arms: str) -> list[int]:
        """The seeds at which every one of ``arms`` is finished."""
        return [seed for seed in range(self.plan.study.seeds) if all((a, seed) in self._done for a in arms)]

    def predictions(self, arm: str, seed: int, split: str, *, untrained: bool = False) -> Predictions:
        """Answers of ``arm`` on ``split``, after or before training."""
        key = (arm, seed, split)
        if key not in self._outputs:
            self._outputs[key] = load_arrays(self._folder(arm, seed).outputs(split))
        found = self._outputs[key]
        logits = found["untrained_logits" if untrained else "logits"]
        about = {name.removeprefix(ABOUT): x for name, x in found.items() if name.startswith(ABOUT)}
        return Predictions(found["ids"], found["labels"], logits, about)

    def penultimate(self, arm: str, seed: int, *, untrained: bool = False) -> Array:
        """Penultimate activations (N, F) of ``arm`` on the test split, after or before training."""
        key = (arm, seed)
        if key not in self._activations:
            self._activations[key] = load_arrays(self._folder(arm, seed).activations)
        return self._activations[key]["untrained" if untrained else "penultimate"]

    def tokens(self, arm: str, seed: int) -> Array | None:
        """Logits of each token (N, T, C) of ``arm`` on the test split; None if it has one only."""
        path = self._folder(arm, seed).tokens
        return load_arrays(path)["tokens"] if path.exists() else None

    def record(self, arm: str, seed: int) -> RunRecord:
        """What was asked of ``arm`` and what came of it."""
        return read_record(self._folder(arm, seed).record, RunRecord)

    def simulation(self, arm: str, seed: int, key: str) -> dict[str, float]:
        """What the solvable model's ``arm`` does at the setting with this key; NaN where undefined."""
        place = (arm, seed, "simulation")
        if place not in self._outputs:
            self._outputs[place] = read_json(self._folder(arm, seed).simulation)
        found: dict[str, Any] = self._outputs[place][key]
        return {name: float("nan") if value is None else float(value) for name, value in found.items()}

    def robustness(self, arm: str, seed: int) -> dict[str, list[float]]:
        """Accuracy at every level of every corruption, the clean one first."""
        found: dict[str, list[float]] = read_json(self._folder(arm, seed).robustness)
        return found

    def perplexity(self, arm: str, seed: int) -> float | None:
        """Perplexity of ``arm`` on the test split; None for what is no language model."""
        path = self._folder(arm, seed).perplexity
        return float(read_json(path)) if path.exists() else None

    def source(self, arm: str, seed: int) -> dict[str, dict[str, float]] | None:
        """Scores on the source task before and after training; None where ``arm`` does not start from it."""
        path = self._folder(arm, seed).source
        found: dict[str, dict[str, float]] | None = read_json(path) if path.exists() else None
        return found

    def snapshots(self, arm: str, seed: int) -> dict[int, Array]:
        """Penultimate activations (N, F) by epoch, on the first samples of the test split."""
        paths = sorted(self._folder(arm, seed).snapshot(0).parent.glob("*.npz"))
        found = {int(path.stem): load_arrays(path)[PENULTIMATE] for path in paths}
        return {epoch: x.reshape(len(x), -1) for epoch, x in found.items()}

    def asked_twice(self, arm: str, seed: int) -> list[Array]:
        """The last snapshot of penultimate activations, and the same network's when it was asked again."""
        last = max(self._folder(arm, seed).snapshot(0).parent.glob("*.npz"))
        kept = load_arrays(last)
        return [kept[name].reshape(len(kept[name]), -1) for name in (PENULTIMATE, AGAIN)]

    def network(self, arm: str, seed: int, *, untrained: bool = False) -> nn.Module:
        """The network of ``arm``, after or before training."""
        cell = self.plan.cell(arm, seed)
        if untrained:
            return build_network(cell.config["student"], self.data, seed=start_of(cell))
        return load_weights(
            self._folder(arm, seed).weights,
            build_network(cell.config["student"], own_data(self.plan, cell), seed=0),
        )

    @cached_property
    def data(self) -> Dataset:
        """The study's data."""
        return study_data(self.plan.study.data, self.plan.study.splits)

    def history(self, arm: str, seed: int) -> list[dict[str, float]]:
        """The looks at the validation split."""
        path = self._folder(arm, seed).metrics
        try:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"{path} cannot be read", got=error, remedy="delete its cell, then run the same command again"
            ) from error
        return [{name: float(value) for name, value in row.items()} for row in rows]

    @cached_property
    def _done(self) -> set[tuple[str, int]]:
        return {(c.arm, c.seed) for c in self.plan.cells if cell_folder(self.root, c.id).done()}

    def _folder(self, arm: str, seed: int) -> CellFolder:
        return cell_folder(self.root, self.plan.cell(arm, seed).id)
