"""``bequest export``: a network of a run as a folder that anybody can load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "export"
EXAMPLE = "Example: bequest export runs/digits-small 'mlp<-cnn+views' --to students/mlp"


def command(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    arm: Annotated[str, typer.Argument(help="The arm whose student is exported.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the student (default: the first).")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Also write ONNX, checked in onnxruntime.")] = False,
) -> None:
    """Write weights, configuration and a model card: data, teachers, scores, what was kept and lost."""
    from bequest.cli.model_card import CARD, model_card
    from bequest.files import write_text
    from bequest.report.folder import read_run
    from bequest.runs.exporting import export_network

    exported = export_network(folder, arm, seed, to, onnx=onnx)
    write_text(to / CARD, model_card(read_run(folder), exported))
    for path in (*exported.files, to / CARD):
        typer.echo(path)
