"""Speech by Deepgram: what goes out, flushes and their limit, sockets that are used again, failures."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import SpeechChunk, TextMark, TtsOptions, Voice
from providers.deepgram import DeepgramProvider
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.provider import ProviderSettings
from providers.tts import deepgram_aura
from providers.tts.deepgram_aura import MAX_EARLY_FLUSHES, SAMPLE_RATE, DeepgramAuraTts
from tests.fakes.deepgram_api import FakeDeepgram
from tests.fakes.deepgram_speech import MAX_CHARS, Speech, spoken
from tests.fakes.websocket import Cut, Fault, Garbage, Hesitate, Plan, Refusal, Stall
from tests.providers.speaking import marks_of, pcm_of, segments

THALIA, LARA = "aura-2-thalia-en", "aura-2-lara-de"
FLUSH, CLEAR = {"type": "Flush"}, {"type": "Clear"}


@pytest.fixture
async def fake() -> AsyncGenerator[FakeDeepgram, None]:
    async with FakeDeepgram() as server, asyncio.timeout(20):
        yield server


def provider_of(base_url: str, key: str, **options: Any) -> DeepgramProvider:
    table = {"base_url": base_url, "first_byte_timeout": 5.0, "gap_timeout": 5.0, **options}
    return DeepgramProvider(ProviderSettings("lab", table, key))


@pytest.fixture
async def provider(fake: FakeDeepgram) -> AsyncGenerator[DeepgramProvider, None]:
    made = provider_of(fake.base_url, fake.api_key)
    yield made
    await made.aclose()


def engine(provider: DeepgramProvider, model: str = "aura-2") -> DeepgramAuraTts:
    made = provider.tts(model)
    assert isinstance(made, DeepgramAuraTts)
    return made


@pytest.fixture
def tts(provider: DeepgramProvider) -> DeepgramAuraTts:
    return engine(provider)


async def collect(
    tts: DeepgramAuraTts, *texts: str, voice: str = THALIA, speed: float = 1.0
) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(segments(*texts), TtsOptions(voice, speed))]


# --- What goes out, and what comes back ------------------------------------------------------------------


async def test_each_segment_is_flushed_and_marked_at_its_end(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    chunks = await collect(tts, "Hello, ", "how are you? ")

    exchange = await fake.exchange(0)
    assert exchange.texts[:3] == [
        {"type": "Speak", "text": "Hello, "},
        FLUSH,
        {"type": "Speak", "text": "how are you? "},
    ]
    assert exchange.texts[3] == FLUSH
    assert exchange.headers["authorization"] == f"Token {fake.api_key}"
    assert exchange.query == {"model": THALIA, "encoding": "linear16", "sample_rate": "24000"}
    first, second = spoken("Hello, "), spoken("how are you? ")
    assert pcm_of(chunks) == first + second
    assert marks_of(chunks) == [TextMark(7, len(first) // 2), TextMark(20, len(first + second) // 2)]
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)


@pytest.mark.parametrize("size", [1, 2, 4801, 1_000_000])
async def test_samples_are_whole_wherever_messages_end(
    fake: FakeDeepgram, tts: DeepgramAuraTts, size: int
) -> None:
    fake.default = Speech(chunk_bytes=size)
    text = "Hi." if size == 1 else "Hello there."
    chunks = await collect(tts, text)

    assert pcm_of(chunks) == spoken(text)
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)


async def test_sound_comes_before_the_text_is_complete(tts: DeepgramAuraTts) -> None:
    more = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "First. "
        await more.wait()
        yield "Second."

    sound = b""
    async with aclosing(tts.speak(text(), TtsOptions(THALIA))) as stream:
        async for chunk in stream:
            sound += chunk.pcm
            if sound == spoken("First. "):
                more.set()
    assert sound == spoken("First. ") + spoken("Second.")


async def test_an_end_that_is_known_late_is_found(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    spoke = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "All there is."
        await spoke.wait()

    chunks = []
    async with aclosing(tts.speak(text(), TtsOptions(THALIA))) as stream:
        async for chunk in stream:
            chunks.append(chunk)
            if chunk.marks:
                spoke.set()
    assert pcm_of(chunks) == spoken("All there is.")
    assert (await fake.exchange(0)).texts[1:] == [FLUSH, CLEAR]
    assert pcm_of(await collect(tts, "Next.")) == spoken("Next.")
    assert len(fake.exchanges) == 1


async def test_nothing_to_say_opens_no_conversation(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    assert pcm_of(await collect(tts)) == b""
    assert pcm_of(await collect(tts, " ", "\n")) == b""
    assert all(exchange.texts == [] for exchange in fake.exchanges)


async def test_what_has_no_sound_is_marked_all_the_same(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    fake.default = Speech(mutes=True)

    assert marks_of(await collect(tts, "... ", "!")) == [TextMark(4, 0), TextMark(5, 0)]


async def test_a_long_segment_is_sent_in_messages_of_the_size_allowed(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    fake.default = Speech(chunk_bytes=1_000_000)
    text = "A sentence of some length, which goes on. " * 120 + "x" * 2500
    chunks = await collect(tts, text)

    parts = [message["text"] for message in (await fake.exchange(0)).texts if message["type"] == "Speak"]
    assert "".join(parts) == text
    assert max(map(len, parts)) <= MAX_CHARS
    assert all(part.endswith(". ") for part in parts[:2])
    assert marks_of(chunks)[-1].chars == len(text)


# --- Flushes are limited ---------------------------------------------------------------------------------


async def test_a_reply_of_many_segments_stays_below_the_limit(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    texts = [f"Clause number {n}, " for n in range(40)]
    chunks = await collect(tts, *texts)

    exchange = await fake.exchange(0)
    assert exchange.texts.count(FLUSH) == MAX_EARLY_FLUSHES + 1
    assert all(message["type"] != "Warning" for message in exchange.sent if isinstance(message, dict))
    assert len(pcm_of(chunks)) == 2 * sum(len(spoken(text)) // 2 for text in texts)
    assert marks_of(chunks)[-1].chars == sum(map(len, texts))
    assert len(fake.exchanges) == 1


async def test_a_socket_that_was_flushed_too_often_is_replaced(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    for _ in range(MAX_EARLY_FLUSHES + 2):
        assert pcm_of(await collect(tts, "Yes.")) == spoken("Yes.")

    assert len(fake.exchanges) == 2
    await fake.exchanges[0].finished.wait()
    assert fake.exchanges[0].texts.count(FLUSH) == MAX_EARLY_FLUSHES


async def test_flushes_of_long_ago_do_not_count(
    fake: FakeDeepgram, tts: DeepgramAuraTts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram_aura, "FLUSH_WINDOW_S", 0.0)
    for _ in range(MAX_EARLY_FLUSHES + 2):
        await collect(tts, "Yes.")

    assert len(fake.exchanges) == 1


async def test_a_flush_that_is_refused_at_the_end_is_a_rate_limit(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    told = {"type": "Warning", "code": "EXCESSIVE_FLUSH", "description": "Cannot process any more Flush"}
    fake.script(Plan(Speech(), Garbage(sent=2, data=json.dumps(told)), Stall(sent=2)))

    with pytest.raises(RateLimitError, match="EXCESSIVE_FLUSH"):
        await collect(tts, "Hello there.")


# --- Voices ----------------------------------------------------------------------------------------------


async def test_voices_of_the_family_go_by_both_names(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    assert tts.voices is not None
    assert Voice(THALIA, "Thalia", "en") in tts.voices
    assert len({voice.id for voice in tts.voices}) == len({voice.name for voice in tts.voices}) > 80
    assert all(tts.knows_voice(voice.id) and tts.knows_voice(voice.name.lower()) for voice in tts.voices)
    assert tts.knows_voice("aura-2-brandnew-pt")
    for unknown in ("", "Dennis", "aura-zeus-en", "aura-2-thalia", "../thalia"):
        assert not tts.knows_voice(unknown)

    await collect(tts, "Hallo.", voice="Lara")
    await collect(tts, "Hello.", voice=THALIA)
    assert [exchange.query["model"] for exchange in fake.exchanges] == [LARA, THALIA]


async def test_a_voice_can_be_a_model(fake: FakeDeepgram, provider: DeepgramProvider) -> None:
    tts = engine(provider, LARA)

    assert tts.voices == (Voice(LARA, "Lara", "de"),)
    assert tts.knows_voice("Dennis")
    assert not tts.knows_voice(" ")
    await collect(tts, "Hallo.", voice="Dennis")
    assert fake.exchanges[0].query["model"] == LARA


async def test_the_older_family_has_voices_too(fake: FakeDeepgram, provider: DeepgramProvider) -> None:
    tts = engine(provider, "aura")

    assert tts.knows_voice("zeus")
    assert not tts.knows_voice(THALIA)
    await collect(tts, "Hello.", voice="zeus")
    assert fake.exchanges[0].query["model"] == "aura-zeus-en"


async def test_only_voices_that_have_a_pace_are_told_one(
    fake: FakeDeepgram, provider: DeepgramProvider
) -> None:
    assert engine(provider).speeds == engine(provider, LARA).speeds == (1.0, 1.0)
    assert engine(provider, THALIA).speeds == (0.7, 1.5)

    for speed, sent in ((1.2, "1.2"), (0.25, "0.7"), (1.0, None)):
        await collect(engine(provider, THALIA), "Hello.", speed=speed)
        assert fake.exchanges[-1].query.get("speed") == sent
    await collect(engine(provider, LARA), "Hallo.", speed=1.2)
    assert "speed" not in fake.exchanges[-1].query


async def test_models_go_by_name_and_options_are_sent(fake: FakeDeepgram) -> None:
    lab = provider_of(fake.base_url, fake.api_key, mip_opt_out=True, tags=["x"])
    assert lab.tts("aura-2") is lab.tts("aura-2")
    with pytest.raises(UnknownModelError):
        lab.tts("")
    await collect(engine(lab), "Hello.")
    assert fake.exchanges[0].query["mip_opt_out"] == "true"
    await lab.aclose()
    await fake.all_closed()


# --- Sockets ---------------------------------------------------------------------------------------------


async def test_replies_share_a_socket_per_voice(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    for voice in (THALIA, LARA, THALIA, LARA):
        assert pcm_of(await collect(tts, "Hello.", voice=voice)) == spoken("Hello.")
    assert len(fake.exchanges) == 2


async def test_warm_has_a_socket_ready_for_the_voice_used_last(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    fake.script(Plan(Speech(chunk_bytes=1_000_000), Cut(sent=3)))
    await collect(tts, "Hello.", voice=LARA)
    await fake.all_closed()
    await tts.warm()
    await tts.warm()
    await collect(tts, "Hello.", voice=LARA)
    assert len(fake.exchanges) == 2


async def test_a_reply_may_follow_a_warming(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    await tts.warm()  # nobody has used a voice yet
    assert fake.exchanges == []
    assert pcm_of(await collect(tts, "Hello.")) == spoken("Hello.")


async def test_warm_has_a_socket_ready_for_the_only_voice(
    fake: FakeDeepgram, provider: DeepgramProvider
) -> None:
    tts = engine(provider, THALIA)
    await tts.warm()
    assert fake.exchanges[0].query["model"] == THALIA
    await collect(tts, "Hello.")
    assert len(fake.exchanges) == 1


@pytest.mark.parametrize("late", [False, True])
async def test_closing_early_clears_what_is_left_and_keeps_the_socket(
    fake: FakeDeepgram, tts: DeepgramAuraTts, late: bool
) -> None:
    fake.default = Speech(hold=asyncio.Event(), answers_late=late)
    async with aclosing(tts.speak(segments("This takes ", "a while to say."), TtsOptions(THALIA))) as stream:
        await anext(stream)
    exchange = await fake.exchange(0)
    assert exchange.texts[-1] == CLEAR

    # What the service still says of the old reply is no part of the next one.
    fake.default.hold.set()
    for text in ("Next.", "And one more."):
        chunks = await collect(tts, text)
        assert pcm_of(chunks) == spoken(text)
        assert marks_of(chunks) == [TextMark(len(text), len(spoken(text)) // 2)]
    assert len(fake.exchanges) == 1


async def test_cancelling_the_task_clears_too(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    fake.default = Speech(hold=asyncio.Event())
    task = asyncio.create_task(collect(tts, "This takes a while to say."))
    exchange = await fake.exchange(0)
    await exchange.until(lambda: any(isinstance(message, bytes) for message in exchange.sent))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert exchange.texts[-1] == CLEAR


async def test_a_service_that_does_not_clear_loses_its_socket(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    fake.script(Plan(Speech(), Stall(sent=2)))
    stream = tts.speak(segments("This takes a while to say."), TtsOptions(THALIA))
    await anext(stream)
    await stream.aclose()
    await fake.all_closed()


async def test_a_dead_socket_is_replaced(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    fake.script(Plan(Speech(), Cut(heard=3)))
    await collect(tts, "One.")
    assert pcm_of(await collect(tts, "Two.")) == spoken("Two.")
    assert len(fake.exchanges) == 2


async def test_sessions_that_speak_at_once_have_sockets_of_their_own(
    fake: FakeDeepgram, tts: DeepgramAuraTts
) -> None:
    texts = [f"Session number {n}." for n in range(6)]
    sounds = await asyncio.gather(*(collect(tts, text) for text in texts))

    assert [pcm_of(chunks) for chunks in sounds] == [spoken(text) for text in texts]
    assert fake.most_open == 6


# --- Failures --------------------------------------------------------------------------------------------


async def failure(fake: FakeDeepgram, key: str | None = None, **options: Any) -> ProviderError:
    lab = provider_of(fake.base_url, key or fake.api_key, **options)
    with pytest.raises(ProviderError) as caught:
        await collect(engine(lab), "Hello there, how are you?")
    await lab.aclose()
    await fake.all_closed()
    assert "fake-key" not in str(caught.value)
    assert caught.value.provider == "lab"
    return caught.value


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refusal(429, retry_after=3), RateLimitError),
        (Refusal(503), OverloadedError),
        (Stall(), TimedOutError),
        (Stall(sent=2), TimedOutError),
        (Garbage(sent=1), BadAnswerError),
        (Garbage(sent=1, data="[1]"), BadAnswerError),
        (Cut(sent=2), ConnectionFailedError),
        (Cut(sent=2, code=1011, reason="NET-0000"), ConnectionFailedError),
        (Cut(heard=1, code=1008, reason="DATA-0000"), InvalidRequestError),
        (Cut(heard=1, code=1009, reason="BIG-0001"), InvalidRequestError),
        (Hesitate(sent=1, until=asyncio.Event()), TimedOutError),
    ],
)
async def test_each_failure_is_told_as_what_it_is(
    fake: FakeDeepgram, fault: Fault, kind: type[ProviderError]
) -> None:
    fake.script(Plan(None, fault))
    hasty: dict[str, Any] = {"connect_timeout": 0.3, "first_byte_timeout": 0.3, "gap_timeout": 0.3}
    error = await failure(fake, **(hasty if kind is TimedOutError else {}))

    assert isinstance(error, kind)
    if isinstance(error, RateLimitError):
        assert error.retry_after == 3


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"error_code": 401, "error_message": "no", "request_id": "x"}, AuthenticationError),
        ({"error_code": 429, "error_message": "slowly"}, RateLimitError),
        ({"error_code": "429", "error_message": ["slowly"]}, OverloadedError),
        ({"error_code": True}, OverloadedError),
        ({"err_code": "INVALID_QUERY", "err_msg": "no"}, InvalidRequestError),
        ({"type": "Error", "code": "TOO_MANY_REQUESTS", "description": "no"}, RateLimitError),
        ({"type": "Error"}, OverloadedError),
    ],
)
async def test_a_reported_failure_is_told_apart(
    fake: FakeDeepgram, message: dict[str, Any], kind: type[ProviderError]
) -> None:
    fake.script(Plan(Speech(), Garbage(sent=1, data=json.dumps(message))))

    assert type(await failure(fake)) is kind


async def test_no_sound_is_a_bad_answer(fake: FakeDeepgram) -> None:
    fake.default = Speech(mutes=True)

    assert isinstance(await failure(fake), BadAnswerError)


async def test_an_unknown_voice_is_refused(fake: FakeDeepgram, provider: DeepgramProvider) -> None:
    with pytest.raises(InvalidRequestError):
        await collect(engine(provider, "sonata-3"), "Hello.")


async def test_nobody_listens() -> None:
    lab = provider_of("http://127.0.0.1:1", "k")
    await engine(lab).warm()
    with pytest.raises(ConnectionFailedError):
        await collect(engine(lab), "Hello.")
    await lab.aclose()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": 5},
        {"type": "Metadata"},
        {"type": "Flushed"},
        {"type": "Cleared", "sequence_id": {}},
        {"type": "Warning", "code": 1, "description": None},
        {"type": "Unheard"},
    ],
)
async def test_odd_messages_are_passed_over(
    fake: FakeDeepgram, tts: DeepgramAuraTts, message: dict[str, Any]
) -> None:
    fake.script(Plan(Speech(), Garbage(sent=0, data=json.dumps(message))))

    assert pcm_of(await collect(tts, "Said anyhow.")) == spoken("Said anyhow.")


async def test_the_rate_is_the_one_that_is_asked_for(fake: FakeDeepgram, tts: DeepgramAuraTts) -> None:
    await collect(tts, "Hello.")
    assert fake.exchanges[0].query["sample_rate"] == str(SAMPLE_RATE) == str(tts.sample_rate)
