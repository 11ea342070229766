"""Where tensors are made: what runs in a step or a reading makes them on the device of what it reads."""

from __future__ import annotations

import ast
from pathlib import Path

import bequest

ROOT = Path(bequest.__file__).parent
COMPUTING = ("data/views", "data/affine.py", "models", "distill", "studies", "evidence", "runs")
"""Rooms whose code reads tensors on any device. The rest of ``data`` lies on the CPU; ``measure`` and
``theory`` compute with NumPy."""

MAKERS = {
    "arange", "as_tensor", "empty", "eye", "from_numpy", "full", "linspace", "normal", "ones", "rand",
    "randint", "randn", "randperm", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros",
}  # fmt: skip
ON_THE_CPU = {
    "data/views/mixing.py: _quantiles: from_numpy": "a table, moved to where it is read",
    "data/views/view.py: _chosen: tensor": "a few shares, moved to where the ids are",
    "distill/asked.py: _distinct: zeros": "counts queries; no network reads it",
    "distill/model_queries.py: __call__: randint": "which prompts, drawn by a CPU generator",
    "distill/objectives/rows.py: paired: as_tensor": "of what is no tensor",
    "distill/preflight.py: noise: randn": "drawn by a CPU generator, the same for every device, then moved",
    "distill/random_teachers.py: prepare: randperm": "pairs rows of samples; moved to where their ids are",
    "distill/stores/job.py: _answer: arange": "rows of samples",
    "distill/stores/job.py: as_rows: from_numpy": "what a store keeps",
    "distill/stores/job.py: manifest_of: arange": "rows of samples",
    "distill/stores/recording.py: _mapped: from_numpy": "a memory map",
    "distill/stores/replay.py: check: zeros": "a row of a store",
    "distill/stores/verify.py: probe: randint": "rows and views of samples",
    "distill/stores/workers.py: _spooled: empty": "stands for samples that travel in a file",
    "distill/token_answers.py: sequences_read: from_numpy": "rows, moved to where labels are",
    "evidence/reading.py: read: from_numpy": "rows of samples",
    "models/export/onnx_file.py: _answer: from_numpy": "what another program answered",
    "models/pretrained/adoption.py: _check_normalisation: tensor": "compared with weights on disk",
    "models/weights.py: _dense_parts: empty": "stands in a digest",
    "models/weights.py: _dense_parts: tensor": "stands in a digest",
    "studies/cost.py: inputs: ones": "inputs for counting operations",
}
"""Calls without ``device``, by file and function, with the reason."""


def without_device(source: str) -> set[str]:
    """Calls of torch's makers of tensors without ``device`` or ``out``, by the innermost function.

    What ``__init__`` makes is moved with its module.
    """
    calls = set()

    def walk(node: ast.AST, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
                of_torch = ast.unparse(child.func.value) == "torch"
                placed = {keyword.arg for keyword in child.keywords} & {"device", "out"}
                if of_torch and child.func.attr in MAKERS and not placed and inner != "__init__":
                    calls.add(f"{inner}: {child.func.attr}")
            walk(child, inner)

    walk(ast.parse(source), "")
    return calls


def test_no_tensor_is_made_without_a_device():
    calls = set()
    for room in COMPUTING:
        place = ROOT / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            name = path.relative_to(ROOT).as_posix()
            calls |= {f"{name}: {call}" for call in without_device(path.read_text())}
    assert calls == set(ON_THE_CPU)


def test_the_walk_sees_a_tensor_without_a_device():
    source = """
class A:
    def __init__(self):
        self.weight = torch.zeros(3)
    def forward(self, x):
        return x + torch.arange(3) + torch.zeros(3, device=x.device) + torch.zeros_like(x)
def helper(x):
    def noise():
        return torch.randn(3)
    return torch.eye(3)
"""
    assert without_device(source) == {"forward: arange", "helper: eye", "noise: randn"}
