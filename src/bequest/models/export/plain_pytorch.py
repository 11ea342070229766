"""A dozen lines of plain PyTorch that load an exported network without bequest, for its model card."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.files import write_bytes
from bequest.models.export.logits_only import exportable
from bequest.models.export.model_folder import WEIGHTS
from bequest.models.modes import evaluating

PROGRAM = "model.pt2"
PLAIN_LAYERS = "torch.nn.modules."


def loading_code(model: nn.Module) -> str:
    """Python lines that load ``model`` from its folder, with torch and safetensors alone.

    A ``Sequential`` of PyTorch's own layers is written out, and can be trained further. Any other network is
    loaded as the program of :func:`save_program`, which returns logits and cannot be changed.

    >>> print(loading_code(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))))
    import torch
    from safetensors.torch import load_file
    from torch import nn
    <BLANKLINE>
    model = nn.Sequential(
        nn.Flatten(start_dim=1, end_dim=-1),
        nn.Linear(in_features=4, out_features=2, bias=True),
    )
    model.load_state_dict(load_file("model.safetensors"))
    model.eval()
    """
    layers = _plain_layers(model)
    if layers is None:
        return "\n".join(
            [
                "import torch",
                "",
                f'model = torch.export.load("{PROGRAM}").module()  # with its weights',
            ]
        )
    return "\n".join(
        [
            "import torch",
            "from safetensors.torch import load_file",
            "from torch import nn",
            "",
            "model = nn.Sequential(",
            *(f"    {layer}," for layer in layers),
            ")",
            f'model.load_state_dict(load_file("{WEIGHTS}"))',
            "model.eval()",
        ]
    )


def needs_program(model: nn.Module) -> bool:
    """Whether the code of :func:`loading_code` loads the program of :func:`save_program`."""
    return _plain_layers(model) is None


def save_program(folder: str | Path, model: nn.Module, x: Tensor) -> Path:
    """Write ``model`` in eval mode as a program of ``torch.export``, ``model.pt2``, for any number of rows.

    Args:
        folder: Where :func:`bequest.models.export.save_pretrained` wrote the weights.
        model: The network.
        x: Example inputs (N, ...), N at least 2. A network whose steps depend on the number of rows is
            exported for N rows only.

    Raises:
        ModelError: If the model cannot be exported.
    """
    buffer, rows = io.BytesIO(), torch.export.Dim.AUTO
    try:
        with warnings.catch_warnings(), torch.no_grad(), evaluating(model):
            warnings.simplefilter("ignore")  # the exporter's, on its own internals
            program = torch.export.export(exportable(model), (x,), dynamic_shapes=({0: rows},))
            torch.export.save(program, buffer)
    except ModelError:
        raise
    except Exception as error:  # the exporter raises its own kinds, on top of whatever it met
        raise ModelError(
            "the network cannot be exported as a program",
            got=(str(error).splitlines() or [type(error).__name__])[0][:300],
        ) from error
    return write_bytes(Path(folder) / PROGRAM, buffer.getvalue())


def _plain_layers(model: nn.Module) -> list[str] | None:
    """The layers of a ``Sequential`` as Python expressions; None if one of them is not PyTorch's own.

    The ``repr`` of PyTorch's layers is the call that makes them.
    """
    # Not isinstance: a subclass may have a forward of its own.
    if type(model) is not nn.Sequential:
        return None
    layers = list(model)
    if any(not type(each).__module__.startswith(PLAIN_LAYERS) or list(each.children()) for each in layers):
        return None
    return [f"nn.{layer!r}" for layer in layers]
