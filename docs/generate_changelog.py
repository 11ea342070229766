"""Writes ``CHANGELOG.md`` from the fragments in ``changelog.d``.

``python docs/generate_changelog.py`` rewrites the section of the version in ``pyproject.toml`` and leaves
those of earlier versions as they are. After a release the fragments are deleted (git keeps them), and without
fragments nothing is rewritten.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

HEAD = """\
# Changelog

Versions follow [semantic versioning](https://semver.org): before 1.0 a minor version may change an interface.
The section of the next version is made from the files in `changelog.d/`: `python docs/generate_changelog.py`.
"""

AREAS: dict[str, tuple[str, ...]] = {
    "Studies and runs": (
        "abnar2020-mnist",
        "agreement",
        "digits-in-full",
        "dry-run-cost",
        "endings",
        "error-headlines",
        "first-study",
        "habib2023",
        "keys-of-results",
        "thapa2022",
        "theory-study",
        "three-rooms",
        "until-decided",
        "users-parts",
    ),
    "Distillation": (
        "auxiliary-outputs",
        "dist-",
        "distill-",
        "engine",
        "fine-tuning",
        "objectives",
        "query-designs",
        "stores",
    ),
    "Data": ("corruptions", "data-", "folders", "keys-of-data", "mnist", "views"),
    "Models": (
        "export",
        "network-names",
        "odd-networks",
        "option-types",
        "placement",
        "pretrained",
        "sharded-weights",
        "text-networks",
    ),
    "Measures and evidence": (
        "asked-and-unasked",
        "families",
        "likenesses-of-today",
        "measure-",
        "reason-codes",
    ),
    "Theory": ("theory-",),
    "Report": ("report", "several-runs"),
    "Devices and speed": ("devices", "memory", "gpu", "benchmarks"),
}
"""Heading → fragments whose name is, or begins with, one of these; others stand under *Further*."""


def area_of(fragment: str) -> str:
    """The heading of a fragment: that of the longest name or prefix that fits."""
    fitting = [
        (len(start), area)
        for area, starts in AREAS.items()
        for start in starts
        if fragment == start or fragment.startswith(start if start.endswith("-") else f"{start}-")
    ]
    return max(fitting)[1] if fitting else "Further"


def entries_of(text: str) -> list[str]:
    """The entries of a fragment: its bullets, or each of its paragraphs."""
    paragraphs = [
        entry
        for block in re.split(r"\n\s*\n", text.strip())
        for entry in re.split(r"^- ", block, flags=re.MULTILINE)
    ]
    return [" ".join(entry.split()) for entry in paragraphs if entry.strip()]


def section(version: str, fragments: dict[str, str]) -> str:
    """The section of a version, from the texts of its fragments by name."""
    by_area: dict[str, list[str]] = {}
    for name, text in sorted(fragments.items()):
        by_area.setdefault(area_of(name), []).extend(entries_of(text))
    lines = [f"## {version}"]
    for area in (*AREAS, "Further"):
        if area in by_area:
            lines += ["", f"### {area}", "", *(f"- {entry}" for entry in by_area[area])]
    return "\n".join(lines) + "\n"


def page(version: str, fragments: dict[str, str], current: str = "") -> str:
    """The whole file; sections of other versions in ``current`` are kept below."""
    sections = re.split(r"^(?=## )", current, flags=re.MULTILINE)[1:]
    earlier = [part for part in sections if not fragments or part.split()[1] != version]
    parts = [
        HEAD,
        *([section(version, fragments)] if fragments else []),
        *(part.rstrip() + "\n" for part in earlier),
    ]
    return "\n".join(parts)


def main() -> None:
    """Rewrite ``CHANGELOG.md``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    fragments = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "changelog.d").glob("*.md")}
    target = ROOT / "CHANGELOG.md"
    current = target.read_text(encoding="utf-8") if target.exists() else ""
    target.write_text(page(project["version"], fragments, current), encoding="utf-8")


if __name__ == "__main__":
    main()
