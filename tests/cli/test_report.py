from __future__ import annotations

import pytest
from typer.testing import CliRunner

from bequest.cli.main import app
from bequest.errors import RunFolderError
from bequest.provenance import Provenance
from bequest.record_files import write_record, write_records
from bequest.records import ArmRecord, CellRecord, Measurement, StudyRecord, Verdict


def run_folder(folder, *, question="Is it?", value=0.75, **study):
    record = StudyRecord(
        name="tiny", title="Tiny", question=question, scale="smoke", status="complete", config_hash="0",
        command="bequest run tiny", splits={"test": "as it is"}, seeds=(0, 1), answer="It is.",
        arms=(ArmRecord(name="mlp", role="taught", student="mlp", label="MLP"),),
        cells=(CellRecord(id="c", arm="mlp", seed=0, status="done"),),
        provenance=Provenance(bequest="0", python="3", platform="Linux", packages={}),
    )  # fmt: skip
    seeds = {"0": value - 0.25, "1": value + 0.25}
    number = Measurement(measure="accuracy", arm="mlp", split="test", value=value, n=2, per_seed=seeds)
    claim = Verdict(
        id="c", text="It [bold]is[/].", source="here", contrast="a", verdict="upheld", value=value
    )
    write_record(folder / "study.json", record.model_copy(update=study))
    write_records(folder / "measurements.json", [number])
    write_records(folder / "claims.json", [claim])
    return folder


def bequest(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_page_of_one_run_is_written_and_named(tmp_path):
    folder = run_folder(tmp_path / "run")
    result = bequest("report", folder)
    assert (result.exit_code, result.output) == (0, f"{folder / 'report.html'}\n")
    assert bequest("report", folder, "-o", tmp_path / "page.html").output == f"{tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_bytes() == (folder / "report.html").read_bytes()


def test_several_runs_make_one_page(tmp_path):
    one, two = run_folder(tmp_path / "one"), run_folder(tmp_path / "two", value=0.5)
    result = bequest("report", one, two)
    assert result.output == f"{one / 'comparison.html'}\n"
    assert "−0.250" in (one / "comparison.html").read_text()
    assert not (one / "report.html").exists()


def test_the_statement_is_markdown_on_the_terminal_or_in_a_file(tmp_path):
    one, two = run_folder(tmp_path / "one"), run_folder(tmp_path / "two", question="And *that*?")
    text = bequest("report", one, "--statement").output
    assert text.startswith("# Is it?\n\nIt is.\n\nStudy tiny, scale smoke, 1 seed.\n\n## Claims\n")
    assert r"It \[bold\]is\[/\]." in text
    both = bequest("report", one, two, "--statement").output
    assert both.startswith(text)
    assert "\n---\n\n# And \\*that\\*?\n" in both
    assert bequest("report", one, "--statement", "-o", tmp_path / "s.md").output == f"{tmp_path / 's.md'}\n"
    assert (tmp_path / "s.md").read_text() == text


@pytest.mark.parametrize("verb", ["show", "report"])
def test_a_folder_without_a_study_is_refused(tmp_path, verb):
    result = bequest(verb, tmp_path / "absent")
    assert isinstance(result.exception, RunFolderError)
    assert "no such folder" in str(result.exception)
