from __future__ import annotations

import hashlib
import io
import random

import pytest
import torch

from bequest.distill.checkpoint import MAGIC, CheckpointIgnored, checkpointing

STATE = {"taken": 3, "weights": {"a": torch.arange(4.0)}, "none": None}


def test_a_state_comes_back(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint = checkpointing(path, run="a1")
    assert checkpoint(None) is None
    assert checkpoint(lambda: STATE) is None
    state = checkpointing(path, run="a1")(None)
    assert state.keys() == STATE.keys()
    assert torch.equal(state["weights"]["a"], STATE["weights"]["a"])
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_states_are_kept_only_so_often(tmp_path):
    asked = []

    def state():
        asked.append(1)
        return STATE

    rarely = checkpointing(tmp_path / "a.pt", seconds=3600.0)
    rarely(state)
    assert not asked
    always = checkpointing(tmp_path / "b.pt")
    always(state)
    always(state)
    assert len(asked) == 2


def test_a_run_that_is_asked_to_end_keeps_its_state_first(tmp_path):
    asked = []
    checkpoint = checkpointing(tmp_path / "c.pt", seconds=1e6, run="a", ending=lambda: bool(asked))
    checkpoint(lambda: {"step": 1})
    assert not (tmp_path / "c.pt").exists()
    asked.append(True)
    with pytest.raises(KeyboardInterrupt):
        checkpoint(lambda: {"step": 2})
    assert checkpointing(tmp_path / "c.pt", run="a")(None) == {"step": 2}


def test_another_runs_state_counts_as_none_with_a_warning_and_is_replaced(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpointing(path, run="a1")(lambda: STATE)
    with pytest.warns(
        CheckpointIgnored, match=r"checkpoint\.pt belongs to another run; training starts over"
    ):
        assert checkpointing(path, run="b2")(None) is None
    checkpointing(path, run="b2")(lambda: STATE)
    assert checkpointing(path, run="b2")(None)["taken"] == 3


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_damaged_files_count_as_none_with_a_warning(content, tmp_path):
    path = tmp_path / "checkpoint.pt"
    if content is None:
        checkpointing(path)(lambda: STATE)
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    with pytest.warns(CheckpointIgnored, match=r"checkpoint\.pt is damaged"):
        assert checkpointing(path)(None) is None


def test_no_flipped_bit_is_resumed_from(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpointing(path)(lambda: STATE)
    whole = path.read_bytes()
    generator = random.Random(0)
    for _ in range(200):
        place, bit = generator.randrange(len(whole)), generator.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.warns(CheckpointIgnored, match="is damaged"):
            assert checkpointing(path)(None) is None


def test_what_cannot_be_read_counts_as_none(tmp_path):
    with pytest.warns(CheckpointIgnored, match="cannot be read"):
        assert checkpointing(tmp_path)(None) is None


def test_a_file_cannot_run_code(tmp_path):
    """Also one that has the right digest."""
    path = tmp_path / "checkpoint.pt"

    class Trap:
        def __reduce__(self):
            return (print, ("trapped",))

    buffer = io.BytesIO()
    torch.save({"run": "", "state": Trap()}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest().encode()
    path.write_bytes(MAGIC + digest + b"\n" + buffer.getvalue())
    with pytest.warns(CheckpointIgnored, match="is damaged"):
        assert checkpointing(path)(None) is None
