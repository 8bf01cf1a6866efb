"""When a wait is filled, as a story of what happens and at what second."""

import pytest

from pipeline.extensions import Filler
from pipeline.stages.filler_rules import FillerRules

WANTED = Filler(enabled=True, initial_wait_timeout_ms=1000, min_filler_gap_ms=8000)


def waiting(settings: Filler = WANTED, *, since: float = 0.0) -> FillerRules:
    """The rules, with one response whose model has been asked."""
    rules = FillerRules()
    rules.configure(settings)
    announce(rules, "resp_1", since)
    return rules


def announce(rules: FillerRules, id: str, now: float, *, is_first_reply: bool = False) -> None:
    rules.announced(id, now, is_first_reply=is_first_reply)
    rules.model_asked(id)


def fill(rules: FillerRules, now: float, id: str = "resp_1") -> None:
    assert rules.take(now) == id
    assert rules.say(id, now)


def test_a_phrase_is_due_once_the_wait_was_long_enough() -> None:
    rules = waiting(since=3.0)
    assert rules.take(3.9) is None
    assert rules.take(4.0) == "resp_1"
    assert rules.take(4.1) is None  # while it is looked for
    assert rules.finding
    assert rules.say("resp_1", 4.5)
    assert rules.take(9.0) is None


def test_a_timer_may_ring_a_little_early() -> None:
    assert waiting().take(0.996) == "resp_1"


def test_nothing_is_due_before_the_model_is_asked() -> None:
    rules = FillerRules()
    rules.configure(WANTED)
    rules.announced("resp_1", 0.0, is_first_reply=False)
    assert rules.due is None
    assert rules.take(5.0) is None
    rules.model_asked("resp_1")
    assert rules.due == 1.0  # counted from where the listener began to wait


@pytest.mark.parametrize("at", [0.5, 1.5])
def test_a_reply_that_came_needs_no_filler(at: float) -> None:
    rules = waiting()
    if at > 1.0:
        assert rules.take(1.0) == "resp_1"
    rules.over("resp_1")
    assert rules.due is None
    assert not rules.finding
    assert not rules.say("resp_1", 2.0)


def test_the_end_of_another_response_means_nothing() -> None:
    rules = waiting()
    rules.over("resp_0")
    assert rules.due == 1.0
    rules.take(1.0)
    assert not rules.say("resp_0", 1.0)


def test_a_turn_has_no_more_fillers_than_allowed() -> None:
    rules = waiting()
    fill(rules, 1.0)
    assert rules.due is None
    announce(rules, "resp_2", 20.0)  # such as after the call of a function
    assert rules.due is None
    rules.turn_began()
    assert rules.due == 21.0


def test_fillers_keep_their_distance() -> None:
    rules = waiting()
    fill(rules, 1.0)
    rules.turn_began()
    announce(rules, "resp_2", 2.0)
    assert rules.due == 9.0
    rules.over("resp_2")
    announce(rules, "resp_3", 30.0)
    assert rules.due == 31.0


def test_a_long_wait_may_have_several() -> None:
    rules = waiting(
        Filler(enabled=True, initial_wait_timeout_ms=3000, min_filler_gap_ms=0, max_initial_per_turn=2)
    )
    fill(rules, 3.0)
    assert rules.due == 6.0  # the wait begins anew
    fill(rules, 6.0)
    assert rules.due is None


def test_phrases_are_not_said_on_top_of_each_other() -> None:
    rules = waiting(
        Filler(enabled=True, initial_wait_timeout_ms=0, min_filler_gap_ms=0, max_initial_per_turn=9)
    )
    fill(rules, 0.0)
    assert rules.due == 2.0
    announce(rules, "resp_2", 0.5)
    assert rules.due == 0.5


def test_the_first_reply_of_all_waits_in_silence_unless_it_is_wanted() -> None:
    rules = FillerRules()
    rules.configure(WANTED)
    announce(rules, "resp_1", 0.0, is_first_reply=True)
    assert rules.due is None
    rules.configure(Filler(enabled=True, enable_filler_on_first_assistant_reply=True))
    announce(rules, "resp_2", 0.0, is_first_reply=True)
    assert rules.due == 1.2


def test_where_nobody_has_spoken_nobody_waits() -> None:
    rules = waiting()
    rules.turn_began(is_silence=True)
    announce(rules, "resp_2", 5.0)
    assert rules.due is None
    rules.turn_began()
    announce(rules, "resp_3", 9.0)
    assert rules.due == 10.0


def test_switching_it_off_ends_the_wait() -> None:
    rules = waiting()
    rules.configure(Filler())
    assert rules.due is None
    rules.configure(WANTED)
    assert rules.due is None  # of this response too little is known


def test_new_settings_count_at_once() -> None:
    rules = waiting()
    rules.configure(Filler(enabled=True, initial_wait_timeout_ms=3000))
    assert rules.due == 3.0
