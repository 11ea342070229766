"""What the page about measures shows is true."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from typer.testing import CliRunner

from bequest import measure
from bequest.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "measures.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == "0.50 [0.43, 0.56], n 3\n"


def test_every_function_is_on_the_page():
    functions = {name for name in measure.__all__ if name[0].islower()}
    assert {name for name in functions if not re.search(rf"`{name}\b", PAGE)} == {
        "along",
        "barrier_height",
        "interpolated",
        "permuted",
        "relative_to_clean",
    }


def test_the_commands_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    labels, ids = np.arange(60) % 3, np.arange(60)

    def predictions(skill):
        return {
            "logits": random.normal(size=(60, 3)) + skill * np.eye(3)[labels],
            "labels": labels,
            "ids": ids,
        }

    np.savez("student.npz", **predictions(1))
    np.savez("teacher.npz", **predictions(3))
    torch.save({name: torch.tensor(array) for name, array in predictions(1).items()}, "student.pt")
    columns = np.column_stack([predictions(3)["logits"], labels, ids])
    np.savetxt("teacher.csv", columns, "%g", ",", header="logits_0,logits_1,logits_2,labels,ids", comments="")
    for role, skill in {"taught": 2, "control": 1, "teacher": 3}.items():
        for seed in range(3):
            np.savez(f"{role}-{seed}.npz", **predictions(skill))
    for name in ("a", "b", "before-a", "before-b", "seed-0", "seed-1"):
        np.savez(f"{name}.npz", x=random.normal(size=(60, 5)), ids=ids)
    commands = re.findall(r"^bequest measure (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        words = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in command.split()]
        done = CliRunner().invoke(app, ["measure", *chain.from_iterable(words)])
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
