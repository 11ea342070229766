"""Faults of files: every kind of file of a run, a store and a checkpoint, damaged in every way."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from fault_kinds.campaign import DAMAGES, Fault, Outcome, bequest, contents, expect
from fault_kinds.reference import Reference, store_command, store_files

FILES = {
    "record of a cell": ("cells/*/record.json", 1),
    "weights": ("cells/*/weights.safetensors", 1),
    "training curve": ("cells/*/metrics.jsonl", 1),
    "reading": ("cells/*/readings/*.npz", 0),
    "snapshot": ("cells/*/snapshots/*.npz", 1),
    "measurements": ("measurements.json", 0),
    "curves": ("curves.json", 0),
    "verdicts": ("claims.json", 0),
    "record of the study": ("study.json", 0),
    "configuration": ("study.toml", 0),
    "page": ("report.html", 0),
    "sign of a worker": (".jobs/*/*", 0),
}
"""Kinds of files, where they lie, and how many cells may be trained again when one is damaged."""

WAYS = (*DAMAGES, "deleted", "swapped", "a folder", "a link to nothing")


def damage(path: Path, way: str, dice: random.Random, others: list[Path]) -> None:
    """Damage a file."""
    if way in DAMAGES:
        path.write_bytes(DAMAGES[way](path.read_bytes(), dice))
    elif way == "swapped":
        other = dice.choice([each for each in others if each != path] or [path])
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two)
        other.write_bytes(one)
    else:
        path.unlink()
        if way == "a folder":
            path.mkdir()
        elif way == "a link to nothing":
            path.symlink_to(path.parent / "nowhere")


def faults(reference: Reference, seed: int) -> Iterator[Fault]:
    """Every kind of file in every way, the larger kinds twice."""
    for kind, (pattern, most) in FILES.items():
        for way in WAYS:
            for turn in range(2 if most or kind == "reading" else 1):
                dice = random.Random(f"{seed} {kind} {way} {turn}")
                yield Fault(
                    f"{kind} damaged", f"{way} {turn}", _of_a_run(reference, pattern, way, dice, most)
                )
    for kind, pattern in (("manifest", "manifest.json"), ("array", "view-*.npy"), ("unfinished", "*")):
        for way in WAYS:
            dice = random.Random(f"{seed} store {kind} {way}")
            yield Fault("store damaged", f"{kind} {way}", _of_a_store(reference, pattern, way, dice))
    for way in WAYS:
        dice = random.Random(f"{seed} stored {way}")
        yield Fault("store of a run damaged", way, _of_a_stored_arm(reference, way, dice))
    for turn in range(2):
        for way in (*DAMAGES, "a folder", "another run's", "hostile"):
            dice = random.Random(f"{seed} checkpoint {way} {turn}")
            yield Fault("checkpoint damaged", f"{way} {turn}", _of_a_checkpoint(reference, way, dice))
    for turn in range(6):
        dice = random.Random(f"{seed} several {turn}")
        yield Fault("several files damaged at once", str(turn), _several(reference, dice))


def _of_a_run(
    reference: Reference, pattern: str, way: str, dice: random.Random, most: int
) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run = reference.copied(folder)
        paths = sorted(run.glob(pattern))
        if not paths:  # what a live run alone has
            (run / ".jobs" / "leases").mkdir(parents=True, exist_ok=True)
            paths = [run / ".jobs" / "leases" / "run.0"]
            paths[0].write_text('{"holder": "nobody"}')
        path = dice.choice(paths)
        others = [each for each in paths if each.name == path.name or ".npz" in each.name]
        damage(path, way, dice, others)
        for looking in (("show", run), ("report", run, "-o", folder / "page.html")):
            ended = bequest(*looking)
            expect(ended.code in (0, 2), "wrong", f"{looking[0]}: exit code {ended.code}: {ended.last}")
        swapped = 2 if way == "swapped" else 1
        ended = reference.run_again(run, most_trained=most * swapped)
        again = "nothing to train: all" not in ended.text
        return Outcome("mended" if again else "same", ended.last)

    return do


def _of_a_store(
    reference: Reference, pattern: str, way: str, dice: random.Random
) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        store = folder / "store"
        shutil.copytree(reference.root / "store", store)
        if pattern == "*":  # as if the build had been killed before its manifest was written
            (store / "manifest.json").unlink()
            command = [*store_command(reference, store)[:-2], "--batch", 16]
            bequest(*command, before=_killed_at_the_second_view)
            paths = [path for path in sorted(store.iterdir()) if path.is_file() and path.name != ".lock"]
        else:
            paths = sorted(store.glob(pattern))
        path = dice.choice(paths)
        damage(path, way, dice, [each for each in paths if each.suffix == path.suffix])
        for verb in ("info", "verify"):
            ended = bequest("store", verb, store)
            expect(ended.code in (0, 2), "wrong", f"{verb}: exit code {ended.code}: {ended.last}")
        noticed = ended.code == 2
        built = bequest(*store_command(reference, store))
        if built.code == 2:
            fresh = bequest(*store_command(reference, store), "--fresh")
            expect(fresh.code == 0, "wrong", fresh.last)
        expect(store_files(store) == reference.store, "silent", built.last)
        return Outcome("named" if built.code == 2 else "mended" if noticed else "same", built.last)

    return do


def _killed_at_the_second_view() -> None:
    from bequest.distill.stores import writer

    plain = writer.ViewWriter.append

    def append(self: writer.ViewWriter, *values: object) -> None:
        if self.view == 1:
            os._exit(9)
        plain(self, *values)  # type: ignore[arg-type]

    writer.ViewWriter.append = append  # type: ignore[method-assign, assignment]


def _of_a_stored_arm(reference: Reference, way: str, dice: random.Random) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run = reference.copied(folder)
        taught = [
            path for path in sorted(run.glob("cells/*/record.json")) if '"mlp<-cnn"' in path.read_text()
        ]
        paths = [
            path
            for path in sorted(run.glob("stores/*/*")) + sorted(run.glob("stores/*/*/*"))
            if path.is_file()
        ]
        path = dice.choice(paths)
        damage(path, way, dice, [each for each in paths if each.name == path.name])
        for record in taught:  # so that each store is learnt from once more
            record.unlink()
        ended = reference.run_again(run, most_trained=len(taught))
        reference.check(run)
        store = path.relative_to(run).parts[1]
        expect(
            bequest("store", "verify", run / "stores" / store).code == 0, "silent", f"{store} stays damaged"
        )
        return Outcome("mended", ended.last)

    return do


def _of_a_checkpoint(reference: Reference, way: str, dice: random.Random) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        shutil.copytree(reference.root / "interrupted", folder / "run")
        (path,) = (folder / "run").glob("cells/*/checkpoint.pt")
        if way == "another run's":
            content = path.read_bytes().replace(path.parent.name.encode(), b"0" * len(path.parent.name))
            path.write_bytes(_resealed(content))
        elif way == "hostile":
            path.write_bytes(_resealed(_marked(folder / "ran", dice)))
        else:
            damage(path, way, dice, [path])
        ended = bequest("run", reference.root / "long.toml", "--out", folder / "run", "--workers", 1)
        expect(ended.code == 0, "wrong", ended.last)
        expect(not (folder / "ran").exists(), "outside", "a checkpoint's pickle was run")
        (weights,) = (folder / "run").glob("cells/*/weights.safetensors")
        (whole,) = (reference.root / "long").glob("cells/*/weights.safetensors")
        expect(weights.read_bytes() == whole.read_bytes(), "silent", "other weights")
        return Outcome("mended")

    return do


def _resealed(content: bytes) -> bytes:
    """A checkpoint with the digest of its new content: damage that a checksum does not tell."""
    import hashlib

    magic, _, rest = content.split(b"\n", 2)
    return magic + b"\n" + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _marked(mark: Path, dice: random.Random) -> bytes:
    import io
    import pickle

    import torch

    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.system, (f"touch {mark}",))

    buffer = io.BytesIO()
    if dice.random() < 0.5:
        torch.save({"run": Harmful(), "state": Harmful()}, buffer)
    else:
        buffer.write(pickle.dumps(Harmful()))
    return b"bequest-checkpoint 2\n0\n" + buffer.getvalue()


def _several(reference: Reference, dice: random.Random) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        run = reference.copied(folder)
        for name in dice.sample(sorted(contents(run)), 5):
            path = run / name
            if path.exists():
                damage(path, dice.choice([*DAMAGES, "deleted"]), dice, [path])
        ended = reference.run_again(run)
        return Outcome("mended", ended.last)

    return do
