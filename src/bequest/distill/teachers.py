"""Teachers: networks that answer and are never changed by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bequest.data.batches import AnySource, Batch, Source
from bequest.data.streams import Part, SplitStream
from bequest.errors import ModelError, TeacherChanged
from bequest.models.modes import modes_of, set_modes
from bequest.models.taps import known_activations, tapped
from bequest.models.tokens import full_precision, logits_of
from bequest.models.weights import weights_digest
from bequest.registry import unknown

Answer = tuple[tuple[Tensor, ...], tuple[Mapping[str, Tensor], ...]]
"""Logits and named features, one of each a teacher."""

Combine = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""Makes the logits of all teachers into the logits that the objective sees."""

Mode = Literal["eval", "noisy", "online"]
Precision = Literal["float32", "bf16", "fp16"]

LOOKUP_BYTES = 512 * 2**20
"""Answers of at most this size are computed once and looked up."""

CHUNK = 500


@runtime_checkable
class Signal(Protocol):
    """Whatever answers a batch: live teachers, or a store of their answers."""

    def answer(self, batch: Batch) -> Answer:
        """Logits (N, C) and features of every teacher for the rows of ``batch``."""
        ...


class Teacher:
    """A network that answers in eval mode, without gradient, and proves that it did not change.

    The network stays the caller's: it is put in eval mode here and given its old modes back by
    :meth:`release`, or at the end of a ``with`` block, which verifies it besides. This is no ``nn.Module``
    on purpose: no student, optimizer or state dict can take it in.

    Args:
        model: The network; its forward pass maps inputs to logits, or to an output with ``logits``.
        name: What the record calls it.
        mode: ``eval``, or ``noisy`` for dropout and batch statistics as in training (the network's
            buffers are left alone even then).
        adapter: Applied to the inputs first: another normalisation or resolution; see
            :mod:`bequest.distill.adapters`.
        precision: Under which autocast it answers. The student's precision has no say in it, so that what
            a teacher says is the same to every student.

    >>> teacher = Teacher(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)))
    >>> x = torch.ones(4, 2)
    >>> torch.equal(teacher(x), teacher(x)), teacher(x).requires_grad
    (True, False)
    """

    mode: Mode

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str = "teacher",
        mode: Literal["eval", "noisy"] = "eval",
        adapter: Callable[[Tensor], Tensor] | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.name = name
        self.mode = mode
        self._model = model
        self._adapter = adapter
        self._precision = precision
        self._modes = modes_of(model)
        model.eval()
        self.digest = weights_digest(model)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits for ``x``, in float32 at least."""
        return self._asked(x, noisy=self.mode == "noisy")

    @torch.no_grad()
    def calm(self, x: Tensor) -> Tensor:
        """Logits for ``x`` in eval mode, also of a noisy teacher."""
        return self._asked(x, noisy=False)

    def answer(self, batch: Batch) -> Tensor:
        """Logits for the inputs of ``batch``."""
        return self(batch.x)

    @property
    def structure(self) -> str:
        """The network's structure as text: equal weights can stand in different networks."""
        return f"{type(self._model).__qualname__}\n{self._model!r}"

    @property
    def adapter_digest(self) -> str | None:
        """What tells adapters apart: a module's weights, a function's name; None without an adapter."""
        if self._adapter is None:
            return None
        if isinstance(self._adapter, nn.Module):
            return weights_digest(self._adapter)
        kind = self._adapter if hasattr(self._adapter, "__qualname__") else type(self._adapter)
        return f"{kind.__module__}.{kind.__qualname__}"

    def features(self, x: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and the named activations for ``x``; see :func:`bequest.models.taps.tapped`."""
        with tapped(self._model, names) as caught:
            return self(x), dict(caught)

    def known_features(self) -> list[str]:
        """The names that :meth:`features` knows."""
        return known_activations(self._model)

    def shares(self, student: nn.Module) -> bool:
        """True if a parameter or buffer is also the student's."""
        own = {id(tensor) for tensor in (*self._model.parameters(), *self._model.buffers())}
        return any(id(tensor) in own for tensor in (*student.parameters(), *student.buffers()))

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
        """Give the network the training modes back that it came with."""
        set_modes(self._modes)

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.verify()
        finally:
            self.release()

    def _asked(self, x: Tensor, *, noisy: bool) -> Tensor:
        if self._adapter is not None:
            x = self._adapter(x)
        with self._autocast(x.device):
            output = self._noisily(x) if noisy else self._model(x)
        try:
            return full_precision(logits_of(output).detach())
        except ModelError as error:
            raise ModelError(
                f"the teacher {self.name!r}: {error.message}",
                expected=error.expected,
                got=error.got,
                remedy=error.remedy,
            ) from None

    def _noisily(self, x: Tensor) -> object:
        buffers = {name: value.clone() for name, value in self._model.named_buffers()}
        self._model.train()
        try:
            return functional_call(self._model, buffers, (x,))
        finally:
            self._model.eval()

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
            remedy="find what trains it or writes to its buffers; a teacher is only ever asked",
        )


class LiveTeachers:
    """Teachers asked at every step, about the very pixels that the student sees.

    Where a source has finitely many views (one, if it shows its samples as they are), a teacher in eval
    mode would answer each pass over a view alike; its logits are then computed once, a whole view at a
    time, and looked up, if they are not too many. Of a source that asks about a few rows only those are
    answered, anew each time that they become more, so that answers do not depend on when a run resumed.

    Args:
        teachers: One or many.
        sources: The sources of the batches that will be answered.
        features: Named activations to return beside the logits, of the teachers that have them; they are
            never looked up.
        seed: The seed of the views, as ``Batches`` has it; None: only what is shown as it is is looked up.

    Raises:
        UnknownName: If no teacher has an activation of such a name.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        sources: Sequence[AnySource],
        *,
        features: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        self.teachers = tuple(teachers)
        self._sources = tuple(sources)
        self._features = [[n for n in features if n in t.known_features()] for t in self.teachers]
        self._seed = seed
        self._tables: dict[tuple[int, int, int], tuple[int, Tensor | None]] = {}
        for name in features:
            if not any(name in found for found in self._features):
                known = {name for teacher in self.teachers for name in teacher.known_features()}
                raise unknown("activation of a teacher", name, known)

    def answer(self, batch: Batch) -> Answer:
        """See :class:`Signal`."""
        if any(self._features):
            asked = [
                teacher.features(batch.x, names) if names else (teacher.answer(batch), {})
                for teacher, names in zip(self.teachers, self._features, strict=True)
            ]
            return tuple(answer for answer, _ in asked), tuple(found for _, found in asked)
        return tuple(self._logits(k, batch) for k in range(len(self.teachers))), ()

    def _logits(self, index: int, batch: Batch) -> Tensor:
        teacher = self.teachers[index]
        if teacher.mode != "eval" or not any(self._finite(part.source) for part in batch.parts):
            return teacher.answer(batch)
        pieces, start = [], 0
        for part in batch.parts:
            stop = start + len(part.rows)
            table = self._table(index, part)
            pieces.append(teacher(batch.x[start:stop]) if table is None else table.index_select(0, part.rows))
            start = stop
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _finite(self, source: int) -> bool:
        """Whether the source shows so few views that answers can be looked up."""
        found = self._sources[source]
        if not isinstance(found, Source):
            return False
        return found.plain or (self._seed is not None and found.view_count is not None)

    def _table(self, index: int, part: Part) -> Tensor | None:
        key = (index, part.source, 0 if self._sources[part.source].plain else part.view)
        asked = -1 if part.among is None else len(part.among)
        if key not in self._tables or self._tables[key][0] != asked:
            source, teacher = self._sources[part.source], self.teachers[index]
            table = None
            if isinstance(source, Source) and self._finite(part.source):
                table = _answers(teacher, source, key[2], self._seed or 0, part.among)
            self._tables[key] = (asked, table)
        return self._tables[key][1]


class Combined:
    """A signal whose teachers are made into one, or into fewer, by ``combine``."""

    def __init__(self, signal: Signal, combine: Combine) -> None:
        self.signal = signal
        self._combine = combine

    def answer(self, batch: Batch) -> Answer:
        """See :class:`Signal`; features stay one a teacher."""
        logits, features = self.signal.answer(batch)
        return self._combine(logits), features


def _answers(
    teacher: Teacher, source: Source, view: int, seed: int, among: Tensor | None = None
) -> Tensor | None:
    """The answers to a whole view of a source, NaN in rows that are not ``among``; None where too many."""
    stream, size = SplitStream(0, source, 1, seed), len(source.split)
    rows = torch.arange(size, device=source.split.ids.device) if among is None else among
    first, *rest = (stream.shown(chunk, view).x for chunk in torch.split(rows, CHUNK))
    answers = [teacher(first)]
    if answers[0][0].nbytes * size * (source.view_count or 1) > LOOKUP_BYTES:
        return None
    found = torch.cat([*answers, *(teacher(chunk) for chunk in rest)])
    if among is None:
        return found
    return found.new_full((size, *found.shape[1:]), torch.nan).index_copy_(0, among, found)
