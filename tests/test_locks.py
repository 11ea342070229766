"""Locks are held by one process, and gone with it, whatever the platform offers."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import time
import types

import pytest

from bequest import locks
from bequest.errors import RunFolderError
from bequest.locks import acquire, claimant, exclusive_lock

HOLDER = """
import sys, time
import bequest.locks as locks
if sys.argv[2] == "claims":
    locks._platform_lock = lambda: None
release = locks.acquire(sys.argv[1])
assert release
print("held", flush=True)
time.sleep(60)
"""


def without_locks():
    """A platform that has none."""


def refusing(code):
    """A file system that answers so."""

    def lock(file):
        raise OSError(code, os.strerror(code))

    return lambda: lock


PLATFORMS = {
    "flock": None,
    "no module": without_locks,
    "ENOLCK": refusing(errno.ENOLCK),
    "EOPNOTSUPP": refusing(errno.EOPNOTSUPP),
}


@pytest.fixture(params=PLATFORMS)
def path(request, monkeypatch, tmp_path):
    """A file to lock, on each kind of platform."""
    if PLATFORMS[request.param] is not None:
        monkeypatch.setattr(locks, "_platform_lock", PLATFORMS[request.param])
    return tmp_path / ".lock"


def test_one_holds_it_and_the_next_may_when_it_lets_go(path):
    release = acquire(path)
    assert release is not None
    assert acquire(path) is None
    with exclusive_lock(path) as acquired:
        assert not acquired
    release()
    with exclusive_lock(path) as acquired:
        assert acquired
        assert acquire(path) is None
    with exclusive_lock(path) as acquired:
        assert acquired
    assert claimant(path) is None


def test_patience_waits_for_the_holder(path):
    release = acquire(path)
    started = time.monotonic()
    assert acquire(path, patience=0.2) is None
    assert 0.2 <= time.monotonic() - started < 5
    release()
    release = acquire(path, patience=5.0)
    assert release is not None
    release()


@pytest.mark.parametrize("kind", ["flock", "claims"])
def test_it_is_gone_with_a_killed_process(kind, monkeypatch, tmp_path):
    if kind == "claims":
        monkeypatch.setattr(locks, "_platform_lock", without_locks)
    path = tmp_path / ".lock"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path, kind], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    assert acquire(path) is None
    if kind == "claims":
        assert f"names process {process.pid} of {platform.node()}; delete it" in claimant(path)
    process.kill()
    process.wait()
    process.stdout.close()
    release = acquire(path)
    assert release is not None
    assert acquire(path) is None
    release()
    assert {file.name for file in tmp_path.iterdir()} == {".lock"}


def test_a_claim_of_another_machine_or_of_nobody_holds_until_it_is_deleted(monkeypatch, tmp_path):
    monkeypatch.setattr(locks, "_platform_lock", without_locks)
    path = tmp_path / ".lock"
    claim = tmp_path / ".lock.claim"
    for content, named in (
        (json.dumps({"machine": "another", "process": 1}), "process 1 of another"),
        ("{cut", "no process"),
        ("[]", "no process"),
    ):
        claim.write_text(content)
        assert acquire(path) is None
        assert f"{claim} names {named}; delete it if none is at work" == claimant(path)
    claim.unlink()
    assert acquire(path) is not None


def test_a_link_is_not_followed(path, tmp_path):
    (tmp_path / "precious").write_text("mine")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(RunFolderError, match="cannot open"):
        acquire(path)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_disk_that_fails_is_no_file_system_without_locks(monkeypatch, tmp_path):
    monkeypatch.setattr(locks, "_platform_lock", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        acquire(tmp_path / ".lock")
    assert not (tmp_path / ".lock.claim").exists()


def test_windows_locks_the_first_byte(monkeypatch, tmp_path):
    """A stand-in for ``msvcrt``, whose ``locking`` refuses a byte that is locked as Windows does."""
    locked = set()

    def locking(handle, mode, size):
        file = os.fstat(handle).st_ino
        assert (mode, size) == (1, 1)
        if file in locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.add(file)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=1))
    release = acquire(tmp_path / ".lock")
    assert release is not None
    assert acquire(tmp_path / ".lock") is None
    release()
    locked.clear()
    release = acquire(tmp_path / ".lock")
    assert release is not None
    release()
