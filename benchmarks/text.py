"""Distillation of texts: what a student takes over from a BERT-like classifier, and from a GPT-like writer.

``python benchmarks/text.py [--seeds 3] [--out DIR] [--tiny]`` needs ``BEQUEST_DATA`` and transformers; prints
the tables of ``docs/text.md``. Both teachers are trained here, on 7,489 sentences of Wikipedia (Linzen et al.
2016). Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import warnings
from collections.abc import Sequence
from itertools import product
from math import exp
from pathlib import Path
from typing import Any

from torch import nn

import bequest as bq
from bequest.config import to_toml
from bequest.data.datasets import Dataset
from bequest.data.natural import linzen_subset
from bequest.data.queries import Source
from bequest.data.sequences import Item
from bequest.data.views import Identity
from bequest.distill.model_queries import ModelQueries, written_by
from bequest.distill.score import predict
from bequest.measure import seed_interval
from bequest.record_files import read_records
from bequest.records import Measurement
from bequest.runs.networks import load_named
from bequest.seeding import torch_generator

NUMBERS = ("singular", "plural")
TEACHER = "teacher"
CLASSIFIER = ("accuracy", "ece", "agreement")
LANGUAGE = ("perplexity", "ece", "agreement", "kl")
TITLES = {
    "accuracy": "accuracy",
    "ece": "calibration error",
    "agreement": "agreement with the teacher",
    "perplexity": "perplexity",
    "kl": "KL(teacher ‖ student), nats",
    "reverse": "KL(student ‖ teacher), nats",
}
PROMPT = 4
"""Tokens of the data that written sequences begin with."""

STUDENTS = ("GPT", "LSTM")
WRITTEN = 200


def sizes(tiny: bool) -> dict[str, Any]:
    """How much there is of everything: the benchmark's sizes, or those of a test."""
    if tiny:
        return {"sentences": 400, "width": 16, "layers": 1, "vocabulary": 200, "epochs": 1, "teacher": 1}
    return {"sentences": None, "width": 64, "layers": 2, "vocabulary": 2000, "epochs": 3, "teacher": 8}


def write_texts(folder: Path, items: Sequence[Item]) -> None:
    """``verbs.csv``: what precedes each verb, and its number; ``sentences.txt``: one a line."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "verbs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(" ".join(item.words[: item.verb]), NUMBERS[item.number]) for item in items]
        csv.writer(file).writerows([("text", "label"), *rows])
    (folder / "sentences.txt").write_text(
        "".join(" ".join(item.words) + "\n" for item in items), encoding="utf-8"
    )


def write_configs(folder: Path, width: int, layers: int) -> None:
    """Architectures without weights, as folders of transformers: ``bert``, ``gpt`` and a ``gpt-small``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
    bert = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4}
    transformers.BertConfig(
        **bert, intermediate_size=4 * width, max_position_embeddings=64, hidden_dropout_prob=0.1
    ).save_pretrained(folder / "bert")
    for name, size, depth in (("gpt", width, layers), ("gpt-small", width // 2, 1)):
        transformers.GPT2Config(
            n_embd=size, n_layer=depth, n_head=4, n_positions=64, bos_token_id=None, eos_token_id=None
        ).save_pretrained(folder / name)


def network(folder: Path, **recipe: Any) -> dict[str, Any]:
    """A model of a study: an architecture of transformers, trained from scratch."""
    return {
        "family": "transformers",
        "options": {"network": str(folder), "pretrained": False},
        "recipe": recipe,
    }


def classifier_study(folder: Path, size: dict[str, Any], seeds: int) -> dict[str, Any]:
    """BERT-like → LSTM and → smaller Transformer: is the verb to come singular or plural?"""
    width = size["width"]
    students = {
        "lstm": {"family": "lstm", "options": {"width": width // 2, "layers": 1}},
        "transformer": {"family": "transformer", "options": {"width": width // 2, "layers": 1}},
    }
    arms: dict[str, Any] = {TEACHER: {"student": "bert"}}
    for name in students:
        arms[name] = {"student": name}
        arms[f"{name} ← BERT"] = {
            "student": name,
            "teachers": [TEACHER],
            "control": name,
            "objective": {"name": "kd", "temperature": 2.0, "label_weight": 0.3},
        }
    return {
        "name": "text-classifiers",
        "title": "A BERT-like teacher of two students",
        "question": "What do an LSTM and a smaller Transformer take over from a BERT-like classifier?",
        "seeds": seeds,
        "data": {
            "name": f"csv:{folder / 'verbs.csv'}",
            "options": {"vocabulary": size["vocabulary"], "length": 52},
        },
        "recipe": {
            "optimizer": "adamw", "lr": 2e-3, "batch": 32, "epochs": 2 * size["epochs"],
            "schedule": "warmup_cosine", "weight_decay": 0.01, "select": "nll",
        },
        "models": {"bert": network(folder / "bert", lr=5e-4, epochs=size["teacher"]), **students},
        "splits": {"test": {"description": "held-out sentences"}},
        "arms": arms,
    }  # fmt: skip


OBJECTIVES: dict[str, Any] = {"forward KL": {"name": "kd", "temperature": 1.0}, "reverse KL": "reverse_kl"}
QUERIES = {"on text": "text", "on-policy": "own"}
"""On-policy: half of each batch is text, half is what the student writes."""


def language_study(folder: Path, size: dict[str, Any], seeds: int) -> dict[str, Any]:
    """GPT-like → smaller GPT-like and → LSTM language model, by objective and by who writes the queries."""
    students = {
        STUDENTS[0]: network(folder / "gpt-small"),
        STUDENTS[1]: {"family": "lstm_lm", "options": {"width": size["width"] // 2, "layers": 1}},
    }
    arms: dict[str, Any] = {TEACHER: {"student": "gpt"}}
    for name in students:
        arms[f"{name}, labels alone"] = {"student": name}
        for (title, objective), (where, queries) in product(OBJECTIVES.items(), QUERIES.items()):
            arms[f"{name}, {title} {where}"] = {
                "student": name,
                "teachers": [TEACHER],
                "control": f"{name}, labels alone",
                "objective": objective,
                "queries": queries,
            }
    written = {"name": "written", "prompt": PROMPT}
    return {
        "name": "text-writers",
        "title": "A GPT-like teacher of two students",
        "question": "Which objective and which queries hand a language model over?",
        "seeds": seeds,
        "data": {
            "name": f"token:{folder / 'sentences.txt'}",
            "options": {"vocabulary": size["vocabulary"], "length": 32},
        },
        "recipe": {
            "optimizer": "adamw", "lr": 3e-3, "batch": 32, "epochs": size["epochs"],
            "schedule": "warmup_cosine", "weight_decay": 0.01,
        },
        "models": {"gpt": network(folder / "gpt", lr=2e-3, epochs=size["teacher"]), **students},
        "splits": {"test": {"description": "held-out sentences"}},
        "queries": {"text": [{}], "own": [{"share": 0.5}, {"share": 0.5, "generate": written}]},
        "arms": arms,
        "measures": {"profile": ["accuracy", "nll", "ece", "agreement"]},
    }  # fmt: skip


def judged_on_own(student: nn.Module, teacher: nn.Module, data: Dataset, seed: int) -> tuple[float, float]:
    """KL(student ‖ teacher) and agreement at each token of 200 sequences that the student writes."""
    prompts, length = data["test"].x[:, :PROMPT], data.input_shape[0]
    x = ModelQueries(prompts, length, model=student)(WRITTEN, torch_generator(seed, "judged"))
    q, p = (predict(each, x)[:, PROMPT - 1 : -1].double().log_softmax(-1) for each in (student, teacher))
    divergence = float((q.exp() * (q - p)).sum(-1).mean())
    return divergence, float((q.argmax(-1) == p.argmax(-1)).double().mean())


def on_what_it_writes(study: dict[str, Any], run: Path) -> list[str]:
    """A row an arm, as Markdown: how far each student is from its teacher on what it writes itself."""
    data = bq.load_dataset(study["data"]["name"], **study["data"]["options"])
    lines = [f"| | {TITLES['reverse']} | {TITLES['agreement']} |", "|---|---|---|"]
    for arm in (name for name in study["arms"] if name != TEACHER):
        by_seed = []
        for seed in range(study["seeds"]):
            student, teacher = (load_named(f"{run}:{name}:{seed}", data) for name in (arm, TEACHER))
            by_seed.append(judged_on_own(student, teacher, data, seed))
        divergence, agreement = zip(*by_seed, strict=True)
        lines.append(f"| {arm} | {_mean(divergence)} | {_mean(agreement, bounds=(0.0, 1.0))} |")
    return lines


def continued(study: dict[str, Any], run: Path) -> list[str]:
    """Students that write already: those of labels alone, for one more epoch under the teacher by reverse KL.

    A row for each student on text, and on-policy: perplexity on the test split, KL(student ‖ teacher) on what
    it writes then.
    """
    data = bq.load_dataset(study["data"]["name"], **study["data"]["options"])
    train = data["train"]
    text = Source("text", train.unlabelled(), Identity(), 0.5)
    queries = {
        "on text": None,
        "on-policy": [text, written_by(None, train.x[:, :PROMPT], data.input_shape[0], share=0.5)],
    }
    lines = [f"| | {TITLES['perplexity']} | {TITLES['reverse']} |", "|---|---|---|"]
    for name, (where, asked) in product(STUDENTS, queries.items()):
        by_seed = []
        for seed in range(study["seeds"]):
            arms = (f"{name}, labels alone", TEACHER)
            start, teacher = (load_named(f"{run}:{arm}:{seed}", data) for arm in arms)
            fitted = bq.distill(
                start, data, teachers=[teacher], objective="reverse_kl", queries=asked, seed=seed,
                batch=32, epochs=1, optimizer="adamw", lr=1e-3, schedule={"name": "cosine"},
            )  # fmt: skip
            divergence, _ = judged_on_own(fitted.model, teacher, data, seed)
            by_seed.append((exp(fitted.score("test")["nll"]), divergence))
        perplexity, divergence = zip(*by_seed, strict=True)
        lines.append(f"| {name}, {where} | {_mean(perplexity, digits=1)} | {_mean(divergence)} |")
    return lines


def _mean(values: Sequence[float], *, bounds: tuple[float, float] | None = None, digits: int = 3) -> str:
    """The mean over seeds with its interval."""
    estimate = seed_interval(values, bounds=bounds)
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def measured(study: dict[str, Any], folder: Path, workers: int) -> list[Measurement]:
    """The measurements of a study, run or taken up where it stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.toml"
    path.write_text(to_toml(study), encoding="utf-8")
    result = bq.run(path, out=folder / "run", workers=workers)
    if result.failed:
        raise SystemExit(f"{len(result.failed)} cells failed; see {folder / 'run'}")
    return read_records(folder / "run" / "measurements.json", Measurement)


def table(items: Sequence[Measurement], arms: Sequence[str], measures: Sequence[str]) -> list[str]:
    """A row an arm, a column a measure, as Markdown: mean [interval] over seeds on held-out texts."""
    lines = [
        "| | " + " | ".join(TITLES[name] for name in measures) + " |",
        "|---" * (len(measures) + 1) + "|",
    ]
    for arm in arms:
        cells = []
        for name in measures:
            matching = [
                m for m in items
                if (m.measure, m.arm, m.split) == (name, arm, "test") and m.teacher in (None, TEACHER)
            ]  # fmt: skip
            cells.append(_shown(matching[0]) if matching and (arm != TEACHER or _alone(name)) else "–")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return lines


def _alone(name: str) -> bool:
    """Whether a measure is of one model."""
    return name not in ("agreement", "kl")


def _shown(measurement: Measurement) -> str:
    digits = 1 if measurement.measure == "perplexity" else 3
    low, high = (f"{end:.{digits}f}" for end in (measurement.low, measurement.high))
    return f"{measurement.value:.{digits}f} [{low}, {high}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write texts and architectures, run both studies, print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/text"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="sizes of a test")
    asked = parser.parse_args(arguments)
    folder, size = asked.out.absolute(), sizes(asked.tiny)
    write_texts(folder, linzen_subset()[: size["sentences"]])
    write_configs(folder, size["width"], size["layers"])
    for make, measures in ((classifier_study, CLASSIFIER), (language_study, LANGUAGE)):
        study = make(folder, size, asked.seeds)
        items = measured(study, folder / study["name"], asked.workers)
        print("\n".join(["", study["question"], "", *table(items, list(study["arms"]), measures)]))
        run = folder / study["name"] / "run"
        records = [json.loads(path.read_text()) for path in run.glob("cells/*/record.json")]
        seconds = sum(record["durations"]["total"] for record in records)
        if make is language_study:
            print("\n".join(["", "On what the student writes:", "", *on_what_it_writes(study, run)]))
            print("\n".join(["", "Students that write already:", "", *continued(study, run)]))
        print(f"\n{len(records)} trainings, {seconds:.0f} s in all")


if __name__ == "__main__":
    main()
