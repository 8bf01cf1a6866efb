"""Quotas of keys, with a clock that stands still unless a test moves it."""

import pytest

from pipeline.events import RateLimit
from pipeline.quota import QuotaExceededError
from server.quotas import Quotas
from server.settings import QuotaSettings


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def quotas(clock: Clock, **settings: int) -> Quotas:
    return Quotas(QuotaSettings(**settings), clock=clock)


def test_a_fresh_key_has_a_whole_minutes_worth(clock: Clock) -> None:
    quota = quotas(clock, requests_per_minute=60, tokens_per_minute=6000).of("key-1")

    assert quota.limits() == (RateLimit("requests", 60, 60, 0), RateLimit("tokens", 6000, 6000, 0))


def test_what_was_used_comes_back_evenly(clock: Clock) -> None:
    quota = quotas(clock, requests_per_minute=60, tokens_per_minute=6000).of("key-1")
    for _ in range(3):
        quota.admit()
    quota.spend(1000)

    assert quota.limits() == (RateLimit("requests", 60, 57, 3), RateLimit("tokens", 6000, 5000, 10))
    clock.now += 1.5
    assert quota.limits() == (RateLimit("requests", 60, 58, 1.5), RateLimit("tokens", 6000, 5150, 8.5))
    clock.now += 1000
    assert quota.limits() == (RateLimit("requests", 60, 60, 0), RateLimit("tokens", 6000, 6000, 0))


def test_a_refused_request_is_admitted_after_the_time_that_the_refusal_names(clock: Clock) -> None:
    quota = quotas(clock, requests_per_minute=7).of("key-1")
    for _ in range(7):
        quota.admit()
    with pytest.raises(QuotaExceededError, match=r"7 requests per minute.* again in 8\.572 s") as refusal:
        quota.admit()
    wait = float(str(refusal.value).split(" in ")[1].split()[0])

    clock.now += wait - 0.01
    with pytest.raises(QuotaExceededError, match="requests"):
        quota.admit()
    clock.now += 0.01
    quota.admit()


def test_a_refusal_uses_nothing(clock: Clock) -> None:
    quota = quotas(clock, requests_per_minute=60, tokens_per_minute=600).of("key-1")
    quota.spend(600)
    with pytest.raises(QuotaExceededError, match="tokens"):
        quota.admit()

    assert quota.limits()[0].remaining == 60


def test_overdrawn_tokens_have_to_come_back_first(clock: Clock) -> None:
    quota = quotas(clock, tokens_per_minute=600).of("key-1")
    quota.spend(1200)

    assert quota.limits()[1] == RateLimit("tokens", 600, 0, 120)
    with pytest.raises(QuotaExceededError, match=r"600 tokens per minute.* again in 60\.1 s"):
        quota.admit()
    clock.now += 60.1
    quota.admit()


def test_sessions_of_one_key_share_its_quota_and_other_keys_have_their_own(clock: Clock) -> None:
    all_keys = quotas(clock, requests_per_minute=1)
    all_keys.of("key-1").admit()

    with pytest.raises(QuotaExceededError):
        all_keys.of("key-1").admit()
    all_keys.of("key-2").admit()


def test_a_key_has_so_many_sessions_at_once(clock: Clock) -> None:
    quota = quotas(clock, concurrent_sessions=2).of("key-1")
    with quota:
        quota.check_session()
        with quota, pytest.raises(QuotaExceededError, match="2"):
            quota.check_session()
        quota.check_session()


def test_sessions_are_not_counted_where_there_is_no_limit(clock: Clock) -> None:
    quota = quotas(clock).of("key-1")
    with quota, quota:
        quota.check_session()


def test_who_counts_refusals_is_told_of_what_there_was_too_little(clock: Clock) -> None:
    refused: list[str] = []
    settings = QuotaSettings(requests_per_minute=1, tokens_per_minute=1, concurrent_sessions=1)
    quota = Quotas(settings, clock=clock, on_refused=refused.append).of("key-1")
    quota.admit()
    for _ in range(2):
        with pytest.raises(QuotaExceededError):
            quota.admit()
    clock.now += 60
    quota.spend(1)
    with pytest.raises(QuotaExceededError):
        quota.admit()
    with quota, pytest.raises(QuotaExceededError):
        quota.check_session()

    assert refused == ["requests", "requests", "tokens", "sessions"]
