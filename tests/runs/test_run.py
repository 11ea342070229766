"""Whole runs of a tiny study: fresh, again, after failures and kills."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import bequest as bq
from bequest.config import to_toml
from bequest.errors import ConfigError, DataError, RunFolderError
from bequest.evidence.readings import Readings
from bequest.files import read_json
from bequest.record_files import read_record
from bequest.records import RunRecord, StudyRecord
from bequest.runs.folder import RESULTS, RunFolder
from bequest.runs.planning import planned
from bequest.studies.cell import cell_folder
from bequest.studies.resolving import read_study, resolve

pytestmark = pytest.mark.usefixtures("one_worker_here")


@pytest.fixture(scope="module")
def finished(finished, tmp_path_factory):
    """As that of all tests, by two worker processes."""
    folder, updates = tmp_path_factory.mktemp("finished"), []
    shutil.copy(finished[0] / "study.toml", folder)
    result = bq.run(folder / "study.toml", out=folder / "run", workers=2, progress=updates.append)
    for name in RESULTS:
        assert (folder / "run" / name).read_bytes() == (finished[0] / "run" / name).read_bytes()
    return folder, result, updates


def test_a_run_leaves_everything_that_the_interface_names(finished):
    folder, result, updates = finished
    root = folder / "run"
    assert (result.trained, result.conclusion, result.failed) == (8, "measuring", ())
    # A CNN is read on two splits and its representation; the others, who stand beside it, untrained too.
    assert result.read == 2 * (3 + 3 * 6)
    assert result.report == root / "report.html"
    study = read_record(root / "study.json", StudyRecord)
    assert study.status == "complete"
    assert study.answer is not None
    assert len(study.cells) == 8
    for name in (*RESULTS, "study.toml"):
        assert (root / name).is_file()
    readings = Readings(RunFolder(root).plan(), root)
    for cell in study.cells:
        files = cell_folder(root, cell.id)
        record = read_record(files.record, RunRecord)
        assert record.status == "done"
        assert record.weights_digest
        assert record.data_digest == study.data_digest
        assert readings.predictions(cell.arm, cell.seed, "moved").logits.shape == (350, 10)
        on_disk = {files.relative(path) for path in files.path.rglob("*.*")} - {"record.json"}
        assert set(record.files) == on_disk
        for name, digest in record.files.items():
            assert hashlib.sha256((files.path / name).read_bytes()).hexdigest() == digest
        assert len(files.metrics.read_text().splitlines()) == 2
        assert not files.checkpoint.exists()
    assert updates[0].job is None
    assert (updates[0].survey.to_train, updates[0].remaining) == (8, None)
    assert updates[-1].done == updates[-1].total == 16
    assert updates[-1].remaining == 0
    assert [update.done for update in updates] == list(range(17))
    order = [update.job.id for update in updates[1:]]
    assert len(set(order)) == 16
    assert all(order.index(f"train {cell.id}") < order.index(f"read {cell.id}") for cell in study.cells)


def test_a_taught_cell_records_its_teacher_unchanged(finished):
    folder, _, _ = finished
    plan = planned(folder / "study.toml")
    cell = plan.cell("mlp<-cnn", 1)
    record = read_record(cell_folder(folder / "run", cell.id).record, RunRecord)
    (teacher,) = record.teachers
    teacher_record = read_record(cell_folder(folder / "run", cell.teachers["cnn"]).record, RunRecord)
    assert teacher.cell == cell.teachers["cnn"]
    assert teacher.digest_before == teacher.digest_after == teacher_record.weights_digest
    assert teacher.validation["accuracy"] == teacher_record.selected["accuracy"]


def test_measurements_are_those_of_the_readings(finished):
    folder, _, _ = finished
    plan = planned(folder / "study.toml")
    items = read_json(folder / "run" / "measurements.json")
    (m,) = [m for m in items if (m["measure"], m["arm"], m["split"]) == ("accuracy", "cnn", "moved")]
    readings = Readings(plan, folder / "run")
    for seed in (0, 1):
        out = readings.predictions("cnn", seed, "moved")
        assert m["per_seed"][str(seed)] == (out.logits.argmax(1) == out.labels).mean()
    assert m["n"] == 2
    kinds = {m["measure"] for m in items}
    assert {"cka", "cka/null", "cka/ceiling", "inheritance/cka", "agreement/null", "inheritance/ece"} <= kinds
    assert all(m["value"] is not None or m["reason"] for m in items)


def test_the_same_command_again_trains_nothing(finished):
    folder, _, _ = finished
    before = {name: (folder / "run" / name).read_bytes() for name in RESULTS}
    result = bq.run(folder / "study.toml", out=folder / "run")
    assert (result.trained, result.read, result.conclusion) == (0, 0, "nothing")
    assert {name: (folder / "run" / name).read_bytes() for name in RESULTS} == before


@pytest.mark.parametrize("name", RESULTS)
def test_a_lost_result_is_made_again_without_training(finished, name):
    folder, _, _ = finished
    path = folder / "run" / name
    before = path.read_bytes()
    path.unlink()
    assert bq.run(folder / "study.toml", out=folder / "run").trained == 0
    assert path.read_bytes() == before


def test_a_lost_cell_is_done_again_with_the_same_bytes(finished):
    folder, _, _ = finished
    root = folder / "run"
    before = {name: (root / name).read_bytes() for name in RESULTS}
    cell = planned(folder / "study.toml").cell("mlp<-cnn", 0)
    weights = cell_folder(root, cell.id).weights.read_bytes()
    cell_folder(root, cell.id).record.unlink()
    (root / "study.json").unlink()
    assert bq.run(folder / "study.toml", out=root, workers=1).trained == 1
    assert cell_folder(root, cell.id).weights.read_bytes() == weights
    assert {name: (root / name).read_bytes() for name in RESULTS} == before


def test_a_damaged_reading_is_made_again_without_training(finished):
    folder, _, _ = finished
    root = folder / "run"
    before = {name: (root / name).read_bytes() for name in RESULTS}
    cell = planned(folder / "study.toml").cell("mlp", 1)
    lost, damaged = sorted((cell_folder(root, cell.id).path / "readings").iterdir())[:2]
    contents = lost.read_bytes(), damaged.read_bytes()
    lost.unlink()
    damaged.write_bytes(b"no array")
    updates = []
    result = bq.run(folder / "study.toml", out=root, workers=1, progress=updates.append)
    assert (result.trained, result.read) == (0, 2)
    assert updates[0].survey.damaged == (damaged,)
    assert (lost.read_bytes(), damaged.read_bytes()) == contents
    assert {name: (root / name).read_bytes() for name in RESULTS} == before


def test_another_text_is_judged_again_without_measuring(finished, tmp_path):
    folder, _, _ = finished
    shutil.copytree(folder / "run", tmp_path / "run")
    result = bq.run(folder / "study.toml", out=tmp_path / "run", settings=["title='Another title'"])
    assert (result.trained, result.read, result.conclusion) == (0, 0, "verdicts")
    assert result.study.title == "Another title"
    assert read_record(tmp_path / "run" / "study.json", StudyRecord).status == "complete"


def test_a_further_seed_split_and_measure_let_a_run_grow(finished, tmp_path):
    folder, _, _ = finished
    root = tmp_path / "run"
    shutil.copytree(folder / "run", root)
    before = {path: path.read_bytes() for path in root.glob("cells/*/weights.safetensors")}
    grown = [
        "splits.far={description='far', variants=[{name='translate', dx=2}]}",
        "measures.training.reach=0.2",
    ]
    result = bq.run(folder / "study.toml", out=root, settings=grown, workers=1)
    assert result.failed == ()
    assert (result.trained, result.conclusion) == (0, "measuring")
    items = read_json(root / "measurements.json")
    assert {m["split"] for m in items if m["measure"] == "accuracy"} == {"test", "moved", "far"}
    assert {m["arm"] for m in items if m["measure"] == "epochs_to/0.2"} == {
        "cnn",
        "mlp",
        "mlp<-mlp",
        "mlp<-cnn",
    }
    assert {path: path.read_bytes() for path in before} == before
    result = bq.run(
        folder / "study.toml", out=root, settings=grown, seeds=3, arms=["mlp"], workers=1, amend=True
    )
    assert result.trained == 1
    assert {path: path.read_bytes() for path in before} == before


def test_training_paths_are_the_only_evidence_that_trains_again(finished, tmp_path):
    folder, _, _ = finished
    root = tmp_path / "run"
    shutil.copytree(folder / "run", root)
    cells = [planned(folder / "study.toml").cell("mlp", seed) for seed in (0, 1)]
    weights = [cell_folder(root, cell.id).weights.read_bytes() for cell in cells]
    updates = []
    result = bq.run(
        folder / "study.toml",
        out=root,
        settings=["measures.paths=['mlp']"],
        workers=1,
        progress=updates.append,
    )
    assert updates[0].survey.again == {cell.id for cell in cells}
    assert (result.trained, result.read) == (2, 0)  # the same weights have the same readings
    assert [cell_folder(root, cell.id).weights.read_bytes() for cell in cells] == weights
    assert cell_folder(root, cells[0].id).snapshot(1).is_file()


def test_a_file_of_data_that_is_not_here_is_one_message_and_no_failed_cells(tiny, tmp_path):
    absent, updates = {**tiny, "data": {"name": f"npz:{tmp_path / 'absent.npz'}"}}, []
    with pytest.raises(DataError, match=r"no such file or folder: .*absent\.npz"):
        bq.run(absent, out=tmp_path / "run", progress=updates.append)
    assert updates == []
    assert not list((tmp_path / "run").glob("cells/*/record.json"))


def test_a_configuration_that_leaves_finished_cells_unused_is_refused_with_the_difference(finished, tmp_path):
    folder, _, _ = finished
    changed = {"settings": ["arms.cnn.recipe={lr=0.002}"]}
    with pytest.raises(RunFolderError) as caught:
        bq.run(folder / "study.toml", out=folder / "run", **changed)
    text = str(caught.value)
    assert f"this configuration would leave 4 finished cells of {folder / 'run'} unused" in text
    assert "arms.cnn.recipe: absent there, {'lr': 0.002} here" in text
    assert "unused: cnn seed 0, mlp<-cnn seed 0, cnn seed 1, mlp<-cnn seed 1" in text
    assert "--amend" in text
    shutil.copytree(folder / "run", tmp_path / "run")
    result = bq.run(folder / "study.toml", out=tmp_path / "run", workers=1, amend=True, **changed)
    assert (result.trained, result.failed) == (4, ())
    assert len(list((tmp_path / "run" / "cells").iterdir())) == 12  # what is unused stays until it is pruned


def test_a_fresh_start_leaves_nothing_of_an_interrupted_run(tiny, write_study, tmp_path):
    study, root = write_study(tiny), tmp_path / "run"
    bq.run(study, out=root, arms=["mlp"], seeds=1, workers=1)
    (root / "stores" / "abc").mkdir(parents=True)
    for _ in range(2):  # as if it had been killed between the clearing and the first file
        result = bq.run(study, out=root, arms=["mlp"], seeds=1, workers=1, fresh=True)
        assert result.trained == 1
    assert not (root / "stores").exists()


def test_a_foreign_folder_and_an_unwritable_one_are_refused(tiny, write_study, tmp_path):
    study = write_study(tiny)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("precious")
    with pytest.raises(RunFolderError, match="is not empty, and not a run folder"):
        bq.run(study, out=tmp_path / "foreign", fresh=True)
    assert [path.name for path in (tmp_path / "foreign").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot write to"):
        bq.run(study, out=tmp_path / "file" / "run")


@pytest.mark.parametrize("option", ["workers", "per_device", "most_seeds"])
@pytest.mark.parametrize("count", [0, -3, 2.5, True, "two"])
def test_a_count_that_is_none_is_refused_before_anything_is_written(option, count, tiny, tmp_path):
    with pytest.raises(ConfigError, match=rf"--{option.replace('_', '-')}: expected an integer .* got"):
        bq.run(tiny, out=tmp_path / "run", until_decided=True, **{option: count})
    assert not (tmp_path / "run").exists()


def test_failed_cells_are_recorded_and_tried_again(tiny, write_study, tmp_path):
    tiny["arms"]["cnn"]["recipe"] = {"optimizer": "sgd", "lr": 1e30}
    tiny["seeds"] = 1
    study = write_study(tiny)
    result = bq.run(study, out=tmp_path / "run", workers=1)
    assert result.study.status == "partial"
    errors = {cell.arm: cell.error for cell in result.failed}
    assert "is not finite at step" in errors["cnn"]
    assert errors["mlp<-cnn"] == "a teacher's cell failed"
    assert set(errors) == {"cnn", "mlp<-cnn"}
    done = {m["arm"] for m in read_json(tmp_path / "run" / "measurements.json") if m["value"] is not None}
    assert done == {"mlp", "mlp<-mlp"}
    again = bq.run(study, out=tmp_path / "run", workers=1)
    assert (again.trained, again.read, len(again.failed)) == (0, 0, 2)  # tried, and not done


def test_two_runs_in_one_folder_are_refused(tiny, write_study, tmp_path):
    study = write_study(tiny)
    with RunFolder(tmp_path / "run").locked(), pytest.raises(RunFolderError, match="another run is at work"):
        bq.run(study, out=tmp_path / "run")


def start(study, out, workers=1):
    """The command line in a process group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "bequest", "run", str(study), "--out", str(out), "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
        preexec_fn=_hear_interrupts,
    )


def _hear_interrupts():
    """Shells start background jobs deaf to Ctrl-C, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def killed_then_finished(study, out, instants):
    for seconds in instants:
        process = start(study, out, workers=2)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    process = start(study, out, workers=2)
    text = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 0, text


def test_killed_whole_it_goes_on_and_ends_with_the_same_bytes(finished, tmp_path):
    folder, _, _ = finished
    process = start(folder / "study.toml", tmp_path / "run")
    while process.poll() is None and not list(tmp_path.glob("run/cells/*/record.json")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "run" / RESULTS[0]).exists()
    assert bq.run(folder / "study.toml", out=tmp_path / "run", workers=1).trained > 0
    for name in RESULTS:
        assert (tmp_path / "run" / name).read_bytes() == (folder / "run" / name).read_bytes()


@pytest.mark.slow
def test_killed_at_ten_random_instants_digits_ends_with_the_same_bytes(tmp_path):
    study, chance = tmp_path / "digits.toml", random.Random(0)
    study.write_text(to_toml(resolve(read_study("digits"), scale="smoke")))
    command = [sys.executable, "-m", "bequest", "run", str(study), "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    killed_then_finished(study, tmp_path / "killed", [chance.uniform(1, 15) for _ in range(10)])
    for name in RESULTS:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_killed_worker_is_replaced(tiny, write_study, tmp_path):
    study = write_study(tiny)
    process = start(study, tmp_path / "run")
    killed = []
    deadline = time.monotonic() + 60
    while not killed and process.poll() is None and time.monotonic() < deadline:
        found = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "bequest.runs.worker"],
            capture_output=True,
            check=False,
        )
        killed = [int(pid) for pid in found.stdout.split()][:1]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    text = process.communicate(timeout=120)[0].decode()
    assert killed
    assert process.returncode == 0, text
    assert json.loads((tmp_path / "run" / "study.json").read_text())["status"] == "complete"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_exit_130_and_the_same_command_finishes(number, tiny, write_study, tmp_path):
    study = write_study(tiny)
    process = start(study, tmp_path / "run")
    while process.poll() is None and not (tmp_path / "run" / "worker-0.log").exists():
        time.sleep(0.05)
    os.killpg(process.pid, number)
    text = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 130, text
    assert "interrupted; the same command resumes" in text
    assert "Traceback" not in text
    assert json.loads((tmp_path / "run" / "study.json").read_text())["status"] == "interrupted"
    result = bq.run(study, out=tmp_path / "run", workers=1)
    assert (result.study.status, result.failed) == ("complete", ())


def test_the_plan_of_a_run_folder_is_the_plan_that_made_it(finished, tiny):
    folder, _, _ = finished
    assert RunFolder(folder / "run").plan().cells == planned(tiny).cells


def test_a_result_has_its_tables_and_is_one_line(finished):
    folder, result, _ = finished
    assert result.measurements.to_dicts() == read_json(folder / "run" / "measurements.json")
    assert result.claims.to_dicts() == read_json(folder / "run" / "claims.json")
    assert repr(result) == f"Result(tiny at scale small, complete: 8 cells, in {folder / 'run'})"
    page = result._repr_html_()
    assert "A taught student is better." in page
    assert result.claims[0].verdict in page
    assert replace(result, folder=folder / "absent").measurements == ()
