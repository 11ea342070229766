"""Permutations of hidden units that leave a network's function as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bequest.errors import ModelError

ELEMENTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Tanh,
    nn.Sigmoid,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
)
"""Modules that treat every number alike, independent of its unit."""

POOLS = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
)
"""Modules that treat each channel separately and alike."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a permutation of n units acts: one axis of one tensor, of length outer · n · inner.

    Attributes:
        tensor: The tensor's name in the state dict.
        axis: The axis.
        outer: How often the units are repeated along it: 3 for stacked queries, keys and values.
        inner: Numbers per unit: the head's width, or the pixels of a flattened channel.
    """

    tensor: str
    axis: int
    outer: int = 1
    inner: int = 1


@dataclass(frozen=True, slots=True)
class Symmetry:
    """A group of ``size`` interchangeable units, and every place that their order affects.

    >>> hidden = Symmetry("hidden", 8, (Place("0.weight", 0), Place("0.bias", 0), Place("2.weight", 1)))
    """

    name: str
    size: int
    places: tuple[Place, ...]


def heads(
    name: str, count: int, width: int, *, stacked: Sequence[str] = (), split: Sequence[str] = (), output: str
) -> Symmetry:
    """The symmetry of attention heads: their order in queries, keys, values and the output's columns.

    Args:
        name: The name of the symmetry.
        count: How many heads.
        width: Numbers per head.
        stacked: Weights and biases with queries, keys and values stacked along the first axis,
            (3·count·width, ...).
        split: Weights and biases of queries, keys or values alone, (count·width, ...).
        output: The weight that reads the heads, (..., count·width).
    """
    places = [Place(tensor, 0, 3, width) for tensor in stacked]
    places += [Place(tensor, 0, 1, width) for tensor in split]
    return Symmetry(name, count, (*places, Place(output, 1, 1, width)))


def recurrent_units(name: str, module: nn.RNNBase, readers: Sequence[Place]) -> tuple[Symmetry, ...]:
    """The symmetry of each layer's hidden units in torch's own LSTM, GRU or RNN.

    A unit has a row in every gate's weights and biases, a column in the recurrent weights, since all gates of
    the next step read it, and a column in the input weights of the layer above.

    Args:
        name: The module's name in the network.
        module: The recurrent layers; of one direction, without projections.
        readers: Where the units of the last layer are read.

    Raises:
        ModelError: If units are projected or read in two directions.

    >>> [s.name for s in recurrent_units("states", nn.LSTM(4, 8, 2), [Place("head.weight", 1)])]
    ['states.0', 'states.1']
    """
    if module.bidirectional or module.proj_size:
        raise ModelError(
            "these recurrent layers have other symmetries",
            expected="one direction, and no projection",
            got=f"bidirectional={module.bidirectional}, proj_size={module.proj_size}",
        )
    size = module.hidden_size
    symmetries = []
    for layer in range(module.num_layers):
        gates = [f"weight_ih_l{layer}", f"weight_hh_l{layer}"]
        gates += [f"bias_ih_l{layer}", f"bias_hh_l{layer}"] if module.bias else []
        blocks = getattr(module, gates[0]).shape[0] // size
        places = [Place(f"{name}.{tensor}", 0, blocks) for tensor in gates]
        places.append(Place(f"{name}.weight_hh_l{layer}", 1))
        is_last = layer == module.num_layers - 1
        places += readers if is_last else [Place(f"{name}.weight_ih_l{layer + 1}", 1)]
        symmetries.append(Symmetry(f"{name}.{layer}", size, tuple(places)))
    return tuple(symmetries)


def symmetries_of(model: nn.Module) -> tuple[Symmetry, ...]:
    """The hidden permutations of ``model`` that follow from its modules alone.

    Known are chains (``nn.Sequential``, nested or not) of linear and convolutional layers with activations,
    normalisation, pooling, dropout and flattening between them; the heads of ``nn.MultiheadAttention``; heads
    and feed-forward units of ``nn.TransformerEncoderLayer``. Units that pass through any other module keep
    their order, and so do those inside a subclass with a ``forward`` of its own. Residual streams and custom
    attention need a :class:`Symmetry` written by hand, recurrent layers :func:`recurrent_units`.

    Raises:
        ModelError: If nothing is found.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> [(result.name, result.size) for result in symmetries_of(model)]
    [('0', 8)]
    """
    # A tied weight is read elsewhere too: permuting it in one place would change the other.
    tied = _tied(model)
    free = tuple(s for s in _within(model, "") if not tied & {place.tensor for place in s.places})
    if not free:
        raise ModelError(
            f"no symmetry of {type(model).__name__} follows from its modules",
            expected="a chain of layers in nn.Sequential, or attention of torch.nn",
            remedy="pass symmetries=(Symmetry(...), ...)",
        )
    return free


def permuted(
    model: nn.Module, symmetries: Sequence[Symmetry], orders: Mapping[str, Int[Tensor, " _"]]
) -> nn.Module:
    """A copy of ``model`` whose unit i of each symmetry is unit ``orders[name][i]`` of the original.

    Raises:
        ModelError: If a symmetry does not fit the model.
    """
    check_places(model, symmetries)
    changed = copy.deepcopy(model)
    state = changed.state_dict()
    for symmetry in symmetries:
        for place in symmetry.places:
            if symmetry.name in orders:
                state[place.tensor] = reordered(state[place.tensor], place, orders[symmetry.name])
    changed.load_state_dict(state)
    return changed


def reordered(tensor: Tensor, place: Place, order: Tensor) -> Tensor:
    """``tensor`` with the units of ``place`` in a new order."""
    moved = tensor.movedim(place.axis, 0)
    blocks = moved.reshape(place.outer, len(order), place.inner, -1)
    return blocks[:, order].reshape(moved.shape).movedim(0, place.axis)


@torch.no_grad()
def check_symmetries(
    model: nn.Module, symmetries: Sequence[Symmetry], inputs: Tensor, *, tolerance: float = 1e-4
) -> None:
    """Refuse symmetries that change the function: reversing the units of each must keep the outputs.

    Args:
        model: Returns one tensor; it is evaluated in eval mode.
        symmetries: The symmetries to check, one by one.
        inputs: A few inputs.
        tolerance: Largest difference, as a share of the largest output.

    Raises:
        ModelError: Names the first symmetry that changes the function, or a place that does not fit.
    """
    before = copy.deepcopy(model).eval()(inputs)
    for symmetry in symmetries:
        order = torch.arange(symmetry.size).flip(0)
        after = permuted(model, [symmetry], {symmetry.name: order}).eval()(inputs)
        off = float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))
        if not off <= tolerance:  # NaN is refused too
            raise ModelError(
                f"the symmetry {symmetry.name!r} changes what the network computes",
                expected=f"equal outputs within {tolerance:g}",
                got=f"{off:.3g} of the largest output",
                remedy="list every tensor in which the order of these units appears",
            )


def check_places(model: nn.Module, symmetries: Sequence[Symmetry]) -> None:
    """Refuse places that ``model`` does not have, or whose axis is of another length.

    Raises:
        ModelError: Names the first one.
    """
    state = model.state_dict()
    for symmetry in symmetries:
        for place in symmetry.places:
            shape = tuple(state[place.tensor].shape) if place.tensor in state else None
            needed = place.outer * symmetry.size * place.inner
            if shape is None or place.axis >= len(shape) or shape[place.axis] != needed:
                raise ModelError(
                    f"the symmetry {symmetry.name!r} does not fit the model",
                    expected=f"{place.tensor} with {needed} entries along axis {place.axis}",
                    got="no such tensor" if shape is None else f"shape {shape}",
                )


@dataclass(slots=True)
class _Open:
    """Units that no later layer has read yet, and their axis in the activations.

    Attributes:
        channels: They are along axis 1, followed by pixels; otherwise along the last axis.
        flat: All axes but the first have been flattened.
    """

    name: str
    size: int
    places: list[Place]
    channels: bool
    flat: bool = False


def _within(module: nn.Module, path: str) -> Iterator[Symmetry]:
    """The symmetries of a module and of all its submodules."""
    if _computes_as(module, (nn.TransformerEncoderLayer,)):
        assert isinstance(module, nn.TransformerEncoderLayer)
        yield from _within(module.self_attn, f"{path}self_attn.")
        places = [Place(f"{path}linear1.{tensor}", 0) for tensor, _ in module.linear1.named_parameters()]
        reader = Place(f"{path}linear2.weight", 1)
        yield Symmetry(f"{path}linear1", module.linear1.out_features, (*places, reader))
    elif _computes_as(module, (nn.MultiheadAttention,)):
        assert isinstance(module, nn.MultiheadAttention)
        yield _attention(module, path)
    elif _computes_as(module, (nn.Sequential,)):
        assert isinstance(module, nn.Sequential)
        yield from _chain(module, path)
    else:
        for name, child in module.named_children():
            yield from _within(child, f"{path}{name}.")


def _computes_as(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether ``module`` computes what torch's own module of one of ``kinds`` does.

    A subclass with a forward of its own may do anything with its parts, and a parametrised weight is not the
    tensor that a permutation would move.
    """
    return any(
        isinstance(module, kind)
        and type(module).forward is kind.forward
        and "forward" not in vars(module)
        and not parametrize.is_parametrized(module)
        for kind in kinds
    )


def _attention(module: nn.MultiheadAttention, path: str) -> Symmetry:
    biases = [f"{path}in_proj_bias"] if module.in_proj_bias is not None else []
    # With keys or values of another width torch separates the weights, but still stacks the biases.
    together = module.in_proj_weight is not None
    split = [] if together else [f"{path}{letter}_proj_weight" for letter in "qkv"]
    symmetry = heads(
        path.removesuffix(".") or "attention",
        module.num_heads,
        module.head_dim,
        stacked=([f"{path}in_proj_weight"] if together else []) + biases,
        split=split,
        output=f"{path}out_proj.weight",
    )
    extra = [name for name in ("bias_k", "bias_v") if getattr(module, name) is not None]
    places = tuple(Place(f"{path}{name}", 2, 1, module.head_dim) for name in extra)
    return Symmetry(symmetry.name, symmetry.size, (*symmetry.places, *places))


def _chain(chain: nn.Sequential, path: str) -> Iterator[Symmetry]:
    """Each layer opens a group of units, and the next layer that reads them closes it."""
    units: _Open | None = None
    for name, layer in _steps(chain, path):
        if _computes_as(layer, LAYERS):
            if units is not None and (reader := _reader(layer, name, units)) is not None:
                yield Symmetry(units.name, units.size, (*units.places, reader))
            units = _opened(layer, name)
        elif _computes_as(layer, (*NORMS, nn.LayerNorm)):
            units = _normed(layer, name, units)
        elif _computes_as(layer, (nn.Flatten,)):
            assert isinstance(layer, nn.Flatten)
            units = _flattened(layer, units)
        elif _computes_as(layer, POOLS):
            # Pooling over the last axis would mix units along it.
            units = units if units is not None and units.channels and not units.flat else None
        elif not _computes_as(layer, ELEMENTWISE):
            units = None
            yield from _within(layer, f"{name}.")


def _steps(chain: nn.Sequential, path: str) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in chain._modules.items():  # unlike named_children, it repeats a layer that is used twice
        if _computes_as(layer, (nn.Sequential,)) and isinstance(layer, nn.Sequential):
            yield from _steps(layer, f"{path}{name}.")
        elif layer is not None:
            yield f"{path}{name}", layer


def _opened(layer: nn.Module, name: str) -> _Open | None:
    places = [Place(f"{name}.{tensor}", 0) for tensor, _ in layer.named_parameters()]
    if isinstance(layer, nn.Linear):
        return _Open(name, layer.out_features, places, channels=False)
    # In a grouped convolution a unit may not leave its group.
    if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.groups == 1:
        return _Open(name, layer.out_channels, places, channels=True)
    return None


def _flattened(layer: nn.Flatten, units: _Open | None) -> _Open | None:
    if units is None or units.flat or (layer.start_dim, layer.end_dim) != (1, -1):
        return None
    units.flat = True
    return units


def _reader(layer: nn.Module, name: str, units: _Open) -> Place | None:
    """Where ``layer`` reads the units: one column each, or a block of pixels each."""
    weight = f"{name}.weight"
    if isinstance(layer, nn.Linear):
        times, rest = divmod(layer.in_features, units.size)
        if rest or (times > 1 and not units.flat) or (units.channels and not units.flat):
            return None
        # Flattened channels are blocks of pixels, flattened features repeat at every position.
        return Place(weight, 1, 1, times) if units.channels else Place(weight, 1, times)
    fits = isinstance(layer, nn.Conv1d | nn.Conv2d) and (layer.groups, layer.in_channels) == (1, units.size)
    return Place(weight, 1) if fits and units.channels and not units.flat else None


def _normed(layer: nn.Module, name: str, units: _Open | None) -> _Open | None:
    """The units after a normalisation that treats them alike; None if it does not."""
    if units is None:
        return None
    if isinstance(layer, nn.LayerNorm):
        if units.channels or units.flat or tuple(layer.normalized_shape) != (units.size,):
            return None
        times = 1
    else:
        times, rest = divmod(int(getattr(layer, "num_features", 0)), units.size)
        if rest or not times or (times > 1 and not (units.flat and units.channels)):
            return None
    # All but BatchNorm's count of batches, which has no axis.
    tensors = [*layer.named_parameters(), *layer.named_buffers()]
    units.places += [Place(f"{name}.{key}", 0, 1, times) for key, tensor in tensors if tensor.ndim == 1]
    return units


def _tied(model: nn.Module) -> set[str]:
    """Parameters with several names, of which one place would not be all."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {name for shared in names.values() if len(shared) > 1 for name in shared}
