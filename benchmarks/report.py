"""The report page: seconds to build it and its size, beside what a Vega-Lite page of the same charts takes.

Usage: python benchmarks/report.py RUN_FOLDER
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from bequest.report import write_report


def seconds(work, times: int) -> float:
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return min(durations)


def ours(folder: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "report.html"
        first = seconds(lambda: write_report(folder, out), 1)
        again = seconds(lambda: write_report(folder, out), 5)
        text = out.read_text()
    charts = sum(text.count(f'<div class="{kind}') for kind in ("panel ", 'panel"', 'rows"'))
    return {"first_s": first, "again_s": again, "bytes": len(text.encode()), "charts": charts}


def vega(charts: int) -> dict[str, float] | None:
    """Static Vega-Lite charts of 8 lines with 60 points each, and the script that interactive ones need."""
    try:
        import vl_convert
    except ImportError:
        return None
    values = [{"x": x, "y": (x * (k + 1)) % 17, "arm": f"arm {k}"} for k in range(8) for x in range(60)]
    spec = {
        "data": {"values": values},
        "mark": "line",
        "width": 320,
        "encoding": {
            "x": {"field": "x"},
            "y": {"field": "y", "type": "quantitative"},
            "color": {"field": "arm"},
        },
    }

    def draw() -> None:
        for _ in range(charts):
            vl_convert.vegalite_to_svg(spec)

    first = seconds(draw, 1)
    start = time.perf_counter()
    script = len(vl_convert.javascript_bundle())
    return {
        "svg_first_s": first,
        "svg_again_s": seconds(draw, 3),
        "script_s": time.perf_counter() - start,
        "script_bytes": script,
    }


def main() -> None:
    page = ours(sys.argv[1])
    other = vega(int(page["charts"]))
    ratios = other and {
        "static_vega_over_ours_s": other["svg_again_s"] / page["again_s"],
        "vega_script_over_our_page_bytes": other["script_bytes"] / page["bytes"],
    }
    print(json.dumps({"ours": page, "vega": other, "ratios": ratios}, indent=1))


if __name__ == "__main__":
    main()
