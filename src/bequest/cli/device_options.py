"""The options ``--device`` and ``--per-device`` of every verb that trains or reads networks."""

from __future__ import annotations

from typing import Annotated

import typer

DeviceOption = Annotated[
    str,
    typer.Option("--device", help="auto (GPUs if there are any, else the CPU), cpu, cuda, cuda:N or mps."),
]
PerDevice = Annotated[
    int | None,
    typer.Option("--per-device", min=1, help="Maximum number of workers per device (default: one per GPU)."),
]
