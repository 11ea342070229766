from __future__ import annotations

import pytest

from bequest.errors import RunFolderError
from bequest.files import read_json, remove_partials, write_bytes, write_json, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"old")

    def half(file):
        file.write(b"new, but only ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, half)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_is_named(tmp_path):
    def full(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(RunFolderError, match="No space left on device"):
        write_whole(tmp_path / "a.bin", full)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot write"):
        write_bytes(tmp_path / "file" / "a.bin", b"x")


def test_partials_are_removed(tmp_path):
    (tmp_path / ".a.bin.xyz.part").write_bytes(b"half")
    write_json(tmp_path / "kept.json", {"a": 1})
    assert remove_partials(tmp_path) == 1
    assert read_json(tmp_path / "kept.json") == {"a": 1}


def test_nan_never_reaches_a_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})


@pytest.mark.parametrize("content", ["{", "\xff"])
def test_unreadable_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_text(content, encoding="latin-1")
    with pytest.raises(RunFolderError, match=r"a\.json cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(RunFolderError, match="does not exist"):
        read_json(tmp_path / "b.json")
