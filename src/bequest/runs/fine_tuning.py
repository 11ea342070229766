"""The user's own case as a study: their pretrained student, on their images, under their teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
) -> dict[str, Any]:
    """A study of three arms: the teacher, the student alone, and the student under the teacher.

    Args:
        student: See :func:`bequest.runs.networks.network_table`.
        teacher: The same of the teacher.
        data: The study's ``[data]``.
        recipe: The student's recipe, with its teacher and without.
        teacher_recipe: Laid over ``recipe`` for the teacher.
        objective: The objective of the taught student.
        views: The source of ``[queries]``: how images are shown to both.
        seeds: How many seeds.
        as_is: The teacher knows these classes already; it is not trained.
    """
    start = {**teacher.get("start", {}), "keep_head": True} if as_is else teacher.get("start")
    teacher_fields = {"epochs": 0, "steps": 0} if as_is else dict(teacher_recipe)
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
            "teacher": {**teacher, "recipe": teacher_fields, **({"start": start} if start else {})},
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
