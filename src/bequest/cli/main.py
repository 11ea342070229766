"""The command line's entry: verbs, and errors turned into one message and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import traceback
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
from bequest.errors import BequestError, InputError
from bequest.interrupts import like_ctrl_c
from bequest.memory import collect_seldom
from bequest.printable import safe

INTERRUPTED = 130

SCARCE = 16 << 20
"""Where so many bytes cannot be had, memory is short."""

OF_A_NAME = {errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP}
"""Errors of the system that say that a name on the command line is wrong."""

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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
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
    collect_seldom()
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
    except OSError as error:
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(InputError.exit_code if error.errno in OF_A_NAME else 1)
    except KeyboardInterrupt:
        _interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            _interrupted()
        raise
    except Exception as error:
        _complain(_unexpected(error))
        sys.exit(1)


def _unexpected(error: Exception) -> BequestError:
    """One message for what nobody foresaw; the traceback goes to a file, for whoever mends it."""
    if _ran_out(error):
        remedy = "give it more, or choose a smaller batch, fewer workers or less data"
        return BequestError("out of memory", got=_line(error), remedy=remedy)
    remedy = "please report it"
    with contextlib.suppress(OSError):
        handle, path = tempfile.mkstemp(prefix="bequest-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
            traceback.print_exc(file=file)
        remedy = f"please report it, with the traceback in {path}"
    return BequestError("bequest itself failed: this is a bug", got=_line(error), remedy=remedy)


def _ran_out(error: Exception) -> bool:
    """Whether memory ran out: what was short of it may have raised anything.

    PyTorch has a type for that on GPUs only; on a CPU its RuntimeError names the allocator.
    """
    if type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error):
        return True
    try:
        bytes(SCARCE)
    except MemoryError:
        return True
    return isinstance(error, MemoryError)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _complain(error: object) -> None:
    try:
        _print(error)
    except MemoryError:  # what is left is too little for a line in colours
        os.write(2, b"error: out of memory\n")


def _print(error: object) -> None:
    console = _errors()
    console.print("error:", style="bold red", end=" ")
    console.print(safe(error), markup=False)


def _interrupted() -> None:
    _errors().print("interrupted; the same command resumes")


def _errors() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


if __name__ == "__main__":
    main()
