"""Runs in rounds: looks in the run folder, seeds for undecided claims alone, exact when interrupted."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import bequest as bq
from bequest.cli.main import app
from bequest.config import to_toml
from bequest.errors import ConfigError, RunFolderError
from bequest.files import read_json
from bequest.measure import look_levels
from bequest.record_files import read_records
from bequest.records import Verdict
from bequest.runs.conclusion import Conclusion
from bequest.runs.folder import CLAIMS, RESULTS, RunFolder
from bequest.runs.jobs.schedule import Answer
from bequest.runs.planning import planned
from bequest.runs.pruning import prune
from bequest.runs.rounds import Durations, budget_seconds, round_of
from bequest.runs.survey import TRAIN, Job
from bequest.studies.cell import cell_folder
from bequest.studies.looks import planned_rounds

pytestmark = pytest.mark.usefixtures("one_worker_here_all_along")

LOOKS = (3, 6)
CLAIM = {"source": "nowhere", "measure": "error", "split": "base", "direction": "below"}
DRAWN = {
    "name": "drawn",
    "title": "Drawn",
    "question": "Which claims are decided when?",
    "seeds": LOOKS[0],
    "theory": {"alpha": 2.0, "rho": 0.2, "inputs": 40, "samples": 200, "observables": ["error"]},
    "splits": {"base": {"description": "as it is"}},
    "arms": {
        "teacher": {"student": "big", "learner": {"penalty": 1.0}},
        "plain": {"student": "small", "learner": {"penalty": 0.1, "eta": 0.5}},
        "student": {"student": "small", "teachers": ["teacher"], "learner": {"penalty": 0.1, "eta": 0.5}},
    },
    "claims": [
        {**CLAIM, "id": "sure", "text": "It errs in less than all cases.", "arm": "teacher", "margin": 1.0},
        {**CLAIM, "id": "never", "text": "The taught one errs less.", "arm": "student", "against": "plain"},
    ],
}
"""A study of the solvable model with a claim that is clear at once and one that six seeds leave open."""


@pytest.fixture
def drawn():
    return copy.deepcopy(DRAWN)


def in_rounds(study, out, **options):
    return bq.run(study, out=out, workers=1, until_decided=True, most_seeds=LOOKS[-1], **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One uninterrupted run in rounds: its folder, its result and the updates that it sent."""
    root, updates = tmp_path_factory.mktemp("rounds") / "run", []
    return root, in_rounds(DRAWN, root, progress=updates.append), updates


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def after_one(tmp_path_factory):
    """A run whose budget ended after its first look: its folder and its result."""
    root = tmp_path_factory.mktemp("one") / "run"
    return root, in_rounds(DRAWN, root, budget=1e-3)


@pytest.fixture
def begun(after_one, tmp_path):
    shutil.copytree(after_one[0], tmp_path / "begun")
    return tmp_path / "begun"


def bytes_of(root):
    return {name: (root / name).read_bytes() for name in RESULTS}


def looks_of(root):
    """The looks in a folder's record, without what the clock says."""
    record = RunFolder(root).record().rounds
    return (
        record.key,
        record.judged_before,
        [look.model_copy(update={"seconds": None}) for look in record.looks],
    )


def verdicts_of(root):
    return {verdict.id: verdict for verdict in read_records(root / CLAIMS, Verdict)}


def test_seeds_are_added_for_undecided_claims_alone(whole):
    root, result, updates = whole
    first, second = result.study.rounds.looks
    assert (first.seeds, second.seeds) == LOOKS
    assert [first.level, second.level] == pytest.approx(look_levels(LOOKS))
    assert (first.judged, [v.id for v in first.verdicts], first.further) == (2, ["sure"], ("never",))
    assert (second.judged, second.verdicts, second.further) == (1, (), ("never",))
    assert first.arms == {"teacher": 3, "plain": 3, "student": 3}
    assert second.arms == {"teacher": 3, "plain": 6, "student": 6}
    assert result.trained == 3 * 3 + 2 * 3
    assert len(list((root / "cells").iterdir())) == result.trained
    assert {arm: len(RunFolder(root).plan().seeds_of(arm)) for arm in second.arms} == second.arms
    assert (result.study.status, result.not_begun, result.study.seeds) == ("complete", None, tuple(range(6)))
    assert [(u.at.rounds.taken, len(u.survey.jobs)) for u in updates if u.job is None] == [(0, 9), (1, 6)]


def test_verdicts_say_at_which_look_they_fell_and_what_would_decide_the_rest(whole):
    sure, never = verdicts_of(whole[0]).values()
    assert (sure.verdict, sure.look, sure.n, sure.seeds_needed) == ("upheld", 1, 3, None)
    assert (never.verdict, never.look, never.n) == ("undecided", 2, 6)
    assert never.seeds_needed > 6
    assert sure == whole[1].study.rounds.decided["sure"]


def test_a_look_costs_what_its_new_trainings_took(whole):
    root, result, _ = whole
    seconds = {cell.seed: [] for cell in result.study.cells}
    for cell in result.study.cells:
        record = read_json(cell_folder(root, cell.id).record)
        seconds[cell.seed].append(record["durations"]["total"])
    first, second = result.study.rounds.looks
    assert first.seconds == pytest.approx(sum(sum(seconds[seed]) for seed in (0, 1, 2)))
    assert second.seconds == pytest.approx(sum(sum(seconds[seed]) for seed in (3, 4, 5)))


def test_measurements_are_those_of_the_same_study_without_rounds(whole, drawn, tmp_path):
    for arm in ("plain", "student"):
        drawn["arms"][arm]["seeds"] = 6
    plain = bq.run(drawn, out=tmp_path / "plain", workers=1)
    assert plain.study.rounds is None
    assert (tmp_path / "plain" / "measurements.json").read_bytes() == bytes_of(whole[0])["measurements.json"]


def test_again_there_is_nothing_to_do_with_or_without_rounds(copied, drawn):
    before, looks = bytes_of(copied), looks_of(copied)
    for again in (in_rounds(drawn, copied), bq.run(drawn, out=copied, workers=1)):
        assert (again.trained, again.conclusion) == (0, "nothing")
    assert (bytes_of(copied), looks_of(copied)) == (before, looks)


def test_another_title_or_an_exploratory_claim_changes_no_verdict(copied, drawn):
    before, looks = verdicts_of(copied), looks_of(copied)
    drawn["title"] = "Another title"
    drawn["claims"][0]["text"] = "Another text."
    drawn["claims"].append({**CLAIM, "id": "later", "text": "t", "arm": "plain", "exploratory": True})
    for again in (in_rounds(drawn, copied), bq.run(drawn, out=copied, workers=1, settings=["title='Third'"])):
        assert (again.trained, again.conclusion) == (0, "verdicts")
        verdicts = verdicts_of(copied)
        assert verdicts.pop("later").look is None
        assert verdicts["sure"].text == "Another text."
        assert {v.id: v.model_copy(update={"text": before[v.id].text}) for v in verdicts.values()} == before
        assert looks_of(copied) == looks


class Interrupting:
    """A progress that presses Ctrl-C at an update."""

    def __init__(self, at):
        self.left = at

    def __call__(self, update):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_interrupted_at_any_job_it_ends_with_the_same_looks_and_verdicts(whole, drawn, tmp_path):
    root = tmp_path / "run"
    # 0: before the first job; 4: within the first look; 8: after it, within the second, since jobs are kept
    for at in (0, 4, 8, 2):
        with pytest.raises(KeyboardInterrupt):
            in_rounds(drawn, root, progress=Interrupting(at))
    taken = RunFolder(root).record()
    assert (taken.status, taken.rounds.taken) == ("interrupted", 1)
    in_rounds(drawn, root)
    assert (bytes_of(root), looks_of(root)) == (bytes_of(whole[0]), looks_of(whole[0]))


def test_killed_within_the_second_look_it_ends_with_the_same_looks_and_verdicts(whole, drawn, tmp_path):
    root, study = tmp_path / "run", tmp_path / "study.toml"
    study.write_text(to_toml(drawn))
    options = ["--until-decided", "--most-seeds", str(LOOKS[-1]), "--workers", "1", "--out", str(root)]
    command = [sys.executable, "-m", "bequest", "run", str(study), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(root.glob("cells/*/record.json"))) <= 9 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert RunFolder(root).record().rounds.taken == 1
    assert RunFolder(root).record().status == "running"
    in_rounds(drawn, root)
    assert (bytes_of(root), looks_of(root)) == (bytes_of(whole[0]), looks_of(whole[0]))


def test_a_lost_record_is_made_again_and_says_that_the_claims_were_judged_before(whole, copied, drawn):
    (copied / "study.json").unlink()
    assert in_rounds(drawn, copied).trained == 0
    assert bytes_of(copied) == bytes_of(whole[0])
    key, judged_before, looks = looks_of(copied)
    assert ((key, looks), judged_before) == ((looks_of(whole[0])[0], looks_of(whole[0])[2]), True)


def test_a_budget_ends_a_run_before_a_look_that_does_not_fit(whole, after_one, begun, drawn):
    root, result = after_one
    assert result.study.rounds.taken == 1
    assert (result.trained, result.study.status) == (9, "complete")
    assert result.not_begun > 0
    assert verdicts_of(root)["never"].look == 1
    assert verdicts_of(root)["never"].seeds_needed is not None
    stopped = in_rounds(drawn, begun, budget="0.001s")
    assert (stopped.trained, stopped.conclusion) == (0, "nothing")
    assert stopped.not_begun > 0
    gone_on = in_rounds(drawn, begun, budget="1h30m")
    assert (gone_on.trained, gone_on.not_begun) == (6, None)
    assert (bytes_of(begun), looks_of(begun)) == (bytes_of(whole[0]), looks_of(whole[0]))


def test_what_a_look_will_take_follows_from_what_its_arms_took(begun, drawn):
    plan = planned(drawn)
    pending = round_of(plan, RunFolder(begun).record().rounds)
    durations = Durations(begun)
    by_arm = {arm: [plan.cell(arm, seed).id for seed in range(3)] for arm in ("plain", "student")}
    expected = sum(durations.spent(plan, ids) for ids in by_arm.values())  # three more seeds of each
    assert durations.expected(pending.plan, workers=1) == pytest.approx(expected)
    assert durations.expected(pending.plan, workers=2) == pytest.approx(expected / 2)
    assert durations.missing(pending.plan) == pending.new_cells
    assert durations.expected(plan, workers=1) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("1.5h", 5400), ("1h30m5s", 5405), (" 2m ", 120), (7.0, 7), (0.5, 0.5)],
)
def test_budgets(text, seconds):
    assert budget_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "20", "m", "20x", "0s", "-5m", "1m1h", 0.0, -1.0, float("inf"), float("nan"), [], (1,)]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match="expected a time such as 90s, 20m or 1h30m"):
        budget_seconds(text)


@pytest.mark.parametrize("options", [{"budget": "20m"}, {"most_seeds": 9}])
def test_limits_without_rounds_are_refused(drawn, tmp_path, options):
    with pytest.raises(ConfigError, match="limits runs with --until-decided only"):
        bq.run(drawn, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "came"),
    [
        ({"most_seeds": 12}, "a first look at 3 seeds and at most 12"),
        ({"seeds": 4, "most_seeds": 6}, "a first look at 4 seeds and at most 6"),
        ({"seeds": 2}, "a first look at 2 seeds"),
    ],
)
def test_looks_that_are_taken_cannot_be_planned_again(begun, drawn, options, came):
    before = looks_of(begun)
    with pytest.raises(RunFolderError) as caught:
        bq.run(drawn, out=begun, until_decided=True, **options)
    assert "are planned, and 1 of them taken" in str(caught.value)
    assert "expected: looks at 3, 6 seeds" in str(caught.value)
    assert came in str(caught.value)
    assert looks_of(begun) == before


def test_without_the_option_the_looks_that_were_begun_go_on(begun, drawn, whole):
    bq.run(drawn, out=begun, workers=1, until_decided=True)
    assert looks_of(begun) == looks_of(whole[0])


@pytest.mark.parametrize("rounds", [True, False])
def test_other_claims_after_a_look_are_refused_or_judged_anew(begun, drawn, rounds):
    drawn["claims"][1]["margin"] = 0.5
    with pytest.raises(RunFolderError) as caught:
        bq.run(drawn, out=begun, workers=1, until_decided=rounds)
    assert "1 of the looks of" in str(caught.value)
    assert "exploratory = true" in str(caught.value)
    result = bq.run(drawn, out=begun, workers=1, until_decided=rounds, amend=True)
    assert verdicts_of(begun)["never"].verdict == "upheld"
    if rounds:
        assert result.study.rounds.judged_before
        assert result.study.rounds.seeds == (3, 6, 12)
    else:
        assert result.study.rounds is None


def test_a_study_that_was_judged_before_its_looks_says_so(drawn, tmp_path):
    plain = bq.run(drawn, out=tmp_path / "run", workers=1)
    assert plain.study.rounds is None
    result = in_rounds(drawn, tmp_path / "run", budget=1e-3)
    assert (result.trained, result.conclusion) == (0, "verdicts")
    assert result.study.rounds.judged_before
    assert verdicts_of(tmp_path / "run")["sure"].look == 1
    anew = in_rounds(drawn, tmp_path / "run", budget=1e-3, fresh=True)
    assert (anew.trained, anew.study.rounds.judged_before) == (9, False)


def test_further_seeds_without_a_look_decide_nothing(begun, drawn):
    """Else a run at 95 % would be a look that nothing was kept for."""
    drawn["claims"][1]["margin"] = 0.5  # it would be clear at once
    record = bq.run(drawn, out=begun, workers=1, until_decided=True, amend=True, budget=1e-3).study.rounds
    assert verdicts_of(begun)["never"].verdict == "upheld"
    first = record.looks[0].model_copy(
        update={"verdicts": record.looks[0].verdicts[:1], "further": ("never",)}
    )
    undecided = record.model_copy(update={"looks": (first, *record.looks[1:])})
    study = RunFolder(begun).record().model_copy(update={"rounds": undecided})
    (begun / "study.json").write_text(study.model_dump_json())
    result = bq.run(drawn, out=begun, workers=1, seeds=4)
    assert result.trained == 3
    verdicts = verdicts_of(begun)
    assert (verdicts["sure"].verdict, verdicts["sure"].n) == ("upheld", 3)
    assert (verdicts["never"].verdict, verdicts["never"].n) == ("undecided", 4)
    assert "--until-decided takes the next one" in verdicts["never"].reason
    assert result.study.rounds == undecided


def test_a_look_is_not_taken_while_a_cell_that_it_needs_is_missing(begun, drawn):
    rounds = planned_rounds(planned(drawn), LOOKS[-1])
    at = round_of(planned(drawn), rounds)
    conclusion = Conclusion(at.plan, RunFolder(begun), at=at)
    job = Job(TRAIN, at.plan.cell("plain", 1))
    conclusion.failed[job.id] = Answer(job, "failed", "it broke")
    record = conclusion.judge(conclusion.measure())
    assert (record.status, record.rounds) == ("partial", rounds)
    verdicts = verdicts_of(begun)
    assert {(v.verdict, v.look, v.adjusted_low) for v in verdicts.values()} == {("undecided", None, None)}
    assert "the look was not taken" in verdicts["sure"].reason


def test_a_cell_that_only_decided_claims_need_is_no_reason_to_wait(begun, drawn):
    at = round_of(planned(drawn), RunFolder(begun).record().rounds)
    everything = {cell.id for cell in at.plan.cells}

    def judging(claims, level):
        del level
        fields = {"text": "t", "source": "s", "contrast": "c", "verdict": "undecided"}
        return [Verdict(id=claim.id, **fields) for claim in claims]

    for arm, taken in (("teacher", 2), ("student", 1)):
        finished = everything - {at.plan.cell(arm, 2).id}
        assert at.judged(judging, finished, 0.0)[1].taken == taken


def test_prune_leaves_every_cell_of_the_looks(copied):
    assert prune(copied).paths == ()


def test_the_command_line_shows_looks_and_what_would_decide_the_rest(drawn, begun, tmp_path):
    study = tmp_path / "study.toml"
    study.write_text(to_toml(drawn))
    command = ["run", str(study), "--out", str(begun), "--workers", "1", "--until-decided"]
    stopped = CliRunner().invoke(app, [*command, "--budget", "0.001s"], env={"COLUMNS": "200"})
    assert stopped.exit_code == 0, stopped.output
    assert "1 of 2 looks are taken" in stopped.output
    assert "the next look was not started: it would take about 0:" in stopped.output
    done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "look 2 of 2, at 6 seeds: 1 claim is undecided" in done.output
    assert "Decided at 3 seeds: 1 of 2" in done.output
    shown = CliRunner().invoke(app, ["show", str(begun)], env={"COLUMNS": "200"})
    assert "Decided at 3 seeds: 1 of 2" in shown.output
    assert "seeds would decide it" in shown.output
    again = CliRunner().invoke(app, command)
    assert "2 of 2 looks are taken" in again.output
