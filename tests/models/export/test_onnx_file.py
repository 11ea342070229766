"""ONNX files answer as the network does, in onnxruntime; skipped where the packages are absent."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from bequest.errors import MissingExtra, ModelError
from bequest.models.catalogue import build_model
from bequest.models.export import export_onnx
from bequest.models.export.onnx_file import PACKAGES, _exported

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in PACKAGES), reason=f"{', '.join(PACKAGES)} are not installed"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter's packages, when they are imported
TOKENS = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 0, 0, 0], [1, 2, 3, 4, 5]])
IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def answer_of(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"x": x.numpy()})[0])


@needs_onnx
@pytest.mark.parametrize(
    ("family", "options", "x"),
    [
        ("mlp", {"batch_norm": True}, IMAGES),
        ("maxout_cnn", {"channels": [8, 8], "pools": [1, 1], "maxout": 4}, IMAGES),
        ("vit", {"form": "distilled", "width": 16, "depth": 1}, IMAGES),
        ("lstm", {"vocabulary": 9, "width": 8}, TOKENS),
        ("transformer", {"vocabulary": 9, "width": 8, "layers": 1}, TOKENS),
    ],
)
def test_a_file_answers_as_the_network_for_any_number_of_rows(family, options, x, tmp_path):
    model = build_model(family, tuple(x.shape[1:]), 4, seed=0, **options)
    model.train()
    difference = export_onnx(tmp_path / "model.onnx", model, x)
    assert difference <= 1e-4
    assert model.training
    model.eval()
    for rows in (x, x[:1], torch.cat([x, x, x.flip(0)])):
        expected = model(rows)
        expected = getattr(expected, "logits", expected)
        assert torch.allclose(answer_of(tmp_path / "model.onnx", rows), expected, atol=1e-4)


@needs_onnx
def test_a_file_that_answers_otherwise_is_not_written(tmp_path):
    with pytest.raises(ModelError, match="the ONNX file and the network give different answers"):
        export_onnx(tmp_path / "model.onnx", nn.Linear(4, 2), torch.rand(3, 4), tolerance=-1.0)

    class Counts(nn.Module):
        """A constant for the exporter, another number in each call."""

        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    with pytest.raises(ModelError):
        export_onnx(tmp_path / "model.onnx", Counts(), torch.rand(3, 4))
    assert not list(tmp_path.iterdir())


@needs_onnx
def test_what_cannot_be_exported_is_one_message(tmp_path):
    class Branches(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(ModelError, match="cannot be exported to ONNX"):
        export_onnx(tmp_path / "model.onnx", Branches(), torch.rand(3, 4))
    with pytest.raises(ModelError, match="does not take these inputs"):
        export_onnx(tmp_path / "model.onnx", nn.Linear(5, 2), torch.rand(3, 4))
    with pytest.raises(ModelError, match="needs at least two rows"):
        export_onnx(tmp_path / "model.onnx", nn.Linear(4, 2), torch.rand(1, 4))


def test_an_exporter_that_makes_nothing_is_named(monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: None)
    with pytest.raises(ModelError, match="the exporter returned no program"):
        _exported(nn.Linear(4, 2), torch.rand(3, 4), any_batch=False)


def test_a_package_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        MissingExtra, match="to ONNX needs the packages onnx, onnxscript, onnxruntime"
    ) as missing:
        export_onnx(tmp_path / "model.onnx", nn.Linear(4, 2), torch.rand(3, 4))
    assert "constraints.txt onnx onnxscript onnxruntime" in str(missing.value.remedy)
