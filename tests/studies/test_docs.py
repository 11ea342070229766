"""What the guide to writing a study shows is true."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bequest import measures
from bequest.cli.main import app
from bequest.config import merged
from bequest.evidence.kinds import kinds_of, readings_of
from bequest.evidence.readings import Readings
from bequest.files import load_arrays
from bequest.studies.cell import CellFolder, cell_folder
from bequest.studies.kind import KindSpec
from bequest.studies.plan import make_plan
from bequest.studies.resolving import expanded, resolve

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "writing-a-study.md").read_text(encoding="utf-8")
STUDY, *MORE = (tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
OF_NETWORKS = [block for block in MORE if "theory" not in block]


def laid_over(block):
    """The first block with another one, as a file that holds both would have it."""
    return {**merged(STUDY, block), "claims": [*STUDY["claims"], *block.get("claims", [])]}


@pytest.mark.parametrize("scale", ["smoke", "small"])
def test_the_study_is_checked_without_a_fault(scale):
    plan = make_plan(resolve(STUDY, scale=scale), scale=scale)
    assert len(plan.cells) == {"smoke": 10, "small": 15}[scale]
    assert plan.arms.control["mlp<-cnn"] is not None


def test_every_fragment_fits_the_study():
    assert len(OF_NETWORKS) == 3
    plans = [make_plan(resolve(laid_over(block)), scale="small") for block in OF_NETWORKS]
    budgets, claims, evidence = plans
    chosen = [f"{by} {budget}" for by in ("divergence", "random") for budget in (300, 1000)]
    assert list(budgets.study.arms) == [*STUDY["arms"], *chosen]
    assert budgets.study.queries["random 1000"][1].active.budget == 1000
    texts = {claim.id: (claim.text, claim.margin) for claim in claims.study.claims[1:]}
    assert texts == {
        "better": ("Taught by the CNN, the MLP is right more often than a self-taught one.", 0.0),
        "surer": ("Taught by the CNN, the MLP is nearer to the truth than a self-taught one.", -0.1),
    }
    named = {*OF_NETWORKS[2]["measures"], *STUDY["measures"]} & set(KindSpec.registered)
    assert named == {
        kind.key for kind in kinds_of(evidence.study) if evidence.study.kind(type(kind)) is not None
    }


def test_the_line_of_rows_beside_a_variable_is_one():
    (line,) = re.findall(r"`(foreach = \{ part.*?)`", PAGE)
    foreach = tomllib.loads(line.replace(", ...]", "]"))["foreach"]
    arms = expanded({"arms": {"{arm} {part}": {"foreach": foreach, "queries": "{part}"}}})["arms"]
    assert list(arms) == ["cnn half", "cnn quarter"]


def test_the_study_of_the_solvable_model_is_checked_without_a_fault():
    (block,) = (block for block in MORE if "theory" in block)
    plan = make_plan({**block, "name": "x", "title": "x", "question": "x"}, scale="small")
    assert len(plan.cells) == 5 * 3


def test_the_commands_that_train_nothing_run(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(PAGE.split("```toml\n", 1)[1].split("```", 1)[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = [line.partition("  #")[0] for line in re.findall(r"^bequest .*$", PAGE, re.MULTILINE)]
    cheap = [line for line in lines if " check " in line or (" run " in line and "--dry-run" in line)]
    assert len(cheap) == 3
    for line in cheap:
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"


@pytest.mark.slow
def test_a_run_grows_as_shown(tmp_path, monkeypatch, capsys):
    (code,) = (block for block in python_blocks() if "first = bq.run" in block)
    text = PAGE.split("```toml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "mine.toml").write_text(text.replace("epochs = 2", "epochs = 0"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == "10 5 measuring\n"


def test_a_kind_of_one_s_own_works_as_shown(finished, tiny):
    folder = finished[0] / "run"
    (code,) = (block for block in python_blocks() if "class Confidence" in block)
    names: dict = {}
    try:
        exec(code, names)
        plan = make_plan({**resolve(tiny), "measures": {"confidence": {"split": "moved"}}}, scale="small")
        (kind,) = (kind for kind in kinds_of(plan.study) if kind.key == "confidence")
        assert isinstance(kind, names["Confidence"])
        by_hand = {}
        for cell, reading in kind.readings(plan):
            assert reading in readings_of(plan)[cell.id].values()
            logits = load_arrays(cell_folder(folder, cell.id).reading(reading.id_for(cell.id)))["logits"]
            odds = np.exp(logits.astype(float))
            by_hand[cell.arm, str(cell.seed)] = float((odds.max(1) / odds.sum(1)).mean())
        for measurement in kind.measurements(Readings(plan, folder)):
            assert measurement.n == 2
            for seed, value in measurement.per_seed.items():
                assert value == pytest.approx(by_hand.pop((measurement.arm, seed)))
        assert by_hand == {}
        wrong = make_plan({**resolve(tiny), "measures": {}}, scale="small").study
        assert list(names["Confidence"](split="tset").faults(wrong)) == [
            "measures.confidence.split: there is no split 'tset'"
        ]
    finally:
        KindSpec.registered._values.pop("confidence", None)
        measures.MEASURES._values.pop("confidence", None)


def test_the_files_of_a_run_folder_are_those_that_are_shown(finished):
    folder = finished[0] / "run"
    shown = set(re.findall(r"`([\w./]+)`", "".join(re.findall(r"^\| `.*? \|", PAGE, re.MULTILINE))))
    cell = CellFolder(Path("cells/ID"))
    files = [cell.record, cell.weights, cell.metrics, cell.reading("ID"), cell.simulation]
    names = {path.as_posix() for path in files} | {"cells/ID/snapshots/EPOCH.npz", "stores/ID/"}
    results = {"study.toml", "study.json", "measurements.json", "curves.json", "claims.json", "report.html"}
    beside = {name.rpartition("/")[2] for name in names} | names | results
    assert {name for name in shown if "/" in name or "." in name} <= beside
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith((".", "worker-")):
            name = re.sub(r"\b[0-9a-f]{16,}\b", "ID", path.relative_to(folder).as_posix())
            assert name in names | results, name


def python_blocks():
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
