"""Jobs are taken by one of many; what dead workers held is taken over by one of many."""

from __future__ import annotations

import threading

import pytest

from bequest.errors import RunFolderError
from bequest.runs.jobs import workers
from bequest.runs.jobs.leases import DRIVER, LEASES, Leases, at_work
from bequest.runs.jobs.workers import Presence, Watch


class Known(Presence):
    """A worker by name, which writes nothing."""

    def __init__(self, root, name):
        super().__init__(root, "work")
        self.name = name
        self.ended = []

    def begin(self, job):
        pass

    def end(self, job, *, failed):
        self.ended.append((job, failed))


class Alive(Watch):
    """Knows who is alive."""

    def __init__(self, root, names):
        super().__init__(root)
        self.names = names

    def alive(self, name):
        return name in self.names


@pytest.fixture
def names():
    """The workers that are alive."""
    return {"a", "b", "c"}


@pytest.fixture
def of(tmp_path, names):
    """The leases as a worker sees them."""

    def leases(name):
        ours = Leases(tmp_path, Known(tmp_path, name), Alive(tmp_path, names))
        ours.refresh()
        return ours

    return leases


def files(tmp_path):
    folder = tmp_path / LEASES
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_job_is_taken_once(of, tmp_path):
    a, b = of("a"), of("b")
    assert a.take("train x") is not None
    assert b.take("train x") is None
    b.refresh()
    assert b.others() == {"train-x"}
    assert b.holder("train x") == "a"
    assert a.take("train x") is None  # not twice by one either
    a.free("train x", failed=False)
    assert a._presence.ended == [("train x", False)]
    b.refresh()
    assert (b.others(), files(tmp_path)) == (set(), [])
    assert b.take("train x") is not None


def test_of_many_that_try_one_takes_a_job_over(of, names, tmp_path):
    assert of("dead").take("train x") is not None
    rivals = [of(name) for name in ("a", "b", "c")]
    ready, taken = threading.Barrier(3), []

    def take(leases):
        ready.wait()
        taken.append(leases.take("train x"))

    threads = [threading.Thread(target=take, args=(each,)) for each in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (lease,) = [each for each in taken if each is not None]
    assert lease.deaths == 1
    assert files(tmp_path) == ["train-x.0", "train-x.1"]
    for leases in rivals:
        leases.close()
    assert files(tmp_path) == []


def test_one_that_was_only_slow_deletes_nobodys_lease(of, names, tmp_path):
    slow = of("slow")
    slow.take("train x")
    a = of("a")
    assert a.take("train x").deaths == 1
    slow.free("train x", failed=False)
    assert files(tmp_path) == ["train-x.1"]
    b = of("b")
    assert b.others() == {"train-x"}


def test_deaths_are_counted_as_long_as_there_is_no_progress(of):
    of("dead").take("train x", progress="")
    for deaths in (1, 2):
        assert of(f"also dead {deaths}").take("train x", progress="").deaths == deaths
    assert of("dead again").take("train x", progress="further").deaths == 1
    assert of("dead once more").take("train x", progress="further").deaths == 2


def test_a_lease_that_changed_hands_under_one_number_belongs_to_the_second(of, names):
    a, c = of("a"), of("c")
    a.take("train x")
    c.refresh()
    a.free("train x")
    names.discard("a")
    assert of("b").take("train x") is not None
    c.refresh()  # the number is the same as before, and only the content tells
    assert c.take("train x") is None
    assert c.holder("train x") == "b"


@pytest.mark.parametrize("content", [b"", b'{"holder": "nob', b'{"holder": "nobody"}', b"\xff"])
def test_a_lease_that_cannot_be_read_is_believed_for_a_while(tmp_path, monkeypatch, content):
    monkeypatch.setattr(workers, "UNSIGNED", 0.3)
    (tmp_path / LEASES).mkdir(parents=True)
    (tmp_path / LEASES / "train-x.0").write_bytes(content)  # empty: its holder died before it wrote its name
    with at_work(tmp_path, "work") as leases:
        leases.refresh()
        assert leases.take("train x") is None
        while "train-x" in leases.others():
            leases.refresh()
        assert leases.take("train x").deaths == 1


def test_names_of_others_files_are_let_alone(of, tmp_path):
    (tmp_path / LEASES).mkdir(parents=True)
    (tmp_path / LEASES / "notes.txt").write_text("mine")
    a = of("a")
    assert a.others() == set()
    a.take("train x")
    a.close()
    assert files(tmp_path) == ["notes.txt"]


def test_failures_are_seen_by_all_until_they_are_forgotten(of):
    a, b = of("a"), of("b")
    a.note_failure("read x", "lost", "it died")
    b.refresh()
    assert b.failed() == {"read-x"}
    assert (b.failure("read x").status, b.failure("read x").error) == ("lost", "it died")
    b.forget_failures()
    a.refresh()
    assert a.failed() == set()
    assert a.failure("read x") is None


def test_one_process_drives_a_run_at_a_time(tmp_path):
    with at_work(tmp_path, DRIVER) as first, at_work(tmp_path, DRIVER) as second:
        assert first.lead()
        assert not second.lead()
        assert [worker.name for worker in second.others_at_work(prove=True)] == [first._presence.name]
        first.free(DRIVER)
        assert second.lead()


def test_a_driver_elsewhere_that_keeps_silent_is_succeeded(tmp_path, monkeypatch):
    with at_work(tmp_path, DRIVER) as first:
        assert first.lead()
        name = first._presence.name
        content = first._presence.path.read_text()
    (tmp_path / LEASES / "run.0").write_text(f'{{"holder": "{name}"}}')
    path = tmp_path / ".jobs" / "workers" / f"{name}.json"
    path.write_text(content.replace('"machine":"', '"machine":"another '))
    with at_work(tmp_path, DRIVER, silence=0.5) as second:
        assert second.lead()
        assert not path.exists()


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(of, tmp_path):
    (tmp_path / LEASES).parent.mkdir(parents=True)
    a = of("a")
    (tmp_path / LEASES).write_text("in the way")
    with pytest.raises(RunFolderError, match=r"cannot write .*train-x\.0"):
        a.take("train x")


def test_a_worker_that_cannot_say_that_it_is_there_is_an_error_that_says_so(tmp_path):
    (tmp_path / ".jobs").write_text("in the way")
    with pytest.raises(RunFolderError, match=r"cannot write .*\.json"), at_work(tmp_path, DRIVER):
        pass
