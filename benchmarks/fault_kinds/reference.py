"""An undisturbed run, a store and a page, to which everything else is compared."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from bequest.config import to_toml
from fault_kinds.campaign import Ended, bequest, contents, expect

STUDY = {
    "name": "faults",
    "title": "Faults",
    "question": "Does it survive?",
    "seeds": 2,
    "data": {"name": "digits", "options": {"per_class": 12}},
    "recipe": {"epochs": 2, "batch": 32},
    "models": {
        "mlp": {"family": "mlp", "options": {"hidden": [8]}},
        "cnn": {"family": "cnn", "options": {"channels": [4], "pool_after": [1]}},
    },
    "splits": {
        "test": {"description": "held-out digits"},
        "moved": {"description": "moved", "variants": [{"name": "translate", "dx": 1}]},
    },
    "queries": {"views": [{"share": 0.5}, {"share": 0.5, "views": [{"name": "shift", "pixels": 1}]}]},
    "arms": {
        "cnn": {"student": "cnn"},
        "mlp": {"student": "mlp"},
        "mlp<-cnn": {"student": "mlp", "teachers": ["cnn"], "queries": "views", "mode": "stored"},
    },
    "measures": {"paths": ["mlp"]},
    "claims": [
        {
            "id": "better",
            "text": "A taught student is better.",
            "source": "nowhere",
            "measure": "accuracy",
            "arm": "mlp<-cnn",
            "against": "mlp",
            "split": "moved",
        }
    ],
}

LONG = {
    **{key: STUDY[key] for key in ("title", "question", "data", "models", "splits")},
    "name": "long",
    "seeds": 1,
    "recipe": {"epochs": 600, "batch": 32},
    "arms": {"mlp": {"student": "mlp"}},
}
"""A training that is long enough to be interrupted at a checkpoint."""

CHANGES = re.compile(
    r"(cells/[^/]*/)?record\.json|study\.json|report\.html|worker-.*\.log|\.jobs/.*|(.*/)?\.(checked\.json|lock)"
)
"""Files that hold durations, or belong to one run of the program."""

TRAINED = re.compile(r"(\d+) cells? trained")


@dataclass
class Reference:
    """What was made without any fault.

    Attributes:
        root: The folder in which all of it lies.
        seconds: How long the run took.
        files: What must have the same bytes after every fault, by its name in the run folder.
        page: The page.
    """

    root: Path
    seconds: float = 0.0
    files: dict[str, bytes] = field(default_factory=dict)
    page: bytes = b""
    store: dict[str, bytes] = field(default_factory=dict)
    store_seconds: float = 0.0

    @property
    def study(self) -> Path:
        """The study."""
        return self.root / "study.toml"

    @property
    def run(self) -> Path:
        """Its finished run."""
        return self.root / "run"

    def copied(self, folder: Path) -> Path:
        """A copy of the finished run in the folder of a fault."""
        shutil.copytree(self.run, folder / "run")
        return folder / "run"

    def run_again(self, run: Path, *options: object, most_trained: int | None = None) -> Ended:
        """Give the command of the run once more; afterwards every file must have its bytes.

        Args:
            run: The run folder.
            options: Further options.
            most_trained: More cells than these must not be trained.
        """
        ended = bequest("run", self.study, "--out", run, "--workers", 2, *options)
        expect(ended.code == 0, "wrong", f"exit code {ended.code}: {ended.last}")
        self.check(run)
        trained = int(match[1]) if (match := TRAINED.search(ended.text)) else 0
        expect(most_trained is None or trained <= most_trained, "lost", f"{trained} cells trained again")
        again = bequest("run", self.study, "--out", run, "--workers", 1)
        expect("nothing to train" in again.text, "lost", f"the command after it: {again.last}")
        return ended

    def check(self, run: Path) -> None:
        """End the fault unless every file of a run has the bytes that it has without a fault.

        A store that nothing had to be taught from again is not read; asked, it must say what it is.
        """
        files = contents(run)
        differing = [name for name, content in self.files.items() if files.get(name) != content]
        for store in sorted(
            {"/".join(name.split("/")[:2]) for name in differing if name.startswith("stores/")}
        ):
            if bequest("store", "verify", run / store).code == 2:
                differing = [name for name in differing if not name.startswith(f"{store}/")]
        expect(not differing, "silent", f"other bytes: {', '.join(differing)[:200]}")


def make_reference(root: Path) -> Reference:
    """Run, store and draw without a fault; ends the campaign if that fails."""
    reference = Reference(root)
    os.chdir(root)
    reference.study.write_text(to_toml(STUDY))
    (root / "long.toml").write_text(to_toml(LONG))
    started = time.monotonic()
    _whole(bequest("run", reference.study, "--out", reference.run, "--workers", 2))
    reference.seconds = time.monotonic() - started
    files = contents(reference.run)
    reference.files = {name: files[name] for name in files if not CHANGES.fullmatch(name)}
    _whole(bequest("report", reference.run, "-o", root / "page.html"))
    reference.page = (root / "page.html").read_bytes()
    started = time.monotonic()
    _whole(build_store(reference, root / "store"))
    reference.store_seconds = time.monotonic() - started
    reference.store = store_files(root / "store")
    _whole(bequest("run", root / "long.toml", "--out", root / "long", "--workers", 1))
    _interrupted(root)
    return reference


def build_store(reference: Reference, folder: Path, **options: object) -> Ended:
    """Build a store of the reference's teacher."""
    return bequest(*store_command(reference, folder), **options)  # type: ignore[arg-type]


def store_command(reference: Reference, folder: Path) -> list[object]:
    """The command that builds the store."""
    views = ["--views", '{name = "shift", pixels = 1}', "--count", 3, "--batch", 16]
    return ["store", "build", folder, "--teacher", f"{reference.run}:cnn:0", *views]


def store_files(folder: Path) -> dict[str, bytes]:
    """The files of a store that follow from what was asked."""
    beside = (".lock", ".checked.json")
    return {name: content for name, content in contents(folder).items() if name not in beside}


def _whole(ended: Ended) -> None:
    if ended.code != 0:
        raise SystemExit(f"without a fault: exit code {ended.code}\n{ended.text}")


def _interrupted(root: Path) -> None:
    """A run that was killed after it kept a checkpoint, as ``interrupted``."""
    from fault_kinds.campaign import Command

    command = Command(
        ["run", root / "long.toml", "--out", root / "interrupted", "--workers", 1], before=often
    )
    until = time.monotonic() + 60
    while not list(root.glob("interrupted/cells/*/checkpoint.pt")) and time.monotonic() < until:
        time.sleep(0.01)
    command.signal(signal.SIGKILL, group=True)
    command.wait()
    if not list(root.glob("interrupted/cells/*/checkpoint.pt")):
        raise SystemExit("no checkpoint was kept")


def often() -> None:
    """Keep a checkpoint after every epoch."""
    from bequest.runs import cell

    cell.CHECKPOINT_SECONDS = 0.0
