"""Cartesia: what goes out, word marks, one pool for all, and each way in which it fails."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from cartesia.types.generation_request import GenerationRequest
from cartesia.types.websocket_client_event import CancelContextRequest

from providers.cartesia import CartesiaProvider
from providers.contracts import SpeechChunk, TtsOptions, Voice
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
from providers.tts.cartesia import VOICES, CartesiaTts
from tests.fakes.cartesia_api import FakeCartesia, Spoken, cartesia_error
from tests.fakes.elevenlabs_api import ramp
from tests.fakes.websocket import Cut, Garbage, Hesitate, NoHandshake, Plan, Refusal, Stall
from tests.providers.speaking import marks_of, pcm_of, segments

KEY = "ca-key-0123456789"
KATIE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
KIEFER = "228fca29-3a0a-435c-8728-5cb483251068"
MINE = "01234567-89ab-cdef-0123-456789abcdef"
PER_CHAR = 24 * 40  # samples


@pytest.fixture
async def fake() -> AsyncGenerator[FakeCartesia, None]:
    async with FakeCartesia(api_key=KEY) as server:
        yield server


def provider_of(base_url: str, key: str = KEY, **options: Any) -> CartesiaProvider:
    table = {"base_url": base_url, "first_byte_timeout": 0.5, "gap_timeout": 0.3, **options}
    return CartesiaProvider(ProviderSettings("voices", table, key))


@pytest.fixture
async def provider(fake: FakeCartesia) -> AsyncGenerator[CartesiaProvider, None]:
    made = provider_of(fake.base_url)
    yield made
    await made.aclose()


def engine(provider: CartesiaProvider, model: str = "sonic-3") -> CartesiaTts:
    made = provider.tts(model)
    assert isinstance(made, CartesiaTts)
    return made


@pytest.fixture
def tts(provider: CartesiaProvider) -> CartesiaTts:
    return engine(provider)


async def collect(tts: CartesiaTts, *texts: str, options: TtsOptions | None = None) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(segments(*texts), options or TtsOptions(KATIE))]


# --- What goes out -----------------------------------------------------------------------------------


async def test_a_reply_is_one_context(fake: FakeCartesia, tts: CartesiaTts) -> None:
    await collect(tts, "Hello, ", "you there.")

    exchange = fake.exchanges[0]
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.headers["cartesia-version"] == "2026-08-14"
    assert exchange.query == {}
    first, second, last = exchange.texts
    same = {
        "context_id": first["context_id"],
        "model_id": "sonic-3",
        "voice": {"mode": "id", "id": KATIE},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
        "add_timestamps": True,
        "use_normalized_timestamps": False,
        "max_buffer_delay_ms": 0,
    }
    assert first == {**same, "transcript": "Hello, ", "continue": True}
    assert second == {**same, "transcript": "you there.", "continue": True}
    assert last == {**same, "transcript": "", "continue": False}
    for message in exchange.texts:
        assert not GenerationRequest.model_validate(message).model_extra


async def test_all_that_can_be_set_is_sent(fake: FakeCartesia, tts: CartesiaTts) -> None:
    settings = {"volume": 1.5, "emotion": "calm", "pronunciation_dict_id": "dict", "unknown": 1}
    options = TtsOptions(KATIE, speed=0.8, language="de-AT", settings=settings)
    chunks = await collect(tts, "Langsam.", options=options)

    message = fake.exchanges[0].texts[0]
    assert message["generation_config"] == {"speed": 0.8, "volume": 1.5, "emotion": "calm"}
    assert message["language"] == "de"
    assert message["pronunciation_dict_id"] == "dict"
    assert "unknown" not in message
    assert not GenerationRequest.model_validate(message).model_extra
    assert len(pcm_of(chunks)) == 2 * PER_CHAR / 0.8 * len("Langsam.")


@pytest.mark.parametrize(("speed", "sent"), [(0.25, 0.6), (1.5, 1.5)])
async def test_speed_stays_within_the_native_range(
    fake: FakeCartesia, tts: CartesiaTts, speed: float, sent: float
) -> None:
    wrong = {"volume": 9, "emotion": 5, "pronunciation_dict_id": 6}
    await collect(tts, "Hello.", options=TtsOptions(KATIE, speed=speed, settings=wrong))
    assert fake.exchanges[0].texts[0]["generation_config"] == {"speed": sent}
    assert "pronunciation_dict_id" not in fake.exchanges[0].texts[0]


@pytest.mark.parametrize(
    ("language", "sent"), [("fil-PH", "tl"), ("nb", "no"), ("EN-us", "en"), ("tlh", None), (None, None)]
)
async def test_languages_are_sent_by_their_codes(
    fake: FakeCartesia, tts: CartesiaTts, language: str | None, sent: str | None
) -> None:
    await collect(tts, "Hello.", options=TtsOptions(KATIE, language=language))
    assert fake.exchanges[0].texts[0].get("language") == sent


# --- Sound and marks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Spoken(), Spoken(odd=True), Spoken(late_timestamps=True)])
async def test_sound_is_complete_and_marks_fall_on_words(
    fake: FakeCartesia, tts: CartesiaTts, reply: Spoken
) -> None:
    fake.default = reply

    chunks = await collect(tts, "Hello there, ", "how are you?\n")

    text = "Hello there, how are you?\n"
    assert pcm_of(chunks) == ramp(0, PER_CHAR * len(text))
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    ends = [5, 12, 16, 20, 25, 26]
    assert [mark.chars for mark in marks_of(chunks)] == ends
    for mark in marks_of(chunks):
        assert abs(mark.samples - PER_CHAR * mark.chars) <= 1


async def test_sound_comes_before_the_text_is_complete(fake: FakeCartesia, tts: CartesiaTts) -> None:
    more = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "First. "
        await more.wait()
        yield "Second."

    async with aclosing(tts.speak(text(), TtsOptions(KATIE))) as stream:
        assert (await anext(stream)).pcm
        more.set()
        async for _ in stream:
            pass


# --- Sockets -----------------------------------------------------------------------------------------


async def test_all_voices_and_models_share_the_sockets(
    fake: FakeCartesia, provider: CartesiaProvider
) -> None:
    for model, voice in (("sonic-3", KATIE), ("sonic-3.5", "kiefer"), ("sonic-latest", KATIE)):
        await collect(engine(provider, model), "Hello.", options=TtsOptions(voice))

    assert len(fake.exchanges) == 1
    assert len({message["context_id"] for message in fake.exchanges[0].texts}) == 3


async def test_warm_opens_one_socket(
    fake: FakeCartesia, provider: CartesiaProvider, tts: CartesiaTts
) -> None:
    await tts.warm()
    await tts.warm()
    await collect(tts, "Hello.")
    assert len(fake.exchanges) == 1
    await provider.aclose()
    await fake.all_closed()


async def test_closing_early_cancels_the_context(fake: FakeCartesia, tts: CartesiaTts) -> None:
    released = asyncio.Event()
    fake.script(Plan(Spoken(after_cancel=2), Hesitate(sent=2, until=released)))
    stream = tts.speak(segments("This would take a while to say."), TtsOptions(KATIE))
    await anext(stream)
    await stream.aclose()
    exchange = fake.exchanges[0]
    await exchange.until(lambda: exchange.texts[-1].get("cancel") is True)
    context = exchange.texts[0]["context_id"]
    assert exchange.texts[-1] == {"context_id": context, "cancel": True}
    CancelContextRequest.model_validate(exchange.texts[-1])

    # What the service still says about the old context is no part of the next reply.
    released.set()
    assert pcm_of(await collect(tts, "Next.")) == ramp(0, PER_CHAR * 5)
    assert fake.cancelled == [context]
    assert len(fake.exchanges) == 1


async def test_a_dead_socket_is_replaced(fake: FakeCartesia, tts: CartesiaTts) -> None:
    fake.script(Plan(Spoken(), Cut(heard=3, code=1006)))
    await collect(tts, "One.")
    assert pcm_of(await collect(tts, "Two.")) == ramp(0, PER_CHAR * 4)
    assert len(fake.exchanges) == 2


# --- Failures ----------------------------------------------------------------------------------------


async def test_a_wrong_key_is_told_without_the_key(fake: FakeCartesia) -> None:
    provider = provider_of(fake.base_url, "wrong-key-9876543210")
    with pytest.raises(AuthenticationError) as caught:
        await collect(engine(provider), "Hello.")
    assert "wrong-key" not in str(caught.value)
    with pytest.raises(AuthenticationError) as caught:
        await provider.list_voices()
    assert "wrong-key" not in str(caught.value)
    await provider.aclose()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(402, AuthenticationError), (403, AuthenticationError), (429, RateLimitError), (500, OverloadedError)],
)
async def test_a_refused_handshake_is_told_apart(
    fake: FakeCartesia, tts: CartesiaTts, status: int, kind: type[ProviderError]
) -> None:
    fake.script(Plan(None, Refusal(status, {"title": "no", "message": "no"}, retry_after=3)))
    with pytest.raises(kind) as caught:
        await collect(tts, "Hello.")
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 3.0


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (cartesia_error(401, "Unauthorized", f"Key {KEY} is wrong"), AuthenticationError),
        (cartesia_error(402, "Payment", "no credits"), AuthenticationError),
        (cartesia_error(429, "Concurrency limited", "Too many contexts"), RateLimitError),
        (cartesia_error(503, "Overloaded", "Come back"), OverloadedError),
        ({"type": "error"}, OverloadedError),
        ({"type": "error", "status_code": "odd", "title": 5, "message": []}, OverloadedError),
        ({"type": "error", "status_code": True}, OverloadedError),
        ({"type": "error", "error": "in the old style", "status_code": 400}, InvalidRequestError),
    ],
)
async def test_a_reported_failure_is_told_apart(
    fake: FakeCartesia, tts: CartesiaTts, problem: dict[str, Any], kind: type[ProviderError]
) -> None:
    fake.script(Plan(Spoken(problem=problem)))
    with pytest.raises(kind) as caught:
        await collect(tts, "Hello.")
    assert KEY not in str(caught.value)
    assert str(caught.value).startswith("voices answered ")


async def test_an_unknown_voice_is_refused(fake: FakeCartesia, tts: CartesiaTts) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(InvalidRequestError, match=f"no voice {nobody}"):
        await collect(tts, "Hello.", options=TtsOptions(nobody))


async def test_voices_are_known_by_id_or_name(tts: CartesiaTts) -> None:
    assert all(tts.knows_voice(voice) for voice in ("Katie", "tessa", KATIE, MINE, "voice_abc123"))
    assert not any(tts.knows_voice(voice) for voice in ("", " ", "Dennis", "alloy", "Mine"))
    assert all(tts.knows_voice(voice.id) for voice in VOICES)
    assert len({voice.id for voice in VOICES}) == len(VOICES)


async def test_too_many_contexts_are_a_rate_limit(provider: CartesiaProvider, fake: FakeCartesia) -> None:
    fake.most_contexts = 1
    tts = engine(provider)
    released = asyncio.Event()
    fake.script(Plan(Spoken(), Hesitate(sent=2, until=released)))
    async with aclosing(tts.speak(segments("One that is longer."), TtsOptions(KATIE))) as first:
        await anext(first)
        with pytest.raises(RateLimitError, match="Too many concurrent"):
            await collect(tts, "Two.")
        released.set()


async def test_nobody_listens() -> None:
    async with FakeCartesia(api_key=KEY) as gone:
        address = gone.base_url
    provider = provider_of(address)
    with pytest.raises(ConnectionFailedError, match="cannot be reached"):
        await collect(engine(provider), "Hello.")
    await engine(provider).warm()
    await provider.aclose()


async def test_a_slow_handshake_is_given_up(fake: FakeCartesia) -> None:
    fake.script(Plan(None, NoHandshake()))
    provider = provider_of(fake.base_url, connect_timeout=0.2)
    with pytest.raises(TimedOutError):
        await collect(engine(provider), "Hello.")
    await provider.aclose()


def chunk(**fields: Any) -> str:
    return json.dumps({"type": "chunk", "done": False, "status_code": 206, **fields})


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        (Plan(Spoken(), Stall(sent=0)), TimedOutError),
        (Plan(Spoken(), Stall(sent=2)), TimedOutError),
        (Plan(Spoken(), Cut(sent=2)), ConnectionFailedError),
        (Plan(Spoken(), Cut(sent=2, code=1011, reason="oops")), ConnectionFailedError),
        (Plan(Spoken(), Garbage(sent=1)), BadAnswerError),
        (Plan(Spoken(), Garbage(sent=1, data=b"\x00\x01")), BadAnswerError),
        (Plan(Spoken(), Garbage(sent=0, data=chunk(data="&&&"))), BadAnswerError),
        (Plan(Spoken(), Garbage(sent=0, data=chunk(data=[]))), BadAnswerError),
        (Plan(Spoken(), Garbage(sent=0, data=chunk())), BadAnswerError),
        (Plan(Spoken(), Garbage(sent=0, data="[1]")), BadAnswerError),
    ],
)
async def test_a_stream_that_goes_wrong(
    fake: FakeCartesia, tts: CartesiaTts, plan: Plan, kind: type[ProviderError]
) -> None:
    fake.script(plan)
    with pytest.raises(kind):
        await collect(tts, "This is said in several pieces.")
    await fake.all_closed()


TIMINGS: list[Any] = [
    5,
    None,
    [],
    {},
    {"words": "ab", "end": [1]},
    {"words": [1, None, {}], "end": ["1", None, []]},
    {"words": ["Said"], "end": [1e300]},
    {"words": ["never"], "start": [0], "end": [0.01]},
]
ODD = [
    "{}",
    '{"type": 5}',
    '{"type": "unheard of"}',
    '{"type": "done", "context_id": "another"}',
    '{"type": "chunk", "context_id": ["another"], "data": "AAAA"}',
    '{"type": "error", "context_id": "another", "status_code": 500}',
    '{"type": "flush_done", "flush_done": true}',
    *(json.dumps({"type": "timestamps", "word_timestamps": timing}) for timing in TIMINGS),
]


@pytest.mark.parametrize("frame", ODD)
async def test_odd_messages_are_passed_over(fake: FakeCartesia, tts: CartesiaTts, frame: str) -> None:
    fake.script(Plan(Spoken(), Garbage(sent=1, data=frame)))
    chunks = await collect(tts, "Said in pieces anyhow.")
    assert pcm_of(chunks) == ramp(0, PER_CHAR * 22)
    assert marks_of(chunks)[-1].chars == 22


async def test_audio_without_a_context_is_ours(fake: FakeCartesia, tts: CartesiaTts) -> None:
    extra = struct.pack("<2h", 1, 2)
    frame = chunk(data=base64.b64encode(extra).decode())
    fake.script(Plan(Spoken(), Garbage(sent=0, data=frame)))
    assert pcm_of(await collect(tts, "Said.")) == extra + ramp(0, PER_CHAR * 5)


# --- Voices and models -------------------------------------------------------------------------------


async def test_voices_are_listed_page_by_page(fake: FakeCartesia, tts: CartesiaTts) -> None:
    await tts.warm()
    voices = await tts.list_voices()

    assert voices == (
        Voice(KATIE, "Katie", "en"),
        Voice(KIEFER, "Kiefer", "en"),
        Voice(MINE, "Mine", "en"),
    )
    assert fake.listings == [{"limit": "100"}, {"limit": "100", "starting_after": KIEFER}]
    await collect(tts, "Hello.", options=TtsOptions("mine"))
    assert fake.exchanges[0].texts[0]["voice"] == {"mode": "id", "id": MINE}


@pytest.mark.parametrize("answer", [[], {}, {"data": 5}, {"data": None, "has_more": True}])
async def test_a_list_that_is_none(fake: FakeCartesia, provider: CartesiaProvider, answer: Any) -> None:
    fake.voices_answer = answer
    with pytest.raises(BadAnswerError):
        await provider.list_voices()


async def test_odd_entries_are_left_out_and_pages_end(fake: FakeCartesia, provider: CartesiaProvider) -> None:
    fake.voices_answer = {"data": [{"id": "a", "name": None, "language": []}, {"id": 5}, 7], "has_more": True}
    assert set(await provider.list_voices()) == {Voice("a", "a")}
    assert len(fake.listings) == 50
    fake.voices_answer = {"data": [None], "has_more": True}
    assert await provider.list_voices() == ()
    assert len(fake.listings) == 51


async def test_models_and_options() -> None:
    provider = provider_of("http://127.0.0.1:1")
    models = provider.models()
    assert [model.id for model in models] == ["sonic-3", "sonic-3.5", "sonic-3.6", "sonic-latest"]
    assert all(model.kind == "tts" and model.word_timings and model.languages for model in models)
    assert provider.tts("x") is provider.tts("x")
    with pytest.raises(UnknownModelError):
        provider.tts(" ")
    first = provider.tts("model 0")
    for number in range(100):
        provider.tts(f"model {number}")
    assert provider.tts("model 0") is not first
    with pytest.raises(ValueError, match="version"):
        provider_of("http://127.0.0.1:1", version="latest")
    with pytest.raises(ValueError, match="characters that no key has"):
        provider_of("http://127.0.0.1:1", "kéy")
    await provider.aclose()
