"""What only Linux has is missing: every module imports, and a study runs, resumes and is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BARE = '''
"""Takes away what other systems lack, in this process and in all that it starts."""
import builtins, errno, os, signal, stat, sys

for module in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[module] = None
for name in ("sched_getaffinity", "fdatasync", "O_NOFOLLOW", "O_DIRECTORY", "posix_fadvise", "sysconf"):
    if hasattr(os, name):
        delattr(os, name)
del signal.SIGHUP

plain_open, plain_fsync = builtins.open, os.fsync

def without_proc(file, *values, **named):
    if str(file).startswith("/proc/"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
    return plain_open(file, *values, **named)

def files_only(handle):
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    plain_fsync(handle)

builtins.open, os.fsync = without_proc, files_only
'''

EVERY_MODULE = """
import importlib, os, pkgutil, sys
assert sys.modules["fcntl"] is None and not hasattr(os, "sched_getaffinity")
import bequest
names = [each.name for each in pkgutil.walk_packages(bequest.__path__, "bequest.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


@pytest.fixture
def bare(tmp_path):
    """Runs Python on a platform without what only Linux has; returns its output."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BARE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "bare"), *sys.path])}

    def call(*arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_every_module_imports(bare):
    files = list((Path(__file__).parents[1] / "src" / "bequest").rglob("*.py"))
    assert 300 < int(bare("-c", EVERY_MODULE)) <= len(files)


def test_a_study_runs_and_resumes_and_a_store_is_built(bare, tiny, write_study, tmp_path):
    tiny["arms"]["mlp<-cnn"]["mode"] = "stored"
    run = [
        "-m",
        "bequest",
        "run",
        write_study(tiny),
        "--out",
        tmp_path / "run",
        "--seeds",
        "1",
        "--workers",
        "1",
    ]
    assert "4 cells trained" in bare(*run)
    assert "nothing to train" in bare(*run)
    assert json.loads((tmp_path / "run" / "study.json").read_text())["status"] == "complete"
    assert not list((tmp_path / "run").rglob("*.claim"))
    build = ["-m", "bequest", "store", "build", tmp_path / "store", "--teacher", f"{tmp_path / 'run'}:cnn"]
    assert "1,297 samples" in bare(*build, "--workers", "2", "--count", "2", "--views", "flip")
