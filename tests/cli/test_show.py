from __future__ import annotations

import json

from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.provenance import Provenance
from bequest.record_files import write_record, write_records
from bequest.records import ArmRecord, CellRecord, Measurement, StudyRecord

HOSTILE = "[bold]x[/] [/] \x1b[2J"
SPELT = r"[bold]x[/] [/] \x1b[2J"


def run_folder(folder, *, value=0.75, **study):
    record = StudyRecord(
        name="tiny", title="Tiny", question="Is it?", scale="smoke", status="partial", config_hash="0",
        command="bequest run tiny", splits={"test": "as it is"}, seeds=(0, 1),
        arms=(ArmRecord(name="mlp", role="taught", student="mlp", label="MLP"),),
        cells=(CellRecord(id="c", arm="mlp", seed=0, status="done"),),
        provenance=Provenance(bequest="0", python="3", platform="Linux", packages={}),
    )  # fmt: skip
    write_record(folder / "study.json", record.model_copy(update=study))
    seeds = {"0": value - 0.25, "1": value + 0.25}
    number = Measurement(measure="accuracy", arm="mlp", split="test", value=value, n=2, per_seed=seeds)
    write_records(folder / "measurements.json", [number])
    return folder


def show(*arguments: object):
    result = CliRunner().invoke(app, ["show", *map(str, arguments)], env={"COLUMNS": "120"})
    assert result.exception is None, result.exception
    return result.output


def test_a_run_shows_its_state_its_table_and_its_failures(tmp_path):
    failed = CellRecord(id="d", arm="mlp", seed=1, status="failed", error="the loss became NaN")
    cells = (CellRecord(id="c", arm="mlp", seed=0, status="done"), failed)
    text = show(run_folder(tmp_path / "run", cells=cells))
    assert text.startswith("Tiny  [smoke] partial\n1 of 2 cells done\n")
    assert "mlp  0.750" in text
    assert "failed: mlp seed 1: the loss became NaN" in text


def test_names_and_messages_are_neither_markup_nor_commands_to_the_terminal(tmp_path):
    cells = (CellRecord(id="d", arm=HOSTILE, seed=1, status="failed", error=HOSTILE),)
    text = show(run_folder(tmp_path / "run", cells=cells, title=HOSTILE, answer=HOSTILE, scale=HOSTILE))
    assert "\x1b" not in text
    assert text.startswith(f"{SPELT}  [{SPELT}] partial")
    assert f"failed: {SPELT} seed 1: {SPELT}" in text
    assert text.count(SPELT) == 6


def test_a_damaged_cell_is_listed(tmp_path):
    folder = run_folder(tmp_path / "run")
    record = folder / "cells" / "c" / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    assert "unreadable: mlp, seed 0: " in show(folder).replace("\n", " ")


def test_several_runs_are_shown_side_by_side(tmp_path):
    one, two = run_folder(tmp_path / "one"), run_folder(tmp_path / "two", value=0.5, scale="small")
    text = show(one, two)
    assert "scale  smoke  small" in " ".join(text.split(" ")).replace("   ", "  ")
    (line,) = [line for line in text.splitlines() if line.startswith("mlp")]
    assert line.split() == ["mlp", "test", "0.750", "0.500", "−0.250"]


def test_json_is_the_record_and_of_several_runs_a_list(tmp_path):
    one, two = run_folder(tmp_path / "one"), run_folder(tmp_path / "two", scale="small")
    assert json.loads(show(one, "--json"))["scale"] == "smoke"
    assert [record["scale"] for record in json.loads(show(one, two, "--json"))] == ["smoke", "small"]
