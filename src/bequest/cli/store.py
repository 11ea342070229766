"""``bequest store``: keep teachers' answers once, look at what is kept, check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bequest.cli.device_options import DeviceOption, PerDevice
from bequest.cli.use_option import UseOption

if TYPE_CHECKING:
    from bequest.data.datasets import Dataset
    from bequest.distill.stores import SignalStore
    from bequest.distill.teachers import Teacher

app = typer.Typer(
    name="store",
    help="Store teachers' answers once, and train from them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

BUILD = (
    "Example: bequest store build signals --teacher runs/digits-small:cnn "
    "--views '{name=\"shift\", pixels=2}' --count 8"
)
INFO = "Example: bequest store info signals"
VERIFY = "Example: bequest store verify signals --teacher runs/digits-small:cnn"

Folder = Annotated[Path, typer.Argument(help="The store's folder.")]
Teachers = Annotated[
    list[str] | None,
    typer.Option("--teacher", help="RUN_FOLDER:ARM[:SEED] or MODEL:WEIGHTS_FILE; repeatable."),
]
ModelOptions = Annotated[
    list[str] | None, typer.Option("--model-option", help="An option of MODEL, as key=value; repeatable.")
]
Data = Annotated[str | None, typer.Option(help="A data set (default: that of the run folder).")]
DataOptions = Annotated[
    list[str] | None,
    typer.Option("--data-option", help="An option of the data set, as key=value; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command(epilog=BUILD)
def build(
    folder: Folder,
    teacher: Teachers = None,
    data: Data = None,
    data_option: DataOptions = None,
    model_option: ModelOptions = None,
    views: Annotated[str, typer.Option(help="A view, or a list of them, as TOML.")] = "identity",
    count: Annotated[int, typer.Option(min=1, help="Number of views per sample.")] = 1,
    codec: Annotated[str, typer.Option(help="float32, float16, bfloat16, or a codec as TOML.")] = "float16",
    split: Annotated[str, typer.Option(help="Split of the data.")] = "train",
    seed: Annotated[int, typer.Option(help="Seed of the views.")] = 0,
    feature: Annotated[
        list[str] | None, typer.Option(help="Also store an activation, such as penultimate; repeatable.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Rows per forward pass; other sizes round differently.")
    ] = 256,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, each with one torch thread.")] = 1,
    device: DeviceOption = "auto",
    per_device: PerDevice = None,
    use: UseOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the existing store and start over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store the teachers' answers to every view; the same command resumes an interrupted build.

    Under torchrun (torchrun --nproc-per-node 4 -m bequest store build ...) each process computes its share.
    """
    from bequest.data.views import parse_views
    from bequest.distill.stores import build_store, parse_codec
    from bequest.distill.stores.folder import rank_and_world
    from bequest.parts import load_parts

    load_parts(use or ())
    teachers, dataset = _asked(teacher, model_option, data, data_option)
    with _Progress(quiet=as_json or rank_and_world()[0] > 0) as progress:
        store = build_store(
            teachers,
            dataset,
            path=folder,
            views=parse_views(_toml(views)),
            count=count,
            codec=parse_codec(_toml(codec)),
            split=split,
            seed=seed,
            features=tuple(feature or ()),
            batch=batch,
            workers=workers,
            device=device,
            per_device=per_device,
            fresh=fresh,
            progress=progress.update,
        )
    if rank_and_world()[0] == 0:
        _print(_described(folder, store), as_json=as_json)


@app.command(epilog=INFO)
def info(folder: Folder, as_json: AsJson = False) -> None:
    """Describe a store: size, bytes per record, teachers, views, codec."""
    from bequest.distill.stores import open_store

    _print(_described(folder, open_store(folder, checksums=False)), as_json=as_json)


@app.command(epilog=VERIFY)
def verify(
    folder: Folder,
    teacher: Teachers = None,
    data: Data = None,
    data_option: DataOptions = None,
    model_option: ModelOptions = None,
    samples: Annotated[int, typer.Option(min=1, help="Number of answers to recompute.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the choice of samples.")] = 0,
    device: DeviceOption = "auto",
    use: UseOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare every file with its checksum and, given the teachers, recompute some answers."""
    from dataclasses import asdict

    from bequest.distill.stores import verify_store
    from bequest.parts import load_parts

    load_parts(use or ())
    teachers, dataset = _asked(teacher, model_option, data, data_option) if teacher else ([], None)
    verified = verify_store(
        folder, teachers=teachers, data=dataset, samples=samples, seed=seed, device=device
    )
    result = asdict(verified)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **result}, indent=1))
        return
    typer.echo(f"{result['files']} files, {result['bytes']:,} bytes: all checksums match")
    if result["kl_mean"] is not None:
        typer.echo(
            f"lost by the codec: KL from the teacher {result['kl_mean']:.3g} nats on average, "
            f"{result['kl_largest']:.3g} at most"
        )
    if result["deviation"] is None:
        typer.echo("no answer was recomputed: that needs --teacher")
    else:
        source, sample, view = result["worst"]
        typer.echo(
            f"{result['probed']} answers recomputed: largest deviation {result['deviation']:.3g} "
            f"(sample {sample} of {source!r} in view {view})"
        )


def _described(folder: Path, store: SignalStore) -> dict[str, Any]:
    """What ``info`` says, as plain values."""
    entries = [
        {
            "teacher": manifest.teacher.name,
            "teacher_digest": manifest.teacher.digest,
            "data": f"{manifest.data.name}/{manifest.data.split}",
            "samples": manifest.data.samples,
            "classes": manifest.data.classes,
            "views": manifest.views.spec,
            "count": manifest.views.count,
            "seed": manifest.views.seed,
            "codec": manifest.codec,
            "kl_mean": None if manifest.error is None else manifest.error.mean,
            "kl_largest": None if manifest.error is None else manifest.error.largest,
            "arrays": [array.name for array in manifest.arrays],
            "share": manifest.source.share,
            "bytes": sum(shard.bytes for shard in manifest.shards),
            "bytes_per_record": round(
                sum(shard.bytes for shard in manifest.shards)
                / (manifest.data.samples * manifest.views.count),
                2,
            ),
        }
        for manifest in store.manifests
    ]
    return {"folder": str(folder), "bytes": store.bytes, "recordings": entries}


def _print(described: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(described, indent=1))
        return
    typer.echo(f"{described['folder']}: {described['bytes']:,} bytes")
    for entry in described["recordings"]:
        typer.echo(f"  teacher  {entry['teacher']} ({entry['teacher_digest'][:12]})")
        typer.echo(f"  data     {entry['data']}, {entry['samples']:,} samples, {entry['classes']} classes")
        typer.echo(f"  views    {entry['count']} of {json.dumps(entry['views'])}, seed {entry['seed']}")
        typer.echo(f"  codec    {json.dumps(entry['codec'])}; arrays: {', '.join(entry['arrays'])}")
        if entry["kl_mean"] is not None:
            typer.echo(
                f"  lost     KL from the teacher {entry['kl_mean']:.3g} nats on average, "
                f"{entry['kl_largest']:.3g} at most"
            )
        typer.echo(f"  size     {entry['bytes']:,} bytes, {entry['bytes_per_record']:g} per record")


def _asked(
    teachers: list[str] | None,
    model_options: list[str] | None,
    data: str | None,
    data_options: list[str] | None,
) -> tuple[list[Teacher], Dataset]:
    """The teachers and the data that the options name.

    Raises:
        ConfigError: If there is no teacher, or no data for a teacher that comes without.
    """
    from bequest.config import with_settings
    from bequest.data.datasets import load_dataset
    from bequest.distill.teachers import Teacher
    from bequest.errors import ConfigError
    from bequest.runs.networks import cell_named, load_named
    from bequest.studies.datasets import load

    if not teachers:
        raise ConfigError.of("--teacher", ["give at least one: RUN_FOLDER:ARM[:SEED] or MODEL:WEIGHTS_FILE"])
    cells = {text: cell_named(text) for text in teachers}
    for text, cell in cells.items():
        if cell is None and ":" not in text:
            raise ConfigError.of(
                "--teacher",
                [f"{text}: neither an arm of a run (RUN_FOLDER:ARM) nor weights (MODEL:WEIGHTS_FILE)"],
            )
    dataset = (
        load_dataset(
            data, **with_settings({}, data_options or (), option="--data-option", example="size=160")
        )
        if data
        else None
    )
    if dataset is None:
        # The data that the cell itself was trained on, which need not be its study's.
        trained_on = [cell[1].training.data for cell in cells.values() if cell is not None]
        dataset = load(trained_on[0]) if trained_on else None
    if dataset is None:
        raise ConfigError.of("--data", ["a teacher from a file of weights needs a data set: --data NAME"])
    options = with_settings({}, model_options or (), option="--model-option", example="dropout=0.1")
    asked = []
    for text, cell in cells.items():
        name = cell[1].arm if cell is not None else text.partition(":")[0]
        asked.append(Teacher(load_named(text, dataset, options), name=name))
    return asked, dataset


def _toml(text: str) -> Any:
    """``text`` as a TOML value; a bare word is itself."""
    from bequest.config import with_settings

    return with_settings({}, [f"value={text}"])["value"]


class _Progress:
    """A bar on the terminal; nothing where there is none."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, emoji=False)
        self._bar = Progress(
            TextColumn("[bold]answers"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("answers", total=None)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, done: int, total: int) -> None:
        self._bar.update(self._task, total=total, completed=done)
