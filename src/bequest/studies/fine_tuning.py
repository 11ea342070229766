"""The user's own case as a study: their pretrained student, on their images, under their teacher."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bequest.config import merged
from bequest.data.datasets import load_dataset
from bequest.errors import ConfigError, DataError, ModelError
from bequest.models.catalogue import MODELS
from bequest.models.pretrained import read_weights
from bequest.registry import unknown
from bequest.studies.cells import cell_folder
from bequest.studies.folder import RunFolder
from bequest.studies.starts import located_weights

LIBRARIES = ("timm", "torchvision", "transformers")
LITE = "efficientnet_lite"
FORMS = f"FAMILY, FAMILY:WEIGHTS, {LITE}:N, {':NAME, '.join(LIBRARIES)}:NAME or RUN:ARM[:SEED]"
ALONE, TAUGHT, TEACHER = "alone", "taught", "teacher"


def network_of(text: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The model that ``text`` names, as a study's ``[models.NAME]``.

    ``resnet20:weights.th`` is a family of the catalogue with weights from a file or folder;
    ``timm:resnet18``, ``torchvision:resnet18`` and ``transformers:NAME`` come with their weights,
    ``efficientnet_lite:0`` with those of its package; ``runs/mine:cnn:0`` is a network that a run trained.

    Args:
        text: What the user wrote.
        options: Options of the family, laid over what ``text`` says.

    Raises:
        ConfigError: If it names no network.
        ModelError: If its weights are not there or cannot be opened.
    """
    head, _, rest = text.partition(":")
    if RunFolder(Path(head)).configuration.exists():
        found = _from_run(Path(head), rest)
    elif head in LIBRARIES:
        found = {"family": head, "options": {"network": rest}}
    elif head == LITE:
        found = {"family": head, "options": {"variant": int(rest) if rest.isdigit() else 0}}
    elif head in MODELS:
        found = _from_file(head, rest, options or {}) if rest else {"family": head, "options": {}}
    else:
        raise ConfigError.of(text, [f"names no network; expected {FORMS}; families: {', '.join(MODELS)}"])
    return merged(found, {"options": dict(options or {})})


def fine_tuning_study(
    student: Mapping[str, Any],
    teacher: Mapping[str, Any],
    data: Mapping[str, Any],
    recipe: Mapping[str, Any],
    *,
    teacher_recipe: Mapping[str, Any],
    objective: Mapping[str, Any],
    views: Mapping[str, Any],
    seeds: int,
    as_is: bool = False,
) -> dict[str, Any]:
    """A study of three arms: the teacher, the student alone, and the student under the teacher.

    Args:
        student: See :func:`network_of`.
        teacher: Likewise.
        data: The study's ``[data]``.
        recipe: The student's recipe, with its teacher and without.
        teacher_recipe: Laid over ``recipe`` for the teacher.
        objective: The objective of the taught student.
        views: The source of ``[queries]``: how images are shown to both.
        seeds: How many seeds.
        as_is: The teacher knows these classes already; it is not trained.
    """
    start = {**teacher.get("start", {}), "keep_head": True} if as_is else teacher.get("start")
    own = {"epochs": 0, "steps": 0} if as_is else dict(teacher_recipe)
    taught = {"student": "student", "teachers": [TEACHER], "queries": "images", "objective": dict(objective)}
    return {
        "name": "distill",
        "title": "A student fine-tuned under its teacher",
        "question": f"Does the teacher help the student on {data['name'].partition(':')[2] or data['name']}?",
        "seeds": seeds,
        "data": dict(data),
        "recipe": dict(recipe),
        "models": {
            "student": dict(student),
            "teacher": {**teacher, "recipe": own, **({"start": start} if start else {})},
        },
        "splits": {"test": {"description": "held-out images"}},
        "queries": {"images": [dict(views)]},
        "arms": {
            TEACHER: {"student": "teacher", "queries": "images"},
            ALONE: {"student": "student", "queries": "images"},
            TAUGHT: {**taught, "control": ALONE},
        },
        "answer": {
            "text": "Fine-tuned under the teacher, the student is right on {taught} of the test images; "
            "alone on {alone}; the teacher itself on {teacher}. Seeds: {n}.",
            "values": {
                arm: {"measure": "accuracy", "arm": arm, "split": "test"} for arm in (TAUGHT, ALONE, TEACHER)
            },
        },
        "claims": [
            _claim("accuracy", "above", "Under the teacher the student is right more often than alone."),
            _claim("nll", "below", "Under the teacher the student's answers are likelier than alone."),
            _claim("ece", "below", "Under the teacher the student's confidence is nearer to the truth."),
        ],
    }


def check_classes(text: str, data: Mapping[str, Any]) -> None:
    """Refuse a trained teacher whose classes are not those of the data, by name, where a run tells them.

    Raises:
        DataError: Says which differ.
    """
    folder = RunFolder(Path(text.partition(":")[0]))
    if not folder.configuration.exists():
        return
    study = folder.plan().study
    theirs = load_dataset(study.data.name, **study.data.options).classes
    ours = load_dataset(data["name"], **data.get("options", {})).classes
    if theirs != ours:
        other = [f"{a} for {b}" for a, b in zip(theirs, ours, strict=False) if a != b]
        raise DataError(
            "the teacher tells other classes apart than the data has",
            expected=f"{len(ours)} classes: {', '.join(ours[:8])}",
            got=f"{len(theirs)} classes: " + "; ".join(other[:8] or theirs[:8]),
            remedy="leave --as-is away, so that the teacher gets a new head and is fine-tuned",
        )


def _claim(measure: str, direction: str, text: str) -> dict[str, Any]:
    return {
        "id": measure,
        "text": text,
        "source": "Thapa 2022, the thesis' claim (direction only)",
        "measure": measure,
        "direction": direction,
        "arm": TAUGHT,
        "against": ALONE,
        "split": "test",
    }


def _from_file(family: str, weights: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A family with weights of a file, and their normalisation where the family takes one."""
    found = read_weights(located_weights(weights))
    takes = {"mean", "std"} <= set(inspect.signature(MODELS[family]).parameters)
    if found.mean is None or found.std is None or not takes:
        return {"family": family, "options": {}, "start": {"weights": weights}}
    numbers = {"mean": list(found.mean), "std": list(found.std)}
    return {"family": family, "options": {**numbers, **options}, "start": {"weights": weights}}


def _from_run(folder: Path, rest: str) -> dict[str, Any]:
    """The network of a cell of a run."""
    arm, _, number = rest.partition(":")
    plan = RunFolder(folder).plan()
    if arm not in plan.study.arms:
        raise unknown("arm", arm, plan.study.arms)
    seed = int(number) if number.isdigit() else 0
    if seed >= plan.study.seeds:
        raise ConfigError.of(f"{folder}:{rest}", [f"seed: expected 0..{plan.study.seeds - 1}, got {seed}"])
    cell = plan.cell(arm, seed)
    place = cell_folder(folder, cell.id)
    if not place.done():
        raise ModelError(f"{arm} seed {seed} of {folder} is not trained", remedy="run the study first")
    return {**cell.config["student"], "start": {"weights": str(place.weights)}}
