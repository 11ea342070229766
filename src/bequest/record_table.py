"""Records of one kind as a table: a sequence of rows, dictionaries, a pandas frame, HTML in a notebook."""

from __future__ import annotations

import html
from typing import Any, TypeVar

from bequest.errors import MissingExtra
from bequest.records import Record

R = TypeVar("R", bound=Record)

SHOWN_ROWS = 20
"""Rows shown in a notebook; the rest is counted."""


class RecordTable(tuple[R, ...]):
    """A tuple of records, in their order.

    >>> from bequest.records import Measurement
    >>> table = RecordTable([Measurement(measure="accuracy", arm="cnn", value=0.97, n=5)])
    >>> table
    RecordTable(1 Measurement)
    >>> table.to_dicts()[0]["value"]
    0.97
    """

    __slots__ = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary of plain values for each record, by the names of its fields."""
        return [record.model_dump(mode="json") for record in self]

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each record and a column for each field.

        Raises:
            MissingExtra: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtra(
                "a data frame needs pandas", remedy="python -m pip install pandas, or to_dicts()", got=error
            ) from error
        return pandas.DataFrame(self.to_dicts())

    def __repr__(self) -> str:
        kinds = sorted({type(record).__name__ for record in self})
        return f"RecordTable({' '.join([f'{len(self):,}', *kinds])})"

    def _repr_html_(self) -> str:
        """The first rows; columns that are empty in every record are left out."""
        rows = self.to_dicts()
        columns = [key for key in (rows[0] if rows else ()) if any(row[key] not in EMPTY for row in rows)]
        heads = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(row[column])}</td>" for column in columns) + "</tr>"
            for row in rows[:SHOWN_ROWS]
        )
        rest = len(rows) - SHOWN_ROWS
        more = f"<p>and {rest:,} more</p>" if rest > 0 else ""
        return f"<table><tr>{heads}</tr>{body}</table>{more}"


EMPTY: tuple[object, ...] = (None, "", {}, [])
"""Values that are shown as an empty cell."""


def _cell(value: object) -> str:
    if value in EMPTY:
        return ""
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))
