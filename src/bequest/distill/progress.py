"""What is shown while a student trains: a bar in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from bequest.distill.engine import Callback


def named_callback(callback: Callback) -> str:
    """What messages call a callback."""
    return getattr(callback, "__qualname__", type(callback).__name__)


@contextmanager
def epoch_bar(name: str, epochs: int, *, show: bool | None = None) -> Iterator[list[Callback]]:
    """Callbacks that draw a bar of ``epochs`` inside the block; none where it is not shown.

    Args:
        name: What stands before the bar.
        epochs: How many there will be.
        show: None: where the error output is a terminal, or in a notebook.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if show is False or (show is None and not (console.is_terminal or console.is_jupyter)):
        yield []
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name.replace("[", r"\["), total=epochs)

        def advance(epoch: int, student: nn.Module) -> None:
            del student
            bar.update(task, completed=epoch)

        yield [advance]
