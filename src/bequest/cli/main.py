"""The command line's entry: verbs, and errors turned into one message and an exit code."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console

from bequest.cli import (
    check,
    data,
    distill,
    export,
    ls,
    measure,
    new,
    prune,
    report,
    run,
    show,
    store,
    theory,
)
from bequest.errors import BequestError

INTERRUPTED = 130

app = typer.Typer(
    name="bequest",
    help="Hand one model's inductive bias to another, and measure what was handed over.",
    epilog="Start with: bequest run digits",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"bequest {metadata.version('bequest')}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version, and stop.")
    ] = False,
) -> None:
    """Hand one model's inductive bias to another, and measure what was handed over."""
    del version


for verb in (run, new, distill, ls, check, show, report, prune, export):
    app.command(name=verb.NAME, epilog=verb.EXAMPLE)(verb.command)
app.add_typer(measure.app, name="measure")
app.add_typer(store.app, name="store")
app.add_typer(data.app, name="data")
app.add_typer(theory.app, name="theory")


def main() -> None:
    """Run the command line: one message and an exit code for whatever is wrong."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app()
    except BequestError as error:
        console.print("error:", style="bold red", end=" ")
        console.print(str(error), markup=False)
        sys.exit(error.exit_code)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            console.print("interrupted; the same command resumes")
        raise


if __name__ == "__main__":
    main()
