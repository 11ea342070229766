"""Curves of a training in TensorBoard's files."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

import bequest as bq
from bequest.distill.progress import TensorBoard, epoch_bar
from bequest.distill.recipe import Recipe
from bequest.errors import InputError


def test_tensorboard_gets_the_scores_of_the_split_at_the_epochs_that_were_asked_for(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = bq.load_dataset("digits")
    watching = TensorBoard(tmp_path, data["validation"], every=2)
    recipe = Recipe(epochs=4)
    fitted = bq.fit("mlp", data, recipe=recipe, callbacks=[watching], progress=False)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["accuracy", "nll"]
    for name in ("accuracy", "nll"):
        written = events.Scalars(name)
        assert [event.step for event in written] == [0, 2, 4]
        assert written[-1].value == pytest.approx(fitted.history[-1][name], rel=1e-6)


def test_without_the_package_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"event files need tensorboard[\s\S]*\.\[tensorboard\]"):
        TensorBoard(tmp_path, bq.load_dataset("digits")["validation"])


@pytest.mark.parametrize(("widgets", "bars"), [(None, 0), (ModuleType("ipywidgets"), 1)])
def test_a_notebook_has_a_bar_where_ipywidgets_is_there(monkeypatch, widgets, bars):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.progress.Progress.__enter__", lambda bar: bar)
    monkeypatch.setattr("rich.progress.Progress.__exit__", lambda *_: None)
    if widgets is not None:
        widgets.__spec__ = ModuleSpec("ipywidgets", None)
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
    with epoch_bar("student", 3) as callbacks:
        assert len(callbacks) == bars
