"""Making the readings that a cell lacks."""

from __future__ import annotations

import shutil

import pytest

from bequest.errors import RunFolderError
from bequest.evidence.kinds import readings_of
from bequest.evidence.reading import Network
from bequest.files import file_digest
from bequest.records import RunRecord, read_record
from bequest.runs import reading
from bequest.runs.planning import planned
from bequest.runs.reading import read_cell
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
    assert read_cell(cell, root, wanted) == 0
    before = {path: path.read_bytes() for path in (folder.path / "readings").iterdir()}
    lost = folder.reading(wanted[0].id_for(cell.id))
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in before if path != lost}
    assert read_cell(cell, root, wanted) == 1
    assert {path: path.read_bytes() for path in (folder.path / "readings").iterdir()} == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_record_names_the_devices_that_readings_were_made_on(copied, monkeypatch):
    cell, root, wanted = copied
    folder = cell_folder(root, cell.id)
    assert read_record(folder.record, RunRecord).provenance.read_on == ("cpu",)
    folder.reading(wanted[0].id_for(cell.id)).unlink()
    monkeypatch.setattr(reading, "Network", lambda *_, device: Network(*_, device="cpu"))
    read_cell(cell, root, wanted, device="cuda:3")
    provenance = read_record(folder.record, RunRecord).provenance
    assert (provenance.device, provenance.read_on) == ("cpu", ("cpu", "cuda:3"))


def test_the_record_names_what_was_made(copied):
    cell, root, wanted = copied
    folder = cell_folder(root, cell.id)
    record = read_record(folder.record, RunRecord)
    names = {folder.relative(folder.reading(r.id_for(cell.id))) for r in wanted}
    assert {name for name in record.files if name.startswith("readings/")} == names
    assert all(record.files[name] == file_digest(folder.path / name) for name in names)


def test_a_record_that_vanishes_meanwhile_is_an_error(copied, monkeypatch):
    cell, root, wanted = copied
    cell_folder(root, cell.id).reading(wanted[0].id_for(cell.id)).unlink()
    monkeypatch.setattr(reading, "record_of_cell", lambda folder, cell: None)
    with pytest.raises(RunFolderError, match="vanished while its network was read"):
        read_cell(cell, root, wanted)
