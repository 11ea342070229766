"""The study's data as files inside the page, so that a report alone is enough to go on from."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bequest.records import Record
from bequest.report.folder import Run
from bequest.report.tables import ArmsTable


@dataclass(frozen=True)
class Download:
    """A file inside the page."""

    name: str
    href: str
    size: int


def downloads(
    run: Run, tables: Sequence[ArmsTable], *, room: int
) -> tuple[tuple[Download, ...], tuple[str, ...]]:
    """The study's data as files of ``room`` bytes in all, and the names of those too large for it."""
    files = [
        ("arms.csv", "text/csv", arms_csv(tables)) if tables else None,
        ("arms.json", "application/json", arms_json(tables)) if tables else None,
        _json("measurements.json", run.measurements),
        _json("claims.json", run.verdicts),
        _json("curves.json", run.curves),
    ]
    kept: list[Download] = []
    left: list[str] = []
    for name, kind, content in filter(None, files):
        href = f"data:{kind};charset=utf-8;base64,{base64.b64encode(content.encode()).decode()}"
        if len(href) > room:
            left.append(name)
            continue
        room -= len(href)
        kept.append(Download(name, href, len(content.encode())))
    return tuple(kept), tuple(left)


def arms_csv(tables: Sequence[ArmsTable]) -> str:
    """The arms tables as CSV, one line a number, undefined ones empty with their reason."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(tables))
    return lines.getvalue()


def arms_json(tables: Sequence[ArmsTable]) -> str:
    """The arms tables as JSON: a list with one object a number."""
    return json.dumps(_flat(tables), ensure_ascii=False, allow_nan=False)


_FIELDS = ("measure", "arm", "role", "split", "value", "low", "high", "n", "reason")


def _flat(tables: Sequence[ArmsTable]) -> list[dict[str, Any]]:
    lines = []
    for table in tables:
        for row in table.rows:
            for split, cell in zip(table.splits, row.cells, strict=True):
                head = (table.measure, row.style.name, row.style.role, split)
                numbers = (cell.value, cell.low, cell.high, cell.n, cell.reason)
                lines.append(dict(zip(_FIELDS, (*head, *numbers), strict=True)))
    return lines


def _json(name: str, records: Sequence[Record]) -> tuple[str, str, str] | None:
    if not records:
        return None
    plain = [record.model_dump(mode="json", exclude_defaults=True) for record in records]
    return (
        name,
        "application/json",
        json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")),
    )
