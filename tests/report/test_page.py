from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import bequest
from bequest.errors import RunFolderError
from bequest.record_files import read_record
from bequest.records import (
    ArmRecord,
    Curve,
    Measurement,
    MeasureRecord,
    Point,
    SectionRecord,
    StudyRecord,
    TeacherRecord,
)
from bequest.report import page, reproduction, write_report
from bequest.report.comparison_page import write_comparison
from bequest.report.numbers import number, pair
from bequest.report.titles import undefined

IMPLIED = {"td": ("td", "th"), "th": ("td", "th"), "tr": ("td", "th", "tr")}
"""What ends, without an end tag of its own, where a tag begins."""

VOID = {"meta", "link", "input", "br", "img", "hr"}
HOSTILE = """<script>alert("1")</script>'&|]]>"""


class Page(HTMLParser):
    """A page as lists of tags, texts and the elements that were left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.close(*IMPLIED.get(tag, ()))
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def close(self, *tags: str) -> None:
        """End the elements whose end tags HTML lets out."""
        while self.open and self.open[-1] in tags:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in ("thead", "tbody", "table"):
            self.close("td", "th", "tr")
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = attributes.items()
        return [attrs for name, attrs in self.tags if name == tag and wanted <= attrs.items()]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page_of(folder, tmp_path) -> Page:
    return Page(write_report(folder, tmp_path / "page.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def digits_file(digits_folder) -> Path:
    return write_report(digits_folder)


@pytest.fixture(scope="module")
def digits_page(digits_file) -> Page:
    return Page(digits_file.read_text(encoding="utf-8"))


def test_the_page_lies_in_the_run_folder_is_small_and_the_same_every_time(
    digits_file, digits_folder, tmp_path
):
    assert digits_file == digits_folder / "report.html"
    assert digits_file.stat().st_size <= 2_000_000
    assert write_report(digits_folder, tmp_path / "again.html").read_bytes() == digits_file.read_bytes()


def test_data_that_does_not_fit_into_the_page_is_named(digits_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_BYTES", 900_000)
    path = write_report(digits_folder, tmp_path / "page.html")
    assert path.stat().st_size <= 900_000
    assert "but in the run folder: curves.json" in path.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_says_why(folder_of, theory_study, tmp_path):
    (tmp_path / "blocked").mkdir()
    with pytest.raises(RunFolderError, match="cannot write"):
        write_report(folder_of(theory_study), tmp_path / "blocked")


def test_the_answer_comes_before_anything_else(digits_page, digits_study):
    words = digits_page.words
    study = digits_study.study
    assert "img" not in [tag for tag, _ in digits_page.tags]
    order = [study.question + " " + study.answer, "scale: small", "mean of each map"]
    order += ["Asked and unasked The share", "How much of each property", "Verdicts hold at 5 %", "Copy"]
    places = [words.index(part) for part in order]
    assert places == sorted(places)
    ids = [attrs["id"] for tag, attrs in digits_page.tags if tag in {"section", "div"} and attrs.get("id")]
    assert [name for name in ids if name in {"inheritance", "arms", "why", "claims", "reproduce"}] == [
        "inheritance",
        "claims",
        "arms",
        "why",
        "reproduce",
    ]


def test_the_profiles_table_has_the_gain_and_the_gap_of_each_share(digits_page, digits_study):
    head = "measure split arm against value interval gain gap n"
    assert head in digits_page.words
    values = {(m.measure, m.arm, m.split): m.value for m in digits_study.measurements}
    taught, teacher, control = (
        values["accuracy", arm, "translated"] for arm in ("mlp<-cnn+views", "cnn", "mlp<-mlp+views")
    )
    assert f"{number(taught - control)} {number(teacher - control)} 5" in digits_page.words


def test_a_profile_without_a_value_has_no_axis_and_no_legend(folder_of, digits_study, tmp_path):
    digits_study.measurements = [
        Measurement(
            measure="inheritance/accuracy", arm=arm, teacher="cnn", split="test", value=None, n=1,
            reason="a gap of one seed has no interval", reason_code="one_seed",
        )
        for arm in ("mlp<-cnn", "mlp<-cnn+views")
    ]  # fmt: skip
    page = page_of(folder_of(digits_study), tmp_path)
    assert "Undefined (one seed cannot tell): accuracy on test." in page.words
    assert "no gap" not in page.words.replace("the measurement is undefined: no gap", "")
    assert not page.all("div", **{"class": "rows"})
    assert page.faults == []


def test_a_table_of_many_arms_is_closed_until_asked_for(folder_of, digits_study, tmp_path):
    more = [digits_study.study.arms[0].model_copy(update={"name": f"cnn {k}"}) for k in range(4)]
    digits_study.study = digits_study.study.model_copy(update={"arms": (*digits_study.study.arms, *more)})
    words = page_of(folder_of(digits_study), tmp_path).words
    assert "13 arms on 4 splits: accuracy, negative log-likelihood, calibration error (ECE)" in words


def test_every_element_is_closed_every_id_is_one_of_a_kind_and_every_link_leads_somewhere(digits_page):
    assert digits_page.faults == []
    assert digits_page.open == []
    ids = Counter(attrs["id"] for _, attrs in digits_page.tags if attrs.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    for attrs in digits_page.all("a"):
        assert attrs["href"].startswith("data:") or attrs["href"][1:] in ids
    for attrs in digits_page.all("label"):
        assert attrs["for"] in ids


def test_nothing_refers_to_the_network(digits_file):
    text = digits_file.read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|<img|<iframe|src=", text)
    assert "default-src 'none'" in text


def test_every_chart_has_a_sentence_and_a_table(digits_page):
    figures = digits_page.all("figure")
    # maps, distance, two profiles, two agreements, CKA, calibration on four splits, training
    assert len(figures) == 1 + 1 + 2 + 2 + 1 + 4 + 1
    drawings = digits_page.all("div", role="img")
    assert len(drawings) == len(figures)
    ids = {attrs.get("id") for _, attrs in digits_page.tags}
    assert all(attrs["aria-describedby"] in ids for attrs in drawings)
    assert digits_page.words.count("Table of these numbers") == len(figures) - 1  # the profiles share one
    hidden = [attrs for attrs in digits_page.all("svg") if attrs.get("class") != "paths"]
    assert {attrs.get("aria-hidden") for attrs in hidden} == {"true"}


def test_every_measurement_is_in_the_page(digits_page, digits_study):
    words = digits_page.words
    for m in digits_study.measurements:
        if m.value is None:
            assert undefined(m) in words
            continue
        text, bracket = pair(m.value, m.low, m.high)
        if m.measure.endswith(("/null", "/ceiling")):
            assert text in words
        else:
            assert f"{text} {bracket}" in words


def test_the_cells_of_the_arms_table_are_sorted_by_more_digits_than_they_show(digits_page, digits_study):
    carried = {attrs["data-value"] for attrs in digits_page.all("td") if "data-value" in attrs}
    assert {f"{m.value:.6g}" for m in digits_study.measurements if m.measure == "accuracy"} <= carried


def test_claims_have_a_word_a_sign_and_both_numbers(digits_page):
    words = digits_page.words
    assert "✓ upheld" in words
    assert "✗ contradicted" in words
    assert "? undecided" in words
    assert "value 0.998 [0.984, 1.01] adjusted [0.979, 1.02] own pilot 0.95 margin 0.8 n 5" in words
    published = "published 0.12 (outside)"
    assert f"value −0.003 [−0.011, 0.005] adjusted [−0.013, 0.007] {published} margin 0.02 n 5" in words
    assert "value undefined" in words
    assert "Source of every claim that does not name another: Abnar et al. 2020, section 4." in words
    assert "Source of every claim that does not name another: Abnar et al. 2020, section 4." in words
    assert "the measurement is undefined: no gap" in words


def test_of_very_many_cells_the_first_are_listed(digits_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "MOST_CELLS", 3)
    all_cells = read_record(digits_folder / "study.json", StudyRecord).cells
    page = page_of(digits_folder, tmp_path)
    assert [cell.id for cell in all_cells if cell.id in page.words] == [cell.id for cell in all_cells[:3]]
    assert f"The first 3 of {len(all_cells)} cells; study.json lists all of them." in page.words


def test_a_run_in_rounds_has_its_looks_beside_the_claims(folder_of, study_in_rounds, tmp_path):
    page = page_of(folder_of(study_in_rounds), tmp_path)
    assert page.faults == []
    first, second = "1 of 3 (2 min 22 s of training)", "1 of 2 (1 min 05 s of training)"
    decided = f"Decided at 5 seeds: {first} and at 10 seeds: {second}."
    assert f"{decided} Not taken: the look at 20 seeds." in page.words
    assert "margin 0.8 n 5 look 1" in page.words
    assert "margin 0.5 n 10 look 2 needs about 34 seeds" in page.words
    assert "5 to 10 seeds · 50 cells" in page.words


def test_what_it_takes_to_run_it_again_is_there(digits_page, digits_study):
    study, words = digits_study.study, digits_page.words
    for fact in (
        study.command,
        study.config_hash,
        study.data_digest,
        study.provenance.commit,
        "with uncommitted changes",
        "torch 2.13.0",
        "2 min 22 s from start to end",
        "temperature = 4.0",
        digits_study.cells[-1].weights_digest[:12],
        "unchanged",
    ):
        assert fact in words
    assert [attrs["download"] for attrs in digits_page.all("a") if "download" in attrs] == [
        "digits-arms.csv",
        "digits-arms.json",
        "digits-measurements.json",
        "digits-claims.json",
        "digits-curves.json",
    ]


def test_a_teacher_that_changed_is_shouted(folder_of, digits_study, tmp_path):
    teacher = TeacherRecord(arm="cnn", cell="c", digest_before="a" * 64, digest_after="b" * 64)
    cell = digits_study.cells[-1].model_copy(update={"teachers": (teacher,), "warnings": ("a weak teacher",)})
    digits_study.cells, digits_study.curves, digits_study.measurements = [cell], [], []
    words = page_of(folder_of(digits_study), tmp_path).words
    assert "cnn aaaaaaaaaaaa CHANGED" in words
    assert f"Warning: a weak teacher ({cell.arm} seed {cell.seed})" in words


def test_a_partial_study_shows_what_is_missing_and_why(folder_of, partial_study, tmp_path):
    page = page_of(folder_of(partial_study), tmp_path)
    assert "6 of 45 cells have no result" in page.words
    assert "partial" in page.words
    assert page.words.count("NonFiniteLoss: the loss became NaN at step 120") == 5
    assert "Without a result: MLP ← CNN, views." in page.words
    assert "Of 3 claims: 1 upheld, 1 contradicted and 1 undecided." in page.words
    assert page.faults == []


def test_a_study_without_answer_or_claims_says_how_far_it_is(folder_of, partial_study, tmp_path):
    partial_study.verdicts, partial_study.curves, partial_study.measurements = [], [], []
    words = page_of(folder_of(partial_study), tmp_path).words
    assert "No answer yet: 39 of 45 cells done." in words


def test_a_theory_study_has_neither_arms_nor_profile(folder_of, theory_study, tmp_path):
    page = page_of(folder_of(theory_study), tmp_path)
    ids = {attrs.get("id") for _, attrs in page.tags}
    assert {"why-theory", "numbers", "claims", "reproduce"} <= ids
    assert not {"inheritance", "arms", "missing"} & ids
    assert "undefined: no convergence" in page.words
    assert "Of 1 claim: 1 upheld." in page.words


def test_an_empty_study_is_a_page_too(folder_of, theory_study, tmp_path):
    theory_study.measurements, theory_study.curves, theory_study.verdicts = [], [], []
    page = page_of(folder_of(theory_study), tmp_path)
    assert "No answer yet: 0 of 0 cells done." in page.words
    assert page.faults == []


def test_names_cannot_break_out_of_the_page(folder_of, digits_study, tmp_path):
    arm = ArmRecord(name=HOSTILE, role="taught", student=HOSTILE, label=HOSTILE, queries=HOSTILE)
    place = {"arm": HOSTILE, "split": HOSTILE, "n": 1}
    described = MeasureRecord(title=HOSTILE, unit=HOSTILE, group="likeness")
    section = SectionRecord(title=HOSTILE, intro=HOSTILE, charts=(HOSTILE,), measures=(HOSTILE,))
    digits_study.study = digits_study.study.model_copy(
        update={
            "measures": {f"{HOSTILE}/x": described}, "sections": {HOSTILE: section}, "picture": HOSTILE,
            "profile_arms": (HOSTILE,), "arms": (arm,), "splits": {HOSTILE: HOSTILE}, "question": HOSTILE,
            "answer": HOSTILE,
            "command": HOSTILE, "notes": (HOSTILE,), "scale": HOSTILE, "name": HOSTILE, "title": HOSTILE,
        }
    )  # fmt: skip
    digits_study.config = HOSTILE
    digits_study.measurements = [
        Measurement(measure=HOSTILE, value=0.5, **place),
        Measurement(measure=f"inheritance/{HOSTILE}", value=None, reason=HOSTILE, teacher=HOSTILE, **place),
        Measurement(measure=f"{HOSTILE}/x", value=0.5, teacher=HOSTILE, **place),
        Measurement(measure=f"{HOSTILE}/y", value=0.5, layer=HOSTILE, **place),
    ]
    points = (Point(x=0, y=0.5, label=HOSTILE), Point(x=1, y=0.6))
    titles = {"x_title": HOSTILE, "y_title": HOSTILE, "note": HOSTILE}
    digits_study.curves = [
        Curve(chart=chart, arm=HOSTILE, points=points, split=HOSTILE, kind="points", **titles)
        for chart in (HOSTILE, "reliability")
    ]
    digits_study.verdicts = [
        v.model_copy(update={"text": HOSTILE, "id": HOSTILE, "contrast": HOSTILE})
        for v in digits_study.verdicts
    ]
    page = page_of(folder_of(digits_study), tmp_path)
    assert len(page.all("script")) == 2  # the page's own
    assert page.faults == []
    assert HOSTILE in " ".join(page.text)
    other = replace(digits_study, verdicts=[]).write(tmp_path / "other <script>")
    both = Page(
        write_comparison([tmp_path / "run", other], tmp_path / "both.html").read_text(encoding="utf-8")
    )
    assert (len(both.all("script")), both.faults) == (2, [])
    assert HOSTILE in " ".join(both.text)


def test_undefined_numbers_never_read_as_nan_or_none(folder_of, digits_study, tmp_path):
    digits_study.measurements = [
        Measurement(measure=m, arm="cnn", split="test", value=float("nan"), n=0, reason="nothing was read")
        for m in ("accuracy", "agreement", "inheritance/accuracy")
    ]
    digits_study.curves = [
        Curve(chart=c, arm="cnn", x_title="x", y_title="y", points=(Point(x=0, y=float("nan")),))
        for c in ("training", "reliability", "robustness")
    ]
    page = page_of(folder_of(digits_study), tmp_path)
    assert not re.search(r"\bNone\b|\bnan\b|\binf\b", page.words)
    assert not any(re.search(r"nan|None", v or "") for _, attrs in page.tags for v in attrs.values())


def test_the_arms_of_a_page_keep_their_colour(digits_page):
    keys = digits_page.all("button")
    by_arm = {attrs["data-arm"] for attrs in keys if "data-arm" in attrs}
    assert by_arm <= {str(k) for k in range(9)}


def test_the_report_never_imports_torch():
    code = "import sys, bequest.report; sys.exit('torch' in sys.modules)"
    paths = {"PYTHONPATH": str(Path(bequest.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | paths).returncode == 0
