"""The user's own case as a study: their student, on their images or texts, under their teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bequest.data.datasets import Dataset, load_dataset, located
from bequest.data.text.tokenizer import FILE as TOKENIZER
from bequest.data.text.tokenizer_names import read_tokenizer
from bequest.errors import DataError
from bequest.models.network_names import is_pretrained

Samples = Literal["images", "texts", "tokens"]

TEXTS = ("csv", "parquet", "hf", "token")
"""Families of datasets that may hold texts."""

FROM_SCRATCH = {"lr": 2e-3, "head_rate": 1.0}
PRETRAINED: dict[Samples, dict[str, float]] = {
    "images": {"lr": 2e-4, "head_rate": 15.0},
    "texts": {"lr": 5e-5, "head_rate": 15.0},
    "tokens": {"lr": 5e-5, "head_rate": 1.0},
}
"""Learning rates by what the network predicts. A language model keeps what it knows only at small rates; its
head is not new if it predicts tokens. New heads learn 15 times as fast as the layers below: with one rate for
all, teachers ended behind their students (docs/negative-results.md)."""

ALONE, TAUGHT, TEACHER = "alone", "taught", "teacher"


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
    samples: Samples = "images",
) -> dict[str, Any]:
    """A study of three arms: the teacher, the student alone, and the student under the teacher.

    Args:
        student: See :func:`bequest.runs.networks.network_table`.
        teacher: The same of the teacher.
        data: The study's ``[data]``.
        recipe: The student's recipe, with its teacher and without.
        teacher_recipe: Laid over ``recipe`` for the teacher.
        objective: The objective of the taught student.
        views: The source of ``[queries]``: how samples are shown to both.
        seeds: How many seeds.
        as_is: The teacher predicts these classes already, and is not trained.
        samples: What the data holds, for the texts of the study.
    """
    start = teacher.get("start")
    if as_is and start:  # a network of a library keeps its head; for weights of a file it must be asked for
        start = {**start, "keep_head": True}
    teacher_fields = {"epochs": 0, "steps": 0} if as_is else dict(teacher_recipe)
    taught = {"student": "student", "teachers": [TEACHER], "queries": samples, "objective": dict(objective)}
    return {
        "name": "distill",
        "title": "A student fine-tuned under its teacher",
        "question": f"Does the teacher help the student on {data['name'].partition(':')[2] or data['name']}?",
        "seeds": seeds,
        "data": dict(data),
        "recipe": dict(recipe),
        "models": {
            "student": dict(student),
            "teacher": {**teacher, "recipe": teacher_fields, **({"start": start} if start else {})},
        },
        "splits": {"test": {"description": f"held-out {samples}"}},
        "queries": {samples: [dict(views)]},
        "arms": {
            TEACHER: {"student": "teacher", "queries": samples},
            ALONE: {"student": "student", "queries": samples},
            TAUGHT: {**taught, "control": ALONE},
        },
        "answer": {
            "text": "Fine-tuned under the teacher, the student is right on {taught} of the test "
            f"{samples}; alone on {{alone}}; the teacher itself on {{teacher}}. Seeds: {{n}}.",
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


def samples_of(data: Dataset) -> Samples:
    """What one prediction is about: an image, a text, or a token of a text."""
    if data.next_token:
        return "tokens"
    return "texts" if data.vocabulary else "images"


def default_rates(network: Mapping[str, Any], data: Dataset) -> dict[str, float]:
    """``lr`` and ``head_rate`` of a network, by whether it is pretrained and what it learns.

    Args:
        network: See :func:`bequest.runs.networks.network_table`.
        data: What it is trained on.
    """
    if not (network.get("start") or is_pretrained(network["family"], network["options"])):
        return FROM_SCRATCH
    return PRETRAINED[samples_of(data)]


def with_tokenizer(
    data: Mapping[str, Any], student: Mapping[str, Any], teacher: Mapping[str, Any]
) -> tuple[dict[str, Any], Dataset]:
    """``data`` with the tokenizer of its networks, if it holds texts and names none; and the Dataset.

    Args:
        data: A study's ``[data]``.
        student: See :func:`bequest.runs.networks.network_table`.
        teacher: The same of the teacher, whose tokenizer comes first.

    Raises:
        DataError: If both have one, and these differ; or as :func:`bequest.data.datasets.load_dataset`.
    """
    spec = {"name": data["name"], "options": dict(data.get("options", {}))}
    names = [name for table in (teacher, student) if (name := _tokenizer_name(table))]
    texts = located(spec["name"])[0] in TEXTS
    if not texts or not names or "tokenizer" in spec["options"]:
        return spec, load_dataset(spec["name"], **spec["options"])
    without = None
    # Whether a table holds texts is known once it is loaded; a token file always does, and needs a tokenizer.
    if located(spec["name"])[0] != "token":
        without = load_dataset(spec["name"], **spec["options"])
        if without.tokenizer is None:
            return spec, without
    if len(names) > 1:
        _check_same(*names)
    spec["options"]["tokenizer"] = names[0]
    return spec, load_dataset(spec["name"], **spec["options"])


def _tokenizer_name(network: Mapping[str, Any]) -> str | None:
    """The name of a network's tokenizer: its own, or the one stored next to its weights; None without."""
    if network["family"] == "transformers":
        return (
            str(network["options"]["network"]) if is_pretrained("transformers", network["options"]) else None
        )
    weights = network.get("start", {}).get("weights")
    beside = None if weights is None else Path(weights).expanduser().parent / TOKENIZER
    return str(beside) if beside is not None and beside.is_file() else None


def _check_same(first: str, second: str) -> None:
    one, other = read_tokenizer(first), read_tokenizer(second)
    if one.vocabulary != other.vocabulary:
        differ = len(set(one.vocabulary) ^ set(other.vocabulary))
        raise DataError(
            "teacher and student have different tokenizers",
            expected=f"{len(one.vocabulary):,} tokens, those of {first}",
            got=f"{len(other.vocabulary):,} tokens, those of {second}; {differ:,} are in only one of the two",
            remedy="choose a student with the tokenizer of its teacher, or one from scratch: lstm, "
            "transformer, or --student-option pretrained=false",
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
