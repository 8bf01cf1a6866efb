"""The sample for browsers: greets once it is set up, shows what is said, falls silent when spoken to."""

from tests.conformance.client import RATE
from tests.conformance.hearing import VOICE_WORDS, transcript_of, voice, words
from tests.conformance.inworld_samples.samples import (
    ANSWER,
    ANSWER_WORDS,
    Page,
    conversation,
    follow,
    follow_until,
)
from tests.speech import silence

GREETING = "Good day, how can I help?"
LONG_STORY = "[[pace 50]] [[words 400]]"


async def test_it_greets_once(samples_url: str) -> None:
    page = Page()
    async with conversation(samples_url) as talk:
        await follow(talk, page, 1)
        await talk.append(voice() + silence(2_000, RATE))
        await follow(talk, page, 1)

    assert page.ready == 1  # a session.updated that nobody asked for would make it greet again
    assert [who for who, _ in page.transcript] == ["agent", "user", "agent"]


async def test_its_token_may_be_a_bearers(samples_url: str) -> None:
    page = Page()
    async with conversation(samples_url, "Bearer") as talk:
        await follow(talk, page, 1)

    assert page.transcript == [["agent", GREETING]]


async def test_nothing_is_shown_twice(samples_url: str) -> None:
    page = Page()
    async with conversation(samples_url) as talk:
        await follow(talk, page, 1)
        await talk.append(voice() + silence(2_000, RATE))
        await follow(talk, page, 1)

    (_, greeting), (_, heard), (_, answer) = page.transcript
    assert greeting == GREETING
    assert words(heard) == VOICE_WORDS
    assert words(answer) == ANSWER_WORDS
    # It adds up every kind of delta, so that a text which came by two of them would be shown doubled.
    assert [before for before, _ in page.overwritten] == [after for _, after in page.overwritten]


async def test_what_it_plays_is_what_it_shows(samples_url: str) -> None:
    page = Page(ANSWER)
    async with conversation(samples_url) as talk:
        await follow(talk, page, 1)

    assert words(await transcript_of(page.speech, RATE)) == words(page.transcript[0][1])


async def test_it_is_interrupted_and_hears_the_next_answer_whole(samples_url: str) -> None:
    page = Page(LONG_STORY)
    async with conversation(samples_url) as talk:
        await follow_until(talk, page, lambda: bool(page.speech))
        await talk.append(voice() + silence(2_000, RATE))
        await follow(talk, page, 2)
        story, answer = [e["response"] for e in talk.events if e["type"] == "response.done"]
        errors = [e["error"]["code"] for e in talk.events if e["type"] == "error"]

    assert page.interruptions == 1
    assert (story["status"], story["status_details"]["reason"]) == ("cancelled", "turn_detected")
    assert answer["status"] == "completed"  # the page's own cancel, which came late, met nothing
    assert set(errors) <= {"response_cancel_not_active"}
    assert [words(text) for _, text in page.transcript[-2:]] == [VOICE_WORDS, ANSWER_WORDS]
    # What was left of the story is not played into the answer.
    assert words(await transcript_of(page.speech, RATE)) == ANSWER_WORDS
