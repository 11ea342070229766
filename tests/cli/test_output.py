"""Commands end quietly when nobody reads them, and with one message when nothing can be written."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

BEQUEST = [sys.executable, "-m", "bequest"]


COMMANDS = {
    "show": ["show", "RUN"],
    "show --json": ["show", "RUN", "--json"],
    "run": ["run", "STUDY", "--out", "RUN"],
    "report": ["report", "RUN", "--statement"],
    "ls": ["ls"],
    "--help": ["--help"],
}


@pytest.fixture
def command(request, finished):
    """The command line of a name in COMMANDS."""
    folder, _, _ = finished
    places = {"RUN": str(folder / "run"), "STUDY": str(folder / "study.toml")}
    return [*BEQUEST, *(places.get(word, word) for word in COMMANDS[request.param])]


@pytest.mark.parametrize("command", COMMANDS, indirect=True)
def test_a_reader_that_leaves_ends_it_quietly_with_0(command):
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_run_goes_on_without_its_reader(tiny, write_study, tmp_path):
    tiny["arms"] = {"mlp": {"student": "mlp"}}
    tiny["claims"], tiny["seeds"] = [], 1
    del tiny["answer"]
    read, write = os.pipe()
    os.close(read)
    command = [*BEQUEST, "run", str(write_study(tiny)), "--out", str(tmp_path / "run"), "--workers", "1"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "run" / "report.html").is_file()


def test_errors_that_nobody_reads_keep_their_exit_code(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*BEQUEST, "show", str(tmp_path)], stdout=subprocess.PIPE, stderr=write, timeout=60, check=False
    )
    os.close(write)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the platform has no full device")
@pytest.mark.parametrize("command", ["show", "show --json", "ls"], indirect=True)
def test_a_full_disk_is_one_message(command):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=120, check=False)
    text = done.stderr.decode()
    assert done.returncode == 1
    assert text.startswith("error: standard output cannot be written\n  got:      No space left on device")
    assert "Traceback" not in text


def test_a_closed_output_is_no_error(finished):
    folder, _, _ = finished
    command = " ".join([*BEQUEST, "show", str(folder / "run"), ">&-"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_that_is_closed_is_a_reader_that_left(finished):
    folder, _, _ = finished
    master, slave = pty.openpty()
    process = subprocess.Popen([*BEQUEST, "show", str(folder / "run")], stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    os.close(master)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, b"")


def test_names_with_escape_sequences_reach_no_terminal_in_messages(tmp_path):
    done = subprocess.run(
        [*BEQUEST, "show", str(tmp_path / "a\x1b[31mb")], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert b"\\x1b[31mb is not a run folder" in done.stderr


@pytest.mark.parametrize("arguments", [["ls", "studies"], ["ls", "studies", "--json"], ["--version"]])
def test_what_typer_prints_into_a_pipe_is_text(arguments):
    """typer asks a stream whether it takes bytes, by writing some."""
    done = subprocess.run([*BEQUEST, *arguments], capture_output=True, timeout=120, check=True)
    assert done.stdout
    assert not done.stdout.startswith((b"b'", b'b"'))
    assert b"\\n" not in done.stdout
