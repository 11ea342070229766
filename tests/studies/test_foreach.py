"""``foreach`` in a study: tables are written out once for each combination, or once for each row."""

from __future__ import annotations

import itertools
import tomllib

import pytest

import bequest.evidence.kinds  # noqa: F401  (registers the kinds of evidence that a study may name)
from bequest.errors import ConfigError
from bequest.studies.claim_spec import LABEL
from bequest.studies.plan import make_plan
from bequest.studies.resolving import SCALES, bundled, expanded, read_study, resolve


def toml(text: str) -> dict:
    return tomllib.loads(text)


def test_a_table_of_lists_makes_one_table_for_each_combination():
    tables = expanded(
        toml("""
        [arms.plain]
        student = "mlp"

        [arms."{by} {budget}"]
        foreach = { by = ["random", "entropy"], budget = [300, 1000] }
        queries = "{by} {budget}"
        control = "plain"
        """)
    )
    by_hand = {
        f"{by} {budget}": {"queries": f"{by} {budget}", "control": "plain"}
        for by, budget in itertools.product(["random", "entropy"], [300, 1000])
    }
    assert tables["arms"] == {"plain": {"student": "mlp"}, **by_hand}
    assert list(tables["arms"]) == ["plain", *by_hand]


def test_a_text_that_is_one_variable_becomes_the_value_with_its_type():
    tables = expanded({"arms": {"a{n}": {"foreach": {"n": [1, 2]}, "restart": "{n}", "label": "no. {n}"}}})
    assert tables["arms"]["a2"] == {"restart": 2, "label": "no. 2"}


def test_a_value_may_be_a_table_or_a_list():
    (arm,) = expanded(
        {"arms": {"{by}": {"foreach": [{"by": "dkd", "term": {"name": "dkd"}}], "objective": ["{term}"]}}}
    )["arms"].values()
    assert arm == {"objective": [{"name": "dkd"}]}


def test_queries_are_lists_of_sources():
    tables = expanded(
        toml("""
        [queries."random {budget}"]
        foreach = { budget = [300, 1000] }
        sources = [{ share = 0.5 }, { share = 0.5, active = { by = "random", budget = "{budget}" } }]
        """)
    )
    assert tables["queries"] == {
        f"random {budget}": [{"share": 0.5}, {"share": 0.5, "active": {"by": "random", "budget": budget}}]
        for budget in (300, 1000)
    }


def test_lists_of_tables_are_written_out_in_place():
    claims = expanded(
        toml("""
        [[claims]]
        id = "first"

        [[claims]]
        foreach = { split = ["test", "scaled"] }
        id = "{split} accuracy"
        split = "{split}"

        [[claims]]
        id = "last"
        """)
    )["claims"]
    assert claims == [
        {"id": "first"},
        {"id": "test accuracy", "split": "test"},
        {"id": "scaled accuracy", "split": "scaled"},
        {"id": "last"},
    ]


def test_a_row_fills_what_is_named_and_is_laid_over_the_rest():
    claims = expanded(
        toml("""
        [[claims]]
        foreach = [
            { id = "mu", numbers = ".977 against .955", published = 0.022 },
            { id = "distance", numbers = ".970 against .901", margin = 0.1 },
        ]
        source = "the paper: {numbers}"
        arm = "lstm"
        """)
    )["claims"]
    assert claims == [
        {"source": "the paper: .977 against .955", "arm": "lstm", "id": "mu", "published": 0.022},
        {"source": "the paper: .970 against .901", "arm": "lstm", "id": "distance", "margin": 0.1},
    ]


def test_rows_combine_with_other_variables_and_may_name_them():
    arms = expanded(
        toml("""
        [arms."{arm} {part}"]
        foreach = { part = ["half", "quarter"], arm = [
            { arm = "cnn", student = "cnn" },
            { arm = "mlp<-cnn", student = "mlp", teachers = ["cnn {part}"] },
        ] }
        queries = "{part}"
        """)
    )["arms"]
    assert list(arms) == ["cnn half", "mlp<-cnn half", "cnn quarter", "mlp<-cnn quarter"]
    assert arms["mlp<-cnn quarter"] == {"queries": "quarter", "student": "mlp", "teachers": ["cnn quarter"]}
    assert arms["cnn half"] == {"queries": "half", "student": "cnn"}


def test_braces_that_name_no_variable_stay():
    (text,) = expanded({"a": {"{x}": {"foreach": {"x": ["b"]}, "text": "{x} and {share}"}}})["a"].values()
    assert text == {"text": "b and {share}"}


@pytest.mark.parametrize("variables", [3, "budget", {"budget": 300}, ["random", "entropy"], [{"a": 1}, 2]])
def test_a_foreach_of_another_form_is_refused(variables):
    with pytest.raises(ConfigError, match=r"expected a table of lists, such as .*, or a list of tables"):
        expanded({"arms": {"{by}": {"foreach": variables, "student": "mlp"}}})


def test_two_tables_of_one_name_are_refused():
    with pytest.raises(ConfigError, match=r"foreach: 'mlp' is made twice; use every variable in the name"):
        expanded({"arms": {"mlp": {"foreach": {"budget": [1, 2]}, "restart": "{budget}"}}})
    with pytest.raises(ConfigError, match=r"foreach: 'mlp' is made twice"):
        expanded({"arms": {"mlp": {"student": "mlp"}, "{a}": {"foreach": {"a": ["mlp"]}, "student": "cnn"}}})


def test_a_scale_may_lay_a_foreach_over_one():
    study = toml("""
        [arms."{s}<-cnn"]
        foreach = { s = ["mlp", "vit"] }
        student = "{s}"

        [scales.paper.arms."{s}<-cnn"]
        foreach = { s = ["vit"] }
        codec = "float16"

        [scales.small]
        """)
    assert resolve(study, scale="paper")["arms"] == {
        "mlp<-cnn": {"student": "mlp"},
        "vit<-cnn": {"student": "vit", "codec": "float16"},
    }
    assert resolve(study)["arms"]["vit<-cnn"] == {"student": "vit"}


@pytest.mark.parametrize("name", bundled())
def test_nothing_of_a_foreach_is_left_in_a_bundled_study(name):
    study = read_study(name)
    for scale in (scale for scale in SCALES if scale in study["scales"]):
        resolved = resolve(study, scale=scale)
        answer = resolved.pop("answer", None)  # its text has names in braces of its own
        assert "foreach" not in str(resolved)
        assert not [text for text in _texts(resolved) if "{" in LABEL.sub("", text)]
        assert answer is None or "foreach" not in str(answer)


@pytest.mark.parametrize("scale", SCALES)
def test_a_study_that_is_narrowed_to_some_arms_is_checked_without_a_fault(scale):
    plan = make_plan(resolve(read_study("habib2023"), scale=scale), scale=scale)
    again = make_plan(plan.resolved, scale=scale)  # as a run folder holds it
    assert [cell.id for cell in again.cells] == [cell.id for cell in plan.cells]
    assert again.study.measures == plan.study.measures


def test_a_floating_type_stands_for_a_codec_of_all_logits():
    resolved = resolve(read_study("habib2023"))
    resolved["arms"]["vit<-vit"]["codec"] = "bfloat16"
    codec = make_plan(resolved, scale="small").study.arms["vit<-vit"].codec
    assert codec.spec() == {"name": "dense", "dtype": "bfloat16"}
    resolved["arms"]["vit<-vit"]["codec"] = "float8"
    with pytest.raises(ConfigError, match=r"arms.vit<-vit.codec: there is no codec 'float8'"):
        make_plan(resolved, scale="small")


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    "tables",
    [
        {"x{a}{b}{c}": {"foreach": {key: list(range(2000)) for key in "abc"}}},
        {"x{a}": {"foreach": {"a": list(range(200))}, "y{b}": {"foreach": {"b": list(range(200))}}}},
    ],
    ids=["a product", "one in another"],
)
def test_more_tables_than_anybody_reads_are_refused(tables):
    with pytest.raises(ConfigError, match="foreach: more than 10,000 tables are made"):
        expanded({"arms": tables})
