from __future__ import annotations

import pickle

from bequest.errors import BequestError, ConfigError, DataError, RunError


def test_message_carries_expected_got_and_remedy():
    error = DataError("labels are out of range", expected="0..9", got=12, remedy="check y")
    assert str(error) == ("labels are out of range\n  expected: 0..9\n  got:      12\n  remedy:   check y")


def test_input_errors_exit_with_2_and_run_errors_with_3():
    assert DataError.exit_code == 2
    assert RunError.exit_code == 3
    assert BequestError.exit_code == 1


def test_config_error_counts_its_faults():
    assert str(ConfigError.of("a.toml", ["x: wrong"])).startswith("a.toml: x: wrong")
    assert ConfigError.of("a.toml", ["x", "y"]).faults == ("x", "y")


def test_errors_survive_the_way_from_a_worker_process():
    error = ConfigError.of("a.toml", ["x: wrong"])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ConfigError
    assert str(again) == str(error)
    assert again.faults == error.faults
