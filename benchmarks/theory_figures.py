"""The figures and the tables of docs/theory.md, from a run of the study and a check against simulation.

Usage: python benchmarks/theory_figures.py RUN CHECK.json [--to docs/figures]

RUN is the folder of ``bequest run saglietti2020``, CHECK.json what ``benchmarks/theory_check.py`` printed.
Writes SVG files, and prints the tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bequest.records import Curve, Point
from bequest.report.curve_charts import chart_figure
from bequest.report.folder import read_run
from bequest.report.heat_maps import heat_figure
from bequest.report.palette import styles
from bequest.report.svg_file import write_picture

CHARTS = {
    "theory/the teacher's penalty": "theory-penalty",
    "theory/double descent": "theory-descent",
    "theory/both penalties": "theory-plane",
    "theory/where distillation helps": "theory-gain",
    "theory/the mix of labels and logits": "theory-mix",
    "theory/generations": "theory-generations",
}
ORDER = [f"{a}.{name}" for a in (0, 1) for name in ("m", "q", "b", "error")] + ["1.overlap"]
SCALED = {"1.m": "student m", "1.q": "student q", "1.b": "student b", "1.overlap": "overlap"}


def study_figures(run_folder: Path, to: Path) -> None:
    run = read_run(run_folder)
    found = styles(run.study.arms, [curve.arm for curve in run.curves])
    for chart, name in CHARTS.items():
        curves = [curve for curve in run.curves if curve.chart == chart]
        draw = heat_figure if curves[0].kind == "map" else chart_figure
        write_picture(to / f"{name}.svg", draw(chart, curves, found))


def scaling_figure(rows: dict[str, dict[str, Any]], to: Path) -> None:
    curves = [
        Curve(
            chart="theory/finite size",
            arm=title,
            x_title="inputs N",
            y_title="standard deviation between draws",
            points=tuple(
                Point(x=x, y=y) for x, y in zip(rows[key]["inputs"], rows[key]["spread"], strict=True)
            ),
        )
        for key, title in SCALED.items()
    ]
    figure = chart_figure("theory/finite size", curves, styles((), SCALED.values()))
    write_picture(to / "theory-scaling.svg", figure)


def point_table(points: list[dict[str, Any]]) -> str:
    lines = [
        "| α | Δ | ρ | λₜ | λₛ | η | χ | T | teacher: theory | simulation ± | student: theory | simulation ± "
        "| largest of nine |",
        "|" + "---|" * 13,
    ]
    for one in points:
        seen = one["observed"]
        cells = [f"{value:g}" for value in one["point"].values()]
        for a in (0, 1):
            row = seen[f"{a}.error"]
            cells += [f"{row['theory']:.5f}", f"{row['mean']:.5f} ± {row['standard_error']:.5f}"]
        cells.append(f"{max(abs(seen[name]['deviation']) for name in ORDER):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scaling_table(rows: dict[str, dict[str, Any]]) -> str:
    sizes = [f"{size:g}" for size in rows["1.q"]["inputs"]]
    lines = [
        "| | " + " | ".join(f"N = {size}" for size in sizes) + " | exponent |",
        "|" + "---|" * (len(sizes) + 2),
    ]
    for key in ("0.m", "0.q", "0.b", *SCALED):
        row, who = rows[key], ("teacher", "student")[int(key[0])]
        spread = " | ".join(f"{value:.4f}" for value in row["spread"])
        lines.append(f"| spread of {who} {key[2:]} | {spread} | {row['spread_exponent']:.2f} |")
    for key in ("1.q", "1.overlap", "1.training_error"):
        row, who = rows[key], ("teacher", "student")[int(key[0])]
        pairs = zip(row["bias"], row["standard_error"], strict=True)
        bias = " | ".join(f"{value:+.4f} ± {sure:.4f}" for value, sure in pairs)
        power = "not seen" if row["bias_exponent"] is None else f"{row['bias_exponent']:.2f}"
        lines.append(f"| bias of {who} {key[2:].replace('_', ' ')} | {bias} | {power} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("check", type=Path)
    parser.add_argument("--to", type=Path, default=Path("docs/figures"))
    options = parser.parse_args()
    check = json.loads(options.check.read_text())
    rows = {f"{row['learner']}.{row['observable']}": row for row in check["scaling"]}
    study_figures(options.run, options.to)
    scaling_figure(rows, options.to)
    seen = [row["deviation"] for one in check["points"] for row in one["observed"].values()]
    print(point_table(check["points"]))
    print(f"\n{sum(abs(d) > 3 for d in seen)} of {len(seen)} observables beyond three standard errors")
    print("\n" + scaling_table(rows))


if __name__ == "__main__":
    main()
