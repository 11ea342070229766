"""``bequest report``: draw a run's page anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "report"
EXAMPLE = "Example: bequest report runs/digits-small -o page.html"


def command(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The page [FOLDER/report.html].")] = None,
) -> None:
    """Draw the page of a run from its records."""
    from bequest.report import write_report

    typer.echo(write_report(folder, out))
