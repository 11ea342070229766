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
    watch,
    work,
)
from bequest.cli.output import OutputError, lasting_output
from bequest.errors import BequestError
from bequest.interrupts import like_ctrl_c

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


for verb in (run, work, watch, new, distill, ls, check, show, report, prune, export):
    app.command(name=verb.NAME, epilog=verb.EXAMPLE)(verb.command)
app.add_typer(measure.app, name="measure")
app.add_typer(store.app, name="store")
app.add_typer(data.app, name="data")
app.add_typer(theory.app, name="theory")


def main() -> None:
    """Run the command line: one message and an exit code for whatever is wrong."""
    try:
        with lasting_output(), like_ctrl_c():
            _run()
    except OutputError as error:
        _complain(error)
        sys.exit(error.exit_code)


def _run() -> None:
    try:
        app()
    except OutputError:
        raise
    except BequestError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except MemoryError:
        _complain("out of memory; give it more, or choose a smaller batch, fewer workers or less data")
        sys.exit(1)
    except OSError as error:
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(1)
    except KeyboardInterrupt:
        _interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            _interrupted()
        raise


def _complain(error: object) -> None:
    from bequest.report.terminal_text import safe

    console = _errors()
    console.print("error:", style="bold red", end=" ")
    console.print(safe(error), markup=False)


def _interrupted() -> None:
    _errors().print("interrupted; the same command resumes")


def _errors() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
