"""The one way to name a network and load it: the forms of the catalogue, and ``RUN:ARM[:SEED]``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from bequest.config import merged
from bequest.data.datasets import Dataset
from bequest.distill.coercion import named_teacher
from bequest.distill.label_space import check_class_order
from bequest.distill.run_networks import network_of_run
from bequest.distill.teachers import Teacher
from bequest.errors import ConfigError, DataError, ModelError
from bequest.models import load_published
from bequest.models.catalogue import MODELS, build_for
from bequest.models.network_names import parse_network_name
from bequest.models.pretrained import read_weights
from bequest.models.weights import load_weights
from bequest.registry import unknown
from bequest.runs.folder import RunFolder
from bequest.runs.survey import state_of
from bequest.studies.cell import Cell
from bequest.studies.datasets import load
from bequest.studies.networks import trained_network
from bequest.studies.starts import located_weights


def cell_named(text: str) -> tuple[Path, Cell] | None:
    """The run folder and the cell that ``RUN:ARM[:SEED]`` names; None if ``text`` is not of that form.

    Without a seed the first one of the arm is taken.

    Raises:
        UnknownName: If the run has no such arm.
        ConfigError: If the seed is no number, or none of the study's.
        ModelError: If the cell is not trained.
    """
    name, _, rest = text.partition(":")
    folder = RunFolder(Path(name).expanduser())
    if not folder.configuration.is_file():
        return None
    plan = folder.plan()
    arm, colon, number = rest.partition(":")
    if arm not in plan.study.arms:
        raise unknown("arm", arm, plan.study.arms)
    seeds = plan.seeds_of(arm)
    if colon and not (number.isdecimal() and int(number) in seeds):
        raise ConfigError.of(
            text, [f"the arm {arm!r} has no seed {number!r}; it has {seeds[0]} to {seeds[-1]}"]
        )
    cell = plan.cell(arm, int(number) if colon else seeds[0])
    if not state_of(folder.path, cell).trained:
        raise ModelError(
            f"{arm}, seed {cell.seed}, of {folder.path} is not trained, or its weights are damaged",
            remedy="run that study first",
        )
    return folder.path, cell


def network_table(text: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The network that ``text`` names, as a study's ``[models.NAME]``: family, options, start.

    Args:
        text: ``FAMILY``, ``FAMILY:WEIGHTS``, ``timm:NAME``, ``torchvision:NAME``,
            ``transformers:NAME_OR_FOLDER``, ``efficientnet_lite:N`` or ``RUN:ARM[:SEED]``.
        options: Options of the family, added to those that ``text`` implies.

    Raises:
        InputError: If it names no network, or its weights cannot be opened.
    """
    name = parse_network_name(text, options, parsers=(network_of_run,))
    table: dict[str, Any] = {"family": name.family, "options": dict(name.options)}
    if name.weights is None:
        return table
    table["start"] = {"weights": name.weights}
    weights = read_weights(located_weights(name.weights))
    # Weights bring the normalisation that they were trained with, if the family has an option for it.
    takes = {"mean", "std"} <= set(inspect.signature(MODELS[name.family]).parameters)
    if weights.mean is not None and weights.std is not None and takes:
        normalisation = {"mean": list(weights.mean), "std": list(weights.std)}
        table["options"] = {**normalisation, **table["options"]}
    return table


def with_named_networks(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which each model's ``network = "TEXT"`` is expanded to family, options and start.

    Raises:
        InputError: See :func:`network_table`.
    """
    models = resolved.get("models")
    if not isinstance(models, Mapping):
        return dict(resolved)
    tables = {}
    for name, model in models.items():
        tables[name] = model
        if isinstance(model, Mapping) and isinstance(text := model.get("network"), str):
            rest = {key: value for key, value in model.items() if key not in ("network", "options")}
            tables[name] = merged(network_table(text, model.get("options")), rest)
    return {**resolved, "models": tables}


def load_named(text: str, data: Dataset, options: Mapping[str, Any] | None = None) -> nn.Module:
    """The network that ``text`` names, with its weights; one of the catalogue is built for ``data``.

    Raises:
        InputError: See :func:`network_table`; also if the weights do not fit.
    """
    cell = cell_named(text)
    if cell is not None:
        return trained_network(*cell)
    name = parse_network_name(text, options)
    network = build_for(name.family, data, seed=0, **name.options)
    if name.weights is None:
        return network
    read = load_weights if name.weights.endswith(".safetensors") else load_published
    return read(name.weights, network)


def check_as_is(text: str, data: Dataset, options: Mapping[str, Any] | None = None) -> list[str]:
    """Refuse a network that cannot teach ``data`` as it is; returns warnings for the reader.

    Args:
        text: Its name.
        data: The data that it will teach.
        options: Options of its family.

    Raises:
        DataError: If it was trained on other classes, in another order, or on another vocabulary.
        ModelError: If it has not been trained, or has a new head.
    """
    check_classes(text, data)
    name = parse_network_name(text, options, parsers=(network_of_run,))
    if name.weights is not None:
        return []
    teacher = named_teacher(text, data, options)
    classes = teacher.classes if isinstance(teacher, Teacher) else None
    return check_class_order(f"the teacher {text!r}", classes, data.classes, DataError)


def check_classes(text: str, data: Dataset) -> None:
    """Refuse a network of a run whose classes are not those of ``data``, in the same order.

    Raises:
        DataError: Says which differ; also if it was trained on another vocabulary.
    """
    cell = cell_named(text)
    if cell is None:
        return
    trained_on = load(cell[1].training.data)
    if trained_on.vocabulary != data.vocabulary:
        differ = len(set(trained_on.vocabulary) ^ set(data.vocabulary))
        raise DataError(
            "the teacher was trained on a different vocabulary from that of the data",
            expected=f"{len(trained_on.vocabulary):,} tokens",
            got=f"{len(data.vocabulary):,} tokens; {differ:,} are in only one of the two",
            remedy="give the data the teacher's tokenizer: tokenizer = ...",
        )
    theirs, ours = trained_on.classes, data.classes
    if theirs != ours:
        differing = [f"{a} for {b}" for a, b in zip(theirs, ours, strict=False) if a != b]
        raise DataError(
            "the teacher was trained on different classes from those of the data",
            expected=f"{len(ours)} classes: {', '.join(ours[:8])}{', ...' if len(ours) > 8 else ''}",
            got=f"{len(theirs)} classes: " + "; ".join(differing[:8] or theirs[:8]),
            remedy="without --as-is the teacher gets a new head and is fine-tuned",
        )
