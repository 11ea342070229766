"""timm, torchvision and transformers with tiny random networks; each skipped where it is absent."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec

import pytest
import torch

from bequest.data.datasets import Dataset, Split
from bequest.errors import ModelError
from bequest.models.catalogue import build_for, build_model
from bequest.models.masks import attention_mask
from bequest.models.network_checks import check_network
from bequest.models.pretrained.torchvision_import import import_torchvision, prepare_torchvision
from bequest.models.taps import activations
from bequest.models.weights import load_weights, save_weights, weights_digest

pytestmark = pytest.mark.filterwarnings("ignore")  # of other libraries, about each other

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TOKENS = torch.tensor([[4, 5, 6, 2, 0, 0], [7, 2, 0, 0, 0, 0], [8, 9, 4, 5, 6, 2]])
EXACT = 1e-9  # in float64
SPREAD = 0.5  # of initial weights: at the usual 0.02 a tiny network hardly reads its inputs
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def require(package):
    """Skip the test if ``package`` is absent; not by importing it, which is what is tested."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.fixture(scope="module")
def transformers():
    require("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepare_torchvision()
        import transformers

        return transformers


def configurations(library):
    """Tiny networks for tokens, by name."""
    wide = {"vocab_size": 30, "max_position_embeddings": 40, "initializer_range": SPREAD}
    gpt2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, "initializer_range": SPREAD}
    return {
        "bert": library.BertConfig(**SIZES, **wide, pad_token_id=0),
        "roberta": library.RobertaConfig(**SIZES, **wide, pad_token_id=0),
        "distilbert": library.DistilBertConfig(
            dim=16, n_layers=2, n_heads=2, hidden_dim=32, pad_token_id=0, **wide
        ),
        "gpt2": library.GPT2Config(**gpt2, vocab_size=30, bos_token_id=1, eos_token_id=2),
    }


@pytest.fixture
def folder(transformers, tmp_path):
    def write(name, *, weights=None, **changed):
        config = configurations(transformers)[name]
        for key, value in changed.items():
            setattr(config, key, value)
        if weights is None:
            config.save_pretrained(tmp_path)
        else:
            torch.manual_seed(0)
            getattr(transformers, weights).from_config(config).save_pretrained(tmp_path)
        return str(tmp_path)

    return write


def test_torchvision_loads_beside_this_torch():
    require("torchvision")
    library = import_torchvision()
    assert import_torchvision() is library
    if torch.version.cuda is None and not library.extension._has_ops():
        with pytest.raises((RuntimeError, NotImplementedError)):  # declared, not implemented
            torch.ops.torchvision.nms(torch.rand(2, 4), torch.rand(2), 0.5)


@pytest.mark.parametrize(
    ("family", "network"),
    [("timm", "resnet10t"), ("torchvision", "resnet18"), ("timm", "vit_tiny_patch16_224")],
)
def test_random_image_networks_answer_are_tapped_and_stored(family, network, tmp_path):
    require(family)
    x = IMAGES if network != "vit_tiny_patch16_224" else torch.rand(2, 3, 224, 224)
    shape = tuple(x.shape[1:])
    model = build_model(family, shape, 5, seed=0, network=network, pretrained=False)
    check_network(model, x, classes=5, learns=True)
    assert activations(model, x)["penultimate"].ndim == 2
    again = build_model(family, shape, 5, seed=0, network=network, pretrained=False)
    assert weights_digest(again) == weights_digest(model)
    other = build_model(family, shape, 5, seed=1, network=network, pretrained=False)
    path = save_weights(tmp_path / "w.safetensors", model)
    assert torch.equal(load_weights(path, other).eval()(x), model.eval()(x))
    headline = {"timm": "timm cannot make", "torchvision": "torchvision cannot make"}[family]
    with pytest.raises(ModelError, match=f"{headline} 'resnet0'"):
        build_model(family, shape, 5, seed=0, network="resnet0", pretrained=False)


def test_an_image_classifier_of_transformers_brings_its_normalisation(transformers, tmp_path):
    config = transformers.ViTConfig(**SIZES, image_size=32, patch_size=8, num_labels=7)
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).half().save_pretrained(tmp_path)
    preset = {"image_processor_type": "ViTImageProcessor", "image_mean": [0.1] * 3, "image_std": [0.2] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preset))
    model = build_model("transformers", (3, 32, 32), 4, seed=0, network=str(tmp_path))
    assert model.normalise.mean.flatten().tolist() == pytest.approx([0.1] * 3)
    assert {p.dtype for p in model.parameters()} == {torch.float32}  # though stored in half precision
    check_network(model, IMAGES, classes=4, learns=True)
    with pytest.raises(ModelError, match="3 channels"):
        build_model("transformers", (1, 32, 32), 4, seed=0, network=str(tmp_path))


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "gpt2"])
def test_twice_the_padding_changes_no_answer_of_a_text_classifier(folder, name):
    options = {"network": folder(name), "pretrained": False, "vocabulary": 30, "padding": 0}
    model = build_model("transformers", (6,), 3, seed=0, **options).eval().double()
    logits = model(TOKENS)
    assert logits.shape == (3, 3)
    doubled = torch.nn.functional.pad(TOKENS, (0, TOKENS.shape[1]))
    assert torch.allclose(model(doubled), logits, atol=EXACT)
    short = model(TOKENS[1:2, :2])
    assert torch.allclose(short, logits[1:2], atol=EXACT)
    # The oracle: transformers' own call with the mask; and without it, the padding would count.
    direct = model.network(TOKENS, attention_mask=attention_mask(TOKENS, 0)).logits
    assert torch.allclose(direct, logits, atol=EXACT)
    if name != "gpt2":  # causal attention does not read what comes later
        assert not torch.allclose(model.network(doubled).logits, model.network(TOKENS).logits, atol=1e-4)


@pytest.mark.parametrize(("name", "task"), [("gpt2", "next_token"), ("bert", "masked_token")])
def test_twice_the_padding_changes_no_word_of_a_language_model(folder, name, task):
    options = {"network": folder(name), "pretrained": False, "padding": 0, "task": task}
    model = build_model("transformers", (6,), 30, seed=0, **options).eval().double()
    logits = model(TOKENS)
    assert logits.shape == (3, 6, 30)
    doubled = model(torch.nn.functional.pad(TOKENS, (0, TOKENS.shape[1])))[:, :6]
    assert torch.allclose(doubled[TOKENS != 0], logits[TOKENS != 0], atol=EXACT)
    if task == "next_token":  # a word behind changes nothing before it
        changed = TOKENS.clone()
        changed[2, 4] = 9
        assert torch.allclose(model(changed)[2, :4], logits[2, :4], atol=EXACT)


def test_a_pair_of_texts_is_told_apart_by_token_types(folder):
    options = {"network": folder("bert"), "pretrained": False, "vocabulary": 30, "padding": 0}
    pair = build_model("transformers", (6,), 3, seed=0, separator=2, **options).eval()
    single = build_model("transformers", (6,), 3, seed=0, **options).eval()
    x = torch.tensor([[4, 5, 2, 6, 2, 0]])
    types = torch.tensor([[0, 0, 0, 1, 1, 0]])
    direct = pair.network(x, attention_mask=attention_mask(x, 0), token_type_ids=types).logits
    assert torch.allclose(pair(x), direct, atol=1e-6)
    assert not torch.allclose(pair(x), single(x), atol=1e-4)


def test_pretrained_text_networks_bring_their_weights_and_get_a_new_head(folder, transformers):
    network = folder("bert", weights="AutoModelForMaskedLM")
    one, two = (
        build_model("transformers", (6,), 3, seed=seed, network=network, vocabulary=30) for seed in (0, 1)
    )
    embedding = "network.bert.embeddings.word_embeddings.weight"
    assert torch.equal(one.state_dict()[embedding], two.state_dict()[embedding])
    assert not torch.equal(one.network.classifier.weight, two.network.classifier.weight)
    split = Split(TOKENS, torch.tensor([0, 1, 2]), torch.arange(3))
    words = tuple(f"w{k}" for k in range(30))
    data = Dataset("texts", {"train": split}, ("a", "b", "c"), vocabulary=words, padding=0)
    model = build_for("transformers", data, seed=0, network=network)
    assert (model.padding, model.network.config.num_labels) == (0, 3)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"padding": 3}, (6,), "a different padding token"),
        ({"vocabulary": 31}, (6,), "the vocabulary of"),
        ({"task": "translate"}, (6,), "no such task"),
        ({"task": "next_token", "vocabulary": 29}, (6,), "the vocabulary of"),
        ({}, (41,), "too long"),
        ({"vocabulary": 0}, (6,), "needs images or token sequences"),
        ({"network": ""}, (6,), "needs a name"),
        ({"network": "no/such/folder/here"}, (6,), "transformers cannot make"),
    ],
)
def test_networks_that_do_not_fit_the_tokens_are_refused(folder, monkeypatch, options, shape, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    network = folder("bert", weights="AutoModelForMaskedLM")
    options = {"network": network, "vocabulary": 30, "padding": 0, **options}
    with pytest.raises(ModelError, match=message):
        build_model("transformers", shape, 3, seed=0, **options)
