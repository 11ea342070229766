"""Items of a map-style ``torch.utils.data.Dataset``, read by index in worker processes.

Each item is read once to learn labels, shapes and a digest. From then on it is read when a batch needs it, in
the order given by (seed, step), and compared with that digest: it is the same each time, or an error names
it.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from bequest.data.rows.arrays import as_library_type
from bequest.data.rows.lazy import DIGEST_BYTES, RowReader, digest_of
from bequest.errors import DataError

READERS = 2
"""Processes that read items during training."""

SURVEYED = 64
"""Items per task of the first pass."""

INLINE = 8
"""Up to this many rows are read in this process."""

MOST_PENDING = 16
"""Batches that may be read ahead before the oldest of them is dropped."""

Item = Callable[[int], tuple[np.ndarray, Any]]
"""The input and the label of an item."""


@dataclass(frozen=True)
class Facts:
    """Results of the first pass over the items.

    Attributes:
        labels: One per item, as in the Dataset.
        digests: uint8 (N, 16).
        shape: Of one input.
        dtype: Of the inputs.
        finite: Whether no input holds NaN or infinity.
    """

    labels: list[Any]
    digests: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype
    finite: bool


class ItemRows(RowReader):
    """The inputs of a Dataset's items.

    Args:
        readers: The processes that read.
        facts: The results of the first pass.
    """

    def __init__(self, readers: ItemReaders, facts: Facts) -> None:
        self._readers, self._facts = readers, facts
        one = as_library_type(torch.from_numpy(np.zeros((1, *facts.shape), facts.dtype)))
        self.count, self.shape, self.dtype = len(facts.labels), tuple(one.shape[1:]), one.dtype
        self.finite = facts.finite
        self._pending: OrderedDict[bytes, list[Future[_Read]]] = OrderedDict()

    @override
    def read(self, rows: Tensor) -> Tensor:
        numbers = rows.numpy()
        pending = self._pending.pop(numbers.tobytes(), None)
        if pending is None and (len(numbers) <= INLINE or not self._readers.count):
            reads = [_read_items(self._readers.item, numbers)]
        else:
            reads = self._readers.results(pending or self._readers.ask(_task_read, numbers))
        digests = np.concatenate([np.frombuffer(each.digests, np.uint8) for each in reads])
        same = digests.reshape(-1, DIGEST_BYTES) == self._facts.digests[numbers]
        if not same.all():
            raise differing(int(numbers[int(np.flatnonzero(~same.all(1))[0])]))
        return as_library_type(torch.from_numpy(np.concatenate([each.inputs for each in reads])))

    @override
    def prefetch(self, rows: Tensor) -> None:
        # The row numbers themselves: a batch that was read ahead is recognised by asking for the same rows.
        key = rows.numpy().tobytes()
        if not self._readers.count or len(rows) <= INLINE or key in self._pending:
            return
        if len(self._pending) >= MOST_PENDING:
            self._pending.popitem(last=False)
        self._pending[key] = self._readers.ask(_task_read, rows.numpy())

    @override
    def digests(self, rows: Tensor) -> bytes:
        return bytes(self._facts.digests[rows.numpy()].tobytes())

    def __reduce__(self) -> Any:
        return ItemRows, (self._readers, self._facts)


class ItemReaders:
    """Processes that read the items of a Dataset, started when they are first needed.

    They are forked if the platform supports it, as in PyTorch's DataLoader, so that a Dataset need not be
    picklable. Not a DataLoader: its order is one sequence, while training, validation and teachers each ask
    for rows of their own.

    Args:
        item: Reads one item.
        count: Number of processes; 0: read in this one.
    """

    def __init__(self, item: Item, count: int = READERS) -> None:
        self.item, self.count = item, count
        self._executor: ProcessPoolExecutor | None = None

    def ask(self, task: Callable[[np.ndarray], Any], rows: np.ndarray) -> list[Future[Any]]:
        """Submit ``task`` to the processes, each with a part of ``rows``."""
        if self._executor is None:
            forking = "fork" in multiprocessing.get_all_start_methods() and os.name == "posix"
            context = multiprocessing.get_context("fork" if forking else "spawn")
            self._executor = ProcessPoolExecutor(self.count, context, _begin, (self.item,))
            weakref.finalize(self, self._executor.shutdown, wait=False, cancel_futures=True)
            # In a process of multiprocessing: it joins its children before it shuts down its executors.
            Finalize(None, _end, (weakref.ref(self._executor),), exitpriority=100)
        parts = [part for part in np.array_split(rows, self.count) if len(part)]
        with warnings.catch_warnings():
            # Python ≥ 3.12 warns about forking with threads; these processes only read.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                return [self._executor.submit(task, part) for part in parts]
            except BrokenProcessPool as error:
                raise _lost() from error
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise DataError(
                    "the Dataset cannot be sent to the processes that read its items",
                    got=error,
                    remedy="as_dataset(..., readers=0) reads in this process; or make it picklable: no "
                    "lambdas, no local classes",
                ) from error

    def results(self, futures: Sequence[Future[Any]]) -> list[Any]:
        """The results of the processes.

        Raises:
            DataError: If an item cannot be read, or a process died.
        """
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise _lost() from error

    def in_order(self, task: Callable[[np.ndarray], Any], count: int) -> Iterator[Any]:
        """``task`` for all rows 0..count-1, block by block, with a few blocks read ahead."""
        blocks = [np.arange(start, min(start + SURVEYED, count)) for start in range(0, count, SURVEYED)]
        if not self.count:
            for block in blocks:
                _use(self.item)
                yield task(block)
            return
        waiting: list[list[Future[Any]]] = []
        for block in blocks:
            waiting.append(self.ask(task, block))
            if len(waiting) > MOST_PENDING:
                yield from self.results(waiting.pop(0))
        for futures in waiting:
            yield from self.results(futures)

    def __reduce__(self) -> Any:
        return ItemReaders, (self.item, self.count)


def survey(readers: ItemReaders, count: int, *, keep: Callable[[np.ndarray], Any] | None = None) -> Facts:
    """Read every item once, in order.

    Args:
        readers: The processes that read.
        count: Number of items.
        keep: Called with each block of inputs; None to discard them.

    Raises:
        DataError: If an item cannot be read, or inputs differ in shape or type; names the first.
    """
    task = _task_facts if keep is None else _task_facts_and_inputs
    labels, digests, finite = list[Any](), bytearray(), True
    first: tuple[tuple[int, ...], np.dtype] | None = None
    for block in readers.in_order(task, count):
        for shape, dtype in block.kinds:
            first = first or (shape, dtype)
            if (shape, dtype) != first:
                raise DataError(
                    "the Dataset's inputs differ in shape or type",
                    expected=f"{first[0]} of {first[1]}, as in item 0",
                    got=f"{shape} of {dtype} in item {len(labels)}",
                    remedy="resize images, pad sequences, convert to one type in the Dataset's transform",
                )
            labels.append(block.labels.pop(0))
        digests += block.digests
        finite &= block.finite
        if keep is not None:
            keep(block.inputs)
    assert first is not None
    table = np.frombuffer(bytes(digests), np.uint8).reshape(-1, DIGEST_BYTES)
    return Facts(labels, table, *first, finite)


def differing(row: int) -> DataError:
    """The error for an item that differs between readings."""
    return DataError(
        f"item {row} of the Dataset differs between two reads",
        expected="the same item each time; its transform is random",
        remedy="remove random transforms and pass them as views=, which are the same after a resume, "
        "or frozen=True to read each item once",
    )


@dataclass
class _Read:
    """Inputs (n, ...) and their digests."""

    inputs: np.ndarray
    digests: bytes


@dataclass
class _Surveyed:
    """Facts about a block of items."""

    labels: list[Any]
    digests: bytes
    kinds: list[tuple[tuple[int, ...], np.dtype]]
    finite: bool
    inputs: np.ndarray | None = None


_item: Item | None = None
"""Reads an item in this worker process."""


def _use(item: Item) -> None:
    global _item
    _item = item


def _begin(item: Item) -> None:
    _use(item)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    # Polled: a parent that was killed runs no cleanup, and its readers would stay forever.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _end(executor: weakref.ref[ProcessPoolExecutor]) -> None:
    running = executor()
    if running is not None:
        running.shutdown(wait=True, cancel_futures=True)


def _read_items(item: Item, rows: np.ndarray) -> _Read:
    arrays = [item(int(row))[0] for row in rows]
    return _Read(np.stack(arrays), b"".join(digest_of(array) for array in arrays))


def _task_read(rows: np.ndarray) -> _Read:
    assert _item is not None
    return _read_items(_item, rows)


def _task_facts(rows: np.ndarray) -> _Surveyed:
    return _surveyed(rows, keep=False)


def _task_facts_and_inputs(rows: np.ndarray) -> _Surveyed:
    return _surveyed(rows, keep=True)


def _surveyed(rows: np.ndarray, *, keep: bool) -> _Surveyed:
    assert _item is not None
    pairs = [_item(int(row)) for row in rows]
    arrays = [inputs for inputs, _ in pairs]
    kinds = [(array.shape, array.dtype) for array in arrays]
    return _Surveyed(
        labels=[label for _, label in pairs],
        digests=b"".join(digest_of(array) for array in arrays),
        kinds=kinds,
        finite=all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in arrays),
        inputs=np.stack(arrays) if keep and len(set(kinds)) == 1 else None,
    )


def _lost() -> DataError:
    return DataError(
        "a process that reads the Dataset's items died",
        got="killed, out of memory, or ended by the Dataset's own code",
        remedy="as_dataset(..., readers=0) reads in this process and shows what happens",
    )
