"""SIGTERM and SIGHUP interrupt as Ctrl-C does, once, and only where nobody else takes them."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from bequest import interrupts
from bequest.interrupts import deferred, like_ctrl_c

SIGNALS = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def defaults():
    """Pytest's own handlers aside."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ask(number):
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_and_further_ones_let_it_clean_up(number):
    cleaned = []

    def work():
        try:
            ask(number)
        finally:
            for other in SIGNALS:
                ask(other)
            cleaned.append(number)

    with pytest.raises(KeyboardInterrupt), like_ctrl_c():
        work()
    assert cleaned == [number]
    assert all(signal.getsignal(other) is signal.SIG_DFL for other in SIGNALS)


def test_after_a_while_a_signal_interrupts_again(monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE", 0.0)
    with like_ctrl_c():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                ask(signal.SIGTERM)


def test_what_is_ignored_or_taken_stays_so():
    received = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    with like_ctrl_c():
        ask(signal.SIGHUP)
        ask(signal.SIGTERM)
    assert received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_other_threads_take_no_signals():
    handlers = []

    def inside():
        with like_ctrl_c():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]


def asked_inside(*numbers, saved):
    """Asks what is at work to end; notes after each time that it went on."""
    with deferred() as ending:
        for number in numbers:
            ask(number)
            saved.append((number, ending()))


@pytest.mark.parametrize("number", [signal.SIGINT, *SIGNALS])
def test_what_is_at_work_may_save_before_it_is_interrupted(number):
    handlers = [signal.getsignal(other) for other in (signal.SIGINT, *SIGNALS)]
    saved = []
    with pytest.raises(KeyboardInterrupt):
        asked_inside(number, signal.SIGTERM, saved=saved)
    assert saved == [(number, True), (signal.SIGTERM, True)]
    assert [signal.getsignal(other) for other in (signal.SIGINT, *SIGNALS)] == handlers


def test_a_second_ctrl_c_does_not_wait():
    saved = []
    with pytest.raises(KeyboardInterrupt):
        asked_inside(signal.SIGTERM, signal.SIGINT, saved=saved)
    assert saved == [(signal.SIGTERM, True)]


def test_nothing_is_raised_where_nobody_asked_and_what_is_ignored_stays_so():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with deferred() as ending:
        ask(signal.SIGTERM)
        assert not ending()


def failed_inside():
    with deferred():
        ask(signal.SIGTERM)
        raise ValueError("broken")


def test_an_error_inside_is_raised_as_it_is():
    with pytest.raises(ValueError, match="broken"):
        failed_inside()


def test_deferring_in_another_thread_changes_nothing():
    answers = []

    def inside():
        with deferred() as ending:
            answers.append((ending(), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert answers == [(False, signal.SIG_DFL)]
