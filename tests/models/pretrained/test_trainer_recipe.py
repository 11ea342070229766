"""The recipe for the Trainer of transformers in docs/models.md, run with tiny random networks."""

from __future__ import annotations

import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from bequest.distill.objectives import kd
from bequest.distill.teachers import Teacher
from bequest.errors import TeacherChanged
from bequest.models.masks import attention_mask
from bequest.models.pretrained.torchvision_import import prepare_torchvision
from bequest.models.weights import weights_digest

pytestmark = pytest.mark.filterwarnings("ignore")  # of other libraries, about each other

DOCS = Path(__file__).parents[3] / "docs" / "models.md"
PADDING = 0
SIZES = {
    "vocab_size": 30, "max_position_embeddings": 12, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3, "pad_token_id": PADDING,
    "initializer_range": 0.5, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def transformers():
    if find_spec("transformers") is None or find_spec("accelerate") is None:
        pytest.skip("transformers or accelerate is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepare_torchvision()
        import transformers

        return transformers


@pytest.fixture(scope="module")
def recipe(transformers):
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict = {}
    exec(next(block for block in blocks if "class Distilled" in block), namespace)
    return namespace


@pytest.fixture
def networks(transformers):
    """A student, and a teacher of two layers."""

    def make(seed, layers=1):
        torch.manual_seed(seed)
        config = transformers.BertConfig(**{**SIZES, "num_hidden_layers": layers})
        return transformers.BertForSequenceClassification(config)

    return make(0), make(1, layers=2)


@pytest.fixture(scope="module")
def train():
    """Texts of 3 to 6 tokens, filled up to 6."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for index in range(16):
        tokens = torch.randint(3, 30, (6,), generator=generator)
        tokens[3 + index % 4 :] = PADDING
        rows.append({"input_ids": tokens, "attention_mask": (tokens != PADDING).long(), "labels": index % 3})
    return rows


@pytest.fixture
def arguments(transformers, tmp_path):
    def make(**options):
        return transformers.TrainingArguments(
            output_dir=str(tmp_path), report_to=[], use_cpu=True, save_strategy="no", seed=0,
            disable_tqdm=True, logging_strategy="epoch", optim="sgd", max_grad_norm=0.0,
            **{"learning_rate": 0.05, "per_device_train_batch_size": 8, "num_train_epochs": 8, **options},
        )  # fmt: skip

    return make


def test_the_student_nears_its_teacher_and_the_teacher_keeps_every_byte(recipe, networks, arguments, train):
    student, teacher = networks
    before = weights_digest(teacher)
    x = torch.stack([row["input_ids"] for row in train])
    mask = attention_mask(x, PADDING)

    def distance():
        with torch.no_grad():
            logits = [net.eval()(x, attention_mask=mask).logits for net in (student, teacher)]
        return float(kd(*logits, temperature=4.0))

    apart = distance()
    trainer = recipe["distil"](student, teacher, arguments(), train, padding=PADDING)
    assert distance() < apart / 2
    assert weights_digest(teacher) == before
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 8
    assert losses[-1] < losses[0]


def test_the_loss_is_that_of_the_formula_with_the_teachers_mask(recipe, networks, arguments, train):
    student, teacher = networks
    with Teacher(teacher) as ask:
        trainer = recipe["Distilled"](
            student, arguments(), train_dataset=train, ask=ask, padding=PADDING, label_weight=0.25
        )
        batch = {key: torch.stack([torch.as_tensor(row[key]) for row in train[:4]]) for key in train[0]}
        loss, outputs = trainer.compute_loss(student, batch, return_outputs=True)
    rest = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    with torch.no_grad():
        logits = teacher.eval()(**rest).logits
    labels = torch.nn.functional.cross_entropy(outputs.logits, batch["labels"])
    taught = kd(outputs.logits, logits, temperature=4.0)
    assert torch.allclose(loss, 0.25 * labels + 0.75 * taught, atol=1e-5)


def test_accumulated_batches_step_as_one_batch_does(recipe, transformers, arguments, train):
    weights = []
    for batch, accumulated in ((8, 1), (4, 2)):
        torch.manual_seed(0)
        student = transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES))
        torch.manual_seed(1)
        teacher = transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES))
        options = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulated}
        recipe["distil"](student, teacher, arguments(num_train_epochs=1, **options), train, padding=PADDING)
        weights.append(torch.cat([p.detach().flatten() for p in student.parameters()]))
    assert torch.allclose(*weights, atol=1e-5)


def test_a_teacher_that_was_trained_along_is_found_out(recipe, networks, arguments, train):
    student, _ = networks
    with pytest.raises(TeacherChanged):
        recipe["distil"](student, student, arguments(num_train_epochs=1), train, padding=PADDING)
