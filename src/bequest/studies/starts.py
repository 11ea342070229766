"""Pretrained weights that networks start from, and how much training keeps of their task."""

from __future__ import annotations

import copy
import hashlib
from functools import lru_cache
from pathlib import Path

from torch import nn

from bequest.data.datasets import Dataset
from bequest.data.sources import data_root
from bequest.distill.score import Scores, score
from bequest.errors import ModelError
from bequest.models.catalogue import build_model
from bequest.models.devices import device_of
from bequest.models.pretrained import adopt, read_weights
from bequest.models.taps import head_of
from bequest.studies.cell import NetworkSpec
from bequest.studies.spec import StartSpec


def start_digest(start: StartSpec) -> str | None:
    """The digest of the weights that ``start`` names; None if it names an arm.

    Raises:
        ModelError: If the weights do not exist.
    """
    return None if start.weights is None else weights_digest_at(start.weights)


def weights_digest_at(weights: str) -> str:
    """The first 16 hex digits of the SHA-256 of a file of weights, or of the files of a folder.

    Raises:
        ModelError: If it does not exist.
    """
    path = located_weights(weights)
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    # Time and size are the key of the cache: weights of gigabytes are read again only if they have changed.
    return _digest(tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@lru_cache(maxsize=16)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    state = hashlib.sha256()
    for name, _, _ in files:
        state.update(Path(name).read_bytes())
    return state.hexdigest()[:16]


def located_weights(weights: str) -> Path:
    """The path of weights: as given, or below ``BEQUEST_DATA``.

    Raises:
        ModelError: If they are in neither place.
    """
    for place in (Path(weights).expanduser(), data_root() / weights):
        if place.exists():
            return place
    raise ModelError(
        f"the weights {weights} do not exist",
        expected=f"a file or folder there, or in {data_root()}",
        remedy="BEQUEST_DATA names the folder that holds them; --scale smoke needs none",
    )


def begin(network: nn.Module, start: StartSpec, source: Path | None) -> str:
    """Load the weights that ``network`` starts from; returns a note on what was loaded.

    Args:
        network: Filled in place; its head stays as it is, unless ``start`` keeps that of the weights.
        start: Which weights.
        source: The folder of the source task's cell, if it starts from an arm.

    Raises:
        ModelError: If the weights do not fit.
    """
    weights = read_weights(source if source is not None else located_weights(start.weights or ""))
    adoption = adopt(
        network,
        weights,
        prefix=start.prefix,
        rename=start.rename,
        keep_head=start.keep_head,
        tolerance=start.tolerance,
    )
    return f"{'the source task' if source else weights.origin}: {adoption}"


def source_scores(
    network: nn.Module, architecture: NetworkSpec, start: StartSpec, source: Path | None, task: Dataset
) -> dict[str, Scores] | None:
    """Scores on the source task's test split under its own head: of the weights, and of the trained network.

    For the second, the trained backbone is put below the pretrained head.

    Returns:
        ``before`` and ``after``; None if the weights have no head for the task's classes.
    """
    pretrained = build_model(
        architecture.family, task.input_shape, len(task.classes), seed=0, **architecture.options
    )
    weights = read_weights(source if source is not None else located_weights(start.weights or ""))
    try:
        adopt(
            pretrained,
            weights,
            prefix=start.prefix,
            rename=start.rename,
            tolerance=start.tolerance,
            keep_head=True,
        )
    except ModelError:
        return None
    moved = copy.deepcopy(pretrained)
    head = head_of(moved)[0]
    trained = {k: v for k, v in network.state_dict().items() if not k.startswith(f"{head}.")}
    moved.load_state_dict({**moved.state_dict(), **trained})
    test, device = task["test"], device_of(network)
    return {"before": score(pretrained.to(device), test), "after": score(moved.to(device), test)}
