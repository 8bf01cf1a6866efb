"""Inworld's transcription: what goes out, what turns become, and every way in which it can fail."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import (
    EndOfTurn,
    Stt,
    SttEvent,
    SttOptions,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
)
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.inworld import InworldProvider
from providers.provider import ProviderSettings
from providers.stt.inworld import transcribe_config
from tests.fakes.inworld_api import FakeInworld, Heard, Turn, status
from tests.fakes.websocket import Cut, Fault, Garbage, Hesitate, Message, Plan, Refusal, Stall

FRAME = 640  # bytes: 20 ms, as a session hands them over


@pytest.fixture
async def fake() -> AsyncGenerator[FakeInworld, None]:
    async with FakeInworld() as server:
        yield server


@pytest.fixture
async def make(fake: FakeInworld) -> AsyncGenerator[Callable[..., Stt], None]:
    made: list[InworldProvider] = []

    def stt(model: str = "inworld-stt-1", *, key: str | None = None, **options: Any) -> Stt:
        settings = {"base_url": fake.base_url, "gap_timeout": 2.0, **options}
        made.append(InworldProvider(ProviderSettings("inworld", settings, key or fake.api_key)))
        return made[-1].stt(model)

    yield stt
    for provider in made:
        await provider.aclose()


def numbered(seconds: float) -> bytes:
    """Audio in which no two samples of a second are the same."""
    return b"".join((at % 65_536).to_bytes(2, "little") for at in range(round(seconds * 16_000)))


async def played(pcm: bytes, size: int = FRAME) -> AsyncIterator[bytes]:
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]
        await asyncio.sleep(0)


async def collect(
    stt: Stt, audio: bytes | AsyncIterator[bytes], options: SttOptions | None = None
) -> list[SttEvent]:
    pcm = played(audio) if isinstance(audio, bytes) else audio
    async with asyncio.timeout(10):
        return [event async for event in stt.transcribe(pcm, options or SttOptions())]


async def collect_until(
    stt: Stt, audio: bytes, last: SttEvent, options: SttOptions | None = None
) -> list[SttEvent]:
    """All events, where the audio does not end before this one was told."""
    told = asyncio.Event()

    async def talking() -> AsyncIterator[bytes]:
        async for chunk in played(audio):
            yield chunk
        await told.wait()

    events = []
    async with asyncio.timeout(10):
        async for event in stt.transcribe(talking(), options or SttOptions()):
            events.append(event)
            if event == last:
                told.set()
    return events


def final_of(events: Sequence[SttEvent]) -> TranscriptFinal:
    assert isinstance(events[-1], TranscriptFinal)
    assert sum(isinstance(event, TranscriptFinal) for event in events) == 1
    assert "".join(event.text for event in events if isinstance(event, TranscriptDelta)) == events[-1].text
    return events[-1]


def kinds(messages: Sequence[Message]) -> list[str]:
    return [next(iter(message)) for message in messages if isinstance(message, dict)]


def sent_audio(messages: Sequence[Message]) -> list[bytes]:
    chunks = [
        message["audioChunk"] for message in messages if isinstance(message, dict) and "audioChunk" in message
    ]
    return [base64.b64decode(chunk["content"]) for chunk in chunks]


# --- The transcript ----------------------------------------------------------------------------------


async def test_a_turn_is_guessed_settled_and_ended(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    fake.script(Plan(Heard((Turn("good morning", guesses=("could", "good", "good morning")),))))

    events = await collect_until(make(), numbered(1.6), EndOfTurn(1.0))

    assert events == [
        TranscriptGuess("could"),
        TranscriptGuess("good"),
        TranscriptGuess("good morning"),
        TranscriptDelta("good morning"),
        EndOfTurn(1.0),
        TranscriptFinal("good morning"),
    ]


async def test_several_turns_are_joined_and_speech_takes_back_an_end(
    fake: FakeInworld, make: Callable[..., Stt]
) -> None:
    fake.script(Plan(Heard((Turn("good morning."), Turn("How are you?", starts=0.2)))))

    events = await collect_until(make(), numbered(2.7), TranscriptGuess("good morning. How are you?"))

    assert final_of(events).text == "good morning. How are you?"
    assert [event.probability for event in events if isinstance(event, EndOfTurn)] == [1.0, 0.0]
    guesses = [event.text for event in events if isinstance(event, TranscriptGuess)]
    assert guesses[-1] == "good morning. How are you?"


async def test_noise_taken_for_speech_gives_the_end_back(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    fake.script(Plan(Heard((Turn("yes", seconds=0.5), Turn("", seconds=0.3)))))
    told = asyncio.Event()

    async def talking() -> AsyncIterator[bytes]:
        yield numbered(1.7)
        await told.wait()

    events = []
    async with asyncio.timeout(10):
        async for event in make().transcribe(talking(), SttOptions()):
            events.append(event)
            if sum(isinstance(one, EndOfTurn) for one in events) == 3:
                told.set()

    ends = [event.probability for event in events if isinstance(event, EndOfTurn)]
    assert ends == [1.0, 0.0, 1.0]
    assert final_of(events).text == "yes"


@pytest.mark.parametrize(
    "heard",
    [Heard(()), Heard((), last_final=False), Heard((Turn(""),)), Heard((), usage=False, speech_events=False)],
)
async def test_silence_gives_an_empty_final(
    fake: FakeInworld, make: Callable[..., Stt], heard: Heard
) -> None:
    fake.script(Plan(heard))

    assert await collect(make(), numbered(1.0)) == [TranscriptFinal("")]
    assert len(fake.exchanges) == 1


async def test_no_audio_asks_nobody(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    assert await collect(make(), b"") == [TranscriptFinal("")]
    assert fake.exchanges == []


@pytest.mark.parametrize("heard", [Heard(closes=False), Heard(usage=False), Heard(speech_events=False)])
async def test_the_end_of_the_audio_is_the_end_of_the_turn(
    fake: FakeInworld, make: Callable[..., Stt], heard: Heard
) -> None:
    fake.script(Plan(heard))

    events = await collect(make(), numbered(1.1))  # the service would have waited longer

    assert final_of(events).text == "hello there"
    assert not [event for event in events if isinstance(event, EndOfTurn)]
    exchange = fake.exchanges[0]
    assert kinds(exchange.received)[-1] == "closeStream"
    assert "endTurn" not in kinds(exchange.received)


async def test_audio_goes_out_complete_in_pieces_of_50_to_100_ms(
    fake: FakeInworld, make: Callable[..., Stt]
) -> None:
    pcm = numbered(1.03)

    await collect(make(), played(pcm, 334))

    pieces = sent_audio(fake.exchanges[0].received)
    assert b"".join(pieces)[: len(pcm)] == pcm
    assert all(1600 <= len(piece) <= 3200 for piece in pieces)
    assert kinds(fake.exchanges[0].received)[0] == "transcribeConfig"


async def test_audio_that_comes_while_connecting_waits(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    pcm = numbered(1.5)
    fake.script(Plan(Heard()))

    events = await collect(make(), played(pcm, len(pcm)))

    assert final_of(events).text == "hello there"
    assert b"".join(sent_audio(fake.exchanges[0].received)) == pcm


async def test_the_voice_is_described_where_that_is_asked_for(
    fake: FakeInworld, make: Callable[..., Stt]
) -> None:
    options = SttOptions(settings={"voice_profile": {"top_n": 1}})

    profile = final_of(await collect(make(), numbered(1.6), options)).voice_profile

    assert profile is not None
    assert set(profile) == {"age", "gender", "emotion", "vocalStyle", "accent", "pitch"}
    assert profile["age"] == [{"label": "adult", "confidence": 0.9}]
    assert final_of(await collect(make(), numbered(1.6))).voice_profile is None


# --- What goes out -----------------------------------------------------------------------------------


def test_options_go_to_the_fields_of_the_service() -> None:
    options = SttOptions(
        language="en-US",
        prompt="A call to a bank.",
        keywords=("IBAN", "Sparkasse"),
        delay="low",
        settings={
            "voice_profile": True,
            "end_of_turn_confidence_threshold": 0.7,
            "vad_threshold": 0.4,
            "maxTurnSilence": 1200,
        },
    )

    assert transcribe_config("inworld/inworld-stt-1", options) == {
        "modelId": "inworld/inworld-stt-1",
        "audioEncoding": "LINEAR16",
        "sampleRateHertz": 16_000,
        "numberOfChannels": 1,
        "includeWordTimestamps": True,
        "language": "en-US",
        "prompts": ["A call to a bank.", "IBAN", "Sparkasse"],
        "endOfTurnConfidenceThreshold": 0.7,
        "voiceProfileConfig": {"enableVoiceProfile": True},
        "inworldSttV1Config": {
            "vadThreshold": 0.4,
            "minEndOfTurnSilenceWhenConfident": 240,
            "maxTurnSilence": 1200,
        },
    }


def test_models_of_others_have_settings_of_their_own() -> None:
    options = SttOptions(
        prompt="A call.",
        keywords=("IBAN",),
        languages=("de", "en"),
        settings={"min_end_of_turn_silence": 300},
    )

    soniox = transcribe_config("soniox/stt-rt-v4", options)
    assembly = transcribe_config("assemblyai/u3-rt-pro", options)

    assert soniox["sonioxConfig"] == {
        "languageHints": ["de", "en"],
        "context": {"text": "A call.", "terms": ["IBAN"]},
    }
    assert assembly["assemblyaiConfig"] == {"minEndOfTurnSilenceWhenConfident": 300}
    assert "language" not in soniox | assembly
    assert "inworldSttV1Config" not in soniox | assembly


@pytest.mark.parametrize(
    "settings",
    [
        {"vad_threshold": 1.5},
        {"vad_threshold": "0.5"},
        {"vad_threshold": float("nan")},
        {"max_turn_silence": 5},
        {"min_end_of_turn_silence": True},
        {"end_of_turn_confidence_threshold": -0.1},
        {"voice_profile": "yes"},
        {"voice_profile": False},
        {"language_hints": "de"},
        {"unknown": 1},
    ],
)
def test_settings_out_of_range_are_left_out(settings: dict[str, Any]) -> None:
    plain = transcribe_config("inworld/inworld-stt-1", SttOptions())

    assert transcribe_config("inworld/inworld-stt-1", SttOptions(settings=settings)) == plain


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("inworld-stt-1", "inworld/inworld-stt-1"),
        ("soniox/stt-rt-v4", "soniox/stt-rt-v4"),
        ("assemblyai/universal-streaming-english", "assemblyai/universal-streaming-english"),
    ],
)
async def test_models_go_by_the_names_of_the_service(
    fake: FakeInworld, make: Callable[..., Stt], name: str, sent: str
) -> None:
    await collect(make(name), numbered(1.6))

    config = fake.exchanges[0].texts[0]["transcribeConfig"]
    assert config["modelId"] == sent
    assert fake.exchanges[0].headers["authorization"] == f"Basic {fake.api_key}"


# --- Failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refusal(401, status(16, "no")), AuthenticationError),
        (Refusal(429, status(8, "slow down"), retry_after=7), RateLimitError),
        (Refusal(503, "<html>"), OverloadedError),
        (Refusal(400, status(3, "bad")), InvalidRequestError),
        (Garbage(1, "{"), BadAnswerError),
        (Garbage(1, b"\0\0"), BadAnswerError),
        (Garbage(1, "[]"), BadAnswerError),
        (Garbage(1, '{"result": 5}'), BadAnswerError),
        (Garbage(1, '{"hello": {}}'), BadAnswerError),
        (Garbage(1, '{"result": {"transcription": {"transcript": 5}}}'), BadAnswerError),
        (Garbage(1, '{"error": {"code": 8, "message": "too many"}}'), RateLimitError),
        (Garbage(1, '{"error": {"code": 16, "message": "expired"}}'), AuthenticationError),
        (Garbage(1, '{"error": {"code": 3, "message": "bad audio"}}'), InvalidRequestError),
        (Garbage(1, '{"error": {"code": 4, "message": "late"}}'), TimedOutError),
        (Garbage(1, '{"error": "out of order"}'), OverloadedError),
        (Stall(2), TimedOutError),
    ],
)
async def test_failures_are_told_as_what_they_are(
    fake: FakeInworld, make: Callable[..., Stt], fault: Fault, error: type[ProviderError]
) -> None:
    # What reports an internal fault is worth another connection, and fails there again.
    fake.script(*[Plan(Heard(), fault)] * 3)

    with pytest.raises(error) as caught:
        await collect(make(connect_timeout=0.3, gap_timeout=0.3), numbered(1.6))

    assert type(caught.value) is error
    assert fake.api_key not in str(caught.value)
    if isinstance(caught.value, RateLimitError) and isinstance(fault, Refusal):
        assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "odd",
    [
        '{"result": {}}',
        '{"result": {"speechStarted": {"startTimeMs": "x"}}}',
        '{"result": {"speechStarted": 1, "speechStopped": null}}',
        '{"result": {"transcription": null, "usage": []}}',
        '{"result": {"transcription": {}}}',
        '{"result": {"transcription": {"transcript": "", "isFinal": true, "wordTimestamps": [1, null]}}}',
        '{"result": {"transcription": {"transcript": "", "isFinal": true, "wordTimestamps": {"a": 1}}}}',
        '{"result": {"transcription": {"voiceProfile": "loud"}}}',
        '{"result": {"somethingNew": {"a": 1}}, "more": 2}',
    ],
)
async def test_odd_shapes_are_harmless(fake: FakeInworld, make: Callable[..., Stt], odd: str) -> None:
    fake.script(Plan(Heard(), Garbage(1, odd)))

    assert final_of(await collect(make(), numbered(1.6))).text == "hello there"


# --- Connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1006, 1011])
async def test_what_was_not_settled_is_sent_again_when_a_connection_dies(
    fake: FakeInworld, make: Callable[..., Stt], code: int
) -> None:
    first = Turn("good morning", starts=0.2, seconds=1.0, pause=0.3)
    second = Turn("how are you", starts=0.5, seconds=1.0, pause=0.5)
    # Dies within the second turn; the other connection hears it from its beginning.
    fake.script(
        Plan(Heard((first, second)), Cut(heard=26, code=code)),
        Plan(Heard((Turn("how are you", starts=0.8),))),
    )
    pcm = numbered(3.5)

    events = await collect(make(), played(pcm, 3200))

    assert final_of(events).text == "good morning how are you"
    again = b"".join(sent_audio(fake.exchanges[1].received))
    begin = round(1.2 * 16_000) * 2  # where the last word of the settled turn ends
    assert again == pcm[begin:]
    assert fake.exchanges[1].texts[0] == fake.exchanges[0].texts[0]


async def test_times_that_count_from_the_turn_do_not_repeat_it(
    fake: FakeInworld, make: Callable[..., Stt]
) -> None:
    """What is sent again must not go by times that begin anew with each turn."""
    word = {"word": "two", "startTimeMs": 0, "endTimeMs": 1100}
    final = {"transcript": "two", "isFinal": True, "wordTimestamps": [word]}
    restarted = [{"speechStarted": {"startTimeMs": 0}}, {"transcription": final}]
    frames = [Garbage(4, json.dumps({"result": result})) for result in restarted]
    fake.script(
        Plan(Heard((Turn("one", seconds=1.0, pause=0.2), Turn("", starts=0.2))), *frames, Cut(sent=5)),
        Plan(Heard((Turn("three", seconds=0.2),))),
    )
    pcm = numbered(2.0)
    heard = round(1.5 * 16_000) * 2

    async def talking() -> AsyncIterator[bytes]:
        yield pcm[:heard]
        await fake.exchange(1)
        yield pcm[heard:]

    events = await collect(make(), talking())

    assert final_of(events).text == "one two three"
    assert b"".join(sent_audio(fake.exchanges[1].received)) in (pcm[heard:], pcm[heard - 3200 :])


async def test_a_service_that_keeps_dying_is_given_up(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    fake.script(*[Plan(Heard(), Cut(heard=3, code=1011))] * 5)

    with pytest.raises(ConnectionFailedError):
        await collect(make(), numbered(1.6))

    assert len(fake.exchanges) == 3


async def test_an_end_without_the_final_is_no_end(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    fake.script(Plan(Heard(), Cut(sent=2, code=1000)), Plan(Heard()))

    events = await collect(make(), numbered(1.6))

    assert final_of(events).text == "hello there"
    assert len(fake.exchanges) == 2


async def test_the_last_turn_is_waited_for_whatever_comes_before_it(
    fake: FakeInworld, make: Callable[..., Stt]
) -> None:
    """An end that was on its way when the audio ended, and the usage, are not yet the end of all."""
    late = [
        {"transcription": {"transcript": "one", "isFinal": True}},
        {"speechStarted": {"startTimeMs": 500}},
        {"usage": {"transcribedAudioMs": 100}},
        {"transcription": {"transcript": "two", "isFinal": True}},
    ]
    frames = [Garbage(0, json.dumps({"result": result})) for result in late]
    fake.script(Plan(Heard(()), *frames))

    assert final_of(await collect(make(), numbered(1.1))).text == "one two"


async def test_closing_early_ends_the_work_upstream(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    silence = asyncio.Event()

    async def talking() -> AsyncIterator[bytes]:
        yield numbered(0.6)
        await silence.wait()

    before = asyncio.all_tasks()
    async with aclosing(make().transcribe(talking(), SttOptions())) as events:
        async for event in events:
            assert event == TranscriptGuess("hello")
            break

    async with asyncio.timeout(3):
        await fake.all_closed()
    ours = {task for task in asyncio.all_tasks() - before if "remote stt" in task.get_name()}
    assert not ours


async def test_a_slow_service_is_waited_for(fake: FakeInworld, make: Callable[..., Stt]) -> None:
    go = asyncio.Event()
    fake.script(Plan(Heard(), Hesitate(0, until=go)))
    task = asyncio.create_task(collect(make(), numbered(1.6)))
    exchange = await fake.exchange(0)
    await exchange.until(lambda: len(exchange.received) >= 2)

    go.set()

    assert final_of(await task).text == "hello there"
