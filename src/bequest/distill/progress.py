"""Progress of a training: a bar in a terminal or notebook, curves in TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from bequest.data.datasets import Split
from bequest.distill.engine import Callback
from bequest.distill.score import score
from bequest.errors import InputError


def named_callback(callback: Callback) -> str:
    """The name of a callback in messages."""
    return getattr(callback, "__qualname__", type(callback).__name__)


@contextmanager
def epoch_bar(name: str, epochs: int, *, show: bool | None = None) -> Iterator[list[Callback]]:
    """Callbacks that draw a bar of ``epochs`` inside the block; none where it is not shown.

    Args:
        name: The text before the bar.
        epochs: Number of epochs.
        show: None: if the error output is a terminal, or in a notebook with ipywidgets.
    """
    from rich.console import Console

    console = Console(stderr=True, emoji=False)
    # Without ipywidgets rich prints a warning and an empty line for each bar.
    in_notebook = console.is_jupyter and find_spec("ipywidgets") is not None
    in_terminal = console.is_terminal and not console.is_jupyter
    if show is False or (show is None and not (in_terminal or in_notebook)):
        yield []
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        # An arm's name may contain "[", which rich would read as markup.
        task = bar.add_task(name.replace("[", r"\["), total=epochs)

        def advance(epoch: int, student: nn.Module) -> None:
            del student
            bar.update(task, completed=epoch)

        yield [advance]


class TensorBoard:
    """A callback that writes a student's scores on a split as event files: ``tensorboard --logdir FOLDER``.

    Args:
        folder: Where the event files go; one folder for each student that is to be compared.
        split: A labelled split, ``data["validation"]`` for instance.
        every: Write after every this many epochs; before training always.
        padding: The padding token.

    Raises:
        InputError: If the package tensorboard is not there (extra ``tensorboard``).
    """

    def __init__(
        self, folder: str | Path, split: Split, *, every: int = 1, padding: int | None = None
    ) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                "event files need tensorboard",
                got=error,
                remedy="python -m pip install -c constraints.txt -e '.[tensorboard]'",
            ) from error
        self.split, self.every, self.padding = split, every, padding
        self._writer = SummaryWriter(str(folder))

    def __call__(self, epoch: int, student: nn.Module) -> None:
        """Write accuracy in [0, 1] and NLL in nats at ``epoch``."""
        if epoch % self.every:
            return
        for name, value in score(student, self.split, padding=self.padding).items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()
