"""ElevenLabs: what goes out, word marks, sockets per voice, and each way in which it fails."""

import asyncio
import base64
import json
import re
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from elevenlabs.types import CloseContext, InitialiseContext, RealtimeVoiceSettings, SendTextMulti

from providers.contracts import SpeechChunk, TtsOptions, Voice
from providers.elevenlabs import ElevenLabsProvider
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
from providers.tts.elevenlabs import VOICES, ElevenLabsTts
from tests.fakes.elevenlabs_api import FakeElevenLabs, Voiced, elevenlabs_error, ramp
from tests.fakes.websocket import Cut, Garbage, Hesitate, NoHandshake, Plan, Refusal, Stall
from tests.providers.speaking import marks_of, pcm_of, segments

KEY = "el-key-0123456789"
GEORGE = "JBFqnCBsd6RMkjVDRZzb"
PER_CHAR = 24 * 40  # samples


@pytest.fixture
async def fake() -> AsyncGenerator[FakeElevenLabs, None]:
    async with FakeElevenLabs(api_key=KEY) as server:
        yield server


def provider_of(base_url: str, key: str = KEY, **options: Any) -> ElevenLabsProvider:
    table = {"base_url": base_url, "first_byte_timeout": 0.5, "gap_timeout": 0.3, **options}
    return ElevenLabsProvider(ProviderSettings("voices", table, key))


@pytest.fixture
async def provider(fake: FakeElevenLabs) -> AsyncGenerator[ElevenLabsProvider, None]:
    made = provider_of(fake.base_url)
    yield made
    await made.aclose()


@pytest.fixture
def tts(provider: ElevenLabsProvider) -> ElevenLabsTts:
    made = provider.tts("eleven_flash_v2_5")
    assert isinstance(made, ElevenLabsTts)
    return made


async def collect(tts: ElevenLabsTts, *texts: str, options: TtsOptions | None = None) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(segments(*texts), options or TtsOptions(GEORGE))]


# --- What goes out -----------------------------------------------------------------------------------


async def test_a_reply_is_one_context(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    await collect(tts, "Hello,", " you there.")

    exchange = fake.exchanges[0]
    assert exchange.path == f"/v1/text-to-speech/{GEORGE}/multi-stream-input"
    assert exchange.headers["xi-api-key"] == KEY
    assert exchange.query == {
        "model_id": "eleven_flash_v2_5",
        "output_format": "pcm_24000",
        "auto_mode": "true",
        "sync_alignment": "true",
        "enable_ssml_parsing": "true",
        "inactivity_timeout": "180",
    }
    begin, first, second, end = exchange.texts
    context = begin["context_id"]
    assert begin == {"text": " ", "context_id": context}
    assert first == {"text": "Hello, ", "context_id": context, "flush": True}
    assert second == {"text": " you there. ", "context_id": context, "flush": True}
    assert end == {"context_id": context, "close_context": True}
    InitialiseContext.model_validate(begin)
    for message in (first, second):
        assert not SendTextMulti.model_validate(message).model_extra
    assert not CloseContext.model_validate(end).model_extra


async def test_tags_are_understood_unless_told_otherwise(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    pause = '<break time="1.5s" />'
    assert re.fullmatch(tts.tags, pause)
    chunks = await collect(tts, f"Wait. {pause} Go.")
    assert marks_of(chunks)[-1].chars == len(f"Wait. {pause} Go.")

    plain = provider_of(fake.base_url, ssml=False)
    other = plain.tts("eleven_flash_v2_5")
    assert isinstance(other, ElevenLabsTts)
    assert other.tags == ""
    await collect(other, "Hello.")
    assert "enable_ssml_parsing" not in fake.exchanges[1].query
    await plain.aclose()


async def test_speed_and_settings_go_into_the_first_message(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    settings = {"stability": 0.4, "style": 7, "use_speaker_boost": True, "similarity_boost": "no", "x": 1}
    chunks = await collect(tts, "Fast.", options=TtsOptions(GEORGE, speed=1.2, settings=settings))

    said = fake.exchanges[0].texts[0]["voice_settings"]
    assert said == {"stability": 0.4, "use_speaker_boost": True, "speed": 1.2}
    assert not RealtimeVoiceSettings.model_validate(said).model_extra
    assert len(pcm_of(chunks)) == 2 * 24 * round(40 / 1.2) * len("Fast. ")


@pytest.mark.parametrize(("speed", "sent"), [(0.25, 0.7), (1.5, 1.2)])
async def test_speed_stays_within_the_native_range(
    fake: FakeElevenLabs, tts: ElevenLabsTts, speed: float, sent: float
) -> None:
    await collect(tts, "Hello.", options=TtsOptions(GEORGE, speed=speed))
    assert fake.exchanges[0].texts[0]["voice_settings"] == {"speed": sent}


@pytest.mark.parametrize(
    ("model", "language", "sent"),
    [
        ("eleven_flash_v2_5", "de-AT", "de"),
        ("eleven_turbo_v2_5", "EN", "en"),
        ("eleven_flash_v2_5", "tlh", None),
        ("eleven_flash_v2_5", None, None),
        ("eleven_multilingual_v2", "de", None),
    ],
)
async def test_language_goes_where_a_model_takes_it(
    fake: FakeElevenLabs, provider: ElevenLabsProvider, model: str, language: str | None, sent: str | None
) -> None:
    tts = provider.tts(model)
    assert isinstance(tts, ElevenLabsTts)
    await collect(tts, "Hello.", options=TtsOptions(GEORGE, language=language))

    assert fake.exchanges[0].query.get("language_code") == sent
    assert fake.exchanges[0].query["model_id"] == model


async def test_voices_have_names_too(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    await collect(tts, "Hello.", options=TtsOptions("sarah"))

    assert fake.exchanges[0].path.split("/")[3] == "EXAVITQu4vr4xnSDxMaL"
    assert tts.knows_voice("George")
    assert tts.knows_voice(GEORGE)
    assert tts.knows_voice("abcdefghij0123456789")
    assert not tts.knows_voice("../../user")
    assert not tts.knows_voice("Dennis")


async def test_default_voices_are_distinct() -> None:
    assert len({voice.id for voice in VOICES}) == len({voice.name for voice in VOICES}) == len(VOICES)
    assert all(len(voice.id) == 20 for voice in VOICES)


# --- Sound and marks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [False, True])
async def test_sound_is_complete_and_marks_fall_on_words(
    fake: FakeElevenLabs, tts: ElevenLabsTts, odd: bool
) -> None:
    fake.default = Voiced(odd=odd)

    chunks = await collect(tts, "Hello there, ", "how are you?")

    text = "Hello there, how are you? "  # with the space that the service wants
    assert pcm_of(chunks) == ramp(0, PER_CHAR * len(text))
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    ends = [5, 12, 16, 20, 25]
    assert [mark.chars for mark in marks_of(chunks)] == ends
    for mark in marks_of(chunks):
        assert abs(mark.samples - PER_CHAR * mark.chars) <= 1


async def test_marks_are_those_of_the_joined_text(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    """Segments without a space at the end get one on the wire, which the text does not have."""
    chunks = await collect(tts, "One", " two", " three")

    assert [mark.chars for mark in marks_of(chunks)] == [3, 7, 13]


async def test_scripts_without_spaces_are_marked_by_character(
    fake: FakeElevenLabs, tts: ElevenLabsTts
) -> None:
    assert [mark.chars for mark in marks_of(await collect(tts, "你好世界"))] == [1, 2, 3, 4]


@pytest.mark.parametrize("reply", [Voiced(alignment=False, normalized=False), Voiced(alignment=False)])
async def test_without_alignment_the_end_is_marked_at_least(
    fake: FakeElevenLabs, tts: ElevenLabsTts, reply: Voiced
) -> None:
    fake.default = reply

    chunks = await collect(tts, "Hello there.")

    words = [5, 12] if reply.normalized else [12]
    assert [mark.chars for mark in marks_of(chunks)] == words


async def test_either_spelling_is_understood(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    fake.default = Voiced(snake_case=True)
    assert pcm_of(await collect(tts, "Hello.")) == ramp(0, PER_CHAR * 7)


async def test_sound_comes_before_the_text_is_complete(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    more = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "First. "
        await more.wait()
        yield "Second."

    async with aclosing(tts.speak(text(), TtsOptions(GEORGE))) as stream:
        assert (await anext(stream)).pcm
        more.set()
        async for _ in stream:
            pass


# --- Sockets -----------------------------------------------------------------------------------------


async def test_a_voice_keeps_its_socket(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    for voice in (GEORGE, "sarah", "George", GEORGE):
        await collect(tts, "Hello.", options=TtsOptions(voice))

    assert [exchange.path.split("/")[3] for exchange in fake.exchanges] == [GEORGE, "EXAVITQu4vr4xnSDxMaL"]
    contexts = {message["context_id"] for message in fake.exchanges[0].texts}
    assert len(contexts) == 3


async def test_warm_opens_a_socket_for_the_voice_used_last(
    fake: FakeElevenLabs, provider: ElevenLabsProvider, tts: ElevenLabsTts
) -> None:
    fake.script(Plan(Voiced(), Cut(heard=3, code=1011)))
    with pytest.raises(ConnectionFailedError):
        await collect(tts, "Hello.")
    await tts.warm()
    await tts.warm()
    assert len(fake.exchanges) == 2
    await collect(tts, "Hello.")
    assert len(fake.exchanges) == 2
    await provider.aclose()
    await fake.all_closed()


async def test_warm_and_lists_leave_connections_that_sockets_can_use(
    fake: FakeElevenLabs, tts: ElevenLabsTts
) -> None:
    await tts.warm()  # before any use there is no voice to open a socket for
    assert fake.exchanges == []
    await collect(tts, "Hello.")
    await tts.list_voices()
    await collect(tts, "Hello.", options=TtsOptions("sarah"))
    assert len(fake.exchanges) == 2


async def test_many_voices_do_not_keep_many_sockets(tts: ElevenLabsTts, fake: FakeElevenLabs) -> None:
    for number in range(20):
        fake.voices[f"{number:020}"] = f"Voice {number}"
        await collect(tts, "Hello.", options=TtsOptions(f"{number:020}"))
    for exchange in fake.exchanges[:4]:
        await exchange.finished.wait()
    assert fake.open == 16


async def test_closing_early_closes_the_context(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    released = asyncio.Event()
    fake.script(Plan(Voiced(), Hesitate(sent=1, until=released)))
    stream = tts.speak(segments("This would take a while to say."), TtsOptions(GEORGE))
    await anext(stream)
    await stream.aclose()
    exchange = fake.exchanges[0]
    await exchange.until(lambda: exchange.texts[-1].get("close_context") is True)

    # What the service still says about the old context is no part of the next reply.
    released.set()
    assert pcm_of(await collect(tts, "Next.")) == ramp(0, PER_CHAR * 6)
    assert len(fake.exchanges) == 1


async def test_interruptions_do_not_pile_up_contexts(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    """What was flushed is still spoken after its context was closed, and six contexts are too many."""
    stuck = asyncio.Event()
    for _ in range(4):
        fake.script(Plan(Voiced(), Hesitate(sent=1, until=stuck)))
    for _ in range(8):
        stream = tts.speak(segments("This would take a while to say."), TtsOptions(GEORGE))
        try:
            async with asyncio.timeout(0.05):
                await anext(stream)
        except TimeoutError:
            pass  # the service is busy with what nobody hears any more
        await stream.aclose()
    stuck.set()
    assert pcm_of(await collect(tts, "At last.")) == ramp(0, PER_CHAR * 9)
    assert not [sent for exchange in fake.exchanges for sent in exchange.sent if "error" in sent]
    assert max(len({text["context_id"] for text in one.texts}) for one in fake.exchanges) <= 4


async def test_a_socket_closed_by_silence_is_replaced(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    fake.script(Plan(Voiced(), Cut(heard=4, code=1008, reason="inactivity")))
    await collect(tts, "One.")
    assert pcm_of(await collect(tts, "Two.")) == ramp(0, PER_CHAR * 5)
    assert len(fake.exchanges) == 2


# --- Failures ----------------------------------------------------------------------------------------


async def test_a_wrong_key_is_told_without_the_key(fake: FakeElevenLabs) -> None:
    provider = provider_of(fake.base_url, "wrong-key-9876543210")
    tts = provider.tts("eleven_flash_v2_5")
    assert isinstance(tts, ElevenLabsTts)
    with pytest.raises(AuthenticationError) as caught:
        await collect(tts, "Hello.")
    assert "wrong-key" not in str(caught.value)
    with pytest.raises(AuthenticationError) as caught:
        await provider.list_voices()
    assert "wrong-key" not in str(caught.value)
    await provider.aclose()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, AuthenticationError), (422, InvalidRequestError), (429, RateLimitError), (503, OverloadedError)],
)
async def test_a_refused_handshake_is_told_apart(
    fake: FakeElevenLabs, tts: ElevenLabsTts, status: int, kind: type[ProviderError]
) -> None:
    fake.script(Plan(None, Refusal(status, {"detail": {"status": "x", "message": "no"}}, retry_after=3)))
    with pytest.raises(kind) as caught:
        await collect(tts, "Hello.")
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 3.0


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (elevenlabs_error("invalid_api_key", "The key el-key-0123456789 is wrong"), AuthenticationError),
        (elevenlabs_error("quota_exceeded", "You have 0 credits left"), RateLimitError),
        (elevenlabs_error("too_many_concurrent_requests", "Slow down"), RateLimitError),
        (elevenlabs_error("max_active_conversations", "Too many contexts"), RateLimitError),
        (elevenlabs_error("system_busy", "Come back later"), OverloadedError),
        (elevenlabs_error("input_timeout_exceeded", "Too slow"), TimedOutError),
        (elevenlabs_error("voice_id_does_not_exist", "No such voice"), InvalidRequestError),
        (elevenlabs_error("anything_else", "Hm"), InvalidRequestError),
        (elevenlabs_error("anything_else", "Hm", 1011), OverloadedError),
        ({"error": "just words"}, InvalidRequestError),
        ({"error": {"deep": []}, "code": [1]}, InvalidRequestError),
        ({"message": "a status", "code": 429}, RateLimitError),
    ],
)
async def test_a_reported_failure_is_told_apart(
    fake: FakeElevenLabs, tts: ElevenLabsTts, problem: dict[str, Any], kind: type[ProviderError]
) -> None:
    fake.script(Plan(Voiced(problem=problem)))
    with pytest.raises(kind) as caught:
        await collect(tts, "Hello.")
    assert KEY not in str(caught.value)
    assert str(caught.value).startswith("voices answered ")


async def test_an_unknown_voice_is_refused(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    with pytest.raises(InvalidRequestError, match="does not exist"):
        await collect(tts, "Hello.", options=TtsOptions("00000000000000000000"))


async def test_nobody_listens() -> None:
    async with FakeElevenLabs(api_key=KEY) as gone:
        address = gone.base_url
    provider = provider_of(address)
    tts = provider.tts("eleven_flash_v2_5")
    assert isinstance(tts, ElevenLabsTts)
    with pytest.raises(ConnectionFailedError, match="cannot be reached"):
        await collect(tts, "Hello.")
    await tts.warm()
    await provider.aclose()


async def test_a_slow_handshake_is_given_up(fake: FakeElevenLabs) -> None:
    fake.script(Plan(None, NoHandshake()))
    provider = provider_of(fake.base_url, connect_timeout=0.2)
    tts = provider.tts("eleven_flash_v2_5")
    assert isinstance(tts, ElevenLabsTts)
    with pytest.raises(TimedOutError):
        await collect(tts, "Hello.")
    await provider.aclose()


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        (Plan(Voiced(), Stall(sent=0)), TimedOutError),
        (Plan(Voiced(), Stall(sent=1)), TimedOutError),
        (Plan(Voiced(), Cut(sent=1)), ConnectionFailedError),
        (Plan(Voiced(), Cut(sent=1, code=1011, reason="oops")), ConnectionFailedError),
        (Plan(Voiced(), Cut(sent=1, code=1008, reason="quota")), RateLimitError),
        (Plan(Voiced(), Garbage(sent=1)), BadAnswerError),
        (Plan(Voiced(), Garbage(sent=1, data=b"\x00\x01")), BadAnswerError),
        (Plan(Voiced(), Garbage(sent=0, data='{"audio": "&&&"}')), BadAnswerError),
        (Plan(Voiced(), Garbage(sent=0, data='{"audio": 5}')), BadAnswerError),
        (Plan(Voiced(), Garbage(sent=0, data="[1]")), BadAnswerError),
    ],
)
async def test_a_stream_that_goes_wrong(
    fake: FakeElevenLabs, tts: ElevenLabsTts, plan: Plan, kind: type[ProviderError]
) -> None:
    fake.script(plan)
    with pytest.raises(kind):
        await collect(tts, "This is said in several pieces.")
    await fake.all_closed()


ODD = [
    "{}",
    '{"audio": null}',
    '{"audio": ""}',
    '{"unheard": "of"}',
    '{"isFinal": "yes"}',
    '{"isFinal": true, "contextId": "another"}',
    '{"audio": "AAAA", "contextId": ["another"]}',
    '{"alignment": {"chars": ["x"]}}',
]
ALIGNMENTS = [
    5,
    [],
    {},
    {"chars": "abc", "charStartTimesMs": [0], "charDurationsMs": [1]},
    {"chars": [1, None, {}], "charStartTimesMs": ["0", None], "charDurationsMs": [[], True]},
    {"chars": ["a"], "charStartTimesMs": [1e300], "charDurationsMs": [-1e300]},
    {"chars": ["Z", " "], "charStartTimesMs": [0, 1], "charDurationsMs": [1, 1]},
]


@pytest.mark.parametrize("frame", ODD)
async def test_unheard_of_messages_are_passed_over(
    fake: FakeElevenLabs, tts: ElevenLabsTts, frame: str
) -> None:
    fake.script(Plan(Voiced(), Garbage(sent=1, data=frame)))
    assert pcm_of(await collect(tts, "Said in pieces anyhow.")) == ramp(0, PER_CHAR * 23)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
async def test_odd_alignments_cost_marks_at_most(
    fake: FakeElevenLabs, tts: ElevenLabsTts, alignment: Any
) -> None:
    frame = {"audio": base64.b64encode(struct.pack("<2h", 1, 2)).decode(), "alignment": alignment}
    fake.script(Plan(Voiced(), Garbage(sent=0, data=json.dumps(frame))))
    chunks = await collect(tts, "Said anyhow.")
    assert pcm_of(chunks) == struct.pack("<2h", 1, 2) + ramp(0, PER_CHAR * 13)
    assert marks_of(chunks)[-1].chars == 12


# --- Voices and models -------------------------------------------------------------------------------


async def test_voices_are_listed_page_by_page(fake: FakeElevenLabs, tts: ElevenLabsTts) -> None:
    voices = await tts.list_voices()

    assert [voice.name for voice in voices] == ["George", "Sarah", "Mine"]
    assert voices[2] == Voice("abcdefghij0123456789", "Mine", "en")
    assert len(fake.listings) == 2
    assert tts.knows_voice("mine")


@pytest.mark.parametrize("answer", [[], {}, {"voices": 5}, {"voices": None, "has_more": True}])
async def test_a_list_that_is_none(fake: FakeElevenLabs, provider: ElevenLabsProvider, answer: Any) -> None:
    fake.voices_answer = answer
    with pytest.raises(BadAnswerError):
        await provider.list_voices()


async def test_odd_entries_are_left_out_and_pages_end(
    fake: FakeElevenLabs, provider: ElevenLabsProvider
) -> None:
    entries = [{"voice_id": "a", "name": None, "labels": []}, {"voice_id": 5}, None]
    fake.voices_answer = {"voices": entries, "has_more": True, "next_page_token": "0"}
    voices = await provider.list_voices()
    assert set(voices) == {Voice("a", "a")}
    assert len(fake.listings) == 50


async def test_models_and_options() -> None:
    provider = provider_of("http://127.0.0.1:1")
    models = provider.models()
    assert [model.id for model in models] == [
        "eleven_flash_v2_5",
        "eleven_turbo_v2_5",
        "eleven_multilingual_v2",
    ]
    assert all(model.kind == "tts" and model.word_timings and model.languages for model in models)
    assert provider.tts("x") is provider.tts("x")
    with pytest.raises(UnknownModelError):
        provider.tts(" ")
    first = provider.tts("model 0")
    for number in range(100):
        provider.tts(f"model {number}")
    assert provider.tts("model 0") is not first
    with pytest.raises(ValueError, match="did you mean 'base_url'"):
        provider_of("http://127.0.0.1:1", base_urll="x")
    with pytest.raises(ValueError, match="characters that no key has"):
        provider_of("http://127.0.0.1:1", "kéy")
    await provider.aclose()
