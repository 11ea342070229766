"""``bequest measure``: measures of predictions and activations that any program saved."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bequest.errors import DataError

if TYPE_CHECKING:
    from bequest.cli.saved import Predictions
    from bequest.measure import Estimate

NAME = "measure"
DIGITS = 3
SHUFFLES = 5
PAIRWISE = 2000
"""So many samples are compared pair by pair; the printed n says so."""

app = typer.Typer(
    name=NAME,
    help="Measure predictions and activations that any program saved as .npz.",
    epilog="Example: bequest measure accuracy predictions.npz",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Files = Annotated[
    list[Path], typer.Argument(help=".npz with logits or probs, labels, and ids if there are any.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Rows = dict[str, Any]


@app.command(epilog="Example: bequest measure accuracy student.npz teacher.npz --json")
def accuracy(files: Files, as_json: Json = False) -> None:
    """Accuracy, balanced accuracy, F1, NLL and Brier score of each file."""
    from bequest.cli.saved import read_predictions

    _show([{"file": p.file, "measures": _accuracy(p)} for p in map(read_predictions, files)], as_json)


@app.command(epilog="Example: bequest measure calibration student.npz --bins 15")
def calibration(
    files: Files,
    bins: Annotated[int, typer.Option(help="Bins of the reliability table.")] = 15,
    as_json: Json = False,
) -> None:
    """Calibration errors and the reliability table of each file."""
    from bequest.cli.saved import read_predictions

    found = [_calibration(read_predictions(path), bins) for path in files]
    _show(found, as_json)


@app.command(epilog="Example: bequest measure agreement teacher.npz student.npz control.npz")
def agreement(files: Files, as_json: Json = False) -> None:
    """How alike the first file (the teacher) and each other file answer, sample by sample."""
    from bequest.cli.saved import read_predictions

    first, *others = _two_or_more(files)
    teacher = read_predictions(first)
    found = [(str(other), _agreement(teacher, read_predictions(other))) for other in others]
    _show([{"file": teacher.file, "other": name, "measures": rows} for name, rows in found], as_json)


@app.command(
    epilog="Example: bequest measure similarity teacher.npz student.npz --null before-a.npz before-b.npz"
)
def similarity(
    files: Annotated[list[Path], typer.Argument(help=".npz with x (N, ...), and ids if there are any.")],
    null: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two files that share nothing learnt: untrained networks."),
    ] = None,
    ceiling: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two files as alike as can be: two seeds of the teacher.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How alike the first file's representation and each other's are, beside a null and a ceiling."""
    first, *others = _two_or_more(files)
    found = [
        {"file": str(first), "other": str(other), "measures": _similarity(first, other, null, ceiling)}
        for other in others
    ]
    _show(found, as_json)


def _accuracy(p: Predictions) -> Rows:
    import numpy as np

    from bequest import measure as m

    loss = -p.log_probs[np.arange(len(p.truth)), p.truth]
    gaps = ((p.probs - (p.truth[:, None] == np.arange(p.probs.shape[1]))) ** 2).sum(axis=1)
    rows = {"accuracy": _estimate(m.proportion_interval(m.predictions_of(p.log_probs) == p.truth))}
    if p.probs.shape[1] > 5:
        rows["top-5 accuracy"] = _number(m.accuracy(p.log_probs, p.truth, top=5), len(p.truth))
    rows["balanced accuracy"] = _number(m.balanced_accuracy(p.log_probs, p.truth), len(p.truth))
    rows["macro F1"] = _number(m.macro_f1(p.log_probs, p.truth), len(p.truth))
    rows["nll"], rows["brier"] = _mean_of(loss), _mean_of(gaps)
    return rows


def _calibration(p: Predictions, bins: int) -> dict[str, Any]:
    from bequest import measure as m

    probs, truth, n = p.probs, p.truth, len(p.truth)
    rows = {
        "ece, equal width": _estimate(m.calibration_interval(probs, truth, bins=bins)),
        "ece, equal mass": _estimate(m.calibration_interval(probs, truth, bins=bins, binning="mass")),
        "class-wise error": _number(m.classwise_calibration_error(probs, truth, bins=bins), n),
        "mean |confidence - correct|": _number(m.mean_confidence_gap(probs, truth), n),
        "temperature, fitted here": _number(m.fit_temperature(_bounded(p.log_probs), truth), n),
    }
    table = m.reliability(probs, truth, bins=bins)
    columns = ("low", "high", "count", "confidence", "accuracy")
    bars = [
        {name: _plain(getattr(table, name)[b].item()) for name in columns} for b in range(len(table.count))
    ]
    return {"file": p.file, "measures": rows, "bins": bars}


def _agreement(teacher: Predictions, other: Predictions) -> Rows:
    from bequest import measure as m
    from bequest.cli.saved import paired

    counts = len(teacher.log_probs), len(other.log_probs)
    one, two = paired(teacher.ids, other.ids, counts, (teacher.file, other.file))
    t, s = teacher.rows(one), other.rows(two)
    if t.log_probs.shape != s.log_probs.shape:
        raise DataError(
            f"{t.file} and {s.file} differ in classes", expected=t.probs.shape[1], got=s.probs.shape[1]
        )
    theirs, own, n = m.predictions_of(t.log_probs), m.predictions_of(s.log_probs), len(one)
    rows = {
        "agreement": _estimate(m.proportion_interval(theirs == own)),
        "KL(first || other)": _mean_of(m.teacher_student_kl(t.log_probs, s.log_probs)),
    }
    truth = _common_labels(t, s)
    if truth is not None:
        right, own_right = theirs == truth, own == truth
        kappa = m.bootstrap_interval(lambda rows: m.error_consistency(right[rows], own_right[rows]), n)
        rows["error consistency"] = _estimate(kappa)
        rows["agreement on the first's errors"] = _number(
            m.agreement_on_errors(own, theirs, truth), int((~right).sum())
        )
        rows["shared errors (Jaccard)"] = _number(m.error_overlap(right, own_right).jaccard, n)
    return rows


def _similarity(
    first: Path, other: Path, null: tuple[Path, Path] | None, ceiling: tuple[Path, Path] | None
) -> Rows:
    from bequest import measure as m

    pairs = {"value": _features(first, other)}
    pairs |= {name: _features(*files) for name, files in (("null", null), ("ceiling", ceiling)) if files}
    rows: Rows = {}
    for name, measure, most in (
        ("cka", m.cka, None),
        ("rsa", m.rsa, PAIRWISE),
        ("procrustes", m.procrustes, None),
        ("cosine of cosines", m.cosine_of_cosines, PAIRWISE),
    ):
        found = {key: tuple(_thinned(side, most) for side in pair) for key, pair in pairs.items()}
        x, y = found.pop("value")
        rows[name] = _number(measure(x, y), len(x))
        rows[name] |= {key: _plain(measure(*pair)) for key, pair in found.items()}
        rows[name]["shuffled"] = _plain(_mean(m.shuffled_null(measure, x, y, draws=SHUFFLES)))
    return rows


def _thinned(side: Any, most: int | None) -> Any:
    """At most so many samples, evenly spaced; what compares all pairs would need memory with their square."""
    if most is None or len(side) <= most:
        return side
    return side[[k * len(side) // most for k in range(most)]]


def _features(first: Path, other: Path) -> tuple[Any, Any]:
    from bequest.cli.saved import paired, read_features

    (x, ids), (y, other_ids) = read_features(first), read_features(other)
    one, two = paired(ids, other_ids, (len(x), len(y)), (str(first), str(other)))
    return x[one], y[two]


def _common_labels(t: Predictions, s: Predictions) -> Any:
    """The labels that both files agree on; those of one where the other has none; None without any."""
    if t.labels is not None and s.labels is not None and (t.labels != s.labels).any():
        count = int((t.labels != s.labels).sum())
        raise DataError(
            f"{t.file} and {s.file} have different labels",
            expected="one label a sample",
            got=f"{count} that differ",
            remedy="save ids in both files, so that rows are paired",
        )
    return t.labels if t.labels is not None else s.labels


def _two_or_more(files: list[Path]) -> list[Path]:
    if len(files) < 2:
        raise DataError("two files are compared", expected="two files or more", got=len(files))
    return files


def _bounded(log_probs: Any) -> Any:
    """Logits for temperature scaling: what has probability 0 gets that of the smallest number."""
    return log_probs.clip(min=-745.0)


def _mean(values: Any) -> float:
    from bequest.measure import Undefined

    return float(values.mean()) if len(values) else Undefined("no samples")


def _mean_of(values: Any) -> Rows:
    """The mean over samples with its interval; infinite without one where a sample's is."""
    import numpy as np

    from bequest.measure import sample_interval

    if np.isinf(values).any():
        return _number(math.inf, len(values))
    return _estimate(sample_interval(values, method="t"))


def _number(value: float, n: int) -> Rows:
    from bequest.measure import reason_of

    return {"value": _plain(value), "n": n} | ({"reason": reason_of(value)} if math.isnan(value) else {})


def _estimate(found: Estimate) -> Rows:
    row = {"value": _plain(found.value), "n": found.n, "low": _plain(found.low), "high": _plain(found.high)}
    row |= {"level": found.level, "method": found.method}
    return row | ({"reason": found.reason} if found.reason else {})


def _plain(value: float | int) -> float | int | str | None:
    """A JSON value: null where it is undefined, and infinity by name."""
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return None if math.isnan(value) else value


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"results": found}, indent=1, allow_nan=False))
        return
    for result in found:
        heads = [result["file"], *([result["other"]] if "other" in result else [])]
        typer.secho(" | ".join(heads), bold=True)
        width = max(map(len, result["measures"]))
        for name, row in result["measures"].items():
            typer.echo(f"  {name:<{width}}  {_line(row)}")
        if "bins" in result:
            _show_bins(result["bins"])


def _line(row: Rows) -> str:
    parts = [_short(row["value"])]
    if row.get("low") is not None:
        parts.append(f"[{_short(row['low'])}, {_short(row['high'])}]")
    parts += [f"{key} {_short(row[key])}" for key in ("null", "ceiling", "shuffled") if key in row]
    parts.append(f"n {row['n']}")
    return "  ".join(parts) + (f"  ({row['reason']})" if row.get("reason") else "")


def _show_bins(bars: list[dict[str, Any]]) -> None:
    typer.echo(f"  {'confidence':<16}{'count':>8}{'mean':>8}{'accuracy':>10}")
    for bar in bars:
        edges = f"({bar['low']:.3f}, {bar['high']:.3f}]"
        confidence, right = (_short(bar[key]) if bar["count"] else "-" for key in ("confidence", "accuracy"))
        typer.echo(f"  {edges:<16}{bar['count']:>8}{confidence:>8}{right:>10}")


def _short(value: float | str | None) -> str:
    if value is None:
        return "undefined"
    return value if isinstance(value, str) else f"{value:.{DIGITS}f}".replace("-0.000", "0.000")
