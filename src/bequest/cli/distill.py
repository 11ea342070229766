"""``bequest distill``: fine-tune one's own pretrained student on one's own images under one's own teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bequest.cli.device_options import DeviceOption, PerDevice
from bequest.cli.progress import conclude
from bequest.cli.use_option import UseOption

if TYPE_CHECKING:
    from bequest.runs.run import Result, Update

NAME = "distill"
EXAMPLE = (
    "Example: bequest distill --student efficientnet_lite:0 --teacher efficientnet_lite:2 "
    "--data folder:photos --data-option size=160 --epochs 5"
)
NETWORK = (
    "FAMILY[:WEIGHTS], efficientnet_lite:N, timm:NAME, torchvision:NAME, transformers:NAME, RUN:ARM[:SEED]"
)


def command(
    student: Annotated[str, typer.Option(help=f"The student: {NETWORK}.")],
    teacher: Annotated[str, typer.Option(help="The teacher, likewise.")],
    data: Annotated[str, typer.Option(help="folder:PATH, csv:FILE, or a dataset (bequest ls datasets).")],
    data_option: Annotated[
        list[str] | None, typer.Option(help="key=value: size=160, per_class=20, skip_unreadable=true ...")
    ] = None,
    student_option: Annotated[list[str] | None, typer.Option(help="key=value of the student.")] = None,
    teacher_option: Annotated[list[str] | None, typer.Option(help="key=value of the teacher.")] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="The teacher knows these classes already: do not train it.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 10,
    batch: Annotated[int, typer.Option(min=1, help="Images a step.")] = 32,
    lr: Annotated[float, typer.Option(help="Learning rate of the backbones.")] = 2e-4,
    teacher_lr: Annotated[float | None, typer.Option(help="That of the teacher (default: as --lr).")] = None,
    head_rate: Annotated[float, typer.Option(help="Factor on it for the new heads.")] = 15.0,
    layer_decay: Annotated[float, typer.Option(help="Factor from each layer to the one below it.")] = 1.0,
    unfreeze: Annotated[
        float | None, typer.Option(help="Let layers join one by one over this share of the run.")
    ] = None,
    warmup: Annotated[float, typer.Option(help="Share of the run in which the rate rises.")] = 0.1,
    batchnorm: Annotated[
        bool, typer.Option("--batchnorm/--freeze-batchnorm", help="Let BatchNorm's statistics move.")
    ] = False,
    temperature: Annotated[float, typer.Option(help="Of the soft targets.")] = 4.0,
    label_weight: Annotated[float, typer.Option(help="Share of the labels in the loss.")] = 0.3,
    views: Annotated[str, typer.Option(help="How images are shown, as TOML.")] = '[{name="flip"}]',
    view_count: Annotated[int, typer.Option(min=1, help="How many views; teachers answer each once.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each; an interval needs three.")] = 1,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/distill"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes (default: one a GPU, or one a core).")
    ] = None,
    device: DeviceOption = "auto",
    per_device: PerDevice = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path=value, laid over the study; repeatable.")
    ] = None,
    use: UseOption = None,
    amend: Annotated[
        bool, typer.Option("--amend", help="Go on even if finished cells are then unused.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fine-tune a pretrained student under a teacher, beside the same student alone; record and report.

    The teacher is fine-tuned first, and measured on the student's validation images before it teaches.
    """
    from bequest.config import with_settings
    from bequest.data.datasets import load_dataset
    from bequest.parts import load_parts
    from bequest.runs.fine_tuning import fine_tuning_study
    from bequest.runs.networks import check_classes, network_table
    from bequest.runs.run import run

    load_parts(use or ())
    spec = {"name": data, "options": with_settings({}, data_option or ())}
    if as_is:
        check_classes(teacher, load_dataset(data, **with_settings({}, data_option or ())))
    study = fine_tuning_study(
        network_table(student, with_settings({}, student_option or ())),
        network_table(teacher, with_settings({}, teacher_option or ())),
        spec,
        {
            "optimizer": "adamw",
            "weight_decay": 0.01,
            "lr": lr,
            "head_rate": head_rate,
            "layer_decay": layer_decay,
            **({} if unfreeze is None else {"unfreeze": unfreeze}),
            "schedule": {"name": "warmup_cosine", "warmup": warmup},
            "freeze_batchnorm": not batchnorm,
            "batch": batch,
            "epochs": epochs,
        },
        teacher_recipe={} if teacher_lr is None else {"lr": teacher_lr},
        objective={"name": "kd", "temperature": temperature, "label_weight": label_weight},
        views={"views": with_settings({}, [f"views={views}"])["views"], "view_count": view_count},
        seeds=seeds,
        as_is=as_is,
    )
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    watch = _Watch(console, out)
    result = run(
        study, out=out, workers=workers, device=device, per_device=per_device,
        settings=settings or (), use=use or (), amend=amend, fresh=fresh, progress=watch.update,
    )  # fmt: skip
    _conclude(result, console, as_json=as_json)


class _Watch:
    """One line for each cell; a warning as soon as a teacher proves no better than the student alone."""

    def __init__(self, console: Console, folder: Path) -> None:
        self._console, self._folder = console, folder
        self._accuracy: dict[int, dict[str, float]] = {}

    def update(self, now: Update) -> None:
        """Say what ended, and how well it does on the validation split."""
        from bequest.records import RunRecord, read_record
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
            f"{100 * accuracy:.1f} % of the validation images right{escape(start)}"
        )
        if cell.arm in ("teacher", "alone") and {"teacher", "alone"} <= by_arm.keys():
            self._compare(by_arm["teacher"], by_arm["alone"], cell.seed)

    def _compare(self, teacher: float, alone: float, seed: int) -> None:
        if teacher <= alone:
            self._console.print(
                f"[bold yellow]warning:[/] the teacher ({100 * teacher:.1f} %) is no better on the "
                f"validation images than the student alone ({100 * alone:.1f} %), seed {seed}: expect no help"
            )


def _conclude(result: Result, console: Console, *, as_json: bool) -> None:
    from bequest.studies.cell import cell_folder

    taught = next((c for c in result.study.cells if c.arm == "taught" and c.status == "done"), None)
    if taught is not None and not as_json:
        console.print(f"student: {cell_folder(result.folder, taught.id).weights}", markup=False)
    conclude(result, console, as_json=as_json, notes=True)
