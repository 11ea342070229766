"""A run folder: its files, its lock, and whether it belongs to this configuration."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bequest.config import content_hash, read_toml, to_toml
from bequest.errors import RunFolderError
from bequest.files import remove_partials, write_text
from bequest.records import StudyRecord, read_record
from bequest.studies.plan import Plan, make_plan

STORES = "stores"
"""The folder of a run in which its stores lie."""
MEASURED = ("measurements.json", "curves.json", "claims.json")
RESULTS = (*MEASURED, "report.html")


@dataclass(frozen=True)
class RunFolder:
    """The files of one study's run."""

    path: Path

    @property
    def configuration(self) -> Path:
        """The configuration as resolved, with the scale it was resolved at."""
        return self.path / "study.toml"

    @property
    def study(self) -> Path:
        """The study's record."""
        return self.path / "study.json"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def plan(self) -> Plan:
        """The plan that the folder was made for.

        Raises:
            RunFolderError: If the folder holds no run.
        """
        if not self.configuration.exists():
            raise RunFolderError(
                f"{self.path} holds no run",
                expected="a folder with study.toml",
                remedy="bequest run ... --out",
            )
        content = read_toml(self.configuration)
        scale = str(content.pop("scale", "small"))
        return make_plan(content, scale=scale, where=str(self.configuration))

    def prepare(self, plan: Plan, *, fresh: bool) -> None:
        """Make the folder ready for ``plan``; what another interrupted run left half-written goes.

        Raises:
            RunFolderError: If it holds another configuration's run, or cannot be written.
        """
        if fresh and self.configuration.exists():
            for name in ("cells", STORES):
                shutil.rmtree(self.path / name, ignore_errors=True)
            logs = [log.name for log in self.path.glob("worker-*.log")]
            for name in (*RESULTS, *logs, "study.json", "study.toml"):
                (self.path / name).unlink(missing_ok=True)
        if self.configuration.exists():
            self._refuse_another(plan)
            remove_partials(self.path)
        else:
            self._refuse_foreign()
            write_text(self.configuration, to_toml({"scale": plan.scale, **plan.resolved}))

    def complete(self) -> bool:
        """True if every cell has been measured and judged, and what came of it is there."""
        there = all((self.path / name).exists() for name in (self.study.name, *MEASURED))
        return there and self.record().status == "complete"

    def record(self) -> StudyRecord:
        """The study's record."""
        return read_record(self.study, StudyRecord)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run at a time.

        Raises:
            RunFolderError: If another process holds it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise RunFolderError(
                f"cannot write to {self.path}",
                got=error.strerror,
                remedy="choose another folder with --out",
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunFolderError(
                    f"another run is at work in {self.path}",
                    remedy="wait for it, or choose another folder with --out",
                ) from error
            yield

    def _refuse_another(self, plan: Plan) -> None:
        there = read_toml(self.configuration)
        here = {"scale": plan.scale, **plan.resolved}
        if content_hash(there) != content_hash(here):
            shown = differences(there, here)
            more = f"\n    ... and {len(shown) - 8} more" if len(shown) > 8 else ""
            raise RunFolderError(
                f"{self.path} holds a run of another configuration",
                got="\n    " + "\n    ".join(shown[:8]) + more,
                remedy="choose another folder with --out, or start over with --fresh",
            )

    def _refuse_foreign(self) -> None:
        found = [entry.name for entry in self.path.iterdir() if entry.name != ".lock"]
        if found:
            raise RunFolderError(
                f"{self.path} is not empty and holds no run",
                got=", ".join(sorted(found)[:5]),
                remedy="choose another folder with --out",
            )


def differences(there: Mapping[str, Any], here: Mapping[str, Any], path: str = "") -> list[str]:
    """One line for each value that differs.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3})
    ['a.b: 1 there, 2 here', 'c: absent there, 3 here']
    """
    lines = []
    for key in sorted({*there, *here}):
        name = f"{path}.{key}" if path else key
        old, new = there.get(key, "absent"), here.get(key, "absent")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(old, new, name)
        elif old != new:
            lines.append(f"{name}: {old} there, {new} here")
    return lines
