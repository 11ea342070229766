"""The model card of an exported network, in the form that Hugging Face shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bequest.measures import measure_named
from bequest.report.numbers import with_interval
from bequest.report.statement import fate, markdown

if TYPE_CHECKING:
    from bequest.records import Measurement
    from bequest.report.folder import Run
    from bequest.runs.exporting import Exported

CARD = "README.md"
SCORES = ("accuracy", "nll", "ece", "brier")
"""The properties that stand on a card, in this order."""


def model_card(run: Run, exported: Exported) -> str:
    """Data, teachers, scores with intervals, what was kept and lost, how to load it, as Markdown."""
    arm = exported.record.arm
    sections = {
        "Data": _data(exported),
        "Teachers": _teachers(exported),
        "Scores": _scores(run, arm),
        "Inherited": _inherited(run, arm),
        "Load it": ["In this folder, without bequest:", "", "```python", exported.code, "```"],
        "Made by": _origin(run),
    }
    lines = _head(run, exported, arm)
    for title, section in sections.items():
        lines += ["", f"## {title}", "", *section]
    return "\n".join(lines) + "\n"


def _head(run: Run, exported: Exported, arm: str) -> list[str]:
    study, record = run.study, exported.record
    return [
        "---",
        "library_name: pytorch",
        "tags: [knowledge-distillation, bequest]",
        "---",
        "",
        f"# {markdown(record.arm)}, of the study {markdown(study.name)}",
        "",
        markdown(study.question),
        "",
        f"Seed {record.seed}, one of {_seed_count(run, arm)}; scale {markdown(study.scale)}. "
        f"{record.parameters or 0:,} parameters; digest of the weights `{record.weights_digest}`.",
    ]


def _data(exported: Exported) -> Iterator[str]:
    classes = ", ".join(map(markdown, exported.classes))
    yield f"`{_code(exported.data)}`, digest `{exported.record.data_digest}`."
    yield f"Classes in the order of the logits: {classes}."


def _origin(run: Run) -> Iterator[str]:
    provenance = run.study.provenance
    commit = f", commit {provenance.commit[:12]}" if provenance.commit else ""
    yield f"`{_code(run.study.command)}`, bequest {provenance.bequest}{commit}."


def _teachers(exported: Exported) -> Iterator[str]:
    teachers = exported.record.teachers
    if not teachers:
        yield "None: it was trained on labels."
        return
    yield "| teacher | answered | digest of its weights |"
    yield "|---|---|---|"
    for teacher in teachers:
        yield f"| {markdown(teacher.arm)} | {teacher.mode} | `{teacher.digest_before}` |"


def _seed_count(run: Run, arm: str) -> int:
    return sum(cell.arm == arm for cell in run.study.cells)


def _scores(run: Run, arm: str) -> Iterator[str]:
    yield f"Means over {_seed_count(run, arm)} seeds of this arm, with 95 % intervals."
    yield ""
    yield "| measure | split | value | n |"
    yield "|---|---|---|---|"
    for name in SCORES:
        for m in _of(run, arm, name):
            yield f"| {measure_named(name).axis} | {markdown(m.split or '')} | {_value(m)} | {m.n} |"


def _inherited(run: Run, arm: str) -> Iterator[str]:
    of_arm = [m for m in run.measurements if m.arm == arm]
    shares = [m for m in of_arm if measure_named(m.measure).mark == "inheritance"]
    if not shares:
        yield "Nothing was measured: it has no teacher of another kind, or no control."
        return
    yield "Share of the gap between its self-taught control (0) and its teacher (1)."
    yield ""
    yield "| property | split | share | |"
    yield "|---|---|---|---|"
    for m in shares:
        title = measure_named(measure_named(m.measure).of).title
        yield f"| {title} | {markdown(m.split or '')} | {_value(m)} | {fate(m).lower()} |"


def _of(run: Run, arm: str, measure: str) -> list[Measurement]:
    return [m for m in run.measurements if (m.arm, m.measure) == (arm, measure)]


def _value(m: Measurement) -> str:
    return with_interval(m.value, m.low, m.high) if m.value is not None else f"undefined: {m.reason}"


def _code(text: str) -> str:
    """Text from outside in a code span: on one line, without what would end the span."""
    return " ".join(text.replace("`", "'").split())
