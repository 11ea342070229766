"""Making the readings that a cell lacks."""

from __future__ import annotations

import shutil

import pytest

from bequest.errors import RunFolderError
from bequest.evidence.kinds import readings_of
from bequest.evidence.reading import Answers, Network
from bequest.files import file_digest
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs import reading
from bequest.runs.planning import planned
from bequest.runs.reading import Made, read_cell
from bequest.studies.cell import cell_folder


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    plan = planned(finished[0] / "study.toml")
    cell = plan.cell("mlp<-cnn", 0)
    return cell, tmp_path / "run", readings_of(plan)[cell.id]


def test_only_what_is_missing_is_made_with_the_same_bytes(copied):
    cell, root, wanted = copied
    folder = cell_folder(root, cell.id)
    assert read_cell(cell, root, wanted) == Made(0)
    before = {path: path.read_bytes() for path in (folder.path / "readings").iterdir()}
    lost = folder.reading(next(iter(wanted)))
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in before if path != lost}
    assert read_cell(cell, root, wanted) == Made(1)
    assert {path: path.read_bytes() for path in (folder.path / "readings").iterdir()} == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_record_names_the_devices_that_readings_were_made_on(copied, monkeypatch):
    cell, root, wanted = copied
    folder = cell_folder(root, cell.id)
    assert read_record(folder.record, RunRecord).provenance.read_on == ("cpu",)
    folder.reading(next(iter(wanted))).unlink()
    monkeypatch.setattr(reading, "Network", lambda *_, device: Network(*_, device="cpu"))
    read_cell(cell, root, wanted, device="cuda:3")
    provenance = read_record(folder.record, RunRecord).provenance
    assert (provenance.device, provenance.read_on) == ("cpu", ("cpu", "cuda:3"))


def test_the_record_names_what_was_made(copied):
    cell, root, wanted = copied
    folder = cell_folder(root, cell.id)
    record = read_record(folder.record, RunRecord)
    names = {folder.relative(folder.reading(each)) for each in wanted}
    assert {name for name in record.files if name.startswith("readings/")} == names
    assert all(record.files[name] == file_digest(folder.path / name) for name in names)


def test_a_record_that_vanishes_meanwhile_is_an_error(copied, monkeypatch):
    cell, root, wanted = copied
    cell_folder(root, cell.id).reading(next(iter(wanted))).unlink()
    monkeypatch.setattr(reading, "record_of_cell", lambda folder, cell: None)
    with pytest.raises(RunFolderError, match="vanished while its network was read"):
        read_cell(cell, root, wanted)


def test_a_reading_that_fails_keeps_no_other_from_being_made(copied, monkeypatch):
    cell, root, wanted = copied
    folder = cell_folder(root, cell.id)
    for path in (folder.path / "readings").iterdir():
        path.unlink()
    asked = []
    plain = Answers.read

    def broken(self, network):
        asked.append(self)
        if len(asked) == 2:
            raise ZeroDivisionError("mine")
        return plain(self, network)

    monkeypatch.setattr(Answers, "read", broken)
    made = read_cell(cell, root, wanted)
    assert (made.count, made.failures) == (len(wanted) - 1, ("ZeroDivisionError: mine",))
    assert made.sentence() == f"1 of {len(wanted)} readings could not be made: ZeroDivisionError: mine"
    assert read_cell(cell, root, wanted) == Made(1)  # only that one is left to do


def test_what_was_read_before_an_interrupt_is_named(copied, monkeypatch):
    cell, root, wanted = copied
    folder = cell_folder(root, cell.id)
    lost = [folder.reading(each) for each in list(wanted)[:2]]
    for path in lost:
        path.unlink()
    second = list(wanted.values())[1]
    plain = type(second).read

    def interrupted(self, network):
        if self == second:
            raise KeyboardInterrupt
        return plain(self, network)

    monkeypatch.setattr(type(second), "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_cell(cell, root, wanted)
    monkeypatch.undo()
    assert read_cell(cell, root, wanted) == Made(1)
