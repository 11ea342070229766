"""Numbers of ``bequest measure`` as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from bequest.measure import Estimate

DIGITS = 3
Rows = dict[str, Any]
Form = Literal["text", "json", "csv"]
FIELDS = ("value", "low", "high", "level", "n", "method", "null", "ceiling", "shuffled", "reason", "code")
BESIDE = ("null", "ceiling", "shuffled", "p_value", "over seeds")


def row_of(estimate: Estimate, **beside: float) -> Rows:
    """An estimate as a row; undefined numbers are None, and infinite ones have a name."""
    row: Rows = {
        "value": plain(estimate.value),
        "n": estimate.n,
        "low": plain(estimate.low),
        "high": plain(estimate.high),
        "level": estimate.level,
        "method": estimate.method,
    }
    row |= {name: plain(value) for name, value in beside.items()}
    if estimate.reason:
        row |= {"reason": estimate.reason, "code": estimate.code}
    return row


def plain(value: float | int) -> float | int | str | None:
    """A JSON value: null where it is undefined, and infinity by name."""
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return None if math.isnan(value) else value


def show(results: list[dict[str, Any]], form: Form) -> None:
    """Print ``results``: one a file or pair of files, with ``measures`` by name."""
    if form == "json":
        typer.echo(json.dumps({"results": results}, indent=1, allow_nan=False))
    elif form == "csv":
        typer.echo(_csv(results), nl=False)
    else:
        for result in results:
            _show_text(result)


def _csv(results: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "other", "measure", *FIELDS])
    for result in results:
        for name, row in result["measures"].items():
            cells = [_cell(result["file"]), _cell(result.get("other", "")), _cell(name)]
            writer.writerow([*cells, *(_cell(row.get(field)) for field in FIELDS)])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: the file's name comes from outside."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") and value != "-inf":
        return f"'{value}"
    return "" if value is None else value


def _show_text(result: dict[str, Any]) -> None:
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
    parts += [f"{key} {_short(row[key])}" for key in BESIDE if isinstance(row.get(key), (int, float))]
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
