"""The sentence that opens the report, its values filled in from the measurements."""

from __future__ import annotations

from collections.abc import Sequence

from bequest.records import Measurement
from bequest.studies.claim_spec import AnswerSpec
from bequest.studies.claims import find


def answer_sentence(spec: AnswerSpec, measurements: Sequence[Measurement], seeds: int | str) -> str:
    """The sentence of a study with its values and intervals; ``seeds`` stands for ``{n}``."""
    values = {}
    for name, value in spec.values.items():
        measurement = find(measurements, value.measure, value.arm, value.split, value.teacher)
        values[name] = _shown(measurement, percent=value.style == "percent")
    return spec.text.format(n=seeds, **values)


def teachers_in(spec: AnswerSpec, measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """The teachers of the measurements that the sentence quotes."""
    behind = [find(measurements, v.measure, v.arm, v.split, v.teacher) for v in spec.values.values()]
    return tuple(dict.fromkeys(m.teacher for m in behind if m is not None and m.teacher is not None))


def _shown(measurement: Measurement | None, *, percent: bool) -> str:
    if measurement is None or measurement.value is None:
        return f"an undefined share ({measurement.reason if measurement else 'not measured'})"
    scale, unit = (100.0, " %") if percent else (1.0, "")

    def text(value: float) -> str:
        rounded = f"{value * scale:.0f}" if percent else f"{value:.3g}"
        return "0" if rounded == "-0" else rounded  # a small negative value

    if measurement.low is None or measurement.high is None:
        return f"{text(measurement.value)}{unit} [no interval: {measurement.reason}]"
    interval = f"[{text(measurement.low)}, {text(measurement.high)}]"
    return f"{text(measurement.value)}{unit} {interval}".replace("-", "−")
