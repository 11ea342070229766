from __future__ import annotations

import pytest

from bequest.measures import MEASURES, Reason, measure_named
from bequest.records import Measurement, MeasureRecord
from bequest.report.titles import Titles, reason_words

OWN = MeasureRecord(title="depth of dreams", unit="m", better="lower", group="derived", of="a", mark="gain")


def m(measure: str, **more) -> Measurement:
    return Measurement(measure=measure, arm="a", n=3, **{"value": 0.5, "split": "test"} | more)


def test_the_studys_description_wins_over_the_catalogue():
    titles = Titles({"accuracy": OWN, "dreams/depth": OWN})
    for name in ("accuracy", "dreams/depth"):
        described = titles.measure(name)
        assert (described.axis, described.better, described.of) == ("depth of dreams (m)", "lower", "a")
    assert titles.measure("nll") == MEASURES["nll"]


@pytest.mark.parametrize("name", ["accuracy", "inheritance/nll", "cka/null", "kl/other_teacher"])
def test_a_folder_without_descriptions_has_the_catalogues(name):
    assert Titles().measure(name) == measure_named(name)


def test_measurements_are_told_apart_by_their_description_and_never_by_their_name():
    titles = Titles({"inheritance of dreams": MeasureRecord(title="x", mark="inheritance", group="derived")})
    assert titles.is_inheritance(m("inheritance of dreams", teacher="cnn"))
    assert not Titles().is_inheritance(m("inheritance of dreams", teacher="cnn"))
    assert titles.is_absolute(m("accuracy"))
    assert not titles.is_absolute(m("accuracy", layer="conv"))
    assert not titles.is_absolute(m("accuracy", split=None))
    assert not titles.is_absolute(m("unlisted/value"))
    family = Titles({"corrupted/fog": MeasureRecord(title="accuracy under corruption, fog")})
    assert not family.is_absolute(m("corrupted/fog"))
    assert titles.is_comparison(m("cka/null", teacher="cnn"))
    assert not titles.is_comparison(m("cka"))
    assert not titles.is_comparison(m("inheritance/agreement", teacher="cnn"))


def test_every_reason_but_the_last_has_a_few_words():
    def words(code: str | None) -> str:
        return reason_words(m("kl", value=None, reason="no gap, says the prose", reason_code=code))

    by_code = {code: words(code) for code in Reason}
    assert [code for code, text in by_code.items() if not text] == [Reason.OTHER]
    assert len(set(by_code.values())) == len(by_code)
    assert not any("_" in text for text in by_code.values())
    assert (by_code[Reason.NO_GAP], by_code[Reason.ONE_SEED]) == ("no gap", "one seed cannot tell")
    assert words(None) == ""
    assert words("a_code_of_tomorrow") == "a code of tomorrow"
