"""The files that travel with a job between machines that share no disk, by the digest of their content."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bequest.config import read_toml, to_toml
from bequest.errors import RunFolderError
from bequest.files import file_digest, write_bytes
from bequest.record_files import parse_record
from bequest.records import RunRecord
from bequest.runs.folder import RunFolder
from bequest.runs.jobs.launched import workbench
from bequest.runs.jobs.schedule import Answer
from bequest.runs.survey import PLAIN, READ, READINGS, TRAIN, Job
from bequest.studies.cell import CellFolder, cell_folder

RECORD = "record.json"


@dataclass(frozen=True)
class Piece:
    """A file of a cell.

    Attributes:
        cell: The cell's id.
        name: The file's name in the cell's folder.
        digest: SHA-256 of its content.
    """

    cell: str
    name: str
    digest: str

    def path(self, root: Path) -> Path:
        """Where it lies in the run folder ``root``."""
        return cell_folder(root, self.cell).path / self.name


def pieces_for(root: Path, job: Job) -> list[Piece]:
    """The files of its own and of other cells that a job reads.

    A training reads the networks that teach it or that it starts from, the record of the plain student, and
    its own checkpoint; a reading its network and the one that it started from.
    """
    networks = {job.cell.id} if job.action == READ else job.cell.requires
    networks |= {job.cell.start} if job.cell.start else set()
    records = networks | {job.cell.id} | ({job.cell.plain} if job.cell.plain else set())
    paths = [cell_folder(root, cell).record for cell in sorted(records)]
    paths += [cell_folder(root, cell).weights for cell in sorted(networks)]
    paths += [cell_folder(root, job.cell.id).checkpoint] if job.action == TRAIN else []
    return [Piece(path.parent.name, path.name, file_digest(path)) for path in paths if path.is_file()]


@dataclass(frozen=True)
class Luggage:
    """The files of the study itself that a machine without the run folder needs.

    Attributes:
        study: The configuration as resolved.
        parts: The content of the user's files that it names, in their order.
    """

    study: bytes
    parts: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, root: Path) -> Luggage:
        """The luggage of the run in the folder ``root``."""
        folder = RunFolder(root)
        files = [Path(file) for file in read_toml(folder.configuration).get("use", [])]
        parts = tuple((file.name, file.read_bytes()) for file in files)
        return cls(folder.configuration.read_bytes(), parts)

    def unpack(self, root: Path) -> None:
        """Write it to a folder, which then is a run folder without any cells."""
        folder = RunFolder(root)
        write_bytes(folder.configuration, self.study)
        if self.parts:
            # A numbered folder each: files of different folders may have the same name.
            paths = [
                write_bytes(root / "parts" / str(k) / name, text) for k, (name, text) in enumerate(self.parts)
            ]
            content = read_toml(folder.configuration) | {"use": [str(path) for path in paths]}
            write_bytes(folder.configuration, to_toml(content).encode())


@dataclass(frozen=True)
class Delivery:
    """The result of a job, with the files that it wrote.

    Attributes:
        status: See :class:`bequest.runs.jobs.schedule.Answer`.
        error: Why it failed.
        readings: How many readings were made.
        files: The files that it wrote, by name; the cell's record among them.
    """

    status: str
    error: str | None
    readings: int
    files: Mapping[str, bytes] = field(default_factory=dict)

    def unpack(self, root: Path, job: Job) -> Answer:
        """Write the files to the run folder, each verified by the digest in the record, and the record last.

        Raises:
            RunFolderError: If a file is not the one that the record names.
        """
        folder = cell_folder(root, job.cell.id)
        answer = Answer(job, self.status, self.error, self.readings)
        content = self.files.get(RECORD)
        if content is None:
            return answer
        record = parse_record(content, RunRecord, folder.record)
        for name in self.files.keys() - {RECORD}:
            _write_named(folder, name, self.files[name], record)
        write_bytes(folder.record, content)
        folder.checkpoint.unlink(missing_ok=True)
        return answer


def _write_named(folder: CellFolder, name: str, content: bytes, record: RunRecord) -> None:
    digest = record.files.get(name)
    if digest is None or not PLAIN.fullmatch(name):
        raise RunFolderError(f"a worker sent {name!r}, which the record of its cell does not name")
    path = write_bytes(folder.path / name, content)
    if file_digest(path) != digest:
        raise RunFolderError(
            f"{path} did not arrive as it was sent",
            expected=f"digest {digest[:16]}",
            got=f"digest {file_digest(path)[:16]}",
            remedy="run the same command to try again",
        )


class Scratch:
    """A folder in which a machine does jobs of a run whose folder is elsewhere.

    Args:
        root: The folder.
        luggage: The study.
        device: Where networks are trained and read.
    """

    def __init__(self, root: Path, luggage: Luggage, device: str = "cpu") -> None:
        self.root = root
        luggage.unpack(root)
        self.bench = workbench(RunFolder(root).plan(), root, device)
        self._present: dict[Path, str] = {}

    def do(
        self,
        job_id: str,
        readings: list[str],
        pieces: list[Piece],
        fetch: Callable[[Piece], bytes],
    ) -> Delivery:
        """Do a job; files that it needs are fetched unless they are present.

        Args:
            job_id: The job.
            readings: The ids of the readings to make.
            pieces: The files that it needs.
            fetch: Gives the content of one.
        """
        job = self.bench.job(job_id)
        folder = cell_folder(self.root, job.cell.id)
        if not any(
            piece.path(self.root) == folder.record for piece in pieces
        ):  # the driver has none: this one is of an earlier attempt whose delivery did not arrive
            folder.record.unlink(missing_ok=True)
        for piece in pieces:
            self._fetch(piece, fetch)
        answer = self.bench.do(job, readings=readings)
        files = self._written(folder, [f"{READINGS}{each}.npz" for each in readings])
        return Delivery(answer.status, answer.error, answer.readings, files)

    def clear(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _fetch(self, piece: Piece, fetch: Callable[[Piece], bytes]) -> None:
        path = piece.path(self.root)
        if self._present.get(path) != piece.digest or not path.is_file():
            # Another process of this machine may have fetched it.
            if not path.is_file() or file_digest(path) != piece.digest:
                write_bytes(path, fetch(piece))
            self._present[path] = piece.digest

    def _written(self, folder: CellFolder, readings: list[str]) -> dict[str, bytes]:
        """The record and the files that it names: the requested readings, or the files of the training."""
        record = folder.readable_record()
        if record is None:
            return {}
        training = [name for name in record.files if not name.startswith(READINGS)]
        names = [name for name in readings if name in record.files] if readings else training
        # The job has rewritten both: they are no longer the files that were fetched.
        for path in (folder.record, folder.weights):
            self._present.pop(path, None)
        files = {name: (folder.path / name).read_bytes() for name in names}
        return {**files, RECORD: folder.record.read_bytes()}
