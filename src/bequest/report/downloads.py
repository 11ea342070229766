"""The study's data as files inside the page, so that a report alone is enough to go on from."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
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
    embedded: list[Download] = []
    omitted: list[str] = []
    for name, kind, content in filter(None, files):
        href = f"data:{kind};charset=utf-8;base64,{base64.b64encode(content.encode()).decode()}"
        if len(href) > room:
            omitted.append(name)
            continue
        room -= len(href)
        embedded.append(Download(name, href, len(content.encode())))
    return tuple(embedded), tuple(omitted)


def arms_csv(tables: Sequence[ArmsTable]) -> str:
    """The arms tables as CSV, one line for each number; undefined ones are empty and carry their reason."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: no_formula(value) for key, value in line.items()} for line in _flat(tables))
    return lines.getvalue()


def no_formula(value: Any) -> Any:
    """A cell that no spreadsheet computes: an apostrophe before a text that would be read as a formula.

    Numbers stay as they are, negative ones too.

    >>> no_formula("=1+1"), no_formula(-0.5), no_formula("mlp<-cnn")
    ("'=1+1", -0.5, 'mlp<-cnn')
    """
    if not isinstance(value, str):
        return value
    text = re.sub(r"[\t\r\n]", " ", value)  # a bare carriage return would begin a new row
    # Spreadsheets skip leading blanks, so " =1" is a formula as well.
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def arms_json(tables: Sequence[ArmsTable]) -> str:
    """The arms tables as JSON: a list with one object for each number."""
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
