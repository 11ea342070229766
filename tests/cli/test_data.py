from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from bequest.cli.main import main


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path):
    """Runs ``bequest data`` in this process with an empty data folder; exit code, output and errors."""
    monkeypatch.setenv("BEQUEST_DATA", str(tmp_path / "data"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bequest", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            main()
        shown = capsys.readouterr()
        return ending.value.code or 0, shown.out, shown.err

    return call


def write_npz(path):
    x, y = np.zeros((20, 28, 28), np.uint8), (np.arange(20) % 10).astype(np.uint8)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return path


def test_ls_says_what_is_there(cli):
    code, out, _ = cli("ls")
    assert code == 0
    assert "mnist    absent" in out
    (row,) = (row for row in json.loads(cli("ls", "--json")[1]) if row["name"] == "mnist")
    assert row["state"] == "absent"


def test_verify_exits_with_2_where_files_are_absent(cli):
    code, out, err = cli("verify", "mnist")
    assert code == 2
    assert out.count("absent") == 4
    assert "4 of 4 files are absent or not as published" in err
    assert "bequest data fetch" in err


def test_import_checks_what_it_copies(cli, tmp_path):
    archive = write_npz(tmp_path / "mine.npz")
    code, _, err = cli("import", "mnist", archive)
    assert code == 2
    assert "is not the published file" in err
    assert cli("import", "mnist", archive, "--unverified")[0] == 0
    assert "wrong" in cli("ls")[1]
    assert cli("import", "mnist", tmp_path / "none")[0] == 2


def test_fetch_without_a_network_is_one_message(cli):
    code, out, err = cli("fetch", "mnist", "--mirror", "http://127.0.0.1:1")
    assert code == 2
    assert "could not be fetched" in err
    assert "Traceback" not in out + err


def test_unknown_sources_show_the_nearest(cli):
    assert "did you mean 'mnist'" in cli("fetch", "minst")[2]
