"""Queries that a model writes: drawn from its own distribution, in stated shares, the same after a kill."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

import bequest as bq
from bequest.data.batches import Batches
from bequest.data.datasets import Dataset, Split
from bequest.data.generators import Generator
from bequest.data.queries import Generated, Source
from bequest.data.views import Identity
from bequest.distill import engine
from bequest.distill.checkpoint import checkpointing
from bequest.distill.lesson import Lesson
from bequest.distill.model_queries import ModelQueries, written_by
from bequest.distill.objectives import KD, ReverseKL
from bequest.distill.recipe import Recipe
from bequest.distill.teachers import Teacher
from bequest.errors import ConfigError, DataError, ModelError
from bequest.models.weights import weights_digest
from bequest.studies.source import SourceSpec

WORDS = 7


class Bigram(nn.Module):
    """The next word by the last one."""

    def __init__(self, seed, words=WORDS):
        super().__init__()
        torch.manual_seed(seed)
        self.table = nn.Embedding(words, words)

    def forward(self, x):
        return self.table(x)


def language(words=WORDS, names=None):
    x = torch.randint(1, words, (60, 6), generator=torch.Generator().manual_seed(0))
    y, ids = x.roll(-1, 1), torch.arange(60)
    y[:, -1] = -100
    splits = {
        n: Split(x[a:b], y[a:b], ids[a:b])
        for n, a, b in (("train", 0, 40), ("validation", 40, 50), ("test", 50, 60))
    }
    names = names or tuple(map(str, range(words)))
    return Dataset("language", splits, names, vocabulary=names, padding=0)


PROMPTS = language()["train"].x[:, :1]


def test_tokens_are_drawn_from_the_models_distribution_at_the_temperature():
    model, temperature = Bigram(1), 2.0
    queries = ModelQueries(torch.tensor([[3]]), 2, model=model, temperature=temperature)
    drawn = queries(4000, torch.Generator().manual_seed(0))
    assert drawn.shape == (4000, 2)
    assert bool((drawn[:, 0] == 3).all())
    counts = torch.bincount(drawn[:, 1], minlength=WORDS).numpy()
    expected = torch.softmax(model.table.weight[3].double() / temperature, -1).detach().numpy() * 4000
    assert chisquare(counts, expected).pvalue > 1e-3
    other = torch.softmax(model.table.weight[3].double(), -1).detach().numpy() * 4000
    assert chisquare(counts, other).pvalue < 1e-3


def test_a_sequence_that_ended_is_filled_up():
    queries = ModelQueries(PROMPTS, 12, model=Bigram(1), end=2, padding=0)
    for row in queries(50, torch.Generator().manual_seed(0)).tolist():
        if 2 in row:
            assert set(row[row.index(2) + 1 :]) <= {0}


def test_a_mixture_has_its_shares():
    text = Source("text", language()["train"].unlabelled(), Identity(), 0.5)
    mixture = [text, written_by(Bigram(2), PROMPTS, 6, share=0.25), written_by(None, PROMPTS, 6, share=0.25)]
    for source in mixture[1:]:
        source.generate.follow(Bigram(3))
    batches = Batches(mixture, batch=8, seed=0)
    assert batches.counts == [4, 2, 2]
    assert len(batches.at(0).x) == 8
    assert not written_by(Bigram(2), PROMPTS, 6).generate.on_policy


def lesson(student=None):
    queries = (
        Source("text", language()["train"].unlabelled(), Identity(), 0.5),
        written_by(None, PROMPTS, 6, share=0.5),
    )
    recipe = Recipe(batch=8, epochs=4, lr=0.05)
    return Lesson(
        student or Bigram(1),
        language(),
        queries,
        ReverseKL(),
        recipe,
        0,
        teachers=(Teacher(Bigram(2)),),
        padding=0,
    )


def test_the_students_own_samples_follow_its_weights():
    run = lesson()
    batches = Batches(run.sources, batch=8, seed=0)
    run.sources[1].generate.follow(run.student)
    before = batches.at(3).x[4:]
    assert torch.equal(batches.at(3).x[4:], before)
    run.run()
    assert not torch.equal(batches.at(3).x[4:], before)


def test_a_killed_on_policy_run_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "STRETCH", 3)
    whole = lesson()
    expected = whole.run()
    assert expected.asked == {"teacher": 40 + 4 * 5 * 4}
    kept = []
    store = checkpointing(tmp_path / "state.pt")

    def killing(state):
        result = store(state)
        if state is not None:
            kept.append(1)
            if len(kept) == 4:
                raise KeyboardInterrupt
        return result

    with pytest.raises(KeyboardInterrupt):
        lesson().run(checkpoint=killing)
    resumed = lesson()
    resumed.run(checkpoint=checkpointing(tmp_path / "state.pt"))
    assert weights_digest(resumed.student) == weights_digest(whole.student)


def test_a_student_learns_its_teacher_from_its_own_samples():
    teacher = Bigram(2)
    queries = [written_by(None, PROMPTS, 6)]
    taught = bq.distill(
        Bigram(1),
        language(),
        teachers=[teacher],
        objective=ReverseKL(),
        queries=queries,
        batch=16,
        steps=400,
        lr=0.05,
    )
    p = [torch.softmax(model.table.weight[1:], -1) for model in (teacher, taught.model, Bigram(1))]
    after, before = (float((p[0] - other).abs().sum(-1).mean().detach()) / 2 for other in p[1:])
    assert after < before / 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": torch.ones(3, 2)}, "expected tokens"),
        ({"length": 1}, "leave nothing to generate"),
        ({"temperature": 0.0}, "temperature: expected a number > 0"),
        ({"end": 2}, "end: needs padding"),
    ],
)
def test_what_cannot_be_written_is_refused(options, message):
    with pytest.raises(ConfigError, match=f"queries of a model: .*{message}"):
        ModelQueries(**{"prompts": PROMPTS, "length": 6, **options})


def test_a_writer_without_next_token_logits_or_without_a_student_is_refused():
    generator = torch.Generator()
    with pytest.raises(ConfigError, match="the student generates, but only a Lesson knows it"):
        ModelQueries(PROMPTS, 6)(2, generator)
    with pytest.raises(ConfigError, match="expected next-token logits"):
        ModelQueries(PROMPTS, 6, model=nn.Sequential(nn.Embedding(WORDS, 3), nn.Flatten(), nn.Linear(3, 2)))(
            2, generator
        )


def test_unlike_vocabularies_are_refused_by_name_and_the_difference_is_counted():
    with pytest.raises(ModelError, match="the teacher 'teacher 0' has a different label space") as caught:
        bq.distill(Bigram(1), language(), teachers=[Bigram(2, WORDS + 2)], batch=8, epochs=1)
    assert "got:      9 logits, 2 more" in str(caught.value)
    other = bq.fit(Bigram(2), language(names=("0", "1", "2", "3", "4", "five", "six")), batch=8, epochs=1)
    with pytest.raises(ModelError, match="has a different vocabulary from the data") as caught:
        bq.distill(Bigram(1), language(), teachers=[other], objective=KD(), batch=8, epochs=1)
    assert "7 tokens; 4 are in only one of the two" in str(caught.value)
    assert isinstance(written_by(None, PROMPTS, 6), Generated)


def test_a_study_names_who_writes():
    split = language()["train"]
    own, taught = (
        Generator.parse({"name": "written", "by": by, "prompt": 2}) for by in ("student", "teacher")
    )
    student, teacher = Bigram(1), Teacher(Bigram(2))
    for generator, writer in ((own, student), (taught, teacher.network)):
        queries = generator.bind(split)
        queries.follow(student, (teacher,))
        drawn = queries(20, torch.Generator().manual_seed(0))
        expected = ModelQueries(split.x[:, :2], 6, model=writer)(20, torch.Generator().manual_seed(0))
        assert torch.equal(drawn, expected)
    assert own.bind(split).on_policy
    assert not taught.bind(split).on_policy
    with pytest.raises(ConfigError, match="the teacher generates, but there is no network as teacher"):
        taught.bind(split).follow(student)
    with pytest.raises(DataError, match="only sequences of tokens can be generated"):
        own.bind(Split(torch.zeros(4, 3), None, torch.arange(4)))
    with pytest.raises(ConfigError, match="what a network writes changes with it"):
        SourceSpec.parse({"generate": "written", "count": 10}, "queries")


@pytest.mark.parametrize("by", ["student", "teacher"])
def test_a_killed_run_on_what_a_transformer_writes_about_texts_ends_with_the_same_bytes(by, tmp_path):
    dice = torch.Generator().manual_seed(0)
    words = [("a", "b", "c", "d")[k] for k in torch.randint(4, (900,), generator=dice).tolist()]
    lines = [" ".join(words[k : k + 9]) for k in range(0, 900, 9)]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    data = bq.load_dataset(f"token:{tmp_path / 'texts.txt'}", length=8)
    teacher = bq.fit("transformer_lm", data, epochs=1, batch=16)
    written = Generator.parse({"name": "written", "by": by, "prompt": 2})
    queries = [
        Source("text", data["train"].unlabelled(), Identity(), 0.5),
        Generated("written", written.bind(data["train"]), 0.5, written.spec()),
    ]
    settings = {"teachers": [teacher], "objective": ReverseKL(), "queries": queries, "batch": 16, "epochs": 3}
    whole = bq.distill("lstm_lm", data, **settings)

    def kill(epoch, _):
        if epoch == 2:
            raise KeyboardInterrupt

    file = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        bq.distill("lstm_lm", data, checkpoint=file, callbacks=[kill], **settings)
    assert file.is_file()
    resumed = bq.distill("lstm_lm", data, checkpoint=file, **settings)
    assert resumed.record.weights_digest == whole.record.weights_digest
    other = bq.distill("lstm_lm", data, **{**settings, "queries": None})
    assert other.record.weights_digest != whole.record.weights_digest
