"""The command line's entry: verbs, and errors turned into one message and an exit code."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from bequest.cli import check, data, distill, ls, measure, new, prune, report, run, show, store, theory
from bequest.errors import BequestError

INTERRUPTED = 130

app = typer.Typer(
    name="bequest",
    help="Hand one model's inductive bias to another, and measure what was handed over.",
    epilog="Start with: bequest run digits",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for verb in (run, new, distill, ls, check, show, report, prune):
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
