"""Writes what is made of the specifications and registries, for readers and for ``bequest ls``.

``python docs/generate_reference.py`` writes the tables of ``docs/studies.md``, a study's keys,
and ``src/bequest/cli/listing.json``; tests compare both with what this makes.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bequest.cli import listing
from bequest.data.generators import Generator
from bequest.data.queries import ActiveSpec
from bequest.data.transforms import Transform
from bequest.data.views import View
from bequest.distill import schedules
from bequest.distill.combine import Combination
from bequest.distill.objectives import Objective
from bequest.distill.recipe import Recipe
from bequest.distill.schedules import Schedule
from bequest.distill.stores.codecs import Codec
from bequest.evidence.kinds import registered_kinds
from bequest.resources import ResourcesSpec
from bequest.studies import claim_spec, solvable_spec, spec
from bequest.studies.kind import KindSpec
from bequest.studies.source import SourceSpec
from bequest.variants import Variant

PAGE = Path(__file__).with_name("studies.md")

MARK = "<!-- generated: what follows is written by docs/generate_reference.py -->"
"""What stands above it on the page is written by hand."""

KINDS_INTRO = """\
## `[measures]`: kinds of evidence

A kind that is *asked for* is measured where its key is there; `KEY = true` asks for it without options, and
`false` does not. A kind *of every study* has a key for its options alone. `bequest ls evidence` lists them.
"""

TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The study", spec.StudySpec),
    ("`[data]`, `[datasets.NAME]`, `[source]`", spec.DataSpec),
    ("`[recipe]`", Recipe),
    ("`[models.NAME]`", spec.ModelSpec),
    ("`[models.NAME.start]`", spec.StartSpec),
    ("`[splits.NAME]`", spec.SplitSpec),
    ("`queries.NAME`: a list of sources", SourceSpec),
    ("`active` of a source", ActiveSpec),
    ("`[arms.NAME]`", spec.ArmSpec),
    ("`[answer]`", claim_spec.AnswerSpec),
    ("`[answer.values.NAME]`", claim_spec.ValueSpec),
    ("`[[claims]]`", claim_spec.ClaimSpec),
    ("`[measures]`", spec.MeasuresSpec),
    ("`[resources]`", ResourcesSpec),
)
SOLVABLE: tuple[tuple[str, type[BaseModel]], ...] = (
    ("`[theory]`: a study of the solvable model", solvable_spec.TheorySpec),
    ("`[theory.charts.NAME]`", solvable_spec.TheoryChart),
    ("`x` and `y` of a chart", solvable_spec.AxisSpec),
    ("`lines` of a chart", solvable_spec.LinesSpec),
    ("`learner` of an arm", solvable_spec.LearnerSpec),
)
VARIANTS: tuple[tuple[str, type[Variant], str], ...] = (
    ("Views", View, "How a sample is shown in training ([views](views.md)); a list is one after the other."),
    ("Generators", Generator, "Inputs that are made, of the shape of a source's samples."),
    ("Transforms", Transform, "The same change of every image of a split."),
    ("Objectives", Objective, "What a student minimises ([objectives](objectives.md)); a list is a sum."),
    ("Combinations", Combination, "How several teachers' answers become one."),
    (
        "Codecs",
        Codec,
        "How stored answers are kept ([stores](stores.md)); a floating type is `dense` with it.",
    ),
    ("Schedules", Schedule, "A number for every step of a run: the rate's factor, a weight, a temperature."),
)
INTERNAL: dict[type[BaseModel], set[str]] = {spec.MeasuresSpec: {"kinds"}}
"""Fields that no study sets."""

OF_SCHEDULES = {
    id(schedules.NOT_NEGATIVE): "number ≥ 0, or a schedule",
    id(schedules.POSITIVE): "number > 0, or a schedule",
    id(schedules.SHARE): "number in [0, 1], or a schedule",
}
PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false"}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a table."""

    name: str
    type: str
    default: str
    meaning: str


def page() -> str:
    """The whole page: what is written by hand, and the tables."""
    by_hand, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    parts = [f"{by_hand}{MARK}\n"]
    parts += [_table(title, keys_of(model), _summary(model)) for title, model in TABLES]
    parts += [KINDS_INTRO, _kinds()]
    parts += [_table(f"`measures.{kind.key}`", keys_of(kind), "") for kind in kinds() if keys_of(kind)]
    parts += [_table(title, keys_of(model), _summary(model)) for title, model in SOLVABLE]
    parts += [_variants(*variant) for variant in VARIANTS]
    return "\n".join(parts)


def models() -> list[type[BaseModel]]:
    """Every specification on the page."""
    return [*(model for _, model in (*TABLES, *SOLVABLE)), *kinds()]


def kinds() -> list[type[KindSpec]]:
    """The kinds of evidence that come with bequest."""
    return [kind for kind in registered_kinds() if kind.__module__.startswith("bequest.")]


def variants() -> list[type[Variant]]:
    """Every view, transform, objective, combination, codec and schedule that comes with bequest."""
    return [cls for _, kind, _ in VARIANTS for cls in _known(kind)]


def keys_of(model: type[BaseModel]) -> list[Key]:
    """The keys of a specification."""
    meanings = meanings_of(model)
    fields = {
        name: field for name, field in model.model_fields.items() if name not in INTERNAL.get(model, ())
    }
    return [
        Key(name, _type(field.annotation, field.metadata), _default(field), meanings.get(name, ""))
        for name, field in fields.items()
    ]


def keys_of_variant(cls: type[Variant]) -> list[Key]:
    """The keys of a view, an objective and the like, beside its name."""
    hints, meanings = typing.get_type_hints(cls, include_extras=True), meanings_of(cls)
    keys = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        default = "required" if field.default is dataclasses.MISSING else _shown(field.default)
        keys.append(Key(field.name, _type(hints[field.name]), default, meanings.get(field.name, "")))
    return keys


def meanings_of(cls: type) -> dict[str, str]:
    """What the ``Attributes:`` of the class and of its bases say, by name."""
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        doc = inspect.cleandoc(vars(base).get("__doc__") or "")
        _, _, section = doc.partition("Attributes:\n")
        lines = _indented(section.splitlines())
        for match in re.finditer(r"^    (\w+): (.*(?:\n {5,}.*)*)", "\n".join(lines), re.MULTILINE):
            meanings[match[1]] = _markdown(match[2])
    return meanings


def prose_of(cls: type) -> str:
    """The docstring without its sections, examples and formal parts."""
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    paragraphs = re.split(r"\n\s*\n", doc)
    prose = [text for text in paragraphs if not re.match(r"\s*(>>>|Attributes:|Source:|See )", text)]
    return _markdown(" ".join(prose))


def _indented(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a section: those before the first that is not indented."""
    for line in lines:
        if line and not line.startswith(" "):
            return
        yield line


def _table(title: str, keys: list[Key], summary: str) -> str:
    rows = [f"| `{key.name}` | {key.type} | {key.default} | {key.meaning} |" for key in keys]
    lead = [summary, ""] if summary else []
    return "\n".join(
        [f"## {title}", "", *lead, "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _kinds() -> str:
    rows = []
    for kind in kinds():
        when = "of every study" if kind.always else "asked for"
        of_theory = " of the solvable model" if getattr(kind, "of_theory", False) and kind.always else ""
        options = f"a list stands for `{kind.list_field}`" if kind.list_field else "–"
        shown = options if keys_of(kind) else "none"
        rows.append(f"| `{kind.key}` | {when}{of_theory} | {shown} | {_summary(kind)} |")
    return "\n".join(["| key | measured | options | what it shows |", "|---|---|---|---|", *rows, ""])


def _variants(title: str, kind: type[Variant], lead: str) -> str:
    rows = []
    for cls in _known(kind):
        keys = [f"`{key.name}`: {key.type}; {key.default}" for key in keys_of_variant(cls)]
        meanings = [f"`{key.name}`: {key.meaning}" for key in keys_of_variant(cls) if key.meaning]
        text = " ".join([prose_of(cls), *meanings])
        rows.append(f"| `{cls.name}` | {'<br>'.join(keys) or '–'} | {text} |")
    head = [f"## {title}", "", lead, "", "| name | keys: type; default | meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _known(kind: type[Variant]) -> list[type[Variant]]:
    """Those of the package, in the order in which they are defined."""
    registered = (kind.known[name] for name in kind.known.in_order())
    return [cls for cls in registered if cls.__module__.startswith("bequest.")]


def _summary(cls: type) -> str:
    """The first paragraphs of a docstring."""
    return prose_of(cls)


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type as a reader of TOML knows it, with its bounds."""
    metadata = [*metadata]
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        for item in more:
            checked = getattr(getattr(item, "func", None), "__self__", None)
            if id(checked) in OF_SCHEDULES:
                return OF_SCHEDULES[id(checked)]
            metadata += item.metadata if isinstance(item, FieldInfo) else []
        return _type(inner, metadata)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(arg, metadata) for arg in args if arg is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{_toml(arg)}`" for arg in args)
    if origin is tuple:
        if args[-1] is not ...:
            return "a pair of " + _plural(_type(args[0]))
        return "list of " + _plural(_type(args[0]))
    if origin is dict:
        return "table" if args[1] is Any else "table of " + _plural(_type(args[1]))
    return _named(annotation) + _bounds(metadata)


def _named(annotation: Any) -> str:
    if annotation in PLAIN:
        return PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Variant):
        titles = {kind: title for title, kind, _ in VARIANTS}
        title = titles[annotation]
        article = "an" if title[0] in "AEIOU" else "a"
        return f"[{article} {title.lower()[:-1]}](#{title.lower()})"
    headings = {model: title for title, model in (*TABLES, *SOLVABLE)}
    return f"[table](#{_anchor(headings[annotation])})" if annotation in headings else "table"


def _plural(name: str) -> str:
    if name.startswith("[a"):
        return re.sub(r"^\[an? (\w+)\]", r"[\1s]", name)
    if name.startswith("[table]"):
        return name.replace("[table]", "[tables]", 1)
    if name.startswith("list of "):
        return name.replace("list of ", "lists of ", 1)
    if name.startswith("a pair"):
        return name.replace("a pair", "pairs", 1)
    return re.sub(r"^(text|integer|number|table)", r"\1s", name)


def _bounds(metadata: Iterable[Any]) -> str:
    limits = {key: getattr(item, key) for item in metadata for key in BOUNDS if hasattr(item, key)}
    if {"ge", "gt"} & set(limits) and {"le", "lt"} & set(limits):
        left = f"[{limits['ge']}" if "ge" in limits else f"({limits['gt']}"
        right = f"{limits['le']}]" if "le" in limits else f"{limits['lt']})"
        return f" in {left}, {right}"
    return "".join(f" {BOUNDS[key]} {value}" for key, value in limits.items())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "–" if default is PydanticUndefined else _shown(default)


def _shown(default: Any) -> str:
    """A default as TOML; a dash for none."""
    if default is None or (isinstance(default, tuple | dict | str) and not default):
        return "–"
    if isinstance(default, BaseModel):
        plain = default.model_dump(mode="json", exclude_defaults=True)
        return f"`{_toml(plain)}`" if plain and any(plain.values()) else "–"
    return f"`{_toml(default.spec() if isinstance(default, Variant) else default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return f"{value:.4g}" if value != round(value) else f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    return str(value)


def _markdown(text: str) -> str:
    """A docstring's text on one line, with Markdown's marks, fit for a cell of a table."""
    text = " ".join(text.split())
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`").replace("::", ":")
    return text.replace("|", r"\|")


def _anchor(title: str) -> str:
    """The anchor that a heading has on a page of Markdown."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    listing.FILE.write_text(
        json.dumps(listing.listed_in_registries(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
