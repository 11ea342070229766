"""The processes of a build know the classes of a user's file."""

from __future__ import annotations

from bequest import parts
from bequest.distill.stores import build_store
from bequest.models.catalogue import MODELS
from bequest.parts import load_parts

from .conftest import contents

SOURCE = """
from bequest.models.catalogue import MODELS
from torch import nn

@MODELS.register("net_of_mine")
class NetOfMine(nn.Module):
    '''A class that only this file defines.'''

    def __init__(self, input_shape, classes):
        super().__init__()
        self.layer = nn.Linear(int(input_shape.numel()), classes)

    def forward(self, x):
        return self.layer(x.flatten(1))
"""


def test_a_teacher_of_a_users_class_answers_in_other_processes(data, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    load_parts([file])
    try:
        teacher = MODELS["net_of_mine"](data["train"].x.shape[1:], len(data.classes))
        for name, workers in (("one", 1), ("two", 2)):
            build_store(teacher, data, path=tmp_path / name, count=2, workers=workers, device="cpu")
        assert contents(tmp_path / "one") == contents(tmp_path / "two")
    finally:
        parts._forget(str(file), next(name for name in parts._contents if name.startswith(parts.PREFIX)))
