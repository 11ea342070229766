from __future__ import annotations

import pytest
import torch

from bequest.distill.checkpoint import checkpointing
from bequest.errors import RunFolderError

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


def test_another_runs_state_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpointing(path, run="a1")(lambda: STATE)
    with pytest.raises(RunFolderError, match=r"checkpoint\.pt is of another run") as caught:
        checkpointing(path, run="b2")(None)
    assert "expected: the run b2\n  got:      the run a1" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_damaged_files_are_refused(content, tmp_path):
    path = tmp_path / "checkpoint.pt"
    if content is None:
        checkpointing(path)(lambda: STATE)
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"checkpoint\.pt is damaged") as caught:
        checkpointing(path)(None)
    assert "remedy:   delete it, then run the same command again" in str(caught.value)


def test_a_file_cannot_run_code(tmp_path):
    path = tmp_path / "checkpoint.pt"

    class Trap:
        def __reduce__(self):
            return (print, ("trapped",))

    torch.save({"run": "", "state": Trap()}, path)
    with pytest.raises(RunFolderError, match="is damaged"):
        checkpointing(path)(None)
