"""The option ``--use`` of every verb that names parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

UseOption = Annotated[
    list[Path] | None, typer.Option("--use", help="A Python file with parts of your own; repeatable.")
]
