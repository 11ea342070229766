"""``bequest report``: draw the page of one run, or of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "report"
EXAMPLE = "Example: bequest report runs/digits-small -o page.html"


def command(
    folders: Annotated[list[Path], typer.Argument(help="A run folder, or several to compare.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Output file (default: FOLDER/report.html; for several, FIRST/comparison.html).",
        ),
    ] = None,
    as_statement: Annotated[
        bool,
        typer.Option("--statement", help="Instead state what was kept, lost and undecided, as Markdown."),
    ] = False,
) -> None:
    """Write the page of a run from its records, or one page that compares several runs."""
    from bequest.report.terminal_text import safe

    if as_statement:
        _state(folders, out)
        return
    if len(folders) == 1:
        from bequest.report import write_report

        typer.echo(safe(write_report(folders[0], out)))
        return
    from bequest.report.comparison_page import write_comparison

    typer.echo(safe(write_comparison(folders, out)))


def _state(folders: list[Path], out: Path | None) -> None:
    """Print the statement of each run, or write them to a file."""
    from bequest.files import write_text
    from bequest.report.folder import read_run
    from bequest.report.statement import statement
    from bequest.report.terminal_text import safe

    text = "\n---\n\n".join(statement(read_run(folder)) for folder in folders)
    typer.echo(text if out is None else safe(write_text(out, text)), nl=out is not None)
