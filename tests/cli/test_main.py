from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib import metadata

import pytest
import typer
from rich.text import Text

import bequest
from bequest.cli.main import app, main
from bequest.measure import detectable_effect, look_levels
from bequest.record_files import read_records
from bequest.records import Verdict

pytestmark = pytest.mark.usefixtures("one_worker_here")


@pytest.fixture
def cli(monkeypatch, capsys):
    """Runs the command line in this process; returns exit code, output and errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bequest", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            main()
        shown = capsys.readouterr()
        return ending.value.code or 0, shown.out, shown.err

    return call


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "digist"], "did you mean 'digits'"),
        (["run", "digits", "--device", "npu"], "device: 'npu' is not one of auto, cpu, cuda, cuda:N, mps"),
        (["run", "digits", "--device", "cuda:99"], "cuda:99 is not there: PyTorch sees"),
        (["run", "digits", "--scale", "huge", "--dry-run"], "'huge' is not a scale of this study"),
        (["run", "digits", "--arms", "mpl", "--dry-run"], "there is no arm 'mpl'; did you mean 'mlp'?"),
        (["run", "digits", "--set", "recipe.lrr=1", "--dry-run"], "unknown key; did you mean 'lr'?"),
        (["run", "digits", "--set", "recipe.lr", "--dry-run"], "expected path=value"),
        (["check", "none.toml"], "none.toml: no such file"),
        (["run", "a:key:.toml"], "a:key:.toml"),  # no emoji
        (["show", "nowhere"], "is not a run folder"),
        (["report", "nowhere"], "is not a run folder"),
        (["ls", "modls"], "did you mean 'models'"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(cli, arguments, said):
    code, out, err = cli(*arguments)
    assert code == 2
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err


def test_wrong_options_exit_with_2(cli):
    assert cli("run", "digits", "--no-such-option")[0] == 2
    assert cli("nonsense")[0] == 2


def test_nothing_in_a_help_text_is_taken_for_markup():
    commands = [typer.main.get_command(app)]
    texts = []
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        texts += [option.help for option in command.params if getattr(option, "help", None)]
    assert len(texts) > 50
    assert [text for text in texts if Text.from_markup(text).plain != text] == []


@pytest.mark.parametrize("verb", ["run", "distill", "store build", "store verify"])
def test_every_verb_that_trains_or_reads_has_a_device(cli, verb):
    assert "--device" in cli(*verb.split(), "--help")[1]


def test_help_shows_the_verbs_and_an_example(cli):
    code, out, _ = cli("--help")
    assert code == 0
    for verb in ("run", "new", "ls", "check", "show", "report", "prune", "export"):
        assert verb in out
        assert "Example: bequest" in cli(verb, "--help")[1]


def test_the_version_is_that_of_the_package(cli):
    assert cli("--version")[:2] == (0, f"bequest {bequest.__version__}\n")
    assert bequest.__version__ == metadata.version("bequest")


def test_ls_lists_each_kind_with_a_summary(cli):
    code, out, _ = cli("ls", "--json")
    assert code == 0
    found = json.loads(out)
    assert set(found["models"]) >= {"cnn", "mlp"}
    assert "digits" in found["studies"]
    assert set(found["measures"]) >= {"accuracy", "cka", "agreement"}
    assert all(summary for entries in found.values() for summary in entries.values())
    assert "kd" in cli("ls", "objectives")[1]


def test_check_counts_cells_at_every_scale(cli):
    code, out, _ = cli("check", "digits", "--json")
    assert code == 0
    assert set(json.loads(out)["cells"]) == {"smoke", "small", "paper"}
    assert "no errors" in cli("check", "digits")[1]


def test_a_dry_run_shows_the_cells_and_makes_nothing(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("run", "digits", "--scale", "smoke", "--dry-run")
    assert code == 0
    assert "nothing was run" in out
    assert list(tmp_path.iterdir()) == []


def test_run_show_and_report_on_a_finished_folder(cli, finished):
    folder, _, _ = finished
    code, out, err = cli("run", folder / "study.toml", "--out", folder / "run")
    assert (code, err) == (0, "")
    assert "nothing to train: all 8 cells already finished" in out
    assert "report:" in out
    code, out, _ = cli("run", folder / "study.toml", "--out", folder / "run", "--json")
    assert json.loads(out)["status"] == "complete"
    assert "8 of 8 cells done" in cli("show", folder / "run")[1]
    assert json.loads(cli("show", folder / "run", "--json")[1])["name"] == "tiny"
    page = folder / "page.html"
    assert cli("report", folder / "run", "-o", page)[0] == 0
    assert "Does it run?" in page.read_text()


def test_failed_cells_exit_with_3(cli, tiny, write_study, tmp_path):
    tiny["arms"] = {"mlp": {"student": "mlp", "recipe": {"optimizer": "sgd", "lr": 1e30}}}
    tiny["claims"], tiny["seeds"] = [], 1
    del tiny["answer"]
    code, out, _ = cli("run", write_study(tiny), "--out", tmp_path / "run", "--workers", 1)
    assert code == 3
    assert "failed: mlp seed 0: the loss" in " ".join(out.split())


def test_python_dash_m_is_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "bequest", "ls", "studies"], capture_output=True, check=True, timeout=60
    )
    assert b"digits" in done.stdout


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = bequest.nonsense


def test_a_dry_run_says_what_the_run_will_take(cli, tiny, write_study):
    path = write_study(tiny)
    out = cli("run", path, "--dry-run")[1]
    line = next(line for line in out.splitlines() if line.startswith("mlp<-cnn "))
    assert line.split()[1:4] == ["2", "20", "2,490"]
    assert "GPU hours assume" in out
    found = json.loads(cli("run", path, "--dry-run", "--json")[1])
    assert len(found["cells"]) == 8
    assert {"arm", "cells", "steps", "parameters", "memory", "gpu_hours"} <= set(found["arms"][0])


def test_a_dry_run_says_what_the_seeds_can_see(cli, tiny, write_study):
    tiny["claims"].append({**tiny["claims"][0], "id": "third", "arm": "cnn", "against": "mlp"})
    path = write_study(tiny)
    lines = cli("run", path, "--dry-run", "--seeds", 3)[1].splitlines()
    (line,) = [line for line in lines if line.startswith("better ")]
    first, last = detectable_effect(3, level=0.975), detectable_effect(3)
    assert line.split() == ["better", "mlp<-cnn", "−", "mlp<-mlp", "3", f"{first:.3g}", f"{last:.3g}"]
    assert any("with a probability of 80 %" in line for line in lines)
    assert lines[-1] == "12 cells at scale small; nothing was run"
    shown = json.loads(cli("run", path, "--dry-run", "--seeds", 1, "--json")[1])
    assert (shown["looks"], shown["smallest_effects"][0]["first"]) == (None, None)


def test_a_dry_run_of_rounds_shows_every_look(cli, tiny, write_study):
    path = write_study(tiny)
    lines = cli("run", path, "--dry-run", "--until-decided", "--most-seeds", 8)[1].splitlines()
    rows = [line.split()[-3:] for line in lines if line.startswith(("better ", "       "))]
    assert [row[0] for row in rows] == ["2", "4", "8"]
    assert rows[1][1] == f"{detectable_effect(4, level=look_levels([2, 4, 8])[1]):.3g}"
    assert lines[-1].startswith("8 cells at scale small, at most 32 after looks at 2, 4, 8 seeds")
    shown = json.loads(cli("run", path, "--dry-run", "--until-decided", "--json")[1])
    assert [look["seeds"] for look in shown["looks"]] == [2, 4, 8]
    assert [effect["seeds"] for effect in shown["smallest_effects"]] == [2, 4, 8]


def test_a_dry_run_beside_a_run_says_how_far_its_claims_lay_from_their_margins(cli, finished):
    folder, _, _ = finished
    out = cli("run", folder / "study.toml", "--out", folder / "run", "--dry-run")[1]
    (verdict,) = read_records(folder / "run" / "claims.json", Verdict)
    half = (verdict.high - verdict.low) / 2
    seen = (
        abs(verdict.value) * 12.706 / (half * 2**0.5)
    )  # the 97.5 % quantile of t with one degree of freedom
    (line,) = [line for line in out.splitlines() if line.startswith("better ")]
    assert float(line.split()[-1]) == pytest.approx(seen, rel=0.01)
    assert "seen: the distance in the existing run" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "20m"], "--budget: limits runs with --until-decided only"),
        (["--until-decided", "--budget", "soon"], "expected a time such as 90s, 20m or 1h30m, got 'soon'"),
        (["--until-decided", "--most-seeds", "1"], "expected at least the study's 2 seeds, got 1"),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_wrong_limits_are_refused_before_anything_runs(
    cli, tiny, write_study, tmp_path, options, message, dry
):
    code, _, err = cli("run", write_study(tiny), "--out", tmp_path / "run", *options, *dry)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "run" / "study.json").exists()


def test_a_dry_run_without_the_data_says_why_it_cannot_tell(cli, tiny, write_study, monkeypatch, tmp_path):
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path))
    tiny["data"] = {"name": "cifar10"}
    code, out, _ = cli("run", write_study(tiny), "--dry-run")
    assert code == 0
    assert "no estimate of the cost: CIFAR-10 was not found" in out
    assert "8 cells at scale small" in out


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (KeyError("mine"), "bequest itself failed: this is a bug"),
        (OSError(28, "No space left on device", "there"), "No space left on device: there"),
    ],
)
def test_what_nobody_foresaw_is_one_message_too(cli, monkeypatch, tmp_path, error, said):
    from bequest.studies import resolving

    def broken(*_):
        raise error

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(resolving, "read_study", broken)
    code, out, err = cli("check", "digits")
    assert code == 1
    assert said in err
    assert "Traceback" not in out + err
    traces = [path.read_text() for path in tmp_path.iterdir()]
    assert len(traces) == ("this is a bug" in said)
    assert all("KeyError: 'mine'" in trace and "in broken" in trace for trace in traces)
    assert all(str(path) in err for path in tmp_path.iterdir())


def test_a_name_that_the_system_does_not_take_is_wrong_input(cli):
    code, _, err = cli("show", "x" * 5000)
    assert code == 2
    assert "name too long" in err.lower()


def test_a_message_is_given_where_memory_is_too_short_for_one_in_colours(monkeypatch, capfd):
    def none():
        raise MemoryError

    monkeypatch.setattr("bequest.cli.main._errors", none)
    monkeypatch.setattr(sys, "argv", ["bequest", "check", "no such study"])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    assert capfd.readouterr().err == "error: out of memory\n"
