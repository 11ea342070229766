"""Hypothesis strategies for studies, made from the specifications' own types."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bequest.data.corruptions import CORRUPTIONS
from bequest.distill.recipe import OPTIMIZERS, Recipe
from bequest.evidence.kinds import registered_kinds
from bequest.measures import MEASURES
from bequest.models.catalogue import MODELS
from bequest.studies.spec import ArmSpec, DataSpec, MeasuresSpec, ModelSpec, SourceSpec, SplitSpec, StudySpec
from bequest.variants import Variant

WORDS = (
    "a",
    "b",
    "test",
    "mlp",
    "accuracy",
    "fog",
    "",
    "..",
    "../x",
    "{n}",
    "ä\u202e",
    "[red]",
    "\x1b[31m",
    "=1",
)
"""Texts without a meaning of their own: names that lead somewhere, and such as do harm elsewhere."""

LARGEST = 30
"""Where the type sets no bound numbers are small: a study of 10⁵ seeds is one, and slow."""

JUNK = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
    | st.dates()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "of", "foreach", "x", *WORDS]), inner, max_size=3)
    ),
    max_leaves=5,
)
"""Whatever TOML can hold."""

ARMS, MODEL_NAMES, QUERIES, SPLITS = ("a", "b", "c"), ("small", "large"), ("moved",), ("test", "far")

MEANT: dict[str, st.SearchStrategy[Any]] = {
    "student": st.sampled_from([*MODEL_NAMES, "mlp", "cnn"]),
    "teachers": st.lists(st.sampled_from(ARMS), max_size=1),
    "control": st.sampled_from(ARMS),
    "arm": st.sampled_from(ARMS),
    "against": st.sampled_from(ARMS),
    "teacher": st.sampled_from(ARMS),
    "queries": st.sampled_from(QUERIES),
    "split": st.sampled_from(SPLITS),
    "of": st.sampled_from(["train", "validation", "test"]),
    "family": st.sampled_from(sorted(MODELS)),
    "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
    "corruption": st.sampled_from(sorted(CORRUPTIONS)),
    "measure": st.sampled_from(sorted(MEASURES)),
    "options": st.just({}),
    "use": st.just([]),
    "task": st.just("target"),
}
"""Fields that mean less than their type says; without these hardly a study would come to a plan."""

NAMED = {SplitSpec: SPLITS, ModelSpec: MODEL_NAMES, ArmSpec: ARMS}
"""The keys of tables of specifications, by what they hold."""


def values_of(annotation: Any, name: str = "", bounds: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Values of a type, as TOML writes them."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return values_of(arguments[0], name, (*bounds, *arguments[1:]))
    if origin in (Union, types.UnionType):
        some = [values_of(each, name, bounds) for each in arguments if each is not type(None)]
        return st.one_of(*some)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (tuple, list, collections.abc.Sequence):
        return st.lists(values_of(arguments[0]), min_size=arguments[0] is SourceSpec, max_size=2)
    if origin in (dict, collections.abc.Mapping):
        keys = QUERIES if name == "queries" else NAMED.get(arguments[1], ())
        if keys:
            return st.fixed_dictionaries({key: values_of(arguments[1]) for key in keys})
        return st.dictionaries(st.sampled_from(WORDS), values_of(arguments[1]), max_size=2)
    return of_class(annotation, bounds)


def of_class(kind: Any, bounds: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Values of a plain type, a specification or a variant."""
    if kind is bool:
        return st.booleans()
    if kind in (int, float):
        return numbers(bounds, whole=kind is int)
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return st.deferred(lambda: tables_of(kind))
    if inspect.isclass(kind) and issubclass(kind, Variant):
        return st.deferred(lambda: variants_of(kind))
    return st.sampled_from(WORDS) if kind is str else JUNK


def numbers(bounds: tuple[Any, ...], *, whole: bool) -> st.SearchStrategy[Any]:
    """Numbers within the bounds of the type, those at its edges among them."""
    low, high = 0.0, float(LARGEST)
    for bound in (part for each in bounds for part in getattr(each, "metadata", [each])):
        if isinstance(bound, Ge | Gt):
            low = float(bound.ge if isinstance(bound, Ge) else bound.gt)
            high = max(high, low)
        if isinstance(bound, Le | Lt):
            high = min(high, float(bound.le if isinstance(bound, Le) else bound.lt))
    if whole:
        return st.integers(int(low), int(high))
    return st.floats(low, high) | st.sampled_from([low, high, (low + high) / 2])


def tables_of(kind: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """A table of a specification: what it requires, and some of the rest."""
    if kind is DataSpec:
        return st.sampled_from(
            [{"name": "digits"}, {"name": "digits"}, {"name": "cifar10"}, {"name": "npz:absent"}]
        )
    fields = {name: field for name, field in kind.model_fields.items() if name != "kinds"}
    required = {name: of_field(name, field) for name, field in fields.items() if field.is_required()}
    optional = {name: of_field(name, field) for name, field in fields.items() if not field.is_required()}
    if kind is StudySpec:
        required |= {name: optional.pop(name) for name in ("data", "models", "queries")}
        required["name"] = st.just("study")
        for name in ("theory", "source", "datasets"):
            del optional[name]
    if kind is ModelSpec:
        del optional["start"], optional["data"]
    if kind is MeasuresSpec:
        optional |= {each.key: tables_of(each) for each in registered_kinds() if each.key}
    return st.fixed_dictionaries(required, optional=optional)


def of_field(name: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    tables = typing.get_origin(field.annotation) in (dict, collections.abc.Mapping) and name == "queries"
    if name in MEANT and not tables:
        return MEANT[name]
    if name == "recipe" and field.annotation is not Recipe:  # laid over the study's
        return st.sampled_from([{}, {"lr": 0.1}, {"epochs": 2, "optimizer": "sgd"}])
    return values_of(field.annotation, name, tuple(field.metadata))


def variants_of(kind: type[Variant]) -> st.SearchStrategy[Any]:
    """A variant of a kind, as a table."""
    if "name" in vars(kind):
        return variant_tables(kind)
    return st.sampled_from(sorted(kind.known)).flatmap(lambda name: variant_tables(kind.known[name]))


def variant_tables(variant: type[Variant]) -> st.SearchStrategy[dict[str, Any]]:
    hints = typing.get_type_hints(variant, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(variant)}  # type: ignore[arg-type]
    needed = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    values = {
        name: values_of(hints[name], name, getattr(fields[name].default, "metadata", ())) for name in fields
    }
    return st.fixed_dictionaries(
        {"name": st.just(variant.name), **{name: values[name] for name in needed}},
        optional={name: value for name, value in values.items() if name not in needed},
    )


STUDIES = tables_of(StudySpec)
"""Studies of which every value has its type; many come to a plan."""
