"""The notebooks of the docs run from top to bottom, keep small outputs, and link to pages that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
BYTES = 40_000


def cells(path: Path, kind: str) -> list[dict]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(folder)
    names: dict = {"__name__": "notebook"}
    for cell in cells(path, "code"):
        exec("".join(cell["source"]), names)
    return names


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_executed_in_order_and_is_small(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [out for cell in code for out in cell["outputs"] if out["output_type"] == "error"]
    assert not [out for cell in code for out in cell["outputs"] if out.get("name") == "stderr"]
    assert sum(bool(cell["outputs"]) for cell in code) > len(code) / 2
    assert path.stat().st_size < BYTES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path):
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    assert targets
    assert [target for target in targets if not (path.parent / target).is_file()] == []


@pytest.mark.slow
def test_a_student_of_ones_own_is_nearer_to_its_teacher_than_the_control(tmp_path, monkeypatch):
    names = run(DOCS / "notebooks" / "your-own-model.ipynb", tmp_path, monkeypatch)
    assert names["difference"].low > 0, "the text calls the student nearer to its teacher"


@pytest.mark.slow
def test_the_profile_of_a_run_has_rows_with_and_without_a_gap(tmp_path, monkeypatch):
    names = run(DOCS / "notebooks" / "inheritance-profile.ipynb", tmp_path, monkeypatch)
    assert {record.reason_code for record in names["profile"]} > {None}
    assert names["estimate"].low > 0.5
