"""Networks as ONNX files, checked in onnxruntime."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import MissingExtra, ModelError
from bequest.files import write_bytes
from bequest.models.export.logits_only import exportable
from bequest.models.modes import evaluating
from bequest.models.network_checks import explained
from bequest.models.tokens import logits_of

TOLERANCE = 1e-4
TRACED_ROWS = 2
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(
    path: str | Path, model: nn.Module, x: Tensor, *, tolerance: float = TOLERANCE, any_batch: bool = True
) -> float:
    """Write ``model`` as an ONNX file with input ``x`` and output ``logits``, and check it in onnxruntime.

    The check compares the answers to ``x``, and to its first row alone if any batch size is allowed, before
    the file gets its name, so that a file with other answers never exists.

    Args:
        path: The file.
        model: Exported in eval mode; its modes are left as they were.
        x: Example inputs (N, ...), N at least 2.
        tolerance: The largest allowed absolute difference of a logit.
        any_batch: Allow any number of rows; else it is that of ``x``.

    Returns:
        The largest absolute difference of a logit.

    Raises:
        MissingExtra: If onnx, onnxscript or onnxruntime is not installed.
        ModelError: If the model cannot be exported, or the file answers otherwise.
    """
    onnxruntime = _onnxruntime()
    if len(x) < TRACED_ROWS:
        raise ModelError(
            "an export needs at least two rows, to tell the batch axis from the data", got=f"{len(x)} rows"
        )
    with torch.no_grad(), evaluating(model):
        with explained(model, x):
            expected = logits_of(model(x))
        content = _exported(exportable(model), x, any_batch)
    difference = 0.0
    session = _session(onnxruntime, content)
    for rows in (len(x), 1) if any_batch else (len(x),):
        answer = _answer(session, x[:rows])
        difference = max(difference, float((answer - expected[:rows].double()).abs().max()))
    if not difference <= tolerance:  # this way round, a NaN is refused too
        raise ModelError(
            "the ONNX file and the network give different answers",
            expected=f"logits within {tolerance:g}",
            got=f"a difference of {difference:.3g}",
        )
    write_bytes(path, content)
    return difference


def _onnxruntime() -> Any:
    try:
        # All three are imported before the export starts; onnxruntime, the last, runs the check.
        return [import_module(name) for name in PACKAGES][-1]
    except ImportError as error:
        raise MissingExtra(
            f"an export to ONNX needs the packages {', '.join(PACKAGES)}",
            got=error,
            remedy=f"python -m pip install -c constraints.txt {' '.join(PACKAGES)}",
        ) from error


def _exported(model: nn.Module, x: Tensor, any_batch: bool) -> bytes:
    rows = {0: torch.export.Dim.DYNAMIC} if any_batch else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, on its own internals
            program = torch.onnx.export(
                model,
                (x,),
                dynamo=True,
                dynamic_shapes=(rows,) if rows else None,
                input_names=["x"],
                output_names=["logits"],
                verbose=False,
            )
        if program is None:
            raise ModelError("the exporter returned no program")
        content: bytes = program.model_proto.SerializeToString()
    except ModelError:
        raise
    except Exception as error:  # the exporter raises its own kinds, on top of whatever it met
        remedy = "export it for one number of rows (any_batch=False)" if any_batch else None
        raise ModelError(
            "the network cannot be exported to ONNX",
            got=(str(error).splitlines() or [type(error).__name__])[0][:300],
            remedy=remedy,
        ) from error
    return content


def _session(onnxruntime: Any, content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise ModelError("onnxruntime cannot open the exported network", got=str(error)[:300]) from error


def _answer(session: Any, x: Tensor) -> Tensor:
    try:
        (logits,) = session.run(["logits"], {"x": x.numpy()})
    except Exception as error:
        raise ModelError(
            f"the exported network does not take {len(x)} rows",
            got=str(error)[:300],
            remedy="export it for one number of rows (any_batch=False)",
        ) from error
    return torch.from_numpy(logits).double()
