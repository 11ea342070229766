"""Inputs that are damaged or mean harm: images, arrays, archives, tables, weights and predictions."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fault_kinds.campaign import DAMAGES, Fault, Outcome, bequest, expect

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
CLASSES = ("a", "b")
EACH = 5


def faults(reference: object, seed: int) -> Iterator[Fault]:
    """Every kind in every way."""
    del reference
    yield from _faults_of_images(seed)
    yield from _faults_of_data(seed)
    yield from _faults_of_weights(seed)
    yield from _faults_of_predictions(seed)


def _faults_of_images(seed: int) -> Iterator[Fault]:
    for format_ in FORMATS:
        for turn, way in enumerate([*DAMAGES, *("flipped", "zeroed", "cut")]):
            dice = random.Random(f"{seed} {format_} {way} {turn}")
            yield Fault("image mutated", f"{format_} {way} {turn}", _image(_damaged(format_, way, dice)))
    for name, make in BOMBS.items():
        yield Fault("image that means harm", name, _image(make()))


def _faults_of_data(seed: int) -> Iterator[Fault]:
    for kind in ARRAYS:
        for way in DAMAGES:
            dice = random.Random(f"{seed} {kind} {way}")
            yield Fault("file of data damaged", f"{kind} {way}", _data(kind, way, dice))
    for name, file in HARMFUL_DATA.items():
        yield Fault("file of data that means harm", name, _harmful_data(name, file))


def _faults_of_weights(seed: int) -> Iterator[Fault]:
    for kind in WEIGHTS:
        for way in DAMAGES:
            dice = random.Random(f"{seed} weights {kind} {way}")
            yield Fault("file of weights damaged", f"{kind} {way}", _weights(kind, way, dice))
    for name in HARMFUL_WEIGHTS:
        yield Fault("file of weights that means harm", name, _harmful_weights(name))


def _faults_of_predictions(seed: int) -> Iterator[Fault]:
    for kind in PREDICTIONS:
        for way in DAMAGES:
            dice = random.Random(f"{seed} predictions {kind} {way}")
            yield Fault("predictions damaged", f"{kind} {way}", _predictions(kind, way, dice))
    for name, arrays in ODD_PREDICTIONS.items():
        yield Fault("predictions that are none", name, _odd_predictions(arrays))


# Images


@cache
def _encoded(format_: str) -> bytes:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(buffer, format_)
    return buffer.getvalue()


def _damaged(format_: str, way: str, dice: random.Random) -> tuple[str, bytes]:
    return f"x.{format_.lower()}", DAMAGES[way](_encoded(format_), dice)


def _chunk(kind: bytes, content: bytes) -> bytes:
    import zlib

    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def _png(width: int, height: int, body: bytes) -> bytes:
    import zlib

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(body)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


BOMBS: dict[str, Callable[[], tuple[str, bytes]]] = {
    "PNG of 2^31 pixels a side": lambda: ("x.png", _png(2**31 - 1, 2**31 - 1, b"")),
    "PNG of 60,000 pixels a side": lambda: ("x.png", _png(60_000, 60_000, bytes(1000))),
    "PNG that unpacks to 100 MB": lambda: ("x.png", _png(16, 16, bytes(100_000_000))),
    "PNG of 0 pixels": lambda: ("x.png", _png(0, 0, b"")),
    "text called .png": lambda: ("x.png", b"not an image"),
    "SVG called .png": lambda: ("x.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"),
    "PNG called .jpg": lambda: ("x.jpg", _encoded("PNG")),
    "a ZIP called .gif": lambda: ("x.gif", b"PK\x03\x04" + bytes(50)),
    "PostScript called .jpg": lambda: ("x.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
}


def _image(named: tuple[str, bytes]) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        photos = folder / "photos"
        rng = np.random.default_rng(0)
        for name in CLASSES:
            (photos / name).mkdir(parents=True)
            for k in range(EACH):
                Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(
                    photos / name / f"{k}.png"
                )
        name, content = named
        (photos / "a" / name).write_bytes(content)
        words = [
            "store",
            "build",
            "store",
            "--teacher",
            "mlp:weights.safetensors",
            "--data",
            f"folder:{photos}",
        ]
        _save_weights(folder / "weights.safetensors", (3, 12, 12), 2)
        words += ["--data-option", "size=12"]
        ended = bequest(*words, before=_cache_in(folder))
        expect(ended.code in (0, 2), "wrong", f"exit code {ended.code}: {ended.last}")
        if ended.code == 0:
            return Outcome("answered", "it decodes")
        expect(name in ended.text, "wrong", ended.last)
        again = bequest(*words, "--data-option", "skip_unreadable=true", before=_cache_in(folder))
        expect(again.code == 0, "wrong", again.last)
        return Outcome("named", ended.last)

    return do


def _cache_in(folder: Path) -> Callable[[], None]:
    return lambda: os.environ.__setitem__("XDG_CACHE_HOME", str(folder / "cache"))


def _save_weights(path: Path, shape: tuple[int, ...], classes: int) -> None:
    from bequest.models import build_model
    from bequest.models.weights import save_weights

    save_weights(path, build_model("mlp", shape, classes, seed=0))


# Data


def _npz() -> bytes:
    buffer = io.BytesIO()
    x = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    np.savez(buffer, x=x, y=np.arange(60) % 3)
    return buffer.getvalue()


def _packed_npz() -> bytes:
    buffer = io.BytesIO()
    x = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    np.savez_compressed(buffer, x=x, y=np.arange(60) % 3)
    return buffer.getvalue()


def _csv() -> bytes:
    rows = [f"{k},{k * k % 7},{k % 3}" for k in range(60)]
    return "\n".join(["a,b,label", *rows]).encode()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(">BBBB", 0, 0, 8, array.ndim)
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


IMAGES = np.random.default_rng(0).integers(0, 255, (60, 6, 6), dtype=np.uint8)
LABELS = (np.arange(60) % 3).astype(np.uint8)

ARRAYS: dict[str, tuple[str, Callable[[], dict[str, bytes]]]] = {
    "npz": ("npz:data/d.npz", lambda: {"d.npz": _npz()}),
    "packed npz": ("npz:data/d.npz", lambda: {"d.npz": _packed_npz()}),
    "csv": ("csv:data/d.csv", lambda: {"d.csv": _csv()}),
    "npy": (
        "npy:data",
        lambda: {"x.npy": _npy(np.zeros((60, 5), np.float32)), "y.npy": _npy(LABELS.astype(int))},
    ),
    "idx": (
        "idx:data",
        lambda: {"train-images-idx3-ubyte": _idx(IMAGES), "train-labels-idx1-ubyte": _idx(LABELS)},
    ),
    "idx.gz": (
        "idx:data",
        lambda: {
            "train-images-idx3-ubyte.gz": gzip.compress(_idx(IMAGES)),
            "train-labels-idx1-ubyte.gz": gzip.compress(_idx(LABELS)),
        },
    ),
}


def _digest(name: str) -> list[object]:
    """A command that loads a data set: it says what is wrong, or what it is."""
    return ["store", "build", "store", "--teacher", "mlp:weights.safetensors", "--data", name]


def _data(kind: str, way: str, dice: random.Random) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        name, files = ARRAYS[kind]
        (folder / "data").mkdir()
        damaged = dice.choice(sorted(files()))
        for file, content in files().items():
            (folder / "data" / file).write_bytes(DAMAGES[way](content, dice) if file == damaged else content)
        _save_weights(
            folder / "weights.safetensors", (1, 6, 6) if "idx" in kind else (2 if kind == "csv" else 5,), 3
        )
        ended = bequest(*_digest(name))
        expect(ended.code in (0, 2), "wrong", f"exit code {ended.code}: {ended.last}")
        return Outcome("named" if ended.code else "answered", ended.last)

    return do


def _zipped(members: dict[str, bytes], *, packed: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Harmful:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch ran",))


def _object_array() -> bytes:
    return _npy(np.array([Harmful(), 1], dtype=object))


def _header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


HARMFUL_DATA: dict[str, tuple[str, Callable[[], bytes]]] = {
    "npz with pickled objects": ("npz", lambda: _zipped({"x.npy": _object_array(), "y.npy": _npy(LABELS)})),
    "npz with a path up": ("npz", lambda: _zipped({"../../x.npy": _npy(LABELS), "y.npy": _npy(LABELS)})),
    "npz that unpacks to 1 GB": (
        "npz",
        lambda: _zipped({"x.npy": _header("(250000000,)") + bytes(10**9), "y.npy": _npy(LABELS)}),
    ),
    "npy of 2^62 numbers": (
        "npz",
        lambda: _zipped({"x.npy": _header("(4611686018427387904,)"), "y.npy": _npy(LABELS)}),
    ),
    "npy of negative size": ("npz", lambda: _zipped({"x.npy": _header("(-5,)"), "y.npy": _npy(LABELS)})),
    "npy whose header is code": (
        "npz",
        lambda: _zipped({"x.npy": _header("__import__('os').system('touch ran')"), "y.npy": _npy(LABELS)}),
    ),
    "npy header of lists": ("npz", lambda: _zipped({"x.npy": _header("[" * 50), "y.npy": _npy(LABELS)})),
    "one label of 2^40": (
        "npz",
        lambda: _zipped(
            {
                "x.npy": _npy(np.zeros((60, 5), np.float32)),
                "y.npy": _npy(np.r_[LABELS[:59].astype(int), 2**40]),
            }
        ),
    ),
    "NaN and infinity": (
        "npz",
        lambda: _zipped({"x.npy": _npy(np.full((60, 5), np.nan, np.float32)), "y.npy": _npy(LABELS)}),
    ),
    "no samples": (
        "npz",
        lambda: _zipped({"x.npy": _npy(np.zeros((0, 5), np.float32)), "y.npy": _npy(LABELS[:0])}),
    ),
    "complex numbers": (
        "npz",
        lambda: _zipped({"x.npy": _npy(np.zeros((60, 5), complex)), "y.npy": _npy(LABELS)}),
    ),
    "dates": ("npz", lambda: _zipped({"x.npy": _npy(np.zeros((60, 5), "M8[s]")), "y.npy": _npy(LABELS)})),
    "csv with NUL": ("csv", lambda: b"a,label\n1\0,2\n"),
    "csv with an open quote": ("csv", lambda: b'a,label\n"1,2\n3,4\n'),
    "csv of uneven rows": ("csv", lambda: b"a,label\n1\n1,2,3\n"),
    "csv of one field of 10 MB": ("csv", lambda: b"a,label\n" + b"1" * 10_000_000 + b",2\n"),
    "csv of 100,000 columns": ("csv", lambda: b",".join(b"c%d" % k for k in range(100_000)) + b"\n1\n"),
    "csv list that leads out": ("csv", lambda: b"file,label\n../../../../etc/passwd,a\n/etc/hostname,b\n"),
    "csv in UTF-16": ("csv", lambda: "a,label\n1,2\n".encode("utf-16")),
    "csv with formulas": ("csv", lambda: b'a,label\n=1+1,"=HYPERLINK(""x"")"\n'),
}


def _harmful_data(name: str, file: tuple[str, Callable[[], bytes]]) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        kind, make = file
        (folder / f"d.{kind}").write_bytes(make())
        _save_weights(folder / "weights.safetensors", (5,), 3)
        ended = bequest(*_digest(f"{kind}:d.{kind}"))
        expect(not (folder / "ran").exists(), "outside", "code was run")
        expect(
            ended.code == 2, "silent" if ended.code == 0 else "wrong", f"{name}: {ended.code}: {ended.last}"
        )
        return Outcome("named", ended.last)

    return do


# Weights


def _state() -> dict[str, Any]:
    from bequest.models import build_model

    return build_model("mlp", (5,), 3, seed=0).state_dict()


def _safetensors() -> bytes:
    from safetensors.torch import save

    return save(_state())


def _pt(content: Any, **options: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


WEIGHTS: dict[str, Callable[[], bytes]] = {
    "safetensors": _safetensors,
    "pt": lambda: _pt(_state()),
    "pt of the old form": lambda: _pt(_state(), _use_new_zipfile_serialization=False),
}


def _load(folder: Path, name: str, content: bytes) -> Any:
    (folder / name).write_bytes(content)
    (folder / "d.npz").write_bytes(_npz())
    return bequest("store", "build", "store", "--teacher", f"mlp:{name}", "--data", "npz:d.npz")


def _weights(kind: str, way: str, dice: random.Random) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        name = "w.safetensors" if kind == "safetensors" else "w.pt"
        ended = _load(folder, name, DAMAGES[way](WEIGHTS[kind](), dice))
        expect(ended.code in (0, 2), "wrong", f"exit code {ended.code}: {ended.last}")
        # Weights of somebody else come without a digest: other numbers in the right form are other weights.
        return Outcome("named" if ended.code else "answered", ended.last)

    return do


def _tensors_header(header: Any) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text


HARMFUL_WEIGHTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "pt that runs code": ("w.pt", lambda: _pt({"a": Harmful()})),
    "pickle that runs code": ("w.pt", lambda: pickle.dumps(Harmful())),
    "pickle called .safetensors": ("w.safetensors", lambda: pickle.dumps(Harmful())),
    "header of 2^60 bytes": ("w.safetensors", lambda: struct.pack("<Q", 2**60) + b"{}"),
    "offsets beyond the file": (
        "w.safetensors",
        lambda: _tensors_header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 2**40]}}),
    ),
    "offsets that go back": (
        "w.safetensors",
        lambda: _tensors_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}}) + bytes(16),
    ),
    "header that is no JSON": ("w.safetensors", lambda: _tensors_header(b"{" * 1000)),
    "names that lead out": ("w.pt", lambda: _pt({"../../x": __import__("torch").zeros(3)})),
    "another network": ("w.pt", lambda: _pt({"conv.weight": __import__("torch").zeros(3, 3)})),
    "NaN": ("w.pt", lambda: _pt({k: v * float("nan") for k, v in _state().items()})),
    "no tensors": ("w.pt", lambda: _pt({"epoch": 3, "text": "x"})),
    "a list": ("w.pt", lambda: _pt([1, 2])),
    "HTML": ("w.pt", lambda: b"<html>404</html>"),
    "an LFS pointer": ("w.pt", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
}


def _harmful_weights(name: str) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        file, make = HARMFUL_WEIGHTS[name]
        ended = _load(folder, file, make())
        expect(not (folder / "ran").exists(), "outside", "code was run")
        expect(ended.code == 2, "silent" if ended.code == 0 else "wrong", f"{ended.code}: {ended.last}")
        return Outcome("named", ended.last)

    return do


# Predictions

LOGITS = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


def _as_npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


PREDICTIONS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "npz": ("p.npz", lambda: _as_npz(logits=LOGITS, labels=LABELS[:50].astype(int), ids=np.arange(50))),
    "csv": (
        "p.csv",
        lambda: "\n".join(
            [
                "id,label,logit_0,logit_1,logit_2",
                *(f"{k},{k % 3},{a},{b},{c}" for k, (a, b, c) in enumerate(LOGITS)),
            ]
        ).encode(),
    ),
    "pt": (
        "p.pt",
        lambda: _pt(
            {"logits": __import__("torch").tensor(LOGITS), "labels": __import__("torch").arange(50) % 3}
        ),
    ),
}


def _predictions(kind: str, way: str, dice: random.Random) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        name, make = PREDICTIONS[kind]
        (folder / name).write_bytes(DAMAGES[way](make(), dice))
        for verb in ("accuracy", "calibration"):
            ended = bequest("measure", verb, name)
            expect(ended.code in (0, 2), "wrong", f"exit code {ended.code}: {ended.last}")
        # A number of a CSV file that was changed is another number: nothing tells the two apart.
        return Outcome("named" if ended.code else "answered", ended.last)

    return do


ODD_PREDICTIONS: dict[str, dict[str, Any]] = {
    "NaN": {"logits": LOGITS * np.nan, "labels": LABELS[:50]},
    "no rows": {"logits": LOGITS[:0], "labels": LABELS[:0]},
    "one column": {"probs": LOGITS[:, :1], "labels": LABELS[:50]},
    "labels beyond the classes": {"logits": LOGITS, "labels": np.full(50, 9)},
    "negative labels": {"logits": LOGITS, "labels": np.full(50, -1)},
    "fewer labels": {"logits": LOGITS, "labels": LABELS[:49]},
    "probabilities that do not sum to 1": {"probs": np.abs(LOGITS), "labels": LABELS[:50]},
    "objects": {"logits": np.array([[Harmful()] * 3] * 50, dtype=object), "labels": LABELS[:50]},
    "text": {"logits": np.full((50, 3), "x"), "labels": LABELS[:50]},
    "one dimension": {"logits": LOGITS[:, 0], "labels": LABELS[:50]},
    "other names": {"a": LOGITS, "b": LABELS[:50]},
    "ids twice": {"logits": LOGITS, "labels": LABELS[:50], "ids": np.zeros(50, int)},
}


def _odd_predictions(arrays: dict[str, Any]) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        (folder / "p.npz").write_bytes(_as_npz(**arrays))
        for words in (["accuracy", "p.npz"], ["agreement", "p.npz", "p.npz"]):
            ended = bequest("measure", *words)
            expect(not (folder / "ran").exists(), "outside", "code was run")
            if ended.code == 0 and not arrays.get("labels", LABELS).size:  # of nothing, no number
                numbers = [line for line in ended.out.splitlines()[1:] if "undefined  n 0" not in line]
                expect(not numbers, "silent", f"{words}: {numbers}")
                continue
            expect(
                ended.code == 2,
                "silent" if ended.code == 0 else "wrong",
                f"{words} {ended.code}: {ended.last}",
            )
        return Outcome("answered" if ended.code == 0 else "named", ended.last)

    return do
