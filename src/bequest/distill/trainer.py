"""One training step, and everything that it changes. It calls one objective, and knows no method by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bequest.data.batches import UNLABELLED, Batch, Batches, Source
from bequest.distill.devices import batch_to
from bequest.distill.exchange import Exchange
from bequest.distill.objectives import Objective
from bequest.distill.padded import asking
from bequest.distill.parallel import Ranks
from bequest.distill.preflight import check_alive
from bequest.distill.recipe import START, Recipe
from bequest.distill.signal import Answers
from bequest.errors import ConfigError, NonFiniteLoss
from bequest.models.devices import device_of, to_device
from bequest.models.modes import evaluating
from bequest.models.taps import tapped
from bequest.models.tokens import Tokens, full_precision, logits_of
from bequest.seeding import derive

POSITION_LOGIT_AXES = 3
IMAGE_AXES = 4
BATCH_NORM = nn.modules.batchnorm._BatchNorm


class Trainer:
    """A student, its optimizer and everything else that changes from step to step.

    Args:
        student: The network to train, in place.
        batches: The rows of every step.
        objective: Loss of an :class:`Exchange`.
        recipe: How to train.
        steps: Optimizer steps of the whole run, which the schedules refer to.
        signal: Answers for the teachers; None for plain training.
        padding: The padding token; positions that hold it are masked.
        ranks: The processes that train together.
        peers: Networks that take a step of their own on each batch before the student does.
        on_logits: Called with the student's logits of every micro-batch that it trains on.
        name: The student's name in messages.

    Raises:
        InputError: If model, data, signal and objective do not fit together.
    """

    def __init__(
        self,
        student: nn.Module,
        batches: Batches,
        objective: Objective,
        recipe: Recipe,
        *,
        steps: int,
        signal: Answers | None = None,
        padding: int | None = None,
        ranks: Ranks | None = None,
        peers: Sequence[Trainer] = (),
        on_logits: Callable[[Tensor], object] | None = None,
        name: str = "student",
    ) -> None:
        self.student, self.recipe, self.steps, self.name = student, recipe, steps, name
        self.taken = 0
        self.peers = tuple(peers)
        self._batches, self._objective, self._signal = batches, objective, signal
        self._padding, self._on_logits = padding, on_logits
        self._ranks = ranks or Ranks()
        self._device = device_of(student)
        self._network = asking(student, padding)
        self._ranks.copy_from_first(student)
        self.average = _average(student, recipe.ema)
        self._length: int | None = None
        self._answer: Callable[[Tensor], tuple[object, dict[str, Tensor]]] = self._ask
        # The hooks of the taps outlive this block only if nothing in it raised.
        with ExitStack() as tapping:
            self._caught = tapping.enter_context(tapped(student, objective.student_features))
            self._learned = self._prepare()
            self.optimizer = recipe.build_optimizer(student, self._learned)
            self._tapping = tapping.pop_all()
        if recipe.compile:
            self._answer = torch.compile(self._ask)
        self._base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self._factor: float | None = None
        self._parameters = [*student.parameters(), *(self._learned.parameters() if self._learned else ())]
        self._scaler = torch.amp.GradScaler(self._device.type) if recipe.precision == "fp16" else None
        self._names: tuple[str, ...] = ()
        # Losses stay on the device until sum_losses: reading one per step would wait for the device.
        self._pending: list[Tensor] = []
        self._sums: dict[str, float] = {}
        self._counted = 0

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the moving average, if there is one."""
        return self.student if self.average is None else self.average.module

    def advance(self, until: int) -> None:
        """Take steps until ``until`` have been taken.

        Dropout is seeded by the seed, the rank and the step at which this call begins, so that a run that
        resumes there draws the same numbers.

        Raises:
            NonFiniteLoss: Names the step and the part of the loss that is not finite.
        """
        torch.manual_seed(derive(self._batches.seed, "train", self._ranks.rank, self.taken))
        self._train_mode()
        while self.taken < until:
            self.step()
        self.sum_losses()
        self._ranks.average_buffers(self.student)

    def step(self) -> None:
        """One optimizer step, after one of each peer on the same batch."""
        shown = self._batches.at(self.taken, every=self._ranks.world, start=self._ranks.rank)
        batch = batch_to(shown, self._device)
        for peer in self.peers:
            peer.learn(batch)
        self.learn(batch)

    def learn(self, batch: Batch) -> None:
        """One optimizer step on ``batch``, which may be one rank's part of the whole."""
        self._set_rates()
        if self.recipe.accumulate == self._ranks.world == 1:
            self._backward(batch, None, batch.labelled)
        else:
            rows, labelled = self._counts(batch)
            for piece in batch.pieces(self.recipe.accumulate):
                self._backward(piece, rows, labelled)
        self._update()
        self.taken += 1

    def sum_losses(self) -> None:
        """Add up the losses since the last call, over all ranks.

        Raises:
            NonFiniteLoss: Names the step and the part of the loss that is not finite.
        """
        for peer in self.peers:
            peer.sum_losses()
        if not self._pending:
            return
        pieces = torch.stack(self._pending).double().view(-1, self.recipe.accumulate, len(self._names))
        values = self._ranks.sum(pieces.sum(1)).cpu()
        self._pending.clear()
        finite = torch.isfinite(values)
        if not bool(finite.all()):
            first = int((~finite.all(1)).nonzero()[0, 0])
            wrong = [name for name, good in zip(self._names, finite[first].tolist(), strict=True) if not good]
            raise self._not_finite(self.taken - len(values) + first, wrong)
        for name, total in zip(self._names, values.sum(0).tolist(), strict=True):
            self._sums[name] = self._sums.get(name, 0.0) + total
        self._counted += len(values)

    def mean_losses(self) -> dict[str, float]:
        """Means of the loss and its parts since the last call."""
        self.sum_losses()
        means = {name: total / max(1, self._counted) for name, total in self._sums.items()}
        self._sums, self._counted = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to resume bit for bit."""
        self.sum_losses()
        return {
            "taken": self.taken,
            "student": self.student.state_dict(),
            "learned": _state_or_none(self._learned),
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "average": _state_or_none(self.average),
            "chosen": self._batches.state(),
            "sums": dict(self._sums),
            "counted": self._counted,
            "peers": [peer.state() for peer in self.peers],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from the :meth:`state` of another process."""
        self.taken = state["taken"]
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        # The next step sets the rates afresh, whatever factor the optimizer was saved with.
        self._factor = None
        for part, saved in (
            (self._learned, state["learned"]),
            (self.average, state["average"]),
            (self._scaler, state["scaler"]),
        ):
            if part is not None and saved is not None:
                part.load_state_dict(saved)
        self._batches.restore(state["chosen"])
        self._sums, self._counted = dict(state["sums"]), state["counted"]
        for peer, saved in zip(self.peers, state["peers"], strict=True):
            peer.restore(saved)

    def finish(self, selected: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The student in eval mode, with the weights ``selected``, or the current ones."""
        if selected is not None:
            self.evaluated.load_state_dict(selected)
        if self.average is not None:
            self.student.load_state_dict(self.average.module.state_dict())
        self.close()
        return self.student.eval()

    def close(self) -> None:
        """Remove the hooks on the student, and release its activations."""
        for trainer in (self, *self.peers):
            trainer._tapping.close()
            trainer._caught.clear()

    def _prepare(self) -> nn.Module | None:
        """Try the objective on the first batch; returns its learned parameters, if any."""
        batch = batch_to(self._batches.at(0), self._device)
        if self.recipe.channels_last:
            if batch.x.ndim != IMAGE_AXES:
                shape = tuple(batch.x.shape[1:])
                raise ConfigError.of("recipe", [f"channels_last: needs images (C, H, W), not inputs {shape}"])
            self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluating(self.student):
            exchange = self._exchange(batch, None, batch.labelled)
            logits = exchange.student_logits
            self._length = logits.shape[1] if logits.ndim == POSITION_LOGIT_AXES else None
            self._objective.check(exchange)
            learned = self._objective.module(exchange, seed=self._batches.seed)
            if self._signal is not None:
                check_alive(self._objective, exchange, learned)
        return learned.to(self._device) if learned is not None else None

    def _backward(self, piece: Batch, rows: int | None, labelled: int | None) -> None:
        exchange = self._exchange(piece, rows, labelled)
        if self._on_logits is not None:
            self._on_logits(exchange.student_logits.detach())
        loss, parts = self._objective(exchange, self._learned)
        torch.autograd.backward(loss if self._scaler is None else self._scaler.scale(loss))
        if not self._names:
            self._names = ("loss", *parts)
        self._pending += [loss.detach(), *parts.values()]

    def _exchange(self, piece: Batch, rows: int | None, labelled: int | None) -> Exchange:
        logits, features = self._signal.answer(piece) if self._signal is not None else ((), ())
        x = piece.x if piece.seen is None else piece.seen
        x = x.to(memory_format=torch.channels_last) if self.recipe.channels_last else x
        with self._autocast():
            output, caught = self._answer(x)
        tokens = full_precision(output.tokens) if isinstance(output, Tokens) else None
        answer = full_precision(logits_of(output))
        return Exchange(
            student_logits=answer,
            labels=piece.labels,
            partner_labels=piece.partner_labels,
            label_weight=piece.label_weight,
            mask=self._mask(piece.x) if answer.ndim == POSITION_LOGIT_AXES else None,
            teacher_logits=logits,
            student_tokens=tokens,
            student_features={name: full_precision(values) for name, values in caught.items()},
            teacher_features=features,
            clean_logits=self._clean_logits(piece) if self._objective.reads_clean else None,
            rows=rows,
            labelled=labelled,
            step=self.taken,
            steps=self.steps,
        )

    @torch.no_grad()
    def _clean_logits(self, piece: Batch) -> Tensor | None:
        """The student's answers in eval mode to the unchanged samples; None for generated inputs."""
        samples = []
        for part in piece.parts:
            source = self._batches.sources[part.source]
            if not isinstance(source, Source):
                return None
            samples.append(source.split.x.index_select(0, part.rows))
        clean = to_device(torch.cat(samples), self._device)
        with evaluating(self.student), self._autocast():
            return full_precision(logits_of(self._network(clean)))

    def _ask(self, x: Tensor) -> tuple[object, dict[str, Tensor]]:
        """The student's output and the activations that the objective reads."""
        output = self._network(x)
        return output, dict(self._caught)

    def _update(self) -> None:
        self._ranks.sum_gradients(self._parameters)
        for group in self.optimizer.param_groups:
            if self.taken < group.get(START, 0.0) * self.steps:
                for parameter in group["params"]:
                    parameter.grad = None  # still frozen: optimizers skip parameters without gradient
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        # L1 and clipping need gradients in their true scale.
        if self._scaler is not None and (self.recipe.clip is not None or self.recipe.l1):
            self._scaler.unscale_(self.optimizer)
        if self.recipe.l1:
            _add_l1(trained, self.recipe.l1)
        # After L1, so that the norm is that of the whole gradient.
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(trained, self.recipe.clip)
        if self._scaler is None:
            self.optimizer.step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()
        for parameter in self._parameters:
            parameter.grad = None
        if self.average is not None:
            self.average.update_parameters(self.student)

    def _counts(self, batch: Batch) -> tuple[int, int | None]:
        """Positions and labels that count in the whole batch, over all pieces and ranks."""
        if self._length is None and batch.labelled is not None:
            return self._batches.batch, batch.labelled
        seen = self._mask(batch.x) if self._length is not None else None
        rows = len(batch.x) * (self._length or 1) if seen is None else int(seen.sum())
        labelled = 0
        if batch.labels is not None:
            with_label = batch.labels != UNLABELLED
            labelled = int((with_label if seen is None or with_label.ndim == 1 else with_label & seen).sum())
        totals = self._ranks.sum(torch.tensor([rows, labelled], device=self._device)).tolist()
        return totals[0], totals[1]

    def _mask(self, x: Tensor) -> Tensor | None:
        """True where a position of a sequence counts."""
        return None if self._padding is None else torch.ne(x, self._padding)

    def _train_mode(self) -> None:
        for trainer in (self, *self.peers):
            trainer.student.train()
            if trainer.recipe.freeze_batchnorm:
                for module in trainer.student.modules():
                    if isinstance(module, BATCH_NORM):
                        module.eval()

    def _set_rates(self) -> None:
        factor = self.recipe.schedule.value(self.taken, self.steps)
        if factor != self._factor:
            self._factor = factor
            for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
                group["lr"] = base * factor

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.recipe.precision == "float32":
            return nullcontext()
        dtype = torch.bfloat16 if self.recipe.precision == "bf16" else torch.float16
        return torch.autocast(self._device.type, dtype=dtype)

    def _not_finite(self, step: int, names: Sequence[str]) -> NonFiniteLoss:
        return NonFiniteLoss(
            f"the loss of the {self.name} is not finite at step {step} of {self.steps}",
            expected="a finite loss",
            got=f"{', '.join(names)} not finite",
            remedy="lower the learning rate, clip gradients, or check the teacher's logits",
        )


def _add_l1(parameters: Sequence[nn.Parameter], strength: float) -> None:
    """Add the gradient of strength · Σ|w| over matrices; 0 where w is 0."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.ndim > 1:
            parameter.grad.add_(parameter.detach().sign(), alpha=strength)


def _average(student: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(student, multi_avg_fn=average, use_buffers=True)


def _state_or_none(part: nn.Module | None) -> dict[str, Any] | None:
    return None if part is None else part.state_dict()
