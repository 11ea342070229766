"""The options ``--device`` and ``--per-device`` of every verb that trains or reads networks."""

from __future__ import annotations

from typing import Annotated

import typer

DeviceOption = Annotated[
    str, typer.Option("--device", help="auto (the GPUs, where there are any), cpu, cuda, cuda:N or mps.")
]
PerDevice = Annotated[
    int | None, typer.Option("--per-device", min=1, help="Workers a device has at most (default: one a GPU).")
]
