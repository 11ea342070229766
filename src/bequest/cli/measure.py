"""``bequest measure``: measures of predictions and activations that any program saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bequest.errors import DataError

if TYPE_CHECKING:
    from bequest.cli.measure_output import Form
    from bequest.cli.saved import Predictions

NAME = "measure"

app = typer.Typer(
    name=NAME,
    help="Measure saved predictions and activations: .npz, .npy, .csv, .parquet, .safetensors or .pt.",
    epilog="Example: bequest measure accuracy predictions.npz",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Files = Annotated[
    list[Path],
    typer.Argument(help="Files with logits, probs or predictions, labels, and ids if there are any."),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        help="ROLE=NAME: what the file calls its logits, probs, predictions, labels, ids, classes or x.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the result as CSV, one line per number.")]


@app.command(epilog="Example: bequest measure accuracy student.npz teacher.csv --key logits=scores --json")
def accuracy(files: Files, key: Keys = None, as_json: Json = False, as_csv: Csv = False) -> None:
    """Accuracy, balanced accuracy and F1 of each file; with logits or probs, NLL and Brier score too."""
    from bequest.cli.measure_output import show
    from bequest.cli.measure_rows import accuracy_rows

    form = _form(as_json, as_csv)
    show([{"file": p.file, "measures": accuracy_rows(p)} for p in _read(files, key)], form)


@app.command(epilog="Example: bequest measure calibration student.npz --bins 15")
def calibration(
    files: Files,
    bins: Annotated[int, typer.Option(help="Bins of the reliability table.")] = 15,
    key: Keys = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Calibration errors, the fitted temperature and the reliability table of each file."""
    from bequest.cli.measure_output import show
    from bequest.cli.measure_rows import calibration_rows

    form = _form(as_json, as_csv)
    results = []
    for p in _read(files, key):
        measures, bars = calibration_rows(p, bins)
        results.append({"file": p.file, "measures": measures, "bins": bars})
    show(results, form)


@app.command(epilog="Example: bequest measure agreement teacher.npz student.npz control.npz")
def agreement(files: Files, key: Keys = None, as_json: Json = False, as_csv: Csv = False) -> None:
    """How often each further file agrees with the first (the teacher), sample by sample."""
    from bequest.cli.measure_output import show
    from bequest.cli.measure_rows import agreement_rows

    form = _form(as_json, as_csv)
    teacher, *others = _read(_two_or_more(files), key)
    show(
        [{"file": teacher.file, "other": p.file, "measures": agreement_rows(teacher, p)} for p in others],
        form,
    )


@app.command(
    epilog="Example: bequest measure similarity teacher.npz student.npz --null before-a.npz before-b.npz"
)
def similarity(
    files: Annotated[list[Path], typer.Argument(help="Files with x (N, ...), and ids if there are any.")],
    null: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two files that share nothing learnt, such as of untrained networks."),
    ] = None,
    ceiling: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two files as alike as possible, such as of two seeds of the teacher."),
    ] = None,
    key: Keys = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Similarity of each further file's representation to the first's, with a null and a ceiling."""
    from bequest.cli.measure_output import show
    from bequest.cli.measure_rows import similarity_rows
    from bequest.cli.saved import parse_keys

    form, keys = _form(as_json, as_csv), parse_keys(key or [])
    first, *others = _two_or_more(files)
    results = [
        {
            "file": str(first),
            "other": str(other),
            "measures": similarity_rows(first, other, null, ceiling, keys),
        }
        for other in others
    ]
    show(results, form)


@app.command(
    epilog="Example: bequest measure inheritance taught-0.npz taught-1.npz taught-2.npz control-0.npz "
    "control-1.npz control-2.npz teacher-0.npz teacher-1.npz teacher-2.npz"
)
def inheritance(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="TAUGHT... CONTROL... TEACHER...: as many of each, one file per seed, in the same order."
        ),
    ],
    key: Keys = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """How much of its teacher's scores and answers a student took over: 0 the control, 1 the teacher."""
    from bequest.cli.measure_inheritance import inheritance_rows, split_in_three
    from bequest.cli.measure_output import show

    form = _form(as_json, as_csv)
    taught, control, teacher = split_in_three(_read(files, key) if len(files) % 3 == 0 else files)
    rows = inheritance_rows(taught, control, teacher)
    show([{"file": taught[0].file, "other": teacher[0].file, "measures": rows}], form)


def _read(files: list[Path], key: list[str] | None) -> list[Predictions]:
    from bequest.cli.saved import parse_keys, read_predictions

    keys = parse_keys(key or [])
    return [read_predictions(path, keys) for path in files]


def _form(as_json: bool, as_csv: bool) -> Form:
    if as_json and as_csv:
        raise DataError("--json and --csv exclude each other", remedy="choose one")
    return "json" if as_json else "csv" if as_csv else "text"


def _two_or_more(files: list[Path]) -> list[Path]:
    if len(files) < 2:
        raise DataError(
            "this measure compares files with each other", expected="two files or more", got=len(files)
        )
    return files
