"""Hostile names and studies: paths, markup, escapes, formulas; TOML from a fuzzer; parts that misbehave."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bequest.config import to_toml
from bequest.studies.resolving import read_study
from fault_kinds.campaign import Fault, Outcome, bequest, contents, expect
from fault_kinds.reference import STUDY, Reference

HOSTILE = {
    "a path up": "../../escaped",
    "an absolute path": "/tmp/escaped",
    "a path down": "a/b",
    "dots": "..",
    "nothing": "",
    "an escape sequence": "\x1b[31mred\x1b[0m\x07",
    "a bidirectional override": "a\u202eb\u2066c",
    "markup of rich": "[bold red]x[/][link=http://a]y[/link]",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "a formula": '=HYPERLINK("http://a","x")',
    "a newline": "a\nb",
    "NUL": "a\0b",
    "braces": "{0.__class__}{n}{",
    "300 letters": "x" * 300,
    "no Latin": "данные/数据" if os.sep != "/" else "данные数据",
    "a template": "{{ 7*7 }}{% raw %}",
}

PLACES: dict[str, Callable[[dict[str, Any], str], None]] = {
    "study": lambda study, name: study.update(name=name),
    "title": lambda study, name: study.update(title=name, question=name),
    "arm": lambda study, name: study["arms"].update({name: {"student": "mlp"}}),
    "split": lambda study, name: study["splits"].update({name: {"description": name}}),
    "model": lambda study, name: (
        study["models"].update({name: {"family": "mlp"}}),
        study["arms"].update(d={"student": name}),
    )[0],
    "claim": lambda study, name: study["claims"].append(
        {**study["claims"][0], "id": name or "x", "text": name, "source": name}
    ),
    "dataset": lambda study, name: study["data"].update(name=f"folder:{name}", options={}),
    "part": lambda study, name: study.update(use=[name]),
}

SMALL = {**STUDY, "seeds": 1, "arms": {"mlp": {"student": "mlp"}}, "measures": {}}
"""One network: what names lead to is seen on its page."""

PARTS = {
    "raises": "raise ValueError('mine')",
    "exits": "import sys; sys.exit(7)",
    "does not parse": "def (",
    "recurses": "def f(): f()\nf()",
    "prints": "print('mine')",
    "takes a name of ours": "from bequest.models.catalogue import MODELS as M\nM.register('mlp')(print)",
    "not UTF-8": b"\xff\xfe\x00",
    "imports what is not there": "import no_such_module_anywhere",
}


def faults(reference: Reference, seed: int) -> Iterator[Fault]:
    """Every name in every place; mutated studies; parts that misbehave."""
    for what, name in HOSTILE.items():
        for place in PLACES:
            yield Fault(f"hostile name: {place}", what, _named(place, name))
        yield Fault("hostile name on the command line", what, _on_the_command_line(name))
    for what in ("an escape sequence", "markup of rich", "HTML", "a formula", "a template", "no Latin"):
        yield Fault("hostile names on the page", what, _shown(HOSTILE[what]))
    texts = {
        "own": to_toml(STUDY),
        **{name: to_toml(read_study(name)) for name in ("digits", "saglietti2020")},
    }
    for study, text in texts.items():
        for turn in range(20):
            dice = random.Random(f"{seed} toml {study} {turn}")
            yield Fault("malformed TOML", f"{study} {turn}", _checked(_mutated(text.encode(), dice), turn))
    for name, text in SPECIAL.items():
        yield Fault("TOML without end or sense", name, _checked(text, 0))
    for turn in range(24):
        dice = random.Random(f"{seed} values {turn}")
        yield Fault("TOML of wrong values", str(turn), _checked(to_toml(_wrong(dice)).encode(), turn))
    for name, code in PARTS.items():
        yield Fault("part of a user's that misbehaves", name, _part(code))
    for turn in range(4):
        yield Fault("part of a user's that fails while training", str(turn), _failing_part(turn))
    del reference


def _mutated(text: bytes, dice: random.Random) -> bytes:
    content = bytearray(text)
    for _ in range(dice.randint(1, 4)):
        at, way = dice.randrange(len(content) + 1), dice.randrange(5)
        if way == 0:
            content[at : at + 1] = bytes([dice.randrange(256)])
        elif way == 1:
            del content[at : at + dice.randint(1, 40)]
        elif way == 2:
            content[at:at] = content[at : at + dice.randint(1, 40)]
        elif way == 3:
            del content[at:]
        else:
            content[at:at] = dice.choice(
                [b"[[", b"]]", b"=", b'"""', b"\n[a]\n", b"1e999", b"nan", b"\xff", b"{"]
            )
    return bytes(content)


SPECIAL: dict[str, bytes] = {
    "nested lists": b"a = " + b"[" * 100_000,
    "nested tables": b"a = " + b"{x=" * 100_000,
    "a dotted key": b"a" + b".a" * 100_000 + b" = 1",
    "a number of a million digits": b"seeds = " + b"9" * 1_000_000,
    "a billion seeds": to_toml({**STUDY, "seeds": 10**9}).encode(),
    "a billion by foreach": to_toml(
        {**STUDY, "arms": {"x{a}{b}": {"student": "mlp", "foreach": {k: list(range(2000)) for k in "abc"}}}}
    ).encode(),
    "empty": b"",
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a byte order mark": b"\xef\xbb\xbfname = 1",
}


def _wrong(dice: random.Random) -> dict[str, Any]:
    """The study with a few values of wrong types or sizes in it."""
    study = copy.deepcopy(STUDY)
    values: list[Any] = [
        *(
            -1,
            0,
            2**63 - 1,
            1e308,
            float("nan"),
            float("inf"),
            True,
            "",
            "x" * 5000,
            [],
            [[]],
            {},
            {"name": []},
        ),
        *({"name": "../x"}, [{"name": "kd"}] * 50, ["a"] * 1000, {"a": {"b": {"c": {}}}}),
    ]
    for _ in range(dice.randint(1, 3)):
        table: Any = study
        while True:
            keys = list(table) if isinstance(table, dict) else list(range(len(table)))
            key = dice.choice(keys)
            inner = table[key]
            if not isinstance(inner, dict | list) or not inner or dice.random() < 0.3:
                table[key] = dice.choice(values)
                break
            table = inner
    return study


def _checked(text: bytes, turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        path = folder / "study.toml"
        path.write_bytes(text)
        words = (["check", path], ["run", path, "--dry-run"], ["run", path, "--dry-run", "--arms", "mlp"])[
            turn % 3
        ]
        ended = bequest(*words)
        expect(ended.code in (0, 2), "wrong", f"exit code {ended.code}: {ended.last}")
        expect(set(contents(folder)) == {"study.toml"}, "outside", str(set(contents(folder))))
        return Outcome("named" if ended.code else "answered", ended.last)

    return do


def _nothing_outside(folder: Path) -> None:
    """End the fault if something was written beside the run folder."""
    escaped = [Path("/tmp"), folder.parent, folder.parent.parent]
    escaped = [place / "escaped" for place in escaped]
    expect(not any(path.exists() for path in escaped), "outside", str(escaped))
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    expect(names <= {"study.toml", "runs", "run"}, "outside", str(names))


def _named(place: str, name: str) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        study = copy.deepcopy(STUDY)
        PLACES[place](study, name)
        (folder / "study.toml").write_text(to_toml(study))
        for words in (["check", "study.toml"], ["run", "study.toml", "--dry-run"]):
            ended = bequest(*words)
            expect(ended.code in (0, 2), "wrong", f"exit code {ended.code}: {ended.last}")
        _nothing_outside(folder)
        return Outcome("named" if ended.code else "answered", ended.last)

    return do


def _on_the_command_line(name: str) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        if "\0" in name:  # no system passes one on
            return Outcome("answered")
        for words in (
            ["show", f"./{name}"],
            ["run", name],
            ["run", "digits", "--set", f"{name}=1", "--dry-run"],
            ["run", "digits", "--arms", name, "--dry-run"],
            ["ls", name],
            ["measure", "accuracy", name],
            ["store", "info", f"./{name}"],
            ["store", "build", "x", "--teacher", name],
        ):
            ended = bequest(*words)
            expect(ended.code in (0, 2), "wrong", f"{words}: exit code {ended.code}: {ended.last}")
        _nothing_outside(folder)
        return Outcome("named", ended.last)

    return do


def _shown(name: str) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        study = copy.deepcopy(SMALL)
        study["arms"] = {name: {"student": "mlp", "label": name}}
        study["splits"][name] = {"description": name}
        study |= {
            "title": name,
            "question": name,
            "claims": [{**study["claims"][0], "arm": name, "text": name}],
        }
        del study["claims"][0]["against"]
        (folder / "study.toml").write_text(to_toml(study))
        ended = bequest("run", "study.toml", "--out", "run", "--workers", 1)
        expect(ended.code == 0, "wrong", ended.last)
        shutil.copytree(folder / "run", folder / "other")
        for words in (["show", "run"], ["report", "run", "--statement"], ["show", "run", "other"]):
            ended = bequest(*words)
            expect(ended.code == 0, "wrong", ended.last)
        page = (folder / "run" / "report.html").read_text(encoding="utf-8")
        expect("<script>alert" not in page and "<img src=x" not in page, "outside", "a name is markup")
        expect(
            "49" not in page if name.startswith("{{ 7") and "7*7" not in page else True,
            "outside",
            "a template",
        )
        _no_formula(page)
        return Outcome("same")

    return do


def _no_formula(page: str) -> None:
    """End the fault if the table to download holds a formula."""
    from bequest.report import downloads

    text = downloads.__doc__ or ""
    rows = [row for part in page.split("data:text/csv")[1:] for row in csv.reader(io.StringIO(part[:2000]))]
    formulas = [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]
    expect(not formulas, "outside", f"{formulas[:2]} {text[:20]}")


def _part(code: str | bytes) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        (folder / "parts.py").write_bytes(code if isinstance(code, bytes) else code.encode())
        (folder / "study.toml").write_text(to_toml({**SMALL, "use": ["parts.py"]}))
        ended = bequest("check", "study.toml")
        expect(ended.code in (0, 2), "wrong", f"exit code {ended.code}: {ended.last}")
        return Outcome("named" if ended.code else "answered", ended.last)

    return do


FAILING = """
from bequest.models.catalogue import MODELS
from torch import nn

class Odd(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.linear = nn.Linear(shape[1] * shape[2], classes)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 3:
            {failure}
        return self.linear(x.flatten(1))

@MODELS.register("odd")
def odd(input_shape, classes):
    return Odd(input_shape, classes)
"""

FAILURES = (
    "raise KeyError('mine')",
    "import os; os._exit(9)",
    "raise SystemExit(3)",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
)


def _failing_part(turn: int) -> Callable[[Path], Outcome]:
    def do(folder: Path) -> Outcome:
        (folder / "parts.py").write_text(FAILING.format(failure=FAILURES[turn]))
        study = copy.deepcopy({**SMALL, "use": ["parts.py"]})
        study["models"]["odd"] = {"family": "odd"}
        study["arms"] |= {"odd": {"student": "odd"}}
        study["claims"] = []
        (folder / "study.toml").write_text(to_toml(study))
        ended = bequest("run", "study.toml", "--out", "run", "--workers", 1)
        expect(ended.code == 3, "wrong", f"exit code {ended.code}: {ended.last}")
        expect("failed: odd seed 0" in ended.text, "wrong", ended.last)
        record = json.loads((folder / "run" / "study.json").read_text())
        expect(
            {cell["status"] for cell in record["cells"]} == {"done", "failed"}, "lost", str(record["cells"])
        )
        return Outcome("named", ended.last)

    return do
