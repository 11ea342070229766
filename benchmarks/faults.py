"""What becomes of a run, a store and a command when something goes wrong: hundreds of faults, one by one.

``python benchmarks/faults.py [--seed 0] [--workers 2] [--kinds KIND,...] [--page FILE] [--json FILE]`` prints
every broken promise as it happens, and at the end a table of kinds. Exits with 1 if one was broken. The same
seed makes the same faults; when a process is killed the clock says, so that it differs between machines.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import pkgutil  # noqa: E402
import platform  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

from fault_kinds import files, inputs, names, processes, resources, servers  # noqa: E402
from fault_kinds.campaign import BAD, GOOD, Done, Fault, Outcome, fork_workers, perform, wait_for_slow  # noqa: E402
from fault_kinds.reference import make_reference  # noqa: E402

import bequest  # noqa: E402

PAGE = """# Reliability

This page shows how runs, stores and commands behave when something goes wrong. {count} faults of {kinds}
kinds were injected one by one, each in a process and a folder of its own. Promises broken: **{broken}**. The
promises are those of `SECURITY.md` in the repository.

After a fault the same command is run again, and every file of the results must then have the same bytes as
in a run without faults.

This page is written by `python benchmarks/faults.py --seed {seed} --page docs/reliability.md`. The same seed
injects the same faults; only the instant at which a process is killed differs between machines.
`--kinds "driver killed,store"` injects only some of them; with `--earlier FILE`, the outcomes of the others
are taken from an earlier run's `--json FILE`. For this table, the last run injected {ran}.

## What an outcome means

The first {good} keep every promise, the others break one.

{meanings}

## Outcomes by kind

{table}"""

MODULES = (files, processes, resources, names, inputs, servers)


def imported() -> None:
    """Import all of bequest, and what it imports late, so that no forked process has to."""
    warnings.simplefilter("ignore")
    for module in pkgutil.walk_packages(bequest.__path__, "bequest."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("sklearn.manifold", "sklearn.datasets", "PIL.JpegImagePlugin", "rich.progress", "jinja2"):
        importlib.import_module(name)
    from PIL import Image

    Image.init()


def chosen(faults: Sequence[Fault], kinds: Sequence[str]) -> list[Fault]:
    """Those whose kind or name holds one of ``kinds``; all without."""
    return [f for f in faults if not kinds or any(part in f"{f.kind}: {f.name}" for part in kinds)]


def table(done: Sequence[Done]) -> str:
    """One line a kind: how many faults, what came of them, how many promises were broken."""
    kinds = list(dict.fromkeys(each.fault.kind for each in done))
    lines = [f"| kind | faults | {' | '.join(GOOD)} | broken |", "|---|" + "---|" * (len(GOOD) + 2)]
    for kind in kinds:
        words = Counter(each.outcome.word for each in done if each.fault.kind == kind)
        lines.append(_line(kind, words))
    lines.append(_line(f"**all {len(kinds)} kinds**", Counter(each.outcome.word for each in done)))
    return "\n".join(lines) + "\n"


def taken_over(
    rows: Sequence[tuple[str, str, str, str, float]], every: Sequence[Fault], now: Sequence[Fault]
) -> list[Done]:
    """The outcomes that an earlier campaign had of the faults that are not made now."""
    earlier = {(kind, name): (word, note, seconds) for kind, name, word, note, seconds in rows}
    made = {id(fault) for fault in now}
    return [
        Done(fault, Outcome(*earlier[fault.kind, fault.name][:2]), earlier[fault.kind, fault.name][2])
        for fault in every
        if id(fault) not in made and (fault.kind, fault.name) in earlier
    ]


def page(text: str, done: Sequence[Done], seed: int, made: int) -> str:
    """docs/reliability.md: what was made to happen, what each outcome means, and the table."""
    ran = "all faults" if made == len(done) else f"{made} faults"
    kinds, broken = len({each.fault.kind for each in done}), sum(each.outcome.word in BAD for each in done)
    meanings = "\n".join(f"- **{word}**: {meaning}" for word, meaning in (GOOD | BAD).items())
    return PAGE.format(
        count=len(done),
        kinds=kinds,
        broken=broken,
        seed=seed,
        good=len(GOOD),
        meanings=meanings,
        table=text,
        ran=ran,
    )


def _line(name: str, words: Counter[str]) -> str:
    cells = [str(words.total()), *(str(words[word] or "") for word in GOOD)]
    broken = ", ".join(f"{words[word]} {word}" for word in BAD if words[word])
    return f"| {name} | {' | '.join(cells)} | {broken or '0'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="faults at a time")
    parser.add_argument("--kinds", default="", help="parts of the names of kinds or faults, with commas")
    parser.add_argument("--page", type=Path, help="write the page with the table there")
    parser.add_argument("--json", type=Path, help="write every outcome there")
    parser.add_argument(
        "--earlier", type=Path, help="what --json wrote: the outcomes of faults that are not made now"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folders of broken promises")
    options = parser.parse_args()
    started = time.perf_counter()
    imported()
    fork_workers()
    root = Path(tempfile.mkdtemp(prefix="bequest-faults-"))
    (root / "reference").mkdir()
    reference = make_reference(root / "reference")
    wait_for_slow(reference.seconds)
    every = [fault for module in MODULES for fault in module.faults(reference, options.seed)]
    faults = chosen(every, [kind.strip() for kind in options.kinds.split(",") if kind.strip()])
    print(
        f"{len(faults)} faults of {len({f.kind for f in faults})} kinds; "
        f"without one a run takes {reference.seconds:.1f} s"
    )

    def told(done: Done) -> None:
        if done.outcome.word in BAD:
            print(
                f"{done.outcome.word}: {done.fault.kind}: {done.fault.name}: {done.outcome.note}", flush=True
            )

    (root / "faults").mkdir()
    outcomes = list(perform(faults, root / "faults", options.workers, told))
    made = len(outcomes)
    if options.earlier:
        outcomes += taken_over(json.loads(options.earlier.read_text()), every, faults)
    order = {id(fault): place for place, fault in enumerate(every)}
    outcomes.sort(key=lambda done: order[id(done.fault)])
    text, broken = table(outcomes), sum(done.outcome.word in BAD for done in outcomes)
    seconds = time.perf_counter() - started
    print(text)
    print(
        f"{len(outcomes)} faults, {broken} promises broken, {seconds / 60:.1f} minutes, seed {options.seed}"
    )
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, bequest {bequest.__version__}"
    )
    if options.page:
        options.page.write_text(page(text, outcomes, options.seed, made), encoding="utf-8")
    if options.json:
        rows = [[d.fault.kind, d.fault.name, d.outcome.word, d.outcome.note, d.seconds] for d in outcomes]
        options.json.write_text(json.dumps(rows, indent=1))
    if options.keep and broken:
        print(f"kept: {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
