"""A trained network of a run as a folder of its own: weights, configuration, program, ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bequest.data.text.tokenizer import FILE as TOKENIZER
from bequest.errors import ModelError, RunFolderError
from bequest.models.catalogue import token_options
from bequest.models.export import export_onnx, loading_code, save_pretrained, save_program
from bequest.models.export.model_folder import CONFIG, WEIGHTS
from bequest.models.export.plain_pytorch import PROGRAM, needs_program
from bequest.record_files import read_record
from bequest.records import RunRecord
from bequest.runs.networks import cell_named
from bequest.studies.cell import cell_folder
from bequest.studies.datasets import PROBE_SPLIT, load
from bequest.studies.networks import trained_network

ONNX = "model.onnx"
ROWS = 4
"""Test inputs with which exports are traced and checked."""


@dataclass(frozen=True)
class Exported:
    """An exported network.

    Attributes:
        files: The files, the configuration first.
        record: The cell's record.
        data: The name of the dataset that it was trained on.
        classes: Names of the classes, in the order of the logits.
        code: Python lines that load it without bequest.
    """

    files: tuple[Path, ...]
    record: RunRecord
    data: str
    classes: tuple[str, ...]
    code: str


def export_network(folder: Path, arm: str, seed: int | None, to: Path, *, onnx: bool = False) -> Exported:
    """Write the network of ``arm`` into the folder ``to``.

    Args:
        folder: The run folder.
        arm: The arm.
        seed: Its seed; default: the first.
        to: Made if it is not there; it must be empty or hold an earlier export.
        onnx: Write it as ONNX too; the file's answers are compared with the network's.

    Raises:
        InputError: If there is no such run, arm or seed, it is not trained, or it cannot be exported.
    """
    named = cell_named(f"{folder}:{arm}" + ("" if seed is None else f":{seed}"))
    if named is None:
        raise RunFolderError(
            f"{folder} is not a run folder",
            expected="a folder that bequest run wrote, with study.toml",
            remedy="check the path, or run the study first",
        )
    root, cell = named
    _refuse_foreign(to)
    config, data = cell.training, load(cell.training.data)
    network = trained_network(root, cell).eval()
    save_pretrained(
        to,
        network,
        config.student.family,
        {**token_options(config.student.family, data, len(data.vocabulary)), **config.student.options},
        data.classes,
        input_shape=data.input_shape,
    )
    files = [to / CONFIG, to / WEIGHTS]
    if data.tokenizer is not None:
        files.append(data.tokenizer.save(to / TOKENIZER))
    rows = data[PROBE_SPLIT].x[:ROWS]
    if needs_program(network):
        files.append(save_program(to, network, rows))
    if onnx:
        export_onnx(to / ONNX, network, rows)
        files.append(to / ONNX)
    return Exported(
        files=tuple(files),
        record=read_record(cell_folder(root, cell.id).record, RunRecord),
        data=config.data.name,
        classes=tuple(data.classes),
        code=loading_code(network),
    )


def _refuse_foreign(to: Path) -> None:
    if to.exists() and not to.is_dir():
        raise ModelError(f"{to} is not a folder", expected="a new folder, or one of an earlier export")
    entries = {entry.name for entry in to.iterdir()} if to.exists() else set()
    if entries - {CONFIG, WEIGHTS, PROGRAM, ONNX, TOKENIZER, "README.md"}:
        raise ModelError(
            f"{to} holds other files",
            expected="a new folder, or one of an earlier export",
            got=", ".join(sorted(entries)[:5]),
            remedy="choose another folder with --to",
        )
