"""A store stands where its teachers stood: the same pixels, the same answers, the same student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import bequest as bq
from bequest.data.batches import Batches, Source
from bequest.data.datasets import Dataset
from bequest.data.queries import ActiveSpec, Generated
from bequest.data.views import Flip, Identity, Shift, parse_views
from bequest.distill.combine import MeanLogits
from bequest.distill.lesson import Lesson
from bequest.distill.live import LiveTeachers
from bequest.distill.objectives import KD, CrossEntropy, parse_objective
from bequest.distill.recipe import Recipe
from bequest.distill.stores.ahead import ReadAhead, free_memory
from bequest.distill.stores.codecs import Sampled, TopK
from bequest.distill.stores.job import shown
from bequest.distill.teachers import Teacher
from bequest.errors import SignalError

from .conftest import images, network

VIEWS = {
    "shift": Shift(1),
    "mixup": parse_views("mixup"),
    "cutmix": parse_views("cutmix"),
    "chain": parse_views([{"name": "shift", "pixels": 1}, "flip", "cutmix"]),
    "choice": parse_views({"name": "choice", "views": ["mixup", "cutmix", "flip"]}),
    "turned": parse_views([{"name": "rotate", "degrees": 20.0}, {"name": "noise", "std": 0.1}]),
    "randaugment": parse_views("randaugment"),
}


def stored(teacher: Any, data: Dataset, path: Path, **options: Any) -> Any:
    options = {"views": Shift(1), "count": 3, "batch": 7, "codec": "float32", **options}
    return bq.build_store(teacher, data, path=path, **options)


@pytest.mark.parametrize("name", VIEWS)
@given(seed=st.integers(0, 1000), batch=st.integers(2, 40), step=st.integers(0, 30))
@settings(max_examples=10, deadline=None)
def test_the_builder_sees_the_students_pixels_bit_for_bit(
    name: str, seed: int, batch: int, step: int
) -> None:
    split = images(60, 0, 1)
    source = Source("train", split, VIEWS[name], view_count=4, view_seed=seed)
    seen = Batches([source], batch=batch, seed=99).at(step)
    (part,) = seen.parts
    for start in range(0, 60, 17):
        rows = torch.arange(start, min(start + 17, 60))
        built = shown(source, rows, part.view)
        for place, row in enumerate(part.rows.tolist()):
            if start <= row < start + len(rows):
                assert torch.equal(built[row - start], seen.x[place])


@pytest.mark.parametrize("name", VIEWS)
def test_stored_answers_are_the_live_ones_to_float32_rounding(
    name: str, teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path, views=VIEWS[name])
    sources = store.sources(data)
    objective = KD(temperature=4.0)
    replay, live = store.opened(sources, objective), Teacher(teacher)
    batches = Batches(sources, batch=16, seed=5)
    for step in range(12):
        batch = batches.at(step)
        (kept,), _ = replay.answer(batch)
        now = live(batch.x)
        assert torch.all((kept - now).abs() <= 1e-5 * now.abs().amax(1, keepdim=True))


def test_float16_answers_are_within_half_a_unit_in_the_last_place(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path, codec="float16")
    batch = Batches(store.sources(data), batch=16, seed=5).at(3)
    (kept,), _ = store.opened(store.sources(data), KD()).answer(batch)
    now = Teacher(teacher)(batch.x)
    assert torch.all((kept - now).abs() <= 2.0**-11 * now.abs() + 1e-5 * now.abs().amax(1, keepdim=True))


def test_a_student_of_the_store_is_the_student_of_the_teacher(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path, views=VIEWS["chain"])
    options = {"epochs": 8, "batch": 16, "seed": 3}
    taught = bq.distill("mlp", data, signal=store, **options)
    live = bq.distill("mlp", data, teachers=[teacher], queries=list(store.sources(data)), **options)
    logits = [fitted.logits(data["test"].x) for fitted in (taught, live)]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3 * float(logits[1].abs().max()))
    assert taught.record.teachers[0].mode == "stored"
    assert taught.record.teachers[0].digest_before == live.record.teachers[0].digest_before


@pytest.mark.slow
def test_students_agree_on_the_digits_schedule(tmp_path: Path) -> None:
    """The queries of the bundled study, trained for longer: CNN for 50 epochs, MLP for 120, views of half."""
    data = bq.load_dataset("digits")
    cnn = bq.fit("cnn", data, epochs=50, lr=1e-3, batch=64)
    train = data["train"].unlabelled()
    mixture = [Source("clean", train, Identity(), 0.5), Source("moved", train, Shift(2), 0.5)]
    store = bq.build_store(cnn, data, queries=mixture, count=120, codec="float32", path=tmp_path)
    options = {"epochs": 120, "lr": 1e-3, "batch": 64, "evaluate_every": 10}
    taught = bq.distill("mlp", data, signal=store, **options)
    live = bq.distill("mlp", data, teachers=[cnn], queries=list(store.sources(data)), **options)
    logits = [fitted.logits(data["test"].x) for fitted in (taught, live)]
    assert float((logits[0] - logits[1]).abs().max() / logits[1].abs().max()) <= 1e-3


def test_several_teachers_and_sources_are_replayed_as_they_answered(data: Dataset, tmp_path: Path) -> None:
    train = data["train"].unlabelled()
    mixture = [Source("clean", train, Identity(), 0.5), Source("moved", train, Shift(1), 0.5)]
    teachers = [Teacher(network(k), name=f"t{k}") for k in (0, 1)]
    store = stored(teachers, data, tmp_path, queries=mixture)
    sources = store.sources(data)
    live = LiveTeachers(teachers, sources)
    batch = Batches(sources, batch=20, seed=1).at(4)
    for kept, now in zip(store.opened(sources, KD()).answer(batch)[0], live.answer(batch)[0], strict=True):
        torch.testing.assert_close(kept, now, rtol=1e-5, atol=1e-5)


def test_pieces_of_a_batch_get_their_own_answers(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    store = stored(teacher, data, tmp_path)
    batch = Batches(store.sources(data), batch=20, seed=1).at(2)
    replay = store.opened(store.sources(data), KD())
    (whole,), _ = replay.answer(batch)
    for start, piece in enumerate(batch.pieces(4)):
        assert torch.equal(replay.answer(piece)[0][0], whole[start::4])


def test_several_folders_open_as_one_store(data: Dataset, tmp_path: Path) -> None:
    stored(Teacher(network(0), name="a"), data, tmp_path / "a")
    stored(Teacher(network(1), name="b"), data, tmp_path / "b")
    store = bq.open_store(tmp_path / "a", tmp_path / "b")
    assert [record.arm for record in store.teachers] == ["a", "b"]
    fitted = bq.distill("mlp", data, signal=store, combine=MeanLogits(), epochs=1, batch=16)
    assert len(fitted.record.teachers) == 2


def test_features_are_replayed(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    store = stored(teacher, data, tmp_path, features=("penultimate",), feature_dtype="float32")
    sources = store.sources(data)
    objective = parse_objective({"name": "vkd"})
    batch = Batches(sources, batch=20, seed=1).at(2)
    (_,), (kept,) = store.opened(sources, objective).answer(batch)
    _, now = Teacher(teacher).features(batch.x, ["penultimate"])
    torch.testing.assert_close(kept["penultimate"], now["penultimate"], rtol=1e-5, atol=1e-5)


def test_features_that_are_not_there_are_named(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    store = stored(teacher, data, tmp_path)
    with pytest.raises(SignalError, match="activations that the store does not hold") as caught:
        store.opened(store.sources(data), parse_objective({"name": "vkd"}))
    assert "penultimate" in str(caught.value)


def test_a_pool_is_stored_and_found_again(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    pool = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    store = stored(teacher, data, tmp_path, queries=pool)
    assert store.manifests[0].data.split == "pool"
    fitted = bq.distill("mlp", data, signal=store, queries=pool, epochs=1, batch=16)
    assert fitted.record.teachers[0].mode == "stored"
    with pytest.raises(SignalError, match="built on other samples"):
        bq.distill("mlp", data, signal=store, epochs=1, batch=16)


def test_active_queries_are_chosen_from_the_stored_pool(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path)
    active = ActiveSpec(budget=30, rounds=2)
    options = {"active": active, "epochs": 4, "batch": 16}
    taught = bq.distill("mlp", data, signal=store, **options)
    queries = [replace(source, active=active) for source in store.sources(data)]
    live = bq.distill("mlp", data, teachers=[teacher], queries=queries, epochs=4, batch=16)
    torch.testing.assert_close(
        taught.logits(data["test"].x), live.logits(data["test"].x), rtol=1e-3, atol=1e-3
    )


def test_views_that_repeat_are_said_once(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    store = stored(teacher, data, tmp_path)
    fitted = bq.distill("mlp", data, signal=store, epochs=9, batch=15)
    assert fitted.record.warnings == (
        "the store holds 3 views of 'train' and the run passes 9 times over it: pass e shows view e modulo 3",
    )
    assert bq.distill("mlp", data, signal=store, epochs=2, batch=15).record.warnings == ()


def test_lossy_codecs_train(data: Dataset, tmp_path: Path) -> None:
    for codec, temperature in ((TopK(k=2), 4.0), (Sampled(draws=6, temperature=2.0), 2.0)):
        store = stored(network(), data, tmp_path / codec.name, codec=codec)
        objective = KD(temperature=temperature)
        fitted = bq.distill("mlp", data, signal=store, objective=objective, epochs=2, batch=16)
        assert fitted.record.status == "done"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"view": Flip()}, "views: stored"),
        ({"view_seed": 1}, "view seed: stored 0, asked 1"),
        ({"view_seed": None}, "view seed: stored 0, asked None"),
        ({"view_count": 2}, "view count: stored 3, asked 2"),
        ({"split": images(60, 0, 9)}, "inputs: stored"),
        ({"split": images(30, 0, 1)}, "samples: stored 60, asked 30"),
    ],
)
def test_another_source_is_refused_with_what_differs(
    teacher: nn.Module, data: Dataset, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    store = stored(teacher, data, tmp_path)
    (source,) = store.sources(data)
    with pytest.raises(SignalError, match="does not fit the training sources") as caught:
        store.opened([replace(source, **change)], KD())
    assert named in str(caught.value)


def test_another_number_of_sources_and_generators_are_refused(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path)
    (source,) = store.sources(data)
    with pytest.raises(SignalError, match="sources: stored 1, asked 2"):
        store.opened([source, source], KD())
    noise = Generated("noise", lambda rows, g: torch.rand(rows, 1, 6, 6, generator=g))
    with pytest.raises(SignalError, match="made for each step have no stored answers"):
        store.opened([noise], KD())


def test_shuffled_samples_are_other_samples(teacher: nn.Module, data: Dataset, tmp_path: Path) -> None:
    """The classic mistake: answers looked up by position while the positions have changed."""
    store = stored(teacher, data, tmp_path)
    shuffled = data.with_splits({"train": data["train"].take(torch.randperm(60))})
    with pytest.raises(SignalError, match="built on other samples"):
        bq.distill("mlp", shuffled, signal=store, epochs=1, batch=16)


def test_other_views_other_teachers_and_other_classes_are_refused(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path)
    with pytest.raises(SignalError, match="built on other views"):
        bq.distill("mlp", data, signal=store, views=Flip(), epochs=1)
    store.check_teachers([Teacher(teacher)])
    with pytest.raises(SignalError, match="has the answers of different teachers"):
        store.check_teachers([Teacher(network(1))])
    wider = Dataset("wider", data.splits, (*data.classes, "f"))
    with pytest.raises(SignalError, match="a different label space from the student"):
        Lesson(
            bq.distill.__class__ and nn.Linear(1, 1),
            wider,
            store.sources(data),
            KD(),
            Recipe(epochs=1),
            0,
            signal=store,
        ).run()


def test_an_objective_that_cannot_be_served_is_refused_before_the_first_step(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path, codec=TopK(k=2))
    with pytest.raises(SignalError, match="only the 2 largest are stored"):
        bq.distill("mlp", data, signal=store, objective=parse_objective("logit_mse"), epochs=1, batch=16)


def test_lossy_answers_of_several_teachers_are_not_combined(data: Dataset, tmp_path: Path) -> None:
    teachers = [Teacher(network(k), name=f"t{k}") for k in (0, 1)]
    store = stored(teachers, data, tmp_path, codec=TopK(k=2))
    with pytest.raises(
        SignalError, match="combining the answers of several teachers needs all of their logits"
    ):
        bq.distill("mlp", data, signal=store, combine=MeanLogits(), epochs=1, batch=16)


def test_labels_are_there_for_objectives_that_need_them(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path)
    objective = parse_objective([{"name": "cross_entropy"}, {"name": "kd", "temperature": 2.0}])
    fitted = bq.distill("mlp", data, signal=store, objective=objective, epochs=1, batch=16)
    assert "cross_entropy" in fitted.history[-1]
    assert all(source.split.y is None for source in store.sources(data))
    assert CrossEntropy().needs_labels


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_reading_ahead_changes_no_answer_and_ends(
    teacher: nn.Module, data: Dataset, tmp_path: Path, memory: int
) -> None:
    store = stored(teacher, data, tmp_path)
    sources = store.sources(data)
    batches = Batches(sources, batch=16, seed=2)
    plain = store.opened(sources, KD())
    reading = store.opened(sources, KD())
    reading._ahead = ReadAhead(store.grid, batches, memory=memory)
    for step in (0, 1, 2, 3, 40, 5):
        batch = batches.at(step)
        assert torch.equal(reading.answer(batch)[0][0], plain.answer(batch)[0][0])
    thread = reading._ahead._thread
    reading._ahead.close()
    assert not thread.is_alive()


def test_the_next_view_is_read_before_it_is_asked_for(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path)
    ahead = ReadAhead(store.grid, Batches(store.sources(data), batch=15, seed=2), memory=1 << 30)
    coming = [Path(path).name for path in ahead._coming(4)]
    ahead.close()
    assert coming == ["view-00001.npy", "view-00002.npy"]


def test_a_store_that_was_read_cannot_be_written_through(
    teacher: nn.Module, data: Dataset, tmp_path: Path
) -> None:
    store = stored(teacher, data, tmp_path)
    before = (tmp_path / "view-00000.npy").read_bytes()
    store.grid[0][0].rows("logits", 0).zero_()
    assert (tmp_path / "view-00000.npy").read_bytes() == before


def test_free_memory_is_what_the_system_says() -> None:
    pages = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total = int(pages["MemTotal"].split()[0]) * 1024
    assert 0 < free_memory() <= total
