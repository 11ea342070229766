"""Compressed files: damage is one message, and a bomb is refused before it unpacks."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from bequest.data.compressed import GZIP_WRAPPER, gunzip, npz_names, read_gzip, read_npz
from bequest.errors import DataError

TEXT = bytes(range(256)) * 40


def test_gzip_members_follow_one_another_and_other_bytes_pass():
    assert gunzip(gzip.compress(TEXT[:5000]) + gzip.compress(TEXT[5000:]), "here") == TEXT
    assert gunzip(gzip.compress(TEXT) + bytes(512), "here") == TEXT  # as gzip -d takes it
    assert gunzip(TEXT, "here") == TEXT


@pytest.mark.parametrize("damage", ["cut", "changed", "header", "garbage"])
def test_damaged_gzip_is_one_message(damage, tmp_path):
    whole = gzip.compress(np.random.default_rng(0).bytes(3000))
    broken = {
        "cut": whole[: len(whole) // 2],
        "changed": whole[:1500] + bytes([whole[1500] ^ 255]) + whole[1501:],
        "header": whole[:5],
        "garbage": whole + b"garbage",
    }[damage]
    path = tmp_path / "file.gz"
    path.write_bytes(broken)
    with pytest.raises(DataError, match="cannot be read"):
        read_gzip(path)


def test_a_gzip_bomb_is_refused_without_unpacking_it():
    packer = zlib.compressobj(9, zlib.DEFLATED, GZIP_WRAPPER)
    zeros = bytes(1 << 20)
    bomb = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(DataError, match="is too large when unpacked"):
        gunzip(bomb, "bomb", most=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert gunzip(gzip.compress(zeros), "exactly", most=1 << 20) == zeros


def test_a_file_that_is_too_large_or_a_folder_is_refused(tmp_path):
    (tmp_path / "large").write_bytes(TEXT)
    with pytest.raises(DataError, match="is too large"):
        read_gzip(tmp_path / "large", most=100)
    with pytest.raises(DataError, match="cannot be read"):
        read_gzip(tmp_path)


def test_arrays_come_back(tmp_path):
    x, names = np.arange(6.0).reshape(2, 3), np.array(["a", "bc"])
    np.savez_compressed(tmp_path / "a.npz", x=x, names=names)
    arrays = read_npz(tmp_path / "a.npz")
    assert np.array_equal(arrays["x"], x)
    assert arrays["names"].tolist() == ["a", "bc"]
    assert sorted(npz_names(tmp_path / "a.npz")) == ["names", "x"]
    with pytest.raises(DataError, match="lacks y"):
        read_npz(tmp_path / "a.npz", ["x", "y"])


@pytest.mark.parametrize("keep", [0, 10, 100, 0.5, -1, -30])
def test_a_cut_archive_is_one_message(keep, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(300))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(path)
    with pytest.raises(DataError, match="cannot be read"):
        npz_names(path)


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(300))
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(path)


def test_pickles_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="holds Python objects"):
        read_npz(tmp_path / "a.npz")


def test_an_archive_bomb_is_refused_before_memory_is_allocated(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (1 << 40,), "fortran_order": False, "descr": "<f8"}
    )
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(DataError, match=r"is damaged: x\.npy"):
        read_npz(tmp_path / "claims.npz")


def test_zeros_that_unpack_a_thousandfold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bequest.data.compressed.FREE_BYTES", 1000)
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros(10**6))
    with pytest.raises(DataError, match="is too large when unpacked"):
        read_npz(tmp_path / "zeros.npz")
    np.savez(tmp_path / "plain.npz", x=np.zeros(10**6))
    assert read_npz(tmp_path / "plain.npz")["x"].size == 10**6
