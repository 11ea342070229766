"""From a study's name or file to the configuration of one run: ``foreach``, scale, settings, arms."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bequest.config import merged, read_toml, with_settings
from bequest.errors import ConfigError
from bequest.registry import unknown
from bequest.studies.faults import not_known
from bequest.studies.kind import KindSpec
from bequest.studies.parsing import parse_study
from bequest.studies.solvable import without_arms

SCALES = ("smoke", "small", "decide", "paper")
"""The usual scales, from the smallest. A study may have others; one without any takes each of these."""
LIKE = "like"
"""The key with which a scale names another one that it overrides."""
FOREACH = "foreach"
SOURCES = "sources"
"""Queries are a list of sources; with ``foreach`` they are a table with this key."""
MOST_COPIES = 10_000
"""The most tables that all ``foreach`` of a study may make together."""

VARIABLE = re.compile(r"\{([^{}]+)\}")


def bundled() -> list[str]:
    """The names of the studies that come with bequest."""
    root = resources.files("bequest.studies")
    return sorted(
        folder.name.replace("_", "-") for folder in root.iterdir() if (folder / "study.toml").is_file()
    )


def read_study(study: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The content of a bundled study or of a TOML file; a table is returned as a dictionary.

    Raises:
        UnknownName: If it is neither.
        ConfigError: If the file is not TOML, or it is no name, path or table.
    """
    if isinstance(study, Mapping):
        return dict(study)
    if not isinstance(study, str | Path):
        raise ConfigError.of("study", [f"expected a name, a path or a table, got {type(study).__name__}"])
    path = Path(study)
    if path.suffix == ".toml" or path.is_file():
        return read_toml(path)
    if str(study) not in bundled():
        error = unknown("study", str(study), bundled())
        if (path / "study.toml").is_file():
            error.remedy = f"did you mean {str(path / 'study.toml')!r}?"
        else:
            error.remedy = f"{error.remedy or 'name a bundled study'} (or give the path of a TOML file)"
        raise error
    folder = resources.files("bequest.studies") / str(study).replace("-", "_")
    return read_toml(Path(str(folder / "study.toml")))


def resolve(
    raw: Mapping[str, Any],
    *,
    scale: str = "small",
    seeds: int | None = None,
    seeds_from: int | None = None,
    arms: Sequence[str] | None = None,
    settings: Iterable[str] = (),
) -> dict[str, Any]:
    """The configuration of one run: ``raw``, overridden by scale, then settings, then seeds and arms.

    A scale's ``only`` names the arms that it keeps, with those that they need, and its ``like`` another scale
    that is applied before it.

    Raises:
        ConfigError: If the scale or an arm does not exist, or a ``foreach`` cannot be expanded.
    """
    base = {key: value for key, value in raw.items() if key != "scales"}
    names = scales_of(raw) or list(SCALES)
    if scale not in names:
        raise ConfigError.of(
            "--scale", [f"{scale!r} is not a scale of this study; known: {', '.join(names)}"]
        )
    # Written out before the scale is applied, so that a scale may change one of the copies by its name.
    resolved = expanded(base)
    for overlay in _overlays(raw.get("scales", {}), scale):
        resolved = merged(resolved, expanded(overlay))
    resolved = with_settings(resolved, settings)
    only = resolved.pop("only", None) or []
    if not isinstance(only, list) or not all(isinstance(arm, str) for arm in only):
        raise ConfigError.of(f"scales.{scale}.only", ["expected a list of arms"])
    if seeds is not None:
        resolved["seeds"] = seeds
    if seeds_from is not None:
        resolved["seeds_from"] = seeds_from
    # Narrowing reads the study's tables, so that it needs well-formed ones; faults are reported by the plan.
    chosen = [arm.strip() for arm in arms.split(",")] if isinstance(arms, str) else arms or only
    return restricted(resolved, chosen) if chosen and _well_formed(resolved) else resolved


def _well_formed(resolved: Mapping[str, Any]) -> bool:
    """Whether every value has its type; models may still be given as ``network``."""
    models = resolved.get("models")
    if isinstance(models, Mapping):
        models = {name: _with_a_family(model) for name, model in models.items()}
    return not parse_study({**resolved, **({} if models is None else {"models": models})})[1]


def _with_a_family(model: object) -> object:
    if not isinstance(model, Mapping) or "network" not in model:
        return model
    return {"family": "", **{key: value for key, value in model.items() if key != "network"}}


def scales_of(raw: Mapping[str, Any]) -> list[str]:
    """The scales that a study defines, from the smallest.

    Raises:
        ConfigError: If ``scales`` is no table.
    """
    scales = raw.get("scales", {})
    if not isinstance(scales, Mapping):
        raise ConfigError.of("scales", ["expected a table of scales"])
    usual = [scale for scale in SCALES if scale in scales]
    return [*usual, *(scale for scale in scales if scale not in SCALES)]


def _overlays(scales: Mapping[str, Any], scale: str) -> list[Mapping[str, Any]]:
    """The overrides of the study in their order: ``scale`` comes after the one that it is like."""
    overlays: list[Mapping[str, Any]] = []
    chain: list[str] = []
    name: object = scale
    while name is not None:
        if not isinstance(name, str) or name in chain or (chain and name not in scales):
            known = ", ".join(other for other in scales if other not in chain) or "none"
            raise ConfigError.of(
                f"scales.{chain[-1]}.{LIKE}", [f"expected another scale's name; known: {known}"]
            )
        overlay = scales.get(name, {})
        if not isinstance(overlay, Mapping):
            raise ConfigError.of(f"scales.{name}", ["expected a table"])
        chain.append(name)
        overlays.insert(0, {key: value for key, value in overlay.items() if key != LIKE})
        name = overlay.get(LIKE)
    return overlays


def expanded(content: Mapping[str, Any], copies: Iterator[int] | None = None) -> dict[str, Any]:
    """``content`` with every table that has a ``foreach`` written out, one for each combination.

    ``foreach = {by = ["a", "b"], budget = [1, 2]}`` makes four tables; ``{by}`` and ``{budget}`` are replaced
    by the values in the table's name and in its texts, and a text that is nothing but ``{budget}`` becomes
    the number. Values that belong together are tables themselves: ``foreach = [{by = "a", budget = 1}, ...]``
    makes one table per row, and an item of a list may be such a row too. A key of a row that no ``{...}``
    names overrides that key of the table. Lists of tables (claims) are written out in place.

    >>> expanded({"arms": {"mlp {n}": {"foreach": {"n": [1, 2]}, "restart": "{n}"}}})
    {'arms': {'mlp 1': {'restart': 1}, 'mlp 2': {'restart': 2}}}
    >>> expanded({"arms": {"mlp{to}": {"foreach": [{"to": "", "restart": 0}, {"to": "+", "restart": 1}]}}})
    {'arms': {'mlp': {'restart': 0}, 'mlp+': {'restart': 1}}}

    Raises:
        ConfigError: If a ``foreach`` is neither a table of lists nor a list of tables, makes a name twice, or
            all of them together make more than MOST_COPIES tables.
    """
    tables: dict[str, Any] = {}
    copies = itertools.count(1) if copies is None else copies
    for name, value in content.items():
        for key, table in _copies(name, value, copies):
            if key in tables:
                raise ConfigError.of(
                    name, [f"foreach: {key!r} is made twice; use every variable in the name"]
                )
            tables[key] = table
    return tables


def _copies(name: str, value: Any, copies: Iterator[int]) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and FOREACH in value:
        rest = {key: part for key, part in value.items() if key != FOREACH}
        template = rest[SOURCES] if set(rest) == {SOURCES} else rest
        for binding in _bindings(name, value[FOREACH]):
            if next(copies) > MOST_COPIES:
                raise ConfigError.of(name, [f"foreach: more than {MOST_COPIES:,} tables are made"])
            named = _variables_in([name, template, *binding.values()])
            copy = _filled(template, binding)
            if isinstance(copy, dict):
                copy |= {key: _filled(part, binding) for key, part in binding.items() if key not in named}
            yield _filled(name, binding), _expanded_value(copy, copies)
        return
    yield name, _expanded_value(value, copies)


def _expanded_value(value: Any, copies: Iterator[int]) -> Any:
    if isinstance(value, Mapping):
        return expanded(value, copies)
    if isinstance(value, list):
        return [copy for item in value for _, copy in _copies("", item, copies)]
    return value


def _bindings(name: str, variables: object) -> Iterator[dict[str, Any]]:
    """The values of the variables, one mapping per table."""
    # A list of rows is one axis without a name, since each of its items brings the names itself.
    axes = {"": variables} if isinstance(variables, list) else variables
    rows_alone = axes is not variables
    if (
        not isinstance(axes, Mapping)
        or not all(isinstance(axis, list) for axis in axes.values())
        or (rows_alone and not all(isinstance(row, Mapping) for row in axes[""]))
    ):
        expected = "expected a table of lists, such as {budget = [300, 1000]}, or a list of tables"
        raise ConfigError.of(name, [f"foreach: {expected}"])
    by_axis = [[_row(variable, item) for item in axis] for variable, axis in axes.items()]
    for rows in itertools.product(*by_axis):
        yield {key: part for row in rows for key, part in row.items()}


def _row(variable: str, item: Any) -> Mapping[str, Any]:
    return item if isinstance(item, Mapping) else {variable: item}


def _variables_in(template: Any) -> set[str]:
    """The names in braces in keys and texts."""
    if isinstance(template, str):
        return set(VARIABLE.findall(template))
    if isinstance(template, Mapping):
        parts: Iterable[Any] = [*template, *template.values()]
    else:
        parts = template if isinstance(template, list) else ()
    return {variable for part in parts for variable in _variables_in(part)}


def _filled(template: Any, binding: Mapping[str, Any]) -> Any:
    """``template`` with ``{variable}`` replaced in keys and texts."""
    if isinstance(template, str):
        whole = VARIABLE.fullmatch(template)
        if whole and whole[1] in binding:
            return binding[whole[1]]
        return VARIABLE.sub(lambda match: str(binding.get(match[1], match[0])), template)
    if isinstance(template, Mapping):
        return {str(_filled(key, binding)): _filled(value, binding) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(item, binding) for item in template]
    return template


def restricted(resolved: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """A well-formed configuration with the arms ``wanted`` and what they need, without claims about others.

    Raises:
        ConfigError: If an arm does not exist.
    """
    arms: Mapping[str, Any] = resolved["arms"]
    missing = [arm for arm in wanted if arm not in arms]
    if missing:
        raise ConfigError.of("--arms", [not_known("arm", arm, arms) for arm in missing])
    remaining = _with_needed(resolved, wanted)
    result = {**resolved, "arms": {arm: spec for arm, spec in arms.items() if arm in remaining}}
    if "claims" in resolved:
        result["claims"] = [claim for claim in resolved["claims"] if _speaks_of(claim, remaining)]
    if "measures" in resolved:
        result["measures"] = _restricted_measures(resolved["measures"], remaining)
    values = resolved.get("answer", {}).get("values", {})
    if not all(_speaks_of(value, remaining) for value in values.values()):
        # Whole or not at all: a sentence cannot do without one of its values.
        result.pop("answer", None)
    return without_arms(result, remaining, arms) if "theory" in resolved else result


def _with_needed(resolved: Mapping[str, Any], wanted: Sequence[str]) -> set[str]:
    """``wanted`` with teachers, controls and the arms that their students start from, and so on."""
    arms, models = resolved["arms"], resolved.get("models", {})
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        arm = waiting.pop()
        if arm in needed or arm not in arms:
            continue
        needed.add(arm)
        start = models.get(arms[arm]["student"], {}).get("start") or {}
        others = [arms[arm].get("control"), start.get("arm")]
        waiting += [*arms[arm].get("teachers", []), *(name for name in others if name)]
    return needed


def _restricted_measures(measures: Mapping[str, Any], arms: set[str]) -> dict[str, Any]:
    result = dict(measures)
    if "charted" in result:
        result["charted"] = [arm for arm in result["charted"] if arm in arms]
    for key in [key for key in result if key in KindSpec.registered]:
        kind = KindSpec.registered[key]
        if result[key] is False:
            continue
        options = kind.model_validate(kind.configured(result[key])).restricted(arms)
        if options is None:
            del result[key]
        else:
            result[key] = options.as_configured()
    return result


def _speaks_of(table: Mapping[str, Any], arms: set[str]) -> bool:
    """Whether a claim or a quoted value is about ``arms`` alone."""
    return {table.get("arm"), table.get("against"), table.get("teacher")} <= {*arms, None}
