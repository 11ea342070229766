"""Files of weights as names and tensors: safetensors and PyTorch's, recognised by their content.

Code in a file is never run.
"""

from __future__ import annotations

import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from bequest.errors import ModelError

NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema",
)
"""Keys under which training scripts save the weights among other things, in order of preference."""

EXTRA_STATE = "_extra_state"
"""Suffix of entries that a module adds to its state dict by ``get_extra_state``, which are no weights."""

WRAPPERS = ("module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.")
"""Prefixes that DataParallel, torch.compile, Fabric and FSDP add to every name, in any combination."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
ZIP = b"PK\x03\x04"
PICKLE = b"\x80"
HEAD_BYTES = 512
LARGEST_HEADER = 100_000_000
"""The largest header in bytes that the safetensors format allows."""
DATA_MODULES = ("torch", "collections", "_codecs")
"""Modules that the pickle of a state dict refers to; any other means that it would call foreign code."""


def read_state(file: Path) -> dict[str, Tensor]:
    """The names and tensors in ``file``, regardless of its suffix.

    Raises:
        ModelError: If the file is absent, damaged, a Git LFS pointer or not weights, or opening it would run
            code.
    """
    if not file.is_file():
        raise ModelError(
            f"no such file or folder: {file}", expected="a file of weights, or a folder with one"
        )
    head = _head(file)
    return _safetensors(file) if _is_safetensors(file, head) else weights_in(_pytorch(file, head), file)


def weights_in(content: Any, file: Path) -> dict[str, Tensor]:
    """The state dict in a training script's file: at the top level, or below keys of :data:`NESTS`.

    Raises:
        ModelError: If there is none; lists the other entries.
    """
    if isinstance(content, Mapping):
        state = {name: value for name, value in content.items() if not str(name).endswith(EXTRA_STATE)}
        if all(isinstance(value, Tensor) for value in state.values()):
            return {str(name): value for name, value in state.items()}
        for name in NESTS:
            if isinstance(content.get(name), Mapping):
                return weights_in(content[name], file)
    raise ModelError(
        f"{file} holds no weights",
        expected=f"names and tensors, alone or under {', '.join(NESTS)}",
        got=_described(content),
    )


def without_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without the prefixes of :data:`WRAPPERS` that all of its names share.

    >>> list(without_wrappers({"_orig_mod.module.fc.weight": torch.ones(1)}))
    ['fc.weight']
    """
    shared = True
    while shared and state:
        shared = False
        for wrapper in WRAPPERS:
            if all(name.startswith(wrapper) for name in state):
                state = {name.removeprefix(wrapper): value for name, value in state.items()}
                shared = True
    return dict(state)


def _head(file: Path) -> bytes:
    """The first bytes of ``file``; empty files, Git LFS pointers and web pages are refused."""
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError as error:
        raise ModelError(f"{file} cannot be read", got=error.strerror or error) from error
    if not head:
        raise ModelError(f"{file} is empty", expected="a file of weights", remedy="copy or fetch it again")
    if head.startswith(LFS_POINTER):
        raise ModelError(
            f"{file} is a Git LFS pointer, not the weights themselves",
            remedy="fetch the weights with `git lfs pull` in the repository that it comes from",
        )
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise ModelError(
            f"{file} is a web page, not weights", remedy="the download failed: fetch the file itself again"
        )
    return head


def _is_safetensors(file: Path, head: bytes) -> bool:
    """Whether the content begins as safetensors does: the length of a JSON header, then the header."""
    # Before comparing with PICKLE: the first byte is that of a length, and may be any value.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LARGEST_HEADER:
        return True
    return file.suffix == ".safetensors" and not head.startswith((ZIP, PICKLE))


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return dict(safetensors.torch.load_file(file))
    except (OSError, SafetensorError, ValueError, MemoryError) as error:
        raise ModelError(
            f"{file} cannot be read as safetensors", got=_first_line(error), remedy="fetch or save it again"
        ) from error


def _pytorch(file: Path, head: bytes) -> Any:
    """The content of a PyTorch file, opened with ``weights_only``."""
    foreign = _foreign_globals(file, head)
    try:
        with warnings.catch_warnings(), file.open("rb") as opened:  # given a path, torch trusts its suffix
            warnings.simplefilter("ignore")  # torch's, on pickle protocols: what it cannot read raises anyway
            content = torch.load(opened, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the unpickler raises whatever it stumbles on
        raise _refused(file, head, foreign, error) from error
    _check_archive(file, head)
    return content


def _refused(file: Path, head: bytes, foreign: list[str], error: Exception) -> ModelError:
    if head.startswith(ZIP) and _is_program(file):
        return ModelError(
            f"{file} is a TorchScript or exported program, not weights",
            expected="a PyTorch state dict, or safetensors",
            remedy="load it with torch and save its state_dict()",
        )
    if foreign:
        return ModelError(
            f"{file} is refused: it holds more than tensors, and opening it would run code",
            expected="a PyTorch state dict, or safetensors",
            got=", ".join(foreign[:5]),
            remedy="have its author save model.state_dict() alone, best as safetensors",
        )
    return ModelError(
        f"{file} cannot be read as weights",
        expected="a PyTorch state dict, or safetensors",
        got=_first_line(error) if isinstance(error, RuntimeError | OSError) else "a damaged or foreign file",
        remedy="fetch or save it again",
    )


def _foreign_globals(file: Path, head: bytes) -> list[str]:
    """Functions and classes outside :data:`DATA_MODULES` that the pickle in ``file`` refers to."""
    names: dict[str, None] = {}
    for module, name in _globals(_pickle_in(file, head)):
        if module.partition(".")[0] not in DATA_MODULES:
            names[f"{module}.{name}"] = None
    return list(names)


def _globals(pickled: bytes) -> Iterator[tuple[str, str]]:
    """Every (module, name) that a pickle refers to, read without running it, up to any damage."""
    strings: list[str] = []
    try:
        for opcode, value, _ in pickletools.genops(pickled):
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = str(value).partition(" ")
                yield module, name
            # The two strings pushed last are module and name, since protocol 4.
            elif opcode.name == "STACK_GLOBAL" and len(strings) > 1:
                yield strings[-2], strings[-1]
            elif isinstance(value, str):
                strings.append(value)
    except Exception:  # pickletools raises whatever damaged bytes lead to
        return


def _pickle_in(file: Path, head: bytes) -> bytes:
    if not head.startswith(ZIP):
        return file.read_bytes() if head.startswith(PICKLE) else b""
    try:
        with zipfile.ZipFile(file) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return archive.read(pickles[0]) if pickles else b""
    except Exception:  # a damaged archive: torch's reader says so
        return b""


def _is_program(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            folders = {part for name in archive.namelist() for part in name.split("/")[:-1]}
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return bool(folders & {"code", "models"})


def _check_archive(file: Path, head: bytes) -> None:
    """Compare the checksums of a zip archive, which torch's reader ignores."""
    if not head.startswith(ZIP):
        return
    damaged, names = [], []
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            for name in names:
                try:
                    with archive.open(name) as member:
                        while member.read(1 << 20):
                            pass
                except zipfile.BadZipFile:
                    damaged.append(name)
    except Exception as error:
        raise ModelError(f"{file} cannot be read as weights", got="a damaged archive") from error
    # torch.save has an option to skip checksums; then all of them are wrong, and mean nothing.
    if damaged and len(damaged) < len(names):
        raise ModelError(
            f"{file} is damaged: the checksum of {damaged[0]} does not match its content",
            remedy="fetch or save it again",
        )


def _described(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    odd = [f"{name}: {type(v).__name__}" for name, v in content.items() if not isinstance(v, Tensor)]
    return ", ".join(odd[:5]) or "nothing"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
