"""Teachers: networks that answer, and must not change while they do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from bequest.data.batches import AnySource, Batch, Batches
from bequest.distill.padded import ATTENTION_MASK, asking, attention_mask
from bequest.distill.parallel import Ranks
from bequest.distill.recipe import Recipe
from bequest.errors import ModelError, TeacherChanged
from bequest.models.devices import device_of, to_device
from bequest.models.modes import modes_of, set_modes
from bequest.models.network_checks import checked_module, explained
from bequest.models.taps import known_activations, tapped
from bequest.models.tokens import full_precision, logits_of
from bequest.models.weights import weights_digest

if TYPE_CHECKING:
    from bequest.distill.trainer import Trainer

Mode = Literal["eval", "noisy", "online"]
Precision = Literal["float32", "bf16", "fp16"]


class AnyTeacher(ABC):
    """A network that answers for a student: frozen (:class:`Teacher`), or learning alongside it.

    Attributes:
        name: Its name in the record.
        mode: Its mode in the record.
        digest: Of parameters and buffers at construction.
        classes: Names in the order of its logits, if known.
    """

    name: str
    mode: Mode
    digest: str
    classes: tuple[str, ...] | None = None
    _model: nn.Module
    _adapter: Callable[[Tensor], Tensor] | None
    _ask: Callable[[Tensor], object]
    _padding: int | None = None

    @property
    def learns(self) -> bool:
        """Whether it takes steps of its own while the student trains, for which it needs labels."""
        return False

    @property
    def repeatable(self) -> bool:
        """Whether the same input always gets the same answer, so that answers can be looked up."""
        return False

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Logits for ``x``, in float32 at least, without gradient."""

    @abstractmethod
    def evaluated(self, x: Tensor) -> Tensor:
        """Logits for ``x`` in eval mode, whatever the mode is."""

    @property
    def network(self) -> nn.Module:
        """The network itself; it belongs to the caller and must not be changed."""
        return self._model

    @property
    def notes(self) -> list[str]:
        """Sentences about it that a reader of the record should know."""
        return []

    @property
    def device(self) -> torch.device:
        """The device that the teacher answers on."""
        return device_of(self._model)

    def to(self, device: torch.device) -> None:
        """Move the network, which is the caller's, to ``device``."""
        self._model.to(device)

    def prepare(self, sources: Sequence[AnySource], seed: int, padding: int | None = None) -> None:
        """Prepare for the queries of a lesson; called before the first one.

        Args:
            sources: The sources of the batches.
            seed: The seed of the views.
            padding: The padding token; a network that takes an attention mask gets one.
        """
        del sources, seed
        self._padding = padding
        self._ask = asking(self._model, padding)

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether an answer depends on the other rows of its batch, through BatchNorm."""
        trains = self.mode != "eval"
        return trains and any(isinstance(module, _BatchNorm) for module in self._model.modules())

    def first_answers(self, x: Tensor) -> Tensor:
        """As :meth:`evaluated`; an exception of the network becomes a message that names the teacher.

        Raises:
            ModelError: If the network does not take ``x``, or does not answer with logits.
        """
        with named(f"the teacher {self.name!r}"), explained(self._model, x):
            return self.evaluated(x)

    @abstractmethod
    def answer(self, batch: Batch) -> Tensor:
        """Logits for the inputs of ``batch``, from which the student learns."""

    def features(self, x: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and the named activations for ``x``; see :func:`bequest.models.taps.tapped`."""
        with tapped(self._model, names) as activations:
            return self(x), dict(activations)

    def activation_names(self) -> list[str]:
        """The names that :meth:`features` takes."""
        return known_activations(self._model)

    def shares(self, student: nn.Module) -> bool:
        """True if a parameter or buffer is also the student's."""
        # Identity, not equality: a student may well start from a copy of the teacher's weights.
        mine = {id(tensor) for tensor in (*self._model.parameters(), *self._model.buffers())}
        return any(id(tensor) in mine for tensor in (*student.parameters(), *student.buffers()))

    @property
    def structure(self) -> str:
        """The network's structure as text: different networks can have equal weights."""
        return f"{type(self._model).__qualname__}\n{self._model!r}"

    @property
    def adapter_digest(self) -> str | None:
        """Identifies the adapter: digest of a module's weights, or a function's name; None without one."""
        if self._adapter is None:
            return None
        if isinstance(self._adapter, nn.Module):
            return weights_digest(self._adapter)
        # A function has a name of its own; of a callable object only the class has one.
        kind = self._adapter if hasattr(self._adapter, "__qualname__") else type(self._adapter)
        return f"{kind.__module__}.{kind.__qualname__}"

    @abstractmethod
    def verify_mode(self) -> None:
        """Refuse a network that was put in training mode and must not be.

        Raises:
            TeacherChanged: Names the first module that is in training mode.
        """

    @abstractmethod
    def verify(self) -> str:
        """The digest of parameters and buffers now.

        Raises:
            TeacherChanged: If it is frozen, and no longer what it was at construction.
        """

    def learner(
        self,
        batches: Batches,
        recipe: Recipe,
        *,
        steps: int,
        padding: int | None = None,
        ranks: Ranks | None = None,
    ) -> Trainer | None:
        """The trainer that takes its steps, before the student's on each batch; None if it does not learn."""
        del batches, recipe, steps, padding, ranks
        return None

    @abstractmethod
    def release(self) -> None:
        """Restore the training modes that the network came with."""


class Teacher(AnyTeacher):
    """A network that answers in eval mode, without gradient, and is verified not to have changed.

    The network stays the caller's: it is put in eval mode here, and its old modes are restored by
    :meth:`release`, or at the end of a ``with`` block, which also verifies it. It is not an ``nn.Module``
    on purpose, so that no student, optimizer or state dict can contain it.

    Args:
        model: The network; its forward pass maps inputs to logits, or to an output with ``logits``.
        name: What the record calls it.
        mode: ``eval``, or ``noisy`` for dropout and batch statistics as in training (the network's
            buffers are left alone even then).
        adapter: Applied to the inputs first: another normalisation or resolution; see
            :mod:`bequest.distill.adapters`.
        precision: Precision of its autocast. The student's precision has no effect on it, so that a teacher
            gives every student the same answers.
        classes: Names in the order of its logits; the data's must then have the same order.

    >>> teacher = Teacher(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)))
    >>> x = torch.ones(4, 2)
    >>> torch.equal(teacher(x), teacher(x)), teacher(x).requires_grad
    (True, False)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str = "teacher",
        mode: Literal["eval", "noisy"] = "eval",
        adapter: Callable[[Tensor], Tensor] | None = None,
        precision: Precision = "float32",
        classes: Sequence[str] | None = None,
    ) -> None:
        model = checked_module(model, f"the teacher {name!r}")
        self.name = name
        self.mode = mode
        self._model = self._ask = model
        self._adapter = adapter
        self._precision = precision
        self.classes = None if classes is None else tuple(classes)
        # Before eval(): these are the modes that release() gives back.
        self._modes = modes_of(model)
        model.eval()
        self.digest = weights_digest(model)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits for ``x``, in float32 at least."""
        return self._forward(x, noisy=self.mode == "noisy")

    @property
    def repeatable(self) -> bool:
        """Whether equal inputs get equal answers: in eval mode."""
        return self.mode == "eval"

    @torch.no_grad()
    def evaluated(self, x: Tensor) -> Tensor:
        """Logits for ``x`` in eval mode, also of a noisy teacher."""
        return self._forward(x, noisy=False)

    def answer(self, batch: Batch) -> Tensor:
        """Logits for the inputs of ``batch``."""
        return self(batch.x)

    def verify(self) -> str:
        """The digest of parameters and buffers, which must still be what it was.

        Raises:
            TeacherChanged: If a parameter, a buffer or the eval mode moved since construction.
        """
        self.verify_mode()
        now = weights_digest(self._model)
        if now != self.digest:
            raise self._changed(f"eval mode and digest {self.digest[:16]}", f"digest {now[:16]}")
        return now

    def verify_mode(self) -> None:
        """Refuse a network that was put in training mode since construction.

        Raises:
            TeacherChanged: Names the first module that is in training mode.
        """
        for name, module in self._model.named_modules():
            if module.training:
                raise self._changed("eval mode", f"training mode in {name or 'the whole model'!r}")

    def release(self) -> None:
        """Restore the training modes that the network came with."""
        set_modes(self._modes)

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # During an exception, a second error would hide the one that explains it.
            if kind is None:
                self.verify()
        finally:
            self.release()

    def _forward(self, x: Tensor, *, noisy: bool) -> Tensor:
        x = to_device(x, self.device)
        if self._adapter is not None:
            x = self._adapter(x)
        with self._autocast(x.device):
            output = self._noisily(x) if noisy else self._ask(x)
        return logits_in_full(output, self.name)

    def _noisily(self, x: Tensor) -> object:
        # Copies take the updates of running statistics, which the frozen teacher's own buffers must not get.
        buffers = {name: value.clone() for name, value in self._model.named_buffers()}
        self._model.train()
        try:
            return functional_call(self._model, buffers, (x,), self._mask_of(x))
        finally:
            self._model.eval()

    def _mask_of(self, x: Tensor) -> dict[str, Tensor]:
        mask = attention_mask(self._model, x, self._padding)
        return {} if mask is None else {ATTENTION_MASK: mask}

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self._precision == "float32":
            return nullcontext()
        dtype = torch.bfloat16 if self._precision == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=dtype)

    def _changed(self, expected: str, got: str) -> TeacherChanged:
        return TeacherChanged(
            f"the teacher {self.name!r} changed while it taught",
            expected=expected,
            got=got,
            remedy="find what trains it or writes to its buffers; a teacher must not change",
        )


def logits_in_full(output: object, teacher: str) -> Tensor:
    """The logits in a network's output, in float32 at least, without gradient.

    Raises:
        ModelError: If there are none; names the ``teacher``.
    """
    with named(f"the teacher {teacher!r}"):
        return full_precision(logits_of(output).detach())


@contextmanager
def named(whose: str) -> Iterator[None]:
    """Let the message of a ModelError begin with whose network it is about."""
    try:
        yield
    except ModelError as error:
        # Blocks may be nested: the network is named once.
        if error.message.startswith(whose):
            raise
        raise ModelError(
            f"{whose}: {error.message}", expected=error.expected, got=error.got, remedy=error.remedy
        ) from error
