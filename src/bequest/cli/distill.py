"""``bequest distill``: fine-tune one's own student on one's own images or texts under one's own teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape

from bequest.cli.device_options import DeviceOption, PerDevice
from bequest.cli.progress import conclude
from bequest.cli.use_option import UseOption

if TYPE_CHECKING:
    from bequest.data.datasets import Dataset
    from bequest.runs.fine_tuning import Samples
    from bequest.runs.run import Result, Update

Named = tuple[str, list[str] | None]
"""A name, and its options as they were typed."""

NAME = "distill"
ADAMW = {"optimizer": "adamw", "weight_decay": 0.01}
FLIP = '[{name="flip"}]'
EXAMPLE = (
    "Example: bequest distill --student efficientnet_lite:0 --teacher efficientnet_lite:2 "
    "--data folder:photos --data-option size=160 --epochs 5"
)
NETWORK = (
    "FAMILY[:WEIGHTS], efficientnet_lite:N, timm:NAME, torchvision:NAME, transformers:NAME_OR_FOLDER, "
    "RUN:ARM[:SEED]"
)


def command(
    student: Annotated[str, typer.Option(help=f"The student: {NETWORK}.")],
    teacher: Annotated[str, typer.Option(help="The teacher, in the same form.")],
    data: Annotated[
        str,
        typer.Option(
            help="folder:PATH, csv:FILE, parquet:FILE, hf:NAME, token:FILE, or a name of bequest ls."
        ),
    ],
    data_option: Annotated[
        list[str] | None,
        typer.Option(help="key=value: size=160, per_class=20, text=review, length=128 ...; repeatable."),
    ] = None,
    student_option: Annotated[
        list[str] | None, typer.Option(help="An option of the student, as key=value; repeatable.")
    ] = None,
    teacher_option: Annotated[
        list[str] | None, typer.Option(help="An option of the teacher, as key=value; repeatable.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Do not fine-tune the teacher: it already knows these classes.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training samples.")] = 10,
    batch: Annotated[int, typer.Option(min=1, help="Images or texts per step.")] = 32,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate (default: 2e-4 for pretrained image networks, 5e-5 for pretrained text "
            "networks, 2e-3 from scratch)."
        ),
    ] = None,
    teacher_lr: Annotated[
        float | None, typer.Option(help="The teacher's learning rate (default: as for --lr).")
    ] = None,
    head_rate: Annotated[
        float | None,
        typer.Option(
            help="Factor on the learning rate of heads (default: 15 if new on a pretrained network, else 1)."
        ),
    ] = None,
    layer_decay: Annotated[
        float, typer.Option(help="Factor on the learning rate from each layer to the one below it.")
    ] = 1.0,
    unfreeze: Annotated[
        float | None, typer.Option(help="Unfreeze the layers one by one over this share of the run.")
    ] = None,
    warmup: Annotated[float, typer.Option(help="Share of the run over which the learning rate rises.")] = 0.1,
    batchnorm: Annotated[
        bool,
        typer.Option(
            "--batchnorm/--freeze-batchnorm", help="Update or freeze BatchNorm's running statistics."
        ),
    ] = False,
    temperature: Annotated[float, typer.Option(help="Temperature of the soft targets.")] = 4.0,
    label_weight: Annotated[float, typer.Option(help="Weight of the labels in the loss.")] = 0.3,
    views: Annotated[
        str | None,
        typer.Option(
            help='Views of the samples, as TOML (default: [{name="flip"}] for images, none for texts).'
        ),
    ] = None,
    view_count: Annotated[
        int, typer.Option(min=1, help="Number of views; teachers answer each of them once.")
    ] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds; an interval needs three.")] = 1,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/distill"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes (default: one per GPU, or one per core).")
    ] = None,
    device: DeviceOption = "auto",
    per_device: PerDevice = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key of the study: path=value; repeatable.")
    ] = None,
    use: UseOption = None,
    amend: Annotated[
        bool, typer.Option("--amend", help="Continue even if this leaves finished cells unused.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the existing run and start over.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fine-tune a pretrained student with and without its teacher; record and report both.

    The teacher is fine-tuned first, and measured on the student's validation images before it teaches.
    """
    from bequest.parts import load_parts
    from bequest.runs.fine_tuning import fine_tuning_study
    from bequest.runs.run import run

    load_parts(use or ())
    console = Console(stderr=as_json, highlight=False, soft_wrap=True, emoji=False)
    case = _case((student, student_option), (teacher, teacher_option), (data, data_option), as_is=as_is)
    for sentence in case.sentences:
        console.print(f"[bold yellow]warning:[/] {escape(sentence)}")
    asked = _stated(lr=lr, head_rate=head_rate)
    study = fine_tuning_study(
        case.student,
        case.teacher,
        case.spec,
        {
            **ADAMW,
            **case.rates(case.student),
            **asked,
            **_stated(unfreeze=unfreeze),
            "layer_decay": layer_decay,
            "schedule": {"name": "warmup_cosine", "warmup": warmup},
            "freeze_batchnorm": not batchnorm,
            "batch": batch,
            "epochs": epochs,
        },
        teacher_recipe={**case.rates(case.teacher), **asked, **_stated(lr=teacher_lr)},
        objective={"name": "kd", "temperature": temperature, "label_weight": label_weight},
        views=case.views(views, view_count),
        seeds=seeds,
        as_is=as_is,
        samples=case.samples,
    )
    watch = _Watch(console, out, case.samples)
    result = run(
        study, out=out, workers=workers, device=device, per_device=per_device,
        settings=settings or (), use=use or (), amend=amend, fresh=fresh, progress=watch.update,
    )  # fmt: skip
    _conclude(result, console, as_json=as_json)


class _Case(NamedTuple):
    """Networks as a study's ``[models]``, its ``[data]``, the Dataset, and what a reader should know."""

    student: dict[str, Any]
    teacher: dict[str, Any]
    spec: dict[str, Any]
    data: Dataset
    sentences: list[str]

    @property
    def samples(self) -> Samples:
        """What a sample is called: images, texts or tokens."""
        from bequest.runs.fine_tuning import samples_of

        return samples_of(self.data)

    def rates(self, network: dict[str, Any]) -> dict[str, float]:
        """The rates of a network where the user says nothing."""
        from bequest.runs.fine_tuning import default_rates

        return default_rates(network, self.data)

    def views(self, text: str | None, count: int) -> dict[str, Any]:
        """The source of ``[queries]``; empty where samples are shown as they are."""
        shown = text or (FLIP if self.samples == "images" else None)
        return {} if shown is None else {**_options([f"views={shown}"]), "view_count": count}


def _case(student: Named, teacher: Named, data: Named, *, as_is: bool) -> _Case:
    from bequest.runs.fine_tuning import with_tokenizer
    from bequest.runs.networks import check_as_is, network_table

    options = _options(teacher[1], "--teacher-option", "dropout=0.1")
    learner = network_table(student[0], _options(student[1], "--student-option", "dropout=0.1"))
    table = network_table(teacher[0], options)
    shown = _options(data[1], "--data-option", "size=160")
    spec, samples = with_tokenizer({"name": data[0], "options": shown}, learner, table)
    _check_made("--student", learner, samples)
    _check_made("--teacher", table, samples)
    sentences = check_as_is(teacher[0], samples, options) if as_is else []
    return _Case(learner, table, spec, samples, sentences)


def _options(settings: list[str] | None, option: str = "--views", example: str = FLIP) -> dict[str, Any]:
    from bequest.config import with_settings

    return with_settings({}, settings or (), option=option, example=example)


def _check_made(option: str, network: dict[str, Any], samples: Dataset) -> None:
    """Make a network as its cells will, so that an absent library or file is said before any training.

    Raises:
        InputError: If it cannot be made; names the option.
    """
    from bequest.errors import ConfigError, InputError
    from bequest.models.catalogue import build_for

    try:
        build_for(network["family"], samples, seed=0, **network["options"])
    except ConfigError:
        return  # the study's own check names wrong options, with the key that they stand at
    except InputError as error:
        error.message = f"{option}: {error.message}"
        raise


def _stated(**values: float | None) -> dict[str, float]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


class _Watch:
    """One line for each cell; a warning as soon as a teacher proves no better than the student alone."""

    def __init__(self, console: Console, folder: Path, samples: str) -> None:
        self._console, self._folder, self._samples = console, folder, samples
        self._accuracy: dict[int, dict[str, float]] = {}

    def update(self, now: Update) -> None:
        """Say what ended, and how well it does on the validation split."""
        from bequest.record_files import read_record
        from bequest.records import RunRecord
        from bequest.studies.cell import cell_folder

        if now.job is None or now.job.action != "train" or now.error is not None:
            return
        cell = now.job.cell
        record = read_record(cell_folder(self._folder, cell.id).record, RunRecord)
        accuracy = record.selected.get("accuracy", float("nan"))
        by_arm = self._accuracy.setdefault(cell.seed, {})
        by_arm[cell.arm] = accuracy
        start = f"; {record.start}" if record.start else ""
        self._console.print(
            f"{now.done + now.failed}/{now.total} {cell.arm}, seed {cell.seed}: "
            f"{100 * accuracy:.1f} % of the validation {self._samples} right{escape(start)}"
        )
        if cell.arm in ("teacher", "alone") and {"teacher", "alone"} <= by_arm.keys():
            self._compare(by_arm["teacher"], by_arm["alone"], cell.seed)

    def _compare(self, teacher: float, alone: float, seed: int) -> None:
        if teacher <= alone:
            self._console.print(
                f"[bold yellow]warning:[/] the teacher ({100 * teacher:.1f} %) is no better on the "
                f"validation {self._samples} than the student alone ({100 * alone:.1f} %), seed {seed}: "
                "do not expect it to help"
            )


def _conclude(result: Result, console: Console, *, as_json: bool) -> None:
    from bequest.studies.cell import cell_folder

    taught = next((c for c in result.study.cells if c.arm == "taught" and c.status == "done"), None)
    if taught is not None and not as_json:
        console.print(f"student: {cell_folder(result.folder, taught.id).weights}", markup=False)
    conclude(result, console, as_json=as_json, notes=True)
