"""``bequest data``: list, fetch, import and verify published data."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bequest.errors import DataError

if TYPE_CHECKING:
    from bequest.data.sources import DataSource, FileState

Root = Annotated[
    Path | None, typer.Option("--root", help="Data folder (default: BEQUEST_DATA, else the cache).")
]
Name = Annotated[str, typer.Argument(help="A name that `bequest data ls` lists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

app = typer.Typer(help="Published data: list, fetch, import, verify.", no_args_is_help=True)
WORDS = {"right": "as published", "wrong": "not as published", "absent": "absent"}


@app.command(name="ls", epilog="Example: bequest data ls")
def ls(root: Root = None, as_json: AsJson = False) -> None:
    """List published sets and their state on this machine."""
    from bequest.data.sources import SOURCES, data_root

    where = root or data_root()
    rows = [_row(source, where) for source in SOURCES.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(f"{row['name']:<8} {row['state']:<8} {row['title']}; {row['licence']}; {row['folder']}")


@app.command(name="fetch", epilog="Example: bequest data fetch mnist")
def fetch(
    name: Name,
    root: Root = None,
    mirrors: Annotated[
        list[str] | None, typer.Option("--mirror", help="A base URL to download from instead; repeatable.")
    ] = None,
) -> None:
    """Download what is missing, check it, and put it in its place; an interrupted download is resumed."""
    from bequest.data.download import fetch as download
    from bequest.data.sources import data_root, source_of

    where = root or data_root()
    source = source_of(name)
    written = download(source, where, mirrors=[f"{m.rstrip('/')}/" for m in mirrors or ()] or None)
    for path in written:
        typer.echo(f"{path}: {path.stat().st_size:,} bytes, checksum ok")
    if not written:
        typer.echo(
            f"nothing to fetch: all {len(source.files)} files are in place, with the published checksums"
        )


@app.command(name="import", epilog="Example: bequest data import mnist ~/Downloads/mnist.npz")
def take_in(
    name: Name,
    path: Annotated[Path, typer.Argument(help="A folder of files (plain or .gz), or an .npz archive.")],
    root: Root = None,
    unverified: Annotated[
        bool,
        typer.Option("--unverified", help="Accept another data set of the same format; skips the checksums."),
    ] = False,
) -> None:
    """Check files that you have, and copy them to where the dataset finds them."""
    from bequest.data.sources import data_root, source_of, take

    source = source_of(name)
    for copy in take(source, _contents(source, path), root or data_root(), unverified=unverified):
        typer.echo(f"{copy}: {copy.stat().st_size:,} bytes")


@app.command(name="verify", epilog="Example: bequest data verify mnist")
def verify(
    name: Annotated[
        str | None, typer.Argument(help="A name that `bequest data ls` lists (default: all).")
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Compare checksums with the published ones; exits with 2 unless all files match."""
    from bequest.data.sources import SOURCES, data_root, source_of
    from bequest.data.sources import verify as check

    sources = [source_of(name)] if name else list(SOURCES.values())
    states = [state for source in sources for state in check(source, root or data_root())]
    if as_json:
        typer.echo(json.dumps([asdict(state) for state in states], indent=1, default=str))
    else:
        for state in states:
            typer.echo(f"{state.path}: {WORDS[state.state]}")
    _refuse_faults(states)


def _refuse_faults(states: list[FileState]) -> None:
    bad = [state for state in states if state.state != "right"]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(states)} files {'are' if len(bad) > 1 else 'is'} absent or not as published",
            got=", ".join(f"{state.name} {WORDS[state.state]}" for state in bad),
            remedy="`bequest data fetch NAME` downloads what is missing or wrong",
        )


def _row(source: DataSource, root: Path) -> dict[str, str]:
    """What ``ls`` says of a source."""
    from bequest.data.sources import verify as check

    states = {state.state for state in check(source, root)}
    worst = next(state for state in ("wrong", "absent", "right") if state in states)
    return {
        "name": source.name,
        "title": source.title,
        "licence": source.licence,
        "state": worst if states != {"right", "absent"} else "partial",
        "folder": str(root / source.folder),
    }


def _contents(source: DataSource, path: Path) -> dict[str, bytes]:
    """The files of ``source`` by name, unpacked, out of whatever form the user has them in."""
    from bequest.data.sources import READERS, read_plain

    if not path.exists():
        raise DataError(f"no such file or folder: {path}", remedy="give a folder or an archive")
    return READERS.get(source.name, read_plain)(source, path)
