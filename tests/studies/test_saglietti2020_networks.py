"""Inherited regularisation in small networks: the study at smoke scale, and what its weight decay is."""

from __future__ import annotations

from bequest.measures import Reason
from bequest.record_files import read_records
from bequest.records import Verdict
from bequest.studies.networks import trained_network

STUDY = "saglietti2020-networks"


def test_it_runs_to_its_end_with_verdicts(smoke_run):
    assert smoke_run.study.status == "complete"
    verdicts = read_records(smoke_run.folder / "claims.json", Verdict)
    undefined = [verdict for verdict in verdicts if verdict.value is None]
    # Of so short a training the gap is not clear of 0, and a share of it is none.
    assert [verdict.id for verdict in undefined] in ([], ["share"])
    assert all(verdict.reason_code == Reason.NO_GAP for verdict in undefined)
    assert "negative log-likelihood" in smoke_run.study.answer


def test_every_step_is_one_on_the_whole_training_set(plan):
    for cell in plan.cells:
        assert cell.training.recipe.batch == 100
        assert plan.study.data.options["per_class"] * 10 == 100


def test_more_weight_decay_means_smaller_weights(smoke_run, plan):
    def norm(arm):
        network = trained_network(smoke_run.folder, plan.cell(arm, 0))
        return sum(float((p.detach() ** 2).sum()) for p in network.parameters() if p.ndim > 1)

    assert norm("loose") > norm("best") > norm("tight")


def test_students_have_next_to_no_weight_decay_of_their_own(plan):
    decays = {cell.arm: cell.training.recipe.weight_decay for cell in plan.cells}
    taught = [arm for arm in decays if "<-" in arm and not arm.startswith("small-ridge")]
    assert len(taught) == 6
    assert {decays[arm] for arm in taught} == {1e-4}
