"""The manifest of a signal store: teacher, data, views, format, and the checksum of every array."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from bequest.config import Config
from bequest.errors import SignalError
from bequest.files import write_text

FORMAT = "bequest-signals"
VERSION = 2
"""Version 2 added the names of the classes."""
MANIFEST = "manifest.json"
REBUILD = "build the store again"
SHORT = 12


class TeacherEntry(Config):
    """The teacher that answered.

    Attributes:
        digest: SHA-256 over the names, shapes and bytes of all parameters and buffers.
        network: SHA-256 over the printed structure, since different networks can have equal weights.
        adapter: Identifies the adapter of its inputs; None without one.
        name: Its name in the record.
        batch: Rows per forward pass; kernels may round differently at another number.
    """

    digest: str
    network: str
    adapter: str | None = None
    name: str
    batch: int


class DataEntry(Config):
    """The data that was asked about.

    Attributes:
        digest: SHA-256 over ids and inputs, in order, without labels.
        name: The data set's name.
        split: The split's name.
        samples: Rows of every array.
        classes: Width of the logits.
        shape: Shape of one input.
        class_names: In the order of the logits; None in stores of version 1.
    """

    digest: str
    name: str
    split: str
    samples: int
    classes: int
    shape: tuple[int, ...]
    class_names: tuple[str, ...] | None = None


class ViewsEntry(Config):
    """The views: sample i in view v depends on (seed, id of i, v) alone.

    Attributes:
        spec: The view as a table, or a list of them.
        digest: Content hash of the spec.
        seed: Seed of the views.
        count: Number of views.
    """

    spec: Any
    digest: str
    seed: int
    count: int


class SourceEntry(Config):
    """The source's place in a mixture: its name, which seeds its order, and its share of a batch."""

    name: str
    share: float


class ArrayEntry(Config):
    """One kind of array: the logits, or named activations.

    Attributes:
        name: ``logits``, or the activation's name.
        dtype: NumPy's description of one record, as in the header of the ``.npy``.
        shape: Shape of one row.
    """

    name: str
    dtype: Any
    shape: tuple[int, ...]


class CodecError(Config):
    """KL(teacher ‖ answer read back) at T = 1 over answers, in nats.

    Attributes:
        mean: Mean over all answers.
        largest: The largest of any answer.
    """

    mean: float
    largest: float


class Shard(Config):
    """One file: rows ``first`` to ``first + rows`` of one view.

    Attributes:
        file: Its name in the folder.
        array: Which kind of array it is a part of.
        view: Which view.
        first: Its first row.
        rows: How many rows.
        bytes: Its size, with the header.
        sha256: Checksum of the whole file.
        error: The codec's error in these rows; None if it loses nothing, or reports none.
    """

    file: str
    array: str
    view: int
    first: int
    rows: int
    bytes: int
    sha256: str
    error: CodecError | None = None


class Manifest(Config):
    """The manifest of one teacher's answers to one source.

    ``logits`` is the shape of one answer; ``made_with`` names versions, for information only.
    """

    format: Literal["bequest-signals"] = "bequest-signals"
    version: int = VERSION
    teacher: TeacherEntry
    data: DataEntry
    views: ViewsEntry
    source: SourceEntry
    codec: dict[str, Any]
    logits: tuple[int, ...]
    arrays: tuple[ArrayEntry, ...]
    made_with: dict[str, str] = Field(default_factory=dict)
    shards: tuple[Shard, ...] = ()

    @property
    def error(self) -> CodecError | None:
        """The codec's error over all views; None if it loses nothing, or reports none."""
        errors = [shard.error for shard in self.shards if shard.error is not None]
        if not errors:
            return None
        mean = sum(error.mean for error in errors) / len(errors)
        return CodecError(mean=mean, largest=max(error.largest for error in errors))

    def text(self) -> str:
        """The text of the manifest's file; the last entry is the checksum of all others."""
        # There is no time in it: the same build always writes the same bytes.
        content = self.model_dump(mode="json")
        if self.data.class_names is None:
            del content["data"]["class_names"]  # version 1 had no such key in its checksum
        for shard in content["shards"]:
            if shard["error"] is None:
                del shard["error"]
        return _sealed(content)


class Collection(Config):
    """The manifest of a folder of stores: several teachers, several sources."""

    format: Literal["bequest-signals"] = "bequest-signals"
    version: int = VERSION
    stores: tuple[str, ...]

    def text(self) -> str:
        """As :meth:`Manifest.text`."""
        return _sealed(self.model_dump(mode="json"))


def write_manifest(folder: Path, manifest: Manifest | Collection) -> Path:
    """Write the manifest of ``folder``, whole."""
    return write_text(folder / MANIFEST, manifest.text())


def read_manifest(path: Path) -> Manifest | Collection:
    """Read and check a manifest.

    Raises:
        SignalError: If it is absent, damaged, of another format or of a newer version.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        content = json.loads(text)
    except FileNotFoundError:
        raise SignalError(
            f"{path.parent} is not a signal store",
            expected=f"a folder with {MANIFEST}",
            remedy="bequest store build, or another path",
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(path, f"not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise StoreDamaged(
            f"{path} is not a manifest of a signal store", expected=f"format {FORMAT!r}", got=repr(got)
        )
    if isinstance(content.get("version"), int) and content["version"] > VERSION:
        raise SignalError(
            f"{path} was written by a newer bequest",
            expected=f"version {VERSION} or older",
            got=f"version {content['version']}",
            remedy="upgrade bequest",
        )
    kind = Collection if "stores" in content else Manifest
    sealed = content.pop("sha256", None)
    try:
        manifest = kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    # The whole text, not only the digest: any byte that the build would not write counts as damage.
    if manifest.text() != text or sealed is None:
        raise _damaged(path, "its text and its checksum do not match")
    return manifest


def differences(stored: Manifest, wanted: Manifest) -> list[str]:
    """The differences between two manifests that should describe the same answers, one line each."""
    lines = []
    for name, label in (
        ("teacher", "teacher"),
        ("data", "data"),
        ("views", "views"),
        ("source", "source"),
    ):
        old, new = (getattr(each, name).model_dump(mode="json") for each in (stored, wanted))
        lines += [
            f"{label} {key}: stored {_shown(old[key])}, asked {_shown(new[key])}"
            for key in old
            if old[key] != new[key]
            # The spec is compared too, and says more than a digest.
            and (name, key) != ("views", "digest")
            # Stores of version 1 have no names of classes.
            and not (key == "class_names" and old[key] is None)
        ]
    for name in ("codec", "logits", "arrays"):
        old, new = (each.model_dump(mode="json")[name] for each in (stored, wanted))
        if old != new:
            lines.append(f"{name}: stored {_shown(old)}, asked {_shown(new)}")
    return lines


def _sealed(content: dict[str, Any]) -> str:
    digest = hashlib.sha256(_text(content).encode()).hexdigest()
    return _text({**content, "sha256": digest})


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) == hashlib.sha256().digest_size * 2:
        return value[:SHORT]
    return json.dumps(value)


class StoreDamaged(SignalError):
    """A folder holds files that the build of its store did not write; building it from scratch repairs it."""


def _damaged(path: Path, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"{path} is damaged",
        expected="the text that the build wrote",
        got=why,
        remedy=f"restore the file from a copy, or {REBUILD}",
    )
