"""What the page about measures shows is true."""

from __future__ import annotations

import re
from pathlib import Path

from bequest import measure

PAGE = (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == "0.50 [0.43, 0.56], n 3\n"


def test_every_function_is_on_the_page():
    functions = {name for name in measure.__all__ if name[0].islower()}
    assert {name for name in functions if not re.search(rf"`{name}\b", PAGE)} == {
        "along",
        "barrier_height",
        "interpolated",
        "permuted",
        "relative_to_clean",
    }
