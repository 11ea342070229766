from __future__ import annotations

import gzip

import numpy as np
import pytest

from bequest.data.idx import idx_bytes, parse_idx, read_idx
from bequest.errors import DataError


def test_the_layout_is_the_published_one():
    """Two zeros, type 8 (bytes), two axes, both lengths in big-endian, then rows."""
    assert idx_bytes(np.array([[1, 2, 3]])) == bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3])


def test_other_types_are_read_as_they_are_written():
    content = bytes([0, 0, 0x0D, 1, 0, 0, 0, 2]) + np.array([1.5, -2.0], ">f4").tobytes()
    assert parse_idx(content, "x").tolist() == [1.5, -2.0]


def test_plain_and_compressed_are_the_same(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5)).astype(np.uint8)
    (tmp_path / "plain").write_bytes(idx_bytes(array))
    (tmp_path / "packed").write_bytes(gzip.compress(idx_bytes(array)))
    for name in ("plain", "packed"):
        np.testing.assert_array_equal(read_idx(tmp_path / name), array)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not an IDX file"),
        (b"PK\x03\x04", "is not an IDX file"),
        (idx_bytes(np.zeros((2, 3)))[:-1], "is not as long as its header says"),
        (idx_bytes(np.zeros((2, 3))) + b"0", "is not as long as its header says"),
        (idx_bytes(np.zeros((2, 3)))[:6], "is not as long as its header says"),
        (gzip.compress(idx_bytes(np.zeros((200, 3))), mtime=0)[:-20], "cannot be read"),
    ],
)
def test_damaged_files_are_said(tmp_path, content, said):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_idx(tmp_path / "file")


def test_an_absent_file_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "none")
