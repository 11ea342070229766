"""Where a result comes from: versions, machine, commit, command."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Provenance(BaseModel):
    """Where a result comes from.

    ``device`` is where a network was trained, as PyTorch names it; ``accelerator`` is the name of that GPU.
    ``read_on`` lists the devices on which readings of the network were made later.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bequest: str
    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None = None
    dirty: bool | None = None
    device: str = "cpu"
    accelerator: str | None = None
    read_on: tuple[str, ...] = ()
    threads: int = 1

    @classmethod
    def here(cls, *, device: str = "cpu", accelerator: str | None = None, threads: int = 1) -> Provenance:
        """The versions, machine and commit of this process."""
        commit, dirty = _commit()
        return cls(
            bequest=_version("bequest"),
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            packages={name: _version(name) for name in ("torch", "numpy", "scipy")},
            commit=commit,
            dirty=dirty,
            device=device,
            accelerator=accelerator,
            threads=threads,
        )


@cache
def _version(package: str) -> str:
    """The version of a package; cached, as a look-up takes milliseconds."""
    return metadata.version(package)


@cache
def _commit() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout that bequest runs from; (None, None) outside a checkout."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout.strip()

    try:
        # A copy inside another repository is not tracked there; that repository's commit would mislead.
        if "site-packages" in folder.parts or git("ls-files", "records.py") == "":
            return None, None
        return git("rev-parse", "HEAD"), git("status", "--porcelain", "-uno") != ""
    except (OSError, subprocess.SubprocessError):
        return None, None


def command_line() -> str:
    """The command that started this process, as a user would type it."""
    program = Path(sys.argv[0]).name
    return " ".join(["bequest" if program == "__main__.py" else program, *sys.argv[1:]])
