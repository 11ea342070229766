"""Building: the same bytes whatever happens on the way, and refusals that say why."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bequest as bq
from bequest.data.batches import Source
from bequest.data.datasets import Dataset
from bequest.data.views import Flip, Identity, Shift
from bequest.distill.stores import build as builder
from bequest.distill.stores import writer
from bequest.distill.stores.codecs import parse_codec
from bequest.distill.stores.job import _plain
from bequest.distill.stores.manifest import MANIFEST, ArrayEntry
from bequest.distill.stores.recording import Recording
from bequest.distill.teachers import Teacher
from bequest.errors import ConfigError, DataError, SignalError

from .conftest import contents, network

SMALL = (64, 60.0)
"""Pieces of one forward pass."""


def built(teacher: nn.Module, data: Dataset, path: Path, **options: Any) -> bq.distill:
    options = {"views": Shift(1), "count": 3, "batch": 8, "pieces": SMALL, **options}
    return bq.build_store(teacher, data, path=path, **options)


class Slow(nn.Module):
    """A teacher that takes its time, so that there is time to kill its builder."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.004)
        return self.inner(x)


class Crash(BaseException):
    pass


def test_a_store_is_a_manifest_and_one_plain_array_a_view(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    built(teacher, data, tmp_path, codec="float32")
    assert sorted(contents(tmp_path)) == [MANIFEST, *(f"view-0000{v}.npy" for v in range(3))]
    for view in range(3):
        stored = np.load(tmp_path / f"view-0000{view}.npy", mmap_mode="r")
        x = Shift(1)(data["train"].x, data["train"].ids, view, seed=0)
        live = Teacher(teacher)(x).numpy()
        assert stored.flags.c_contiguous
        np.testing.assert_allclose(stored, live, rtol=0, atol=1e-5 * abs(live).max())


@pytest.mark.parametrize("rows", [1, 60, 1_281_167])
@pytest.mark.parametrize("codec", ["float32", "bfloat16", '{"name": "topk", "k": 3}'])
def test_the_header_is_the_one_that_numpy_writes(rows: int, codec: str) -> None:
    dtype, shape = parse_codec(json.loads(codec) if "{" in codec else codec).layout((10,))
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((rows, *shape), dtype))
    header = writer.npy_header(ArrayEntry(name="logits", dtype=_plain(dtype), shape=shape), rows)
    assert buffer.getvalue()[: len(header)] == header
    assert len(buffer.getvalue()) == len(header) + rows * dtype.itemsize * int(np.prod(shape))


def test_twenty_kills_at_random_instants_leave_no_trace(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    slow = Slow(teacher)
    built(slow, data, tmp_path / "whole")
    dice = random.Random(7)
    kills = 0
    while kills < 20:
        child = os.fork()
        if child == 0:
            try:
                built(slow, data, tmp_path / "killed")
            finally:
                os._exit(0)
        time.sleep(dice.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
            shutil.rmtree(tmp_path / "killed")
        kills += 1
    built(slow, data, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_crash_at_any_write_is_made_good(
    teacher: nn.Module, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"count": 1, "batch": 30, "features": ("penultimate",)}
    built(teacher, data, tmp_path / "whole", **options)
    calls = 0

    def crashing(call: Callable[..., Any], at: int) -> Callable[..., Any]:
        def wrapped(*values: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise Crash
            return call(*values, **named)

        return wrapped

    steps, crashed = 0, True
    while crashed:
        steps, calls, crashed = steps + 1, 0, False
        folder = tmp_path / str(steps)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", crashing(os.fsync, steps))
            patch.setattr(Path, "replace", crashing(Path.replace, steps))
            patch.setattr(Path, "unlink", crashing(Path.unlink, steps))
            patch.setattr(writer.ViewWriter, "append", crashing(writer.ViewWriter.append, steps))
            try:
                built(teacher, data, folder, **options)
            except Crash:
                crashed = True
        built(teacher, data, folder, **options)
        assert contents(folder) == contents(tmp_path / "whole"), f"crash at call {steps}"
    assert steps > 10


def test_at_most_one_piece_is_done_again(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    asked = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = teacher

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            asked.append(len(x))
            if sum(asked) > 2 + 40:
                raise Crash
            return self.inner(x)

    options = {"count": 1, "batch": 8, "pieces": (16 * 5 * 2, 60.0)}
    with pytest.raises(Crash):
        built(Counting(), data, tmp_path, **options)
    before = sum(asked) - 2 - len(asked) * 0
    asked.clear()
    asked.append(-1000)
    built(Counting(), data, tmp_path, **options)
    again = sum(asked) + 1000 - 2
    assert before + again <= 60 + 8 + 16


def test_a_torn_piece_and_a_torn_journal_line_are_cut_off(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    built(teacher, data, tmp_path / "whole", count=1)
    folder = tmp_path / "torn"
    with pytest.raises(Crash):
        built(Stopping(teacher, 5), data, folder, count=1)
    partial = folder / "view-00000.npy.unfinished"
    journal = folder / ".view-00000.journal"
    size = partial.stat().st_size
    partial.write_bytes(partial.read_bytes()[: size - 3] + b"xyz" + b"garbage")
    journal.write_bytes(journal.read_bytes() + b'{"rows": 48, "sha')
    with Stopping.unlimited():
        built(Stopping(teacher, 5), data, folder, count=1)
    assert contents(folder)["view-00000.npy"] == contents(tmp_path / "whole")["view-00000.npy"]


class Stopping(nn.Module):
    """A teacher that crashes after a number of questions; the probe of the shape is one of them."""

    limit = True

    def __init__(self, inner: nn.Module, questions: int) -> None:
        super().__init__()
        self.inner, self.left = inner, questions

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left < 0 and Stopping.limit:
            raise Crash
        return self.inner(x)

    @classmethod
    def unlimited(cls) -> Any:
        patch = pytest.MonkeyPatch.context()

        class Lifted:
            def __enter__(self) -> None:
                self.patch = patch.__enter__()
                self.patch.setattr(cls, "limit", False)

            def __exit__(self, *reason: Any) -> None:
                patch.__exit__(*reason)

        return Lifted()


def test_several_processes_write_the_same_bytes(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    built(teacher, data, tmp_path / "one")
    built(teacher, data, tmp_path / "two", workers=2, device="cpu")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_ranks_share_the_views(
    teacher: nn.Module, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ranks as torchrun starts them: processes that know their number and nothing of each other."""
    built(teacher, data, tmp_path / "one")
    children = []
    for rank in (1, 0):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.environ.update({"RANK": str(rank), "WORLD_SIZE": "2"})
                store = built(teacher, data, tmp_path / "two")
                code = 0 if len(store.manifests[0].shards) == 3 else 2
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_finished_store_asks_no_teacher_again(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    built(Stopping(teacher, 1000), data, tmp_path)
    before = contents(tmp_path)
    built(Stopping(teacher, 1), data, tmp_path)
    assert contents(tmp_path) == before


def test_more_views_are_added_to_those_that_are_there(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    built(teacher, data, tmp_path / "grown", count=2)
    built(teacher, data, tmp_path / "grown", count=5)
    built(teacher, data, tmp_path / "whole", count=5)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


def test_a_deleted_array_is_built_again(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    built(teacher, data, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "view-00001.npy").unlink()
    built(teacher, data, tmp_path)
    assert contents(tmp_path) == before


def test_plain_samples_take_one_view(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    store = built(teacher, data, tmp_path, views=Identity(), count=7)
    assert store.manifests[0].views.count == 1


def test_several_teachers_and_sources_make_a_store_of_stores(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    train = data["train"].unlabelled()
    mixture = [Source("clean", train, Identity(), 0.5), Source("moved", train, Shift(1), 0.5)]
    teachers = [Teacher(teacher, name="a"), Teacher(network(1), name="b")]
    store = built(teachers, data, tmp_path, queries=mixture, count=2)
    assert [[r.manifest.teacher.name for r in row] for row in store.grid] == [["a", "a"], ["b", "b"]]
    assert [r.manifest.source.name for r in store.grid[0]] == ["clean", "moved"]
    assert [r.manifest.views.count for r in store.grid[0]] == [1, 2]
    again = bq.open_store(tmp_path)
    assert [m.teacher.name for m in again.manifests] == ["a", "a", "b", "b"]
    with pytest.raises(SignalError, match="holds several stores"):
        Recording(tmp_path)
    with pytest.raises(SignalError, match="it holds several stores"):
        built(teachers[:1], data, tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"views": Flip()}, "views spec"),
        ({"seed": 1}, "views seed: stored 0, asked 1"),
        ({"codec": "float32"}, "codec"),
        ({"count": 2}, "views count: stored 3, asked 2"),
        ({"batch": 16}, "teacher batch: stored 8, asked 16"),
        ({"split": "test"}, "data digest"),
        ({"features": ("penultimate",)}, "arrays"),
    ],
)
def test_another_store_in_the_folder_is_refused_with_what_differs(
    teacher: nn.Module, data: Dataset, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    built(teacher, data, tmp_path)
    with pytest.raises(SignalError, match="holds another store") as caught:
        built(teacher, data, tmp_path, **change)
    assert named in str(caught.value)
    store = built(teacher, data, tmp_path, fresh=True, **change)
    assert len(store.manifests) == 1


def test_another_teacher_is_refused_also_before_the_store_is_finished(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(Crash):
        built(Stopping(teacher, 5), data, tmp_path)
    with pytest.raises(SignalError, match="teacher digest: stored"):
        built(Stopping(network(1), 5), data, tmp_path)


def test_equal_weights_in_another_network_are_another_teacher(data: Dataset, tmp_path: Path) -> None:
    first, second = network(), network()
    second[2] = nn.Tanh()
    built(first, data, tmp_path)
    with pytest.raises(SignalError, match="teacher network"):
        built(second, data, tmp_path)


def test_another_adapter_is_another_teacher(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    built(Teacher(teacher), data, tmp_path)
    with pytest.raises(SignalError, match="teacher adapter"):
        built(Teacher(teacher, adapter=torch.neg), data, tmp_path)


def test_two_builders_at_once_are_refused(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    with builder.alone(tmp_path, wait=False), pytest.raises(SignalError, match="another build is writing"):
        built(teacher, data, tmp_path)


def test_a_view_that_another_process_holds_is_refused(
    teacher: nn.Module, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.0)
    release = writer._locked(writer.journal_path(tmp_path, 0))
    with pytest.raises(SignalError, match="another build is writing"):
        built(teacher, data, tmp_path)
    release()


def test_a_disk_that_is_too_small_is_refused_before_the_first_answer(
    teacher: nn.Module, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(SignalError, match="has too little free space for the store") as caught:
        built(teacher, data, tmp_path)
    assert "1,800 bytes" in str(caught.value)


def test_a_disk_that_fills_up_is_an_error_and_the_build_goes_on_later(
    teacher: nn.Module, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(teacher, data, tmp_path / "whole")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "sync", full)
        with pytest.raises(SignalError, match="No space left on device"):
            built(teacher, data, tmp_path / "full")
    built(teacher, data, tmp_path / "full")
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


def test_arrays_that_nobody_knows_are_not_overwritten(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    np.save(tmp_path / "view-00000.npy", np.zeros(3))
    with pytest.raises(SignalError, match="no manifest lists"):
        built(teacher, data, tmp_path)


def test_a_noisy_teacher_cannot_be_stored(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="is asked in training mode, so its answers vary"):
        built(Teacher(teacher, mode="noisy"), data, tmp_path)


def test_a_teacher_of_other_classes_is_refused(data: Dataset, tmp_path: Path) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(36, 7))
    with pytest.raises(SignalError, match="a different label space"):
        built(other, data, tmp_path)


def test_an_answer_that_is_no_number_is_refused(data: Dataset, tmp_path: Path) -> None:
    broken = nn.Sequential(nn.Flatten(), nn.Linear(36, 5))
    nn.init.constant_(broken[1].bias, float("nan"))
    with pytest.raises(SignalError, match="answer to sample 0 holds NaN or infinity"):
        built(broken, data, tmp_path)


def test_a_teacher_that_cannot_travel_is_refused(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    local = Teacher(teacher, adapter=lambda x: x)
    with pytest.raises(SignalError, match="cannot be sent to another process"):
        built(local, data, tmp_path, workers=2)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"count": 0}, ConfigError, "at least one view"),
        ({"feature_dtype": "int8"}, ConfigError, "float16 or float32"),
        ({"split": "tset"}, Exception, "tset"),
        ({"queries": torch.full((3, 1, 6, 6), float("nan"))}, DataError, "NaN"),
    ],
)
def test_wrong_options_are_refused(
    teacher: nn.Module, data: Dataset, tmp_path: Path, options: dict[str, Any], error: type, text: str
) -> None:
    with pytest.raises(error, match=text):
        built(teacher, data, tmp_path, **options)


def test_no_teacher_and_the_same_twice_are_refused(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="needs a teacher"):
        bq.build_store([], data, path=tmp_path)
    with pytest.raises(SignalError, match="the same teacher is given twice"):
        bq.build_store([Teacher(teacher), Teacher(teacher)], data, path=tmp_path)


def test_ranks_do_not_start_over(
    teacher: nn.Module, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="ranks cannot start over"):
        built(teacher, data, tmp_path, fresh=True)


def test_progress_counts_every_answer(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    built(teacher, data, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (180, 180)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_teacher_keeps_its_modes(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    teacher.train()
    built(teacher, data, tmp_path)
    assert all(module.training for module in teacher.modules())


@pytest.mark.slow
def test_twenty_kills_of_a_build_with_workers(data: Dataset, tmp_path: Path) -> None:
    """As the quick test, with processes of their own; the builder is killed, its workers are not."""
    import subprocess
    import sys

    script = tmp_path / "build.py"
    script.write_text(WORKER_SCRIPT)
    here = {**os.environ, "PYTHONPATH": str(Path(bq.__file__).parents[1]), "OMP_NUM_THREADS": "1"}

    def start(folder: str, workers: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), str(tmp_path / folder), str(workers)]
        return subprocess.Popen(command, env=here)

    assert start("whole", 1).wait() == 0
    dice = random.Random(3)
    ended = 0
    for _ in range(20):
        process = start("killed", 2)
        started = time.monotonic()
        while not list((tmp_path / "killed").glob("view-*")) and process.poll() is None:
            time.sleep(0.01)
            assert time.monotonic() - started < 60
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        ended += process.wait() == 0
    assert ended < 10
    assert start("killed", 2).wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


WORKER_SCRIPT = """
import sys, time, torch
from torch import nn
import bequest as bq

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(144, 10))
    def forward(self, x):
        time.sleep(0.01)
        return self.inner(x)

if __name__ == "__main__":
    torch.set_num_threads(1)
    bq.build_store(Slow(), "digits", views=bq.Shift(2), count=40, batch=32, path=sys.argv[1],
                   workers=int(sys.argv[2]), pieces=(2048, 60.0))
"""
