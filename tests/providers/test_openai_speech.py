"""Speech over HTTP: whole samples out of any chunks, one request ahead, and marks where segments end."""

import asyncio
import io
import wave
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from providers.contracts import SpeechChunk, TextMark, Tts, TtsOptions
from providers.errors import (
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from tests.fakes.openai_api import (
    CUT,
    HANG,
    FakeOpenAI,
    RecordedRequest,
    Reply,
    Script,
    SpeechReply,
    Until,
    error,
    rate_limited,
    sine,
)
from tests.providers.speaking import marks_of, pcm_of

KEY = "lab-key-0123456789"
VOICE = TtsOptions("alloy")


@pytest.fixture
async def fake() -> AsyncGenerator[FakeOpenAI, None]:
    async with FakeOpenAI(api_key=KEY) as server:
        yield server


@pytest.fixture
async def tts(fake: FakeOpenAI) -> AsyncGenerator[Tts, None]:
    options = {"base_url": fake.base_url, "first_byte_timeout": 2.0, "gap_timeout": 0.3}
    provider = OpenAICompatibleProvider(ProviderSettings("lab", options, KEY))
    yield provider.tts("mouth")
    await provider.aclose()


async def saying(*segments: str) -> AsyncIterator[str]:
    for segment in segments:
        yield segment


async def collect(tts: Tts, *segments: str, options: TtsOptions = VOICE) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.speak(saying(*segments), options)]


@pytest.mark.parametrize("size", [1, 3, 333, 4801, 100_000])
async def test_samples_are_whole_wherever_chunks_end(fake: FakeOpenAI, tts: Tts, size: int) -> None:
    fake.speech.script(SpeechReply(chunk_bytes=size, seconds_per_character=0.002))

    chunks = await collect(tts, "Hello.")

    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    assert pcm_of(chunks) == sine(6 * 0.002)


async def test_the_first_audio_leaves_before_the_last_has_come(fake: FakeOpenAI, tts: Tts) -> None:
    fake.speech.script(Reply((b"\x01\x00\x02", HANG), content_type="audio/pcm"))

    async with aclosing(tts.speak(saying("Hello."), VOICE)) as speech:
        assert await anext(speech) == SpeechChunk(b"\x01\x00")

    await asyncio.wait_for(fake.speech.requests[0].finished.wait(), 5)
    assert fake.speech.requests[0].aborted


async def test_a_mark_ends_each_segment(fake: FakeOpenAI, tts: Tts) -> None:
    chunks = await collect(tts, "One, ", "two three.", "  ", "Four. ")

    # 10 ms per character that is sent; white space at the ends is not.
    assert marks_of(chunks) == [
        TextMark(5, 960),
        TextMark(15, 960 + 2_400),
        TextMark(17, 960 + 2_400),
        TextMark(23, 960 + 2_400 + 1_200),
    ]
    assert len(pcm_of(chunks)) == (960 + 2_400 + 1_200) * 2
    assert [request.body["input"] for request in fake.speech.requests] == ["One,", "two three.", "Four."]


async def test_the_next_segment_is_under_way_while_one_is_spoken_and_no_more(
    fake: FakeOpenAI, tts: Tts
) -> None:
    released = [asyncio.Event() for _ in range(4)]

    def reply(request: RecordedRequest) -> Script:
        at = int(request.body["input"])
        return Reply((bytes([at, 0]), Until(released[at]), bytes([at, 1])), content_type="audio/pcm")

    fake.speech.default = reply
    async with aclosing(tts.speak(saying("0", "1", "2", "3"), VOICE)) as speech:
        assert (await anext(speech)).pcm == b"\0\0"
        await asyncio.wait_for(fake.speech.wait_for_requests(2), 5)
        for event in released:
            event.set()
        rest = [chunk async for chunk in speech]

    assert pcm_of(rest) == bytes([0, 1, 1, 0, 1, 1, 2, 0, 2, 1, 3, 0, 3, 1])
    assert fake.speech.most_active == 2


async def test_segments_are_asked_for_as_they_come(fake: FakeOpenAI, tts: Tts) -> None:
    more = asyncio.Event()

    async def thinking() -> AsyncIterator[str]:
        yield "First. "
        await more.wait()
        yield "Second."

    chunks = []
    async with aclosing(tts.speak(thinking(), VOICE)) as speech:
        async for chunk in speech:
            chunks.append(chunk)
            if chunk.marks:  # the first segment is complete although the second does not exist yet
                more.set()

    assert [mark.chars for mark in marks_of(chunks)] == [7, 14]


async def test_text_beyond_the_limit_is_split_at_sentences(fake: FakeOpenAI, tts: Tts) -> None:
    fake.speech.default = SpeechReply(seconds_per_character=0.0001)
    text = "This is a sentence of some length. " * 250 + "x" * 5_000

    chunks = await collect(tts, text)

    inputs = [request.body["input"] for request in fake.speech.requests]
    assert all(len(part) <= 4096 for part in inputs)
    assert inputs[0].endswith("length.")
    assert marks_of(chunks)[-1].chars == len(text)


async def test_options_go_out(fake: FakeOpenAI, tts: Tts) -> None:
    await collect(tts, "Hi.")
    await collect(tts, "Hi.", options=TtsOptions("voice_1234", 1.25, "Whisper."))

    assert [request.body for request in fake.speech.requests] == [
        {"model": "mouth", "input": "Hi.", "voice": "alloy", "response_format": "pcm"},
        {
            "model": "mouth",
            "input": "Hi.",
            "voice": {"id": "voice_1234"},
            "response_format": "pcm",
            "speed": 1.25,
            "instructions": "Whisper.",
        },
    ]


async def test_refused_options_are_left_out(fake: FakeOpenAI, tts: Tts) -> None:
    fake.unsupported = {"speed", "instructions"}

    chunks = await collect(tts, "Hi.", options=TtsOptions("alloy", 1.25, "Whisper."))

    assert pcm_of(chunks)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (rate_limited(), RateLimitError),
        (error(500, "Boom"), OverloadedError),
        (error(400, "No such voice", param="voice", code="invalid_value"), InvalidRequestError),
        (Reply((b"{}",)), BadAnswerError),
        (Reply((b"ID3",), content_type="audio/mpeg"), BadAnswerError),
        (Reply((), content_type="audio/pcm"), BadAnswerError),
        (SpeechReply(break_after=1, break_with=(CUT,), seconds_per_character=1), ConnectionFailedError),
        (SpeechReply(break_after=1, break_with=(HANG,), seconds_per_character=1), TimedOutError),
    ],
)
async def test_failures_are_told_apart(
    fake: FakeOpenAI, tts: Tts, reply: Script, kind: type[ProviderError]
) -> None:
    fake.speech.script(reply)

    with pytest.raises(kind):
        await collect(tts, "Hello.")

    assert pcm_of(await collect(tts, "Hello.")), "the next one works"


async def test_a_failure_of_the_second_segment_comes_after_the_first_was_spoken(
    fake: FakeOpenAI, tts: Tts
) -> None:
    fake.speech.script(SpeechReply(), error(500, "Boom"))
    heard = b""

    async def listen() -> None:
        nonlocal heard
        async for chunk in tts.speak(saying("One.", "Two.", "Three."), VOICE):
            heard += chunk.pcm

    with pytest.raises(OverloadedError):
        await listen()

    assert heard == sine(4 * 0.01)


async def test_a_failure_of_the_text_reaches_the_listener(tts: Tts) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "One."
        raise OverloadedError("the model failed")

    chunks = []

    async def listen() -> None:
        async for chunk in tts.speak(broken(), VOICE):
            chunks.append(chunk)  # noqa: PERF401 - what came before the failure is wanted

    with pytest.raises(OverloadedError, match="the model failed"):
        await listen()
    assert pcm_of(chunks)


async def test_cancelling_hangs_up_on_all_requests(fake: FakeOpenAI, tts: Tts) -> None:
    fake.speech.default = Reply((b"\0\0", HANG), content_type="audio/pcm")
    before = asyncio.all_tasks()

    task = asyncio.create_task(collect(tts, "One.", "Two.", "Three."))
    await asyncio.wait_for(fake.speech.wait_for_requests(2), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    for request in fake.speech.requests:
        await asyncio.wait_for(request.finished.wait(), 5)
        assert request.aborted
    assert len(fake.speech.requests) == 2
    left = {task for task in asyncio.all_tasks() - before if "speak" in repr(task) or "_fetch" in repr(task)}
    assert left == set()


async def test_a_listener_that_pauses_holds_back_the_upstream(fake: FakeOpenAI, tts: Tts) -> None:
    fake.speech.script(SpeechReply(pcm=bytes(40_000_000), chunk_bytes=65_536))

    async with aclosing(tts.speak(saying("Long."), VOICE)) as speech:
        await anext(speech)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fake.speech.requests[0].finished.wait(), 0.3)
        total = 0
        async for chunk in speech:
            total += len(chunk.pcm)

    assert total > 39_000_000


def wav(rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(sine(0.05))
    return out.getvalue()


@pytest.mark.parametrize("size", [1, 5, 5000])
async def test_a_wav_header_is_not_spoken(fake: FakeOpenAI, tts: Tts, size: int) -> None:
    fake.speech.script(SpeechReply(pcm=wav(24_000), chunk_bytes=size))

    assert pcm_of(await collect(tts, "Hi.")) == sine(0.05)


async def test_a_wav_of_another_rate_is_refused(fake: FakeOpenAI, tts: Tts) -> None:
    fake.speech.script(SpeechReply(pcm=wav(22_050)))

    with pytest.raises(BadAnswerError, match="22050 Hz"):
        await collect(tts, "Hi.")
