"""``bequest new``: the start of a study of one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

NAME = "new"
EXAMPLE = "Example: bequest new mine && bequest run mine/study.toml --scale smoke"
FILES = {"study.toml": "study.toml", "parts.py": "parts.txt"}
"""What is written, and the template that it comes from."""


def command(
    path: Annotated[Path, typer.Argument(help="A folder that does not exist yet, or is empty.")],
) -> None:
    """Write a commented study that runs as it is, with a model, data, objective and measure of your own."""
    from bequest.errors import RunFolderError
    from bequest.files import write_text

    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunFolderError(
            f"{path} already exists",
            expected="a new or empty folder",
            got="a folder with files in it" if path.is_dir() else "a file",
            remedy="choose another name; nothing was written",
        )
    templates = resources.files("bequest.cli") / "template"
    for name, template in FILES.items():
        write_text(path / name, (templates / template).read_text(encoding="utf-8"))
        typer.echo(path / name)
    typer.echo(f"next: bequest run {path / 'study.toml'} --scale smoke")
