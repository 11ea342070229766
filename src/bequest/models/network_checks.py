"""Checks before the first step that a network can be trained or asked, each with one message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from bequest.errors import BequestError, ModelError
from bequest.models.modes import buffers_restored, evaluating
from bequest.models.tokens import logits_of
from bequest.models.weights import require_memory, state_of

PROBE_ROWS = 2
SEQUENCE_LOGITS_AXES = 3


def check_network(
    model: object, x: Tensor, *, classes: int | None = None, learns: bool = False, rows: int = PROBE_ROWS
) -> None:
    """Raise ModelError unless ``model`` takes the inputs ``x``, and can be trained if it ``learns``.

    The network is run on at most two rows in eval mode; if it learns with ``rows`` = 1 and has BatchNorm, on
    one row in training mode as well. Parameters, buffers, modes and random state do not change.

    Args:
        model: The network.
        x: Inputs (N, ...), of which the first rows are used; without rows the network is not run.
        classes: Required width of the logits; None for any.
        learns: Whether it will be trained and stored.
        rows: The smallest batch that it gets in training.

    Raises:
        ModelError: If it is not a module, is lazy, exported or on the meta device; has no parameters to
            train, or a state that cannot be stored; has weights of another dtype than the inputs; does not
            take their shape; does not return ``classes`` logits; or cannot normalise one row.
    """
    model = checked_module(model)
    _check_values(model)
    if learns:
        _check_learner(model)
    if not len(x):
        return
    with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluating(model), explained(model, x):
        logits = logits_of(model(x[:PROBE_ROWS]))
    _check_logits(logits, min(len(x), PROBE_ROWS), classes)
    if learns and rows == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        _check_one_row(model, x[:1])


def checked_module(model: object, what: str = "the network") -> nn.Module:
    """``model``, which must be an ``nn.Module``; else raises ModelError."""
    if not isinstance(model, nn.Module):
        hint = "call it: MyNet()" if isinstance(model, type) else "give an nn.Module or a name"
        raise ModelError(f"{what} is not an nn.Module", got=repr(model)[:80], remedy=hint)
    return model


@contextmanager
def explained(model: nn.Module, x: Tensor) -> Iterator[None]:
    """Turn exceptions of a forward pass of ``model`` on ``x`` into a ModelError with the reason."""
    try:
        yield
    # Already explained, or about the machine and not about these inputs.
    except (BequestError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, AttributeError) as error:
        raise _explanation(model, x, error) from error


def _explanation(model: nn.Module, x: Tensor, error: Exception) -> ModelError:
    dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()})
    inputs = str(x.dtype).removeprefix("torch.")
    first_line = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if model.training and len(x) == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        return ModelError(
            "BatchNorm cannot normalise a single row in training mode",
            expected="two rows or more at once",
            got=first_line,
            remedy="raise the batch size, or freeze the statistics of BatchNorm",
        )
    if x.is_floating_point() and dtypes and dtypes != [inputs]:
        return ModelError(
            "the network's weights and its inputs differ in dtype",
            expected=f"weights in {inputs}",
            got=f"weights in {', '.join(dtypes)}: {first_line}",
            remedy=f"convert the network with .to(torch.{inputs}), or the inputs",
        )
    return ModelError(
        "the network does not take these inputs",
        expected=f"a network for inputs {tuple(x.shape[1:])} of {inputs}",
        got=first_line,
        remedy="build the network for the shape of the data, or choose other data",
    )


def _check_values(model: nn.Module) -> None:
    lazy = [name for name, parameter in model.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise ModelError(
            f"the network is lazy: {lazy[0]} has no shape yet", remedy="run one batch through it first"
        )
    require_memory(model)


def _check_learner(model: nn.Module) -> None:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(
            "the network has no parameters to train",
            got="all parameters are frozen" if list(model.parameters()) else "no parameters",
            remedy="train another network, or use this one as a teacher",
        )
    # Raises for a state that safetensors cannot hold: better now than after the training.
    state_of(model)


def _check_logits(logits: Tensor, rows: int, classes: int | None) -> None:
    expected = f"logits ({rows}, {classes or 'C'}), or ({rows}, L, {classes or 'C'}) of a language model"
    fits = logits.ndim in (2, SEQUENCE_LOGITS_AXES) and len(logits) == rows
    if not fits or (classes is not None and logits.shape[-1] != classes):
        raise ModelError(
            "the logits of the network have the wrong shape",
            expected=expected,
            got=tuple(logits.shape),
            remedy=f"give its last layer {classes} outputs, one per class" if fits else None,
        )
    if not logits.is_floating_point():
        raise ModelError("the logits of the network are not real numbers", got=logits.dtype)


def _check_one_row(model: nn.Module, x: Tensor) -> None:
    # Buffers too: BatchNorm counts a batch before it refuses it.
    with torch.no_grad(), torch.random.fork_rng(devices=[]), buffers_restored(model), evaluating(model):
        model.train()
        with explained(model, x):
            model(x)
