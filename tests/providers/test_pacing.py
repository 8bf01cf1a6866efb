"""How far audio may run ahead of the clock."""

import pytest

from providers.stt.pacing import Pace


def test_what_comes_as_fast_as_it_is_spoken_never_waits() -> None:
    pace = Pace(ahead_s=1.0, speed=1.25)

    assert [pace.delay(0.05, now=number * 0.05) for number in range(1000)] == [0.0] * 1000


def test_some_of_it_may_go_at_once() -> None:
    pace = Pace(ahead_s=2.0, speed=1.25)

    assert [pace.delay(0.5, now=7.0) for _ in range(4)] == [0.0] * 4
    assert pace.delay(0.5, now=7.0) == pytest.approx(0.4)


def test_a_backlog_goes_at_the_speed_that_is_allowed() -> None:
    pace, now, sent = Pace(ahead_s=1.0, speed=1.25), 100.0, 0.0
    while sent < 61.0:
        now += pace.delay(0.2, now)
        sent += 0.2

    assert now - 100.0 == pytest.approx(60.0 / 1.25, rel=0.01)


def test_waiting_long_earns_no_more_than_the_start_had() -> None:
    pace = Pace(ahead_s=1.0, speed=1.0)
    pace.delay(1.0, now=0.0)

    assert pace.delay(1.0, now=1000.0) == 0.0
    assert pace.delay(1.0, now=1000.0) == pytest.approx(1.0)
