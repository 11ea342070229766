"""``bequest new``: a study of one's own that runs as it is, and what changing each part does again."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import bequest as bq
from bequest.cli.main import app
from bequest.errors import RunFolderError
from bequest.files import read_json
from bequest.report import write_report

pytestmark = pytest.mark.usefixtures("one_worker_here_all_along")


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The new study, and its run at scale smoke."""
    folder = tmp_path_factory.mktemp("new") / "mine"
    result = CliRunner().invoke(app, ["new", str(folder)])
    assert result.exit_code == 0, result.output
    assert "next: bequest run" in result.output
    return folder, bq.run(folder / "study.toml", scale="smoke", out=folder / "run", workers=1)


def test_it_runs_as_it_is_with_the_users_parts_on_its_page(mine):
    folder, result = mine
    assert result.failed == ()
    assert result.trained == 10
    page = write_report(folder / "run").read_text()
    assert "share of confident answers" in page
    assert any(m["measure"] == "my_measure" for m in read_json(folder / "run" / "measurements.json"))
    records = [read_json(path) for path in (folder / "run" / "cells").glob("*/record.json")]
    assert all("dataset my_data" in record["config"]["parts"] for record in records)
    taught = [record for record in records if record["arm"] == "mine<-cnn"]
    assert {*taught[0]["config"]["parts"]} == {"dataset my_data", "model my_net", "objective my_objective"}


def test_what_each_changed_part_does_again(mine):
    folder, _ = mine
    parts = folder / "parts.py"
    content = parts.read_text()

    def run(**options):
        return bq.run(folder / "study.toml", scale="smoke", out=folder / "run", workers=1, **options)

    def change(old, new):
        changed = parts.read_text().replace(old, new)
        assert changed != parts.read_text()
        parts.write_text(changed)

    assert run().conclusion == "nothing"
    change("> 0.9)", "> 0.8)")
    again = run()
    assert (again.trained, again.read, again.conclusion) == (0, 0, "measuring")
    for kind, old, new, trained in (
        ("model my_net", "width: int = 64", "width: int = 65", 8),  # every arm but the CNN
        ("objective my_objective", "4.0 * soft", "2.0 * soft", 4),  # the two arms that learn by it
        ("dataset my_data", "strokes[y])", "0.9 * strokes[y])", 10),
    ):
        change(old, new)
        with pytest.raises(RunFolderError, match=f"the {kind} has changed"):
            run()
        assert run(amend=True).trained == trained
    parts.write_text(content)


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    result = CliRunner().invoke(app, ["new", str(tmp_path / "mine")])
    assert isinstance(result.exception, RunFolderError)
    assert "already exists" in str(result.exception)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_ls_shows_where_a_part_comes_from(mine):
    folder, _ = mine
    result = CliRunner().invoke(app, ["ls", "models", "--use", str(folder / "parts.py")])
    assert result.exit_code == 0, result.output
    assert "my_net" in result.output
    assert f"({(folder / 'parts.py').resolve()})" in result.output
    result = CliRunner().invoke(app, ["ls", "measures", "--use", str(folder / "parts.py")])
    assert "share of confident answers (confidence above .9)" in result.output


def test_check_takes_a_study_with_parts(mine):
    folder, _ = mine
    result = CliRunner().invoke(app, ["check", str(folder / "study.toml")])
    assert result.exit_code == 0, result.output
    assert "at scale smoke: 10 cells" in result.output
