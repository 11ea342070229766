from __future__ import annotations

import pytest

from bequest.config import Config, content_hash, read_toml, to_toml, with_settings
from bequest.errors import ConfigError


class Recipe(Config):
    lr: float
    epochs: int = 1


class Study(Config):
    train: Recipe
    arms: tuple[Recipe, ...] = ()


def test_every_fault_is_listed_at_once_with_the_nearest_key():
    data = {"train": {"lr": "high", "epoch": 3}, "arms": [{"lr": 1.0}, {}]}
    with pytest.raises(ConfigError) as caught:
        Study.parse(data, "s.toml")
    text = str(caught.value)
    assert text.startswith("s.toml: 3 errors")
    assert "train.lr: input should be a valid number" in text
    assert "train.epoch: unknown key; did you mean 'epochs'?" in text
    assert "arms.1.lr: required and not given" in text


def test_nan_is_refused():
    with pytest.raises(ConfigError, match="finite"):
        Recipe.parse({"lr": float("nan")}, "x")


def test_hash_ignores_the_order_of_keys_and_sees_every_value():
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 1.5})


def test_settings_are_laid_over_and_bad_ones_listed():
    data = {"train": {"lr": 1.0}}
    assert with_settings(data, ["train.epochs=3"]) == {"train": {"lr": 1.0, "epochs": 3}}
    assert data == {"train": {"lr": 1.0}}
    with pytest.raises(ConfigError, match="2 errors"):
        with_settings(data, ["train", "=3"])


def test_toml_round_trip_and_its_faults(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(to_toml({"a": {"b": [1, 2]}}))
    assert read_toml(path) == {"a": {"b": [1, 2]}}
    path.write_text("a = \n")
    with pytest.raises(ConfigError, match=r"not valid TOML: .*line 1"):
        read_toml(path)
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_has_not_is_a_fault_of_the_configuration(value):
    with pytest.raises(ConfigError, match="a value cannot be stored"):
        content_hash({"a": value})


@pytest.mark.parametrize("keys", [70, 900, 100_000])
def test_tables_without_end_are_refused_at_once(keys, tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text("a" + ".a" * keys + " = 1")
    with pytest.raises(ConfigError, match="are nested more than 64 deep"):
        read_toml(path)
    with pytest.raises(ConfigError, match=r"expected path=value"):
        with_settings({}, ["a" + ".a" * keys + "=1"])


def test_long_lines_that_are_no_keys_are_read(tmp_path):
    path = tmp_path / "long.toml"
    numbers = ", ".join(["0.1"] * 5000)
    path.write_text(f"a = [{numbers}]\ntext = '{'One sentence. ' * 5000}'")
    assert len(read_toml(path)["a"]) == 5000


@pytest.mark.parametrize("text", ["a = " + "1" * 1_000_000, "a = " + "x" * 1_000_000, "a" * 1_000_000])
def test_a_word_of_a_million_characters_is_one_message(text, tmp_path):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_toml(tmp_path / "s.toml")


def test_dots_in_comments_and_texts_are_no_keys(tmp_path):
    (tmp_path / "s.toml").write_text(f"# {'.' * 5000}\na = '{'b.' * 5000}'\n")
    assert read_toml(tmp_path / "s.toml") == {"a": "b." * 5000}


def test_a_setting_of_a_key_without_end_is_text():
    value = f"{{{'a.' * 20_000}a = 1}}"
    assert with_settings({}, [f"x={value}"]) == {"x": value}
