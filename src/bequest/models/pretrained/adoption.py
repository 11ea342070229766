"""Pretrained weights in a network: names mapped, the head replaced, leftovers counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.models.pretrained.weights_file import NORMALISE, PretrainedWeights
from bequest.models.taps import head_of
from bequest.models.weight_formats import EXTRA_STATE, without_wrappers
from bequest.models.weights import not_dense, require_dense
from bequest.registry import nearest

WRAPPER_MODULES = (nn.DataParallel, nn.parallel.DistributedDataParallel)
SHOWN = 8
COUNTERS = "num_batches_tracked"
TOLERATED = 1e-6


@dataclass(frozen=True)
class Adoption:
    """The result of loading weights into a network.

    Attributes:
        loaded: Names of the network that were filled.
        replaced: Names of its head, which keeps its initial values.
        missing: Other names of the network that the weights lack, or have in another shape.
        unexpected: Names of the weights that the network does not have.
        missing_share: Share of the backbone's parameters that were not filled.
        unexpected_share: Share of the weights' numbers, without the head, that were not used.
    """

    loaded: tuple[str, ...]
    replaced: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    missing_share: float
    unexpected_share: float

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        parts += [f"head new ({', '.join(self.replaced)})"] if self.replaced else []
        parts += [f"missing: {_listed(self.missing)}"] if self.missing else []
        parts += [f"not used: {_listed(self.unexpected)}"] if self.unexpected else []
        return "; ".join(parts)


def adopt(
    model: nn.Module,
    weights: PretrainedWeights,
    *,
    prefix: str = "",
    rename: Mapping[str, str] | None = None,
    keep_head: bool = False,
    tolerance: float = 0.0,
) -> Adoption:
    """Fill ``model`` with ``weights``, in place, or raise and leave it unchanged.

    The head is the last linear layer; it keeps its initial values unless ``keep_head``. Prefixes of wrappers
    (``module.``, ``_orig_mod.module.``) are removed from all names.

    Args:
        model: The network.
        weights: See :func:`bequest.models.pretrained.weights_file.read_weights`.
        prefix: Use only names with this prefix, such as ``backbone.``, and remove it.
        rename: Prefixes of the weights' names to those of the network: ``{"fc." = "linear."}``; the first
            that fits counts.
        keep_head: Load the head too; the classes must then be the same.
        tolerance: The share, in [0, 1], of the backbone's numbers that may be missing, and of the weights'
            that may be left unused.

    Raises:
        ModelError: If the weights do not fit; lists what is missing and what is left over. Also if the
            network normalises its inputs differently from the weights' training, or has parameters that
            cannot be filled (sparse, lazy, on the meta device).
    """
    model = _unwrapped(model)
    require_dense(model)
    target = {name: value for name, value in model.state_dict().items() if not name.endswith(EXTRA_STATE)}
    head = {f"{head_of(model)[0]}.{name}" for name, _ in head_of(model)[1].named_parameters()}
    state = _renamed(_dense(weights), prefix, rename or {})
    _check_normalisation(target, weights)
    replaced = () if keep_head else tuple(sorted(head))
    wanted = {
        name: value for name, value in target.items() if name not in replaced and not _incidental(name, state)
    }
    fitting = {name for name in wanted if name in state and state[name].shape == wanted[name].shape}
    missing = [name for name in wanted if name not in fitting]
    unexpected = [name for name in state if name not in target or (name in missing and name not in replaced)]
    unexpected = [name for name in unexpected if not name.startswith(NORMALISE)]
    adoption = Adoption(
        tuple(name for name in wanted if name in fitting),
        replaced,
        tuple(_shaped(name, wanted, state) for name in missing),
        tuple(unexpected),
        _share(wanted, missing),
        _share({name: value for name, value in state.items() if name not in replaced}, unexpected),
    )
    # All checks come before the first copy, so that a refused network is unchanged.
    if not fitting or max(adoption.missing_share, adoption.unexpected_share) > tolerance + TOLERATED:
        raise _refused(weights, adoption, wanted, tolerance)
    with torch.no_grad():
        for name in fitting:
            target[name].copy_(state[name])
    return adoption


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network inside DataParallel, DDP or torch.compile, whose names have no prefix."""
    while True:
        inner = model.module if isinstance(model, WRAPPER_MODULES) else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _dense(weights: PretrainedWeights) -> dict[str, Tensor]:
    """The weights without extra state, all of them dense tensors."""
    state = {name: value for name, value in weights.state.items() if not name.endswith(EXTRA_STATE)}
    for name, value in state.items():
        reason = not_dense(value)
        if reason is not None:
            raise ModelError(
                f"{weights.origin} cannot be loaded into a network: {name} is {reason}",
                expected="dense tensors",
            )
    return state


def _renamed(state: Mapping[str, Tensor], prefix: str, rename: Mapping[str, str]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in without_wrappers(state).items():
        if not name.startswith(prefix):
            continue
        short = name.removeprefix(prefix)
        old = next((old for old in rename if short.startswith(old)), None)
        renamed[short if old is None else rename[old] + short.removeprefix(old)] = value
    return renamed


def _incidental(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether a name that the file lacks is a buffer without weights, which keeps the network's values."""
    return name not in state and (name.endswith(COUNTERS) or NORMALISE in name)


def _check_normalisation(target: Mapping[str, Tensor], weights: PretrainedWeights) -> None:
    if weights.mean is None or weights.std is None:
        return
    of_network = [target.get(NORMALISE + name) for name in ("mean", "std")]
    of_weights = [torch.tensor(weights.mean), torch.tensor(weights.std)]
    if all(
        a is not None and torch.allclose(a.flatten().cpu(), b)
        for a, b in zip(of_network, of_weights, strict=True)
    ):
        return
    raise ModelError(
        f"{weights.origin} was trained under a normalisation that the network does not have",
        expected=f"mean = {list(weights.mean)}, std = {list(weights.std)}",
        got="none" if of_network[0] is None else f"mean = {of_network[0].flatten().tolist()}",
        remedy="give the model these numbers as its options mean and std",
    )


def _share(values: Mapping[str, Tensor], names: Iterable[str]) -> float:
    whole = sum(value.numel() for value in values.values())
    return sum(values[name].numel() for name in names if name in values) / max(1, whole)


def _shaped(name: str, wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    if name not in state:
        return name
    return f"{name} {tuple(wanted[name].shape)}, not {tuple(state[name].shape)}"


def _refused(
    weights: PretrainedWeights, adoption: Adoption, wanted: Mapping[str, Tensor], tolerance: float
) -> ModelError:
    close = nearest(adoption.unexpected[0], wanted, count=1) if adoption.unexpected else []
    hint = f', such as {{"{adoption.unexpected[0]}" = "{close[0]}"}}' if close else ""
    return ModelError(
        f"{weights.origin} does not fit the network",
        expected=f"at most {100 * tolerance:g} % missing or left over",
        got=(
            f"{100 * adoption.missing_share:.1f} % missing ({_listed(adoption.missing)}), "
            f"{100 * adoption.unexpected_share:.1f} % left over ({_listed(adoption.unexpected)})"
        ),
        remedy=f"map names with prefix and rename{hint}; choose the right model, or raise tolerance",
    )


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return (", ".join(listed[:SHOWN]) or "nothing") + more
