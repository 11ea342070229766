"""What can be read of a network: each reading is a question, and its answer a set of arrays on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from math import exp
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from bequest.config import Config, content_hash
from bequest.data.corruptions import CORRUPTIONS
from bequest.data.datasets import Split
from bequest.data.rows import in_memory
from bequest.data.transforms import Transform
from bequest.distill.score import BATCH, predict, score, tokens_of
from bequest.distill.token_answers import token_answers, token_features
from bequest.measure import attention_distance, severity_curve
from bequest.models.taps import PENULTIMATE, activations, tapped
from bequest.models.verbs import verb_logits, verb_states
from bequest.models.vit import VisionTransformer
from bequest.parts import code_digest, part_of
from bequest.seeding import numpy_generator
from bequest.studies.cell import Cell, cell_folder
from bequest.studies.datasets import PROBE_SPLIT, load, tested_on, used_parts
from bequest.studies.networks import initial_network, trained_network
from bequest.studies.spec import DataSpec, SplitSpec, StudySpec
from bequest.studies.starts import source_scores

READING_FORMAT = 1
"""Part of every reading's id: raise it when a change of the code changes the answer to the same question."""

ABOUT = "about_"
"""Prefix of arrays with further attributes of the samples."""

Arrays = Mapping[str, np.ndarray | Tensor]


class Network:
    """A cell's network, after and before its training, and its answers.

    Args:
        cell: The cell.
        root: The run folder.
        readings: All readings that will be made of it; those that need the same pass share it.
        device: Device of the network; its answers are moved to the CPU.
    """

    def __init__(
        self, cell: Cell, root: Path, readings: Iterable[Reading] = (), *, device: str = "cpu"
    ) -> None:
        self.cell = cell
        self.device = torch.device(device)
        self.root = root
        asked = [reading for reading in readings if isinstance(reading, Activations)]
        self._with_features = {_place(each.data, each.split, each.trained) for each in asked}
        self._features: dict[str, Tensor] = {}

    @cached_property
    def trained(self) -> nn.Module:
        """The network with the weights of the selected epoch, in the memory format of its training."""
        network = trained_network(self.root, self.cell)
        if self.cell.training.recipe.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network.to(self.device)

    @cached_property
    def untrained(self) -> nn.Module:
        """The network as initialised, before training."""
        return initial_network(self.cell, self.root).to(self.device)

    @cached_property
    def padding(self) -> int | None:
        """The padding token of sequences, which networks with an attention mask need."""
        return load(self.cell.training.data).padding

    @cached_property
    def next_token(self) -> bool:
        """Whether it is a language model: read at each token, or for data with classes at the verb."""
        return load(self.cell.training.data).next_token

    def module(self, *, trained: bool) -> nn.Module:
        """The network after or before training."""
        return self.trained if trained else self.untrained

    def logits(self, data: DataSpec, spec: SplitSpec, *, trained: bool) -> Tensor:
        """Logits (N, C) on a split, in the label space of that split."""
        network, split = self.module(trained=trained), tested_on(data, spec)
        if self.next_token:
            return verb_logits(network, split)
        place = _place(data, spec, trained)
        if place not in self._with_features:
            return predict(network, split.x, padding=self.padding)
        # One pass gives both; the features are kept for the reading that needs them.
        logits, features = [], []
        with tapped(network, [PENULTIMATE]) as caught:
            for chunk in map(in_memory, torch.split(split.x, BATCH)):
                logits.append(predict(network, chunk, padding=self.padding))
                features.append(caught[PENULTIMATE].to(chunk.device, copy=True))
        self._features[place] = torch.cat(features)
        return torch.cat(logits)

    def penultimate(self, data: DataSpec, spec: SplitSpec, *, trained: bool) -> Tensor:
        """Penultimate activations (N, F) or (N, ...) on a split."""
        place = _place(data, spec, trained)
        if place in self._features:
            return self._features.pop(place)  # no second reading needs them
        samples, network = tested_on(data, spec), self.module(trained=trained)
        if of_tokens(samples):
            return token_features(network, samples, len(load(data).classes), padding=self.padding)
        return penultimate(network, samples.x, next_token=self.next_token, padding=self.padding)


def of_tokens(split: Split) -> bool:
    """Whether each token of a sequence has a label of its own."""
    return split.y is not None and split.y.ndim > 1


def _place(data: DataSpec, spec: SplitSpec, trained: bool) -> str:
    return content_hash([data.plain(), spec.samples(), trained])


def penultimate(network: nn.Module, x: Tensor, *, next_token: bool, padding: int | None = None) -> Tensor:
    """Penultimate activations (N, F) or (N, ...); of a language model those where the verb is due."""
    return verb_states(network, x) if next_token else activations(network, x, padding=padding)[PENULTIMATE]


class Reading(Config):
    """One question to a network. Its fields decide the answer, together with the network."""

    what: ClassVar[str]

    def id_for(self, cell_id: str) -> str:
        """The id of this reading of that cell."""
        return content_hash({"cell": cell_id, "parts": self.used_parts(), **self.question})

    @cached_property
    def question(self) -> dict[str, Any]:
        """The question as plain values; cached, since thousands of cells share it."""
        return {"format": READING_FORMAT, "what": self.what, "code": code_digest(self), **self.plain()}

    def used_parts(self) -> dict[str, str]:
        """Digests of whatever else decides the answer: users' parts, and data on disk."""
        return {}

    @abstractmethod
    def read(self, network: Network) -> Arrays:
        """The answer, as named arrays."""


class OfSplit(Reading):
    """A reading on a test split.

    Attributes:
        data: The dataset of the split.
        split: The split; its description does not matter.
        trained: Whether the network is read after its training, or before.
    """

    data: DataSpec
    split: SplitSpec
    trained: bool = True

    @override
    def used_parts(self) -> dict[str, str]:
        corruption = [("corruption", self.split.corruption)] if self.split.corruption else []
        return _digests([("transform", each.name) for each in self.split.variants] + corruption, self.data)

    @property
    def samples(self) -> Split:
        """The split whose samples are read."""
        return tested_on(self.data, self.split)


class Answers(OfSplit):
    """ids, labels and logits on a split, and further attributes of the samples under names with ``about_``.

    Sequences with a label per token give a row for each of these; see :func:`token_answers`.

    Attributes:
        tokens: For networks with several output tokens also the logits of each, (N, T, C).
    """

    what = "answers"
    tokens: bool = False

    def read(self, network: Network) -> Arrays:
        """See :class:`Answers`."""
        samples = self.samples
        if of_tokens(samples):
            module = network.module(trained=self.trained)
            return token_answers(module, samples, padding=network.padding)._asdict()
        arrays: dict[str, np.ndarray | Tensor] = {"ids": samples.ids}
        arrays["logits"] = network.logits(self.data, self.split, trained=self.trained)
        if samples.y is not None:
            arrays["labels"] = samples.y
        arrays |= {f"{ABOUT}{name}": values for name, values in samples.about.items()}
        if self.tokens and not network.next_token:
            tokens = tokens_of(network.module(trained=self.trained), samples.x)
            arrays |= {} if tokens is None else {"tokens": tokens}
        return arrays


class GridAnswers(OfSplit):
    """Predicted classes (K, N) on a split under each of K transforms, and the labels (N,).

    Attributes:
        grid: The transforms.
        first: How many samples are used; None for all.
    """

    what = "grid"
    grid: tuple[Transform, ...]
    first: int | None = None

    @override
    def used_parts(self) -> dict[str, str]:
        return super().used_parts() | _digests([("transform", each.name) for each in self.grid])

    def read(self, network: Network) -> Arrays:
        """See :class:`GridAnswers`."""
        samples = self.samples
        x = samples.x[: self.first] if self.first is not None else samples.x
        module = network.module(trained=self.trained)
        classes = torch.stack([predict(module, each(x)).argmax(dim=1) for each in self.grid])
        assert samples.y is not None
        return {"classes": classes.to(torch.int32), "labels": samples.y[: len(x)]}


class Activations(OfSplit):
    """ids and penultimate activations on a split, (N, F)."""

    what = "activations"

    def read(self, network: Network) -> Arrays:
        """See :class:`Activations`."""
        features, samples = network.penultimate(self.data, self.split, trained=self.trained), self.samples
        ids = {} if of_tokens(samples) else {"ids": samples.ids}
        return {**ids, "penultimate": features}


class LayerActivations(OfSplit):
    """Activations of several layers on the first samples of a split, the mean over positions: (N, F) each.

    Attributes:
        layers: Their names, from first to last.
        first: How many samples.
    """

    what = "layers"
    layers: tuple[str, ...]
    first: int

    def read(self, network: Network) -> Arrays:
        """See :class:`LayerActivations`."""
        module = network.module(trained=self.trained)
        x = self.samples.x[: self.first]
        caught = activations(module, x, list(self.layers), padding=network.padding)
        return {name: _pooled(caught[name]) for name in self.layers}


class AttentionDistances(OfSplit):
    """The mean attention distance of each block of a vision transformer, in pixels; empty for other networks.

    Attributes:
        first: How many samples are used.
    """

    what = "attention"
    first: int

    def read(self, network: Network) -> Arrays:
        """See :class:`AttentionDistances`."""
        module = network.module(trained=self.trained)
        if not isinstance(module, VisionTransformer):
            return {"distances": np.empty(0)}
        names = [f"blocks.{k}.attention.weights" for k in range(len(module.blocks))]
        weights = activations(module, self.samples.x[: self.first], names)
        grid, patch = module.grid, float(module.patch)
        distances = [attention_distance(weights[name].numpy(), grid, patch=patch).mean() for name in names]
        return {"distances": np.array(distances)}


class Severity(OfSplit):
    """Accuracy at each level of a corruption, the clean one first.

    Attributes:
        family: The corruption.
        chosen: How many samples are used, chosen at random; None for all.
    """

    what = "severity"
    family: str
    chosen: int | None = None

    @override
    def used_parts(self) -> dict[str, str]:
        return super().used_parts() | _digests([("corruption", self.family)])

    def read(self, network: Network) -> Arrays:
        """See :class:`Severity`."""
        samples = self.samples
        if self.chosen is not None and self.chosen < len(samples):
            order = numpy_generator(0, "corrupted").permutation(len(samples))  # the same for all networks
            samples = samples.take(torch.from_numpy(order[: self.chosen]))
        assert samples.y is not None
        module = network.module(trained=self.trained)
        curve = severity_curve(
            lambda x: predict(module, x), samples.x, samples.ids, samples.y, CORRUPTIONS[self.family]
        )
        return {"accuracy": curve.values}


class Perplexity(Reading):
    """A language model's perplexity on the test split of its own data; empty for other networks."""

    what = "perplexity"

    def read(self, network: Network) -> Arrays:
        """See :class:`Perplexity`."""
        if not network.next_token:
            return {}
        split = load(network.cell.training.data)[PROBE_SPLIT]
        nll = score(network.trained, split, padding=network.padding)["nll"]
        return {"perplexity": np.array(exp(nll))}


class SourceAccuracy(Reading):
    """Accuracy on the source task before and after training, under the old head; empty without one.

    Attributes:
        task: The data of the source task.
    """

    what = "source_accuracy"
    task: DataSpec

    @override
    def used_parts(self) -> dict[str, str]:
        return used_parts(self.task)

    def read(self, network: Network) -> Arrays:
        """See :class:`SourceAccuracy`."""
        cell = network.cell
        assert cell.training.start is not None
        folder = cell_folder(network.root, cell.start).path if cell.start else None
        scores = source_scores(
            network.trained, cell.training.student, cell.training.start, folder, load(self.task)
        )
        return {when: np.array(values["accuracy"]) for when, values in (scores or {}).items()}


def _digests(named: Iterable[tuple[str, str]], data: DataSpec | None = None) -> dict[str, str]:
    """The digests of the named parts that are a user's, and of a dataset."""
    parts = [part for kind, name in named if (part := part_of(kind, name)) is not None]
    digests = {f"{part.kind} {part.name}": part.digest for part in parts}
    return digests if data is None else digests | used_parts(data)


def answers_on(study: StudySpec, split: str, *, arm: str | None = None, trained: bool = True) -> Answers:
    """The answers on a split of the study; give ``arm`` if its model may have splits of its own."""
    return Answers(
        data=study.data if arm is None else study.tested_data(arm),
        split=_bare(study.splits[split]),
        trained=trained,
        tokens=trained and split == PROBE_SPLIT,  # evidence on tokens reads no other
    )


def probe_activations(study: StudySpec, *, arm: str | None = None, trained: bool = True) -> Activations:
    """Penultimate activations on the test split; for ``arm`` see :func:`answers_on`."""
    data = study.data if arm is None else study.tested_data(arm)
    return Activations(data=data, split=probe_split(study), trained=trained)


def probe_split(study: StudySpec) -> SplitSpec:
    """The test split of the study, or that of its data if the study does not list it."""
    return _bare(study.splits.get(PROBE_SPLIT) or SplitSpec(description="", of=PROBE_SPLIT))


def _bare(split: SplitSpec) -> SplitSpec:
    """The split without fields that decide no answer: a new description must not give readings a new id."""
    return split.model_copy(update={"description": "", "asked": None, "distance": None, "at": {}})


def _pooled(x: Tensor) -> Tensor:
    """The mean over the positions of maps (N, C, H, W) or of tokens (N, L, D)."""
    places = {3: (1,), 4: (2, 3)}
    return x.mean(places[x.ndim]) if x.ndim in places else x


def as_plain_arrays(arrays: Arrays) -> dict[str, Any]:
    """The answer as NumPy arrays on the CPU."""
    return {name: x.cpu().numpy() if isinstance(x, Tensor) else x for name, x in arrays.items()}
