"""The training loop, in reading order: evaluate, select, log, save, stop, step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from bequest.distill.checkpoint import Checkpoint, ignore
from bequest.distill.parallel import Ranks
from bequest.distill.score import Scores
from bequest.distill.trainer import Trainer

STRETCH = 64
"""Steps between reading the losses, which waits for the device, and between chances to save."""

HIGHER_IS_BETTER = {"accuracy": True, "nll": False}


@runtime_checkable
class Callback(Protocol):
    """Called with the epoch and the student, in eval mode, before training and after every epoch."""

    def __call__(self, epoch: int, student: nn.Module) -> object:
        """Evaluate or log the student; must not change it."""
        ...


@dataclass
class Outcome:
    """The outcome of a training run.

    Attributes:
        steps: Optimizer steps taken.
        epochs: Epochs begun, in passes over the training split.
        history: One row per evaluation: epoch, step, mean loss and parts since the last one, scores.
        last: Scores after the last epoch.
        selected: Scores of the epoch whose weights the student has at the end.
        seconds: Wall time of the loop.
    """

    steps: int = 0
    epochs: int = 0
    history: list[Scores] = field(default_factory=list)
    last: Scores = field(default_factory=dict)
    selected: Scores = field(default_factory=dict)
    seconds: float = 0.0


def train(
    trainer: Trainer,
    *,
    steps_per_epoch: int,
    evaluate: Callable[[nn.Module], Scores],
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    log: Callable[[Scores], None] | None = None,
    ranks: Ranks | None = None,
    identity: str = "",
) -> Outcome:
    """Run ``trainer`` to its last step, resuming from a checkpoint if there is one.

    Args:
        trainer: Holds the student; trained in place.
        steps_per_epoch: Steps that count as an epoch.
        evaluate: Scores of a network on the validation split; only the first rank calls it.
        callbacks: Called before training and after every epoch, on the first rank.
        checkpoint: See :func:`bequest.distill.checkpoint.checkpointing`; offered the state after every epoch
            and every 64 steps in between.
        log: Receives each row of the history, on the first rank.
        ranks: The processes that train together.
        identity: A hash of everything that decides the run; a state of another identity is ignored.

    Returns:
        The outcome. The student holds the selected epoch's weights, in eval mode.

    Raises:
        NonFiniteLoss: If the loss stops being finite; names the step and the part.
    """
    started = time.perf_counter()
    run = _Run(trainer, evaluate, steps_per_epoch, callbacks, log, ranks or Ranks())
    # One writer: the ranks hold the same state, and would overwrite each other's file.
    save = checkpoint if checkpoint is not None and run.ranks.first else _keep_nothing
    saved = save(None)
    if saved is not None and saved.get("identity", "") != identity:
        ignore("the checkpoint", "was written by a run with different data, weights or settings")
        saved = None
    saved = run.ranks.shared(saved)
    if saved is None:
        # Before the first step, so that the history has the untrained student; a resumed run has that row.
        run.look(epoch=0)
    else:
        run.restore(saved)
    while not run.ended:
        trainer.advance(run.next_stop())
        if run.at_epoch_end:
            run.look(run.epoch)
        save(lambda: {**run.state(), "identity": identity})
    return run.finish(time.perf_counter() - started)


class _Run:
    """Evaluation, selection and early stopping of one run."""

    def __init__(
        self,
        trainer: Trainer,
        evaluate: Callable[[nn.Module], Scores],
        steps_per_epoch: int,
        callbacks: Sequence[Callback],
        log: Callable[[Scores], None] | None,
        ranks: Ranks,
    ) -> None:
        self.trainer, self.ranks = trainer, ranks
        self.evaluate, self.callbacks, self.log = evaluate, callbacks, log
        self.steps_per_epoch = steps_per_epoch
        self.outcome = Outcome()
        self.best_state: dict[str, Tensor] | None = None
        self.since_best = 0

    @property
    def epoch(self) -> int:
        """Number of epochs that have begun."""
        return -(-self.trainer.taken // self.steps_per_epoch)

    @property
    def at_epoch_end(self) -> bool:
        """True at the end of an epoch, or of the run."""
        return self.trainer.taken % self.steps_per_epoch == 0 or self.at_last_step

    @property
    def at_last_step(self) -> bool:
        return self.trainer.taken >= self.trainer.steps

    @property
    def ended(self) -> bool:
        """True if all steps are taken, or patience is at its end."""
        patience = self.trainer.recipe.patience
        return self.at_last_step or (patience is not None and self.since_best >= patience)

    def next_stop(self) -> int:
        """The step at which this stretch ends: at most 64 further, and never beyond an epoch."""
        taken, length = self.trainer.taken, self.steps_per_epoch
        begun = taken // length * length
        # Multiples of STRETCH from the epoch's start, wherever a run resumes: dropout is seeded at the start
        # of each stretch, so other stretches would draw other numbers.
        stretch_end = begun + ((taken - begun) // STRETCH + 1) * STRETCH
        return min(stretch_end, begun + length, self.trainer.steps)

    def look(self, epoch: int) -> None:
        """Call the callbacks; if an evaluation is due, evaluate, remember the best epoch and log."""
        trainer = self.trainer
        student = trainer.evaluated.eval()
        if self.ranks.first:
            for callback in self.callbacks:
                callback(epoch, student)
        # The last step is always evaluated: "last" weights need scores too.
        if epoch % trainer.recipe.evaluate_every and not self.at_last_step:
            return
        # From the first rank to all: they must agree on the best epoch and on when to stop.
        scores = self.ranks.shared(self.evaluate(student) if self.ranks.first else {})
        row: Scores = {"epoch": epoch, "step": trainer.taken, **trainer.mean_losses(), **scores}
        self.outcome.history.append(row)
        self.outcome.last = {"epoch": epoch, **scores}
        self._remember(scores)
        if self.log is not None and self.ranks.first:
            self.log(row)

    def _remember(self, scores: Scores) -> None:
        select = self.trainer.recipe.select
        measure = "accuracy" if select == "last" else select
        best = self.outcome.selected
        sign = 1.0 if HIGHER_IS_BETTER[measure] else -1.0
        better = not best or sign * (scores[measure] - best[measure]) > 0
        self.since_best = 0 if better else self.since_best + 1
        if better:
            self.outcome.selected = dict(self.outcome.last)
            if select != "last":
                # A copy: state_dict() shares the tensors that the next steps change.
                self.best_state = copy.deepcopy(self.trainer.evaluated.state_dict())

    def state(self) -> dict[str, Any]:
        return {
            "trainer": self.trainer.state(),
            "history": self.outcome.history,
            "last": self.outcome.last,
            "selected": self.outcome.selected,
            "best_state": self.best_state,
            "since_best": self.since_best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.trainer.restore(state["trainer"])
        self.outcome.history = list(state["history"])
        self.outcome.last, self.outcome.selected = dict(state["last"]), dict(state["selected"])
        self.best_state, self.since_best = state["best_state"], state["since_best"]

    def finish(self, seconds: float) -> Outcome:
        if self.trainer.recipe.select == "last":
            self.outcome.selected = dict(self.outcome.last)
        self.trainer.finish(self.best_state)
        self.outcome.steps, self.outcome.epochs = self.trainer.taken, self.epoch
        self.outcome.seconds = seconds
        return self.outcome


def _keep_nothing(state: Callable[[], dict[str, Any]] | None) -> None:
    """The checkpoint of a run that keeps none."""
    del state
