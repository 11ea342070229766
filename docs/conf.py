"""Sphinx: ``sphinx-build -W -b html docs docs/_build/html`` (the extra ``docs``)."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "src"))

# Sphinx imports under TYPE_CHECKING, where pydantic cannot resolve tensors: what it shows is loaded before.
for module in ("distill.fit", "evidence.kinds", "models.export", "report", "runs.run", "theory.queries"):
    importlib.import_module(f"bequest.{module}")

# A page for each bundled study: its README, whose links lead to pages of the site.
(DOCS / "study").mkdir(exist_ok=True)
for readme in sorted((DOCS.parent / "src" / "bequest" / "studies").glob("*/README.md")):
    text = readme.read_text(encoding="utf-8").replace("](../../../../docs/", "](../")
    text = re.sub(r"\]\(\.\./(\w+)/README\.md", lambda link: f"]({link[1].replace('_', '-')}.md", text)
    (DOCS / "study" / f"{readme.parent.name.replace('_', '-')}.md").write_text(text, encoding="utf-8")

project = "bequest"
author = "The bequest developers"
project_copyright = "2026 the bequest developers"
release = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "figures"]
nb_execution_mode = "off"  # their outputs are kept; tests/project/test_notebooks.py executes them
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "dollarmath"]
# Two modules export one object, and a docstring names it without its module.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes of a dataclass are described once

highlight_language = "none"  # of blocks that name no language: commands and what they print
html_theme = "furo"
html_title = f"bequest {release}"
html_extra_path = ["llms.txt"]
pygments_style = "friendly"
pygments_dark_style = "monokai"

REST = "<!-- further pages -->"
"""In the index: pages that no list above names."""


def with_every_page(_app: Sphinx, name: str, source: list[str]) -> None:
    """Link to pages of the site in place of files; name every page that the index does not name yet."""
    source[0] = re.sub(
        r"\]\(\.\./src/bequest/studies/(\w+)/README\.md",
        lambda link: f"](study/{link[1].replace('_', '-')}.md",
        source[0],
    )
    if name == "index":
        named = set(re.findall(r"^([\w\-/]+)$", source[0], re.MULTILINE))
        rest = sorted(path.stem for path in DOCS.glob("*.md") if path.stem not in {*named, "index"})
        source[0] = source[0].replace(REST, "\n".join(rest))


def plain_formulas(
    _app: Sphinx, _what: str, _name: str, _item: object, _options: object, lines: list[str]
) -> None:
    """Bars and stars of formulas in docstrings are themselves, not reStructuredText."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            pieces = re.split(r"(``.*?``|`.*?`)", line)
            pieces[::2] = [
                re.sub(r"(?<=[(, ])\*(?=\w+[),\] ])(?![^*]*\w\*)", r"\\*", piece.replace("|", r"\|"))
                for piece in pieces[::2]
            ]
            lines[number] = "".join(pieces)


def setup(app: Sphinx) -> None:
    """Connect."""
    app.connect("source-read", with_every_page)
    app.connect("autodoc-process-docstring", plain_formulas, priority=400)  # before napoleon
