"""How a student is trained: everything about the loop that is not data, model or objective."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from bequest.config import Config
from bequest.distill.fine_tuning import heights_of, start_of
from bequest.distill.schedules import Constant, Schedule
from bequest.errors import ConfigError, ModelError
from bequest.models.taps import head_of
from bequest.registry import Registry, nearest

OPTIMIZERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry("optimizer")
for _name in ("Adam", "AdamW", "SGD", "RMSprop", "NAdam", "RAdam", "Adagrad", "Adamax"):
    OPTIMIZERS.add(_name.lower(), getattr(torch.optim, _name))

FUSED = ("adam", "adamw", "sgd", "adagrad")
"""Optimizers with a fused implementation, which is twice as fast on small networks."""

START = "start"
"""Key of an optimizer's parameter group: the share of the run after which the group learns."""

SHOWN = 8
"""Parameter names shown in the error for a pattern that fits none."""


class Recipe(Config):
    """The training recipe.

    Attributes:
        optimizer: A name of torch.optim, in lower case.
        lr: Peak learning rate; ``schedule`` multiplies it.
        rates: Patterns on parameter names to factors on ``lr``, such as ``{"head.*": 10, "body.*": 0.1}``;
            the first that fits counts, and 0 freezes a parameter. The parameters of an objective are called
            ``objective.*``.
        head_rate: Factor on ``lr`` for the head, the last linear layer; ``rates`` take precedence.
        layer_decay: Factor on the rate of each layer relative to the one above; the head has the full rate.
            ``rates`` multiply it. For what a layer is see :func:`bequest.distill.fine_tuning.layers_of`.
        unfreeze: Gradual unfreezing: the head learns from the first step, the layers below it join one by one
            over this share of the run. What has not joined is as if its rate were 0.
        weight_decay: As the optimizer defines it; not applied to biases and normalisation.
        l1: Strength of an L1 penalty: l1 · Σ|w| over matrices, by its gradient; it is not in the loss that is
            logged.
        options: Further arguments of the optimizer, such as ``betas`` or ``momentum``.
        schedule: Factor on the learning rate as a function of the step.
        batch: Rows per step, over all sources and ranks.
        epochs: Passes over the training split; they define the number of steps for other sources too.
        steps: Optimizer steps; overrides ``epochs``.
        accumulate: Micro-batches per step.
        clip: Largest gradient norm; None: no clipping.
        ema: Decay of an exponential moving average of the weights, which is evaluated and kept instead.
        precision: ``bf16`` and ``fp16`` run the forward pass under autocast.
        compile: Run the student through torch.compile.
        channels_last: Lay images out as NHWC.
        freeze_batchnorm: Keep BatchNorm's running statistics as they are.
        evaluate_every: Epochs between evaluations on the validation split.
        select: Whose weights are kept: the ``last`` epoch's, or those best on validation by
            ``accuracy`` or ``nll``.
        patience: Stop after this many evaluations without improvement; None: never.
    """

    optimizer: str = "adam"
    lr: float = Field(1e-3, gt=0)
    rates: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    head_rate: float | None = Field(None, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    unfreeze: float | None = Field(None, gt=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    l1: float = Field(0.0, ge=0)
    options: dict[str, Any] = Field(default_factory=dict)
    schedule: Schedule = Constant()
    batch: int = Field(64, ge=1, le=1 << 24)
    epochs: int | None = Field(60, ge=0)
    steps: int | None = Field(None, ge=0)
    accumulate: int = Field(1, ge=1)
    clip: float | None = Field(None, gt=0)
    ema: float | None = Field(None, gt=0, lt=1)
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    compile: bool = False
    channels_last: bool = False
    freeze_batchnorm: bool = False
    evaluate_every: int = Field(1, ge=1)
    select: Literal["last", "accuracy", "nll"] = "last"
    patience: int | None = Field(None, ge=1)

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, value: str) -> str:
        if value not in OPTIMIZERS:
            raise ValueError(f"there is no optimizer {value!r}; known: {', '.join(OPTIMIZERS)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.epochs is None and self.steps is None:
            raise ValueError("give epochs or steps")
        if "weight_decay" in self.options or "lr" in self.options:
            raise ValueError("options: lr and weight_decay have their own fields")
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} is not a multiple of accumulate {self.accumulate}")
        return self

    def steps_per_epoch(self, samples: int) -> int:
        """Steps in a pass over ``samples`` training samples."""
        # An incomplete last batch is dropped, but a small split still has a step.
        return max(1, samples // self.batch)

    def total_steps(self, samples: int) -> int:
        """Steps of the whole run."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 0) * self.steps_per_epoch(samples)

    def build_optimizer(self, student: nn.Module, learned: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimizer over the trainable parameters of the student, and of its objective if it has some.

        Raises:
            ConfigError: If a pattern of ``rates`` fits no parameter, or the optimizer refuses its options.
            ModelError: If the student has sparse gradients.
        """
        _refuse_sparse_gradients(student)
        named = dict(student.named_parameters())
        if learned is not None:
            named |= {f"objective.{name}": value for name, value in learned.named_parameters()}
        heights = heights_of(student) if self.layer_decay < 1 or self.unfreeze else {}
        trainable = {name: value for name, value in named.items() if value.requires_grad}
        factors = {name: self._factor(name, 1.0) for name in trainable}
        if self.head_rate is not None:
            head = head_of(student)[0]
            names = [name for name in factors if name.startswith(f"{head}.")]
            factors |= {name: self._factor(name, self.head_rate) for name in names}
        # ``factors`` is complete now: patterns first, the head's rate where no pattern fits.
        groups = self._groups(trainable, factors, heights)
        options = dict(self.options)
        if self.optimizer in FUSED:
            options.setdefault("fused", True)
        try:
            return OPTIMIZERS[self.optimizer](groups, lr=self.lr, **options)
        except (TypeError, ValueError) as error:
            raise ConfigError.of("recipe", [f"options: {self.optimizer} rejects them: {error}"]) from None

    def _groups(
        self, named: Mapping[str, nn.Parameter], factors: Mapping[str, float], heights: Mapping[str, int]
    ) -> list[dict[str, Any]]:
        """Parameter groups with one rate, decay and start each; matrices decay, vectors do not."""
        # fnmatchcase, as fnmatch ignores the case on Windows.
        unused = [p for p in self.rates if not any(fnmatchcase(name, p) for name in named)]
        if unused:
            raise ConfigError.of("recipe", [f"rates: {_no_parameter(p, named)}" for p in unused])
        top = max(heights.values(), default=0)
        groups: dict[tuple[float, float, float], list[nn.Parameter]] = {}
        for name, parameter in named.items():
            if factors[name] > 0:
                height = heights.get(name, 0)
                factor = factors[name] * self.layer_decay**height
                decay = self.weight_decay if parameter.ndim > 1 else 0.0
                start = start_of(height, top, self.unfreeze or 0.0)
                groups.setdefault((factor, decay, start), []).append(parameter)
        if not groups:
            raise ConfigError.of("recipe", ["rates: no parameter is left to train"])
        return [
            {"params": parameters, "lr": self.lr * factor, "weight_decay": decay, START: start}
            for (factor, decay, start), parameters in groups.items()
        ]

    def _factor(self, name: str, otherwise: float) -> float:
        return next((f for pattern, f in self.rates.items() if fnmatchcase(name, pattern)), otherwise)


def _refuse_sparse_gradients(student: nn.Module) -> None:
    """Refuse them: few optimizers support sparse gradients, and no fused one does."""
    for name, module in student.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            raise ModelError(
                "a student with sparse gradients cannot be trained",
                expected="nn.Embedding(..., sparse=False)",
                got=f"sparse=True in {name or 'the student itself'!r}",
                remedy="set sparse=False on the module; the network stays the same",
            )


def _no_parameter(pattern: str, named: Iterable[str]) -> str:
    names = sorted(named)
    close = nearest(pattern, names, count=1, likeness=0.5)  # looser than usual, as "*" matches no letter
    shown = ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
    hint = f"did you mean {close[0]!r}?" if close else f"there are {shown}"
    return f"{pattern!r} matches no parameter; {hint}"
