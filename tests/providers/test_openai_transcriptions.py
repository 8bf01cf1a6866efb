"""Transcription over HTTP: one upload per utterance, whatever the server answers with."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
import pytest

from providers.contracts import Stt, SttEvent, SttOptions, TranscriptDelta, TranscriptFinal
from providers.errors import (
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.http import HttpClient
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from providers.stt.openai_transcriptions import OpenAITranscriptionStt
from tests.fakes.openai_api import (
    CUT,
    HANG,
    FakeOpenAI,
    Reply,
    Step,
    TranscriptionReply,
    error,
    frame,
    rate_limited,
)

KEY = "lab-key-0123456789"
SPEECH = b"\x01\x02" * 8_000


@pytest.fixture
async def fake() -> AsyncGenerator[FakeOpenAI, None]:
    async with FakeOpenAI(api_key=KEY) as server:
        yield server


@pytest.fixture
async def stt(fake: FakeOpenAI) -> AsyncGenerator[Stt, None]:
    options = {"base_url": fake.base_url, "first_byte_timeout": 2.0, "gap_timeout": 0.3}
    provider = OpenAICompatibleProvider(ProviderSettings("lab", options, KEY))
    yield provider.stt("ears")
    await provider.aclose()


async def said(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def collect(stt: Stt, pcm: bytes = SPEECH, options: SttOptions | None = None) -> list[SttEvent]:
    return [event async for event in stt.transcribe(said(pcm), options or SttOptions())]


def stream(*steps: Step) -> Reply:
    return Reply(steps, content_type="text/event-stream")


async def test_deltas_come_before_the_final_text(fake: FakeOpenAI, stt: Stt) -> None:
    fake.transcriptions.script(TranscriptionReply(text="Grüße an alle.", split=1))

    events = await collect(stt)

    assert events == [
        TranscriptDelta("Grüße"),
        TranscriptDelta(" an"),
        TranscriptDelta(" alle."),
        TranscriptFinal("Grüße an alle."),
    ]


async def test_a_server_that_does_not_stream_gives_the_final_text(fake: FakeOpenAI) -> None:
    provider = OpenAICompatibleProvider(ProviderSettings("lab", {"base_url": fake.base_url}, KEY))

    assert await collect(provider.stt("whisper-1")) == [TranscriptFinal("This is what I heard.")]

    await provider.aclose()


async def test_plain_text_is_a_transcript_too(fake: FakeOpenAI, stt: Stt) -> None:
    fake.transcriptions.script(Reply((b" hello there\n",), content_type="text/plain"))

    assert await collect(stt) == [TranscriptFinal("hello there")]


async def test_chat_like_chunks_are_read(fake: FakeOpenAI, stt: Stt) -> None:
    chunks = [
        frame({"object": "transcription.chunk", "choices": [{"delta": {"content": word}}]})
        for word in (" hi", " you")
    ]
    fake.transcriptions.script(stream(*chunks, frame("[DONE]")))

    assert await collect(stt) == [TranscriptDelta("hi"), TranscriptDelta(" you"), TranscriptFinal("hi you")]


async def test_the_audio_arrives_as_it_was_spoken(fake: FakeOpenAI, stt: Stt) -> None:
    chunks = [SPEECH[:640], SPEECH[640:642], SPEECH[642:]]

    events = [event async for event in stt.transcribe(said(*chunks), SttOptions("en-US", "names: Ada"))]

    request = fake.transcriptions.requests[0]
    assert isinstance(events[-1], TranscriptFinal)
    assert (request.pcm, request.sample_rate, request.filename) == (SPEECH, stt.sample_rate, "speech.wav")
    assert request.body == {
        "model": "ears",
        "response_format": "json",
        "stream": "true",
        "language": "en",
        "prompt": "names: Ada",
    }


async def test_silence_costs_no_request(fake: FakeOpenAI, stt: Stt) -> None:
    assert await collect(stt, b"") == [TranscriptFinal("")]
    assert fake.transcriptions.requests == []


async def test_an_empty_transcript_is_one(fake: FakeOpenAI, stt: Stt) -> None:
    fake.transcriptions.script(TranscriptionReply(text=""), Reply((b'{"text": ""}',)))

    assert await collect(stt) == [TranscriptFinal("")]
    assert await collect(stt) == [TranscriptFinal("")]


async def test_long_audio_is_cut_where_it_is_quiet(fake: FakeOpenAI) -> None:
    loud = np.full(24_000, 9_000, dtype="<i2")
    loud[10_000:10_400] = 0
    fake.transcriptions.script(TranscriptionReply(text="first part"), TranscriptionReply(text="second part"))
    client = HttpClient("lab", fake.base_url, headers={"Authorization": f"Bearer {KEY}"})
    stt = OpenAITranscriptionStt(client, "ears", max_pcm_bytes=32_000)

    events = await collect(stt, loud.tobytes())
    await client.aclose()

    deltas = [event.text for event in events if isinstance(event, TranscriptDelta)]
    parts = [request.pcm for request in fake.transcriptions.requests]
    assert "".join(deltas) == "first part second part"
    assert events[-1] == TranscriptFinal("first part second part")
    assert b"".join(parts) == loud.tobytes()
    assert 10_000 <= len(parts[0]) // 2 <= 10_400


async def test_a_refused_option_is_left_out(fake: FakeOpenAI, stt: Stt) -> None:
    fake.unsupported = {"stream"}

    assert await collect(stt) == [TranscriptFinal("This is what I heard.")]
    assert await collect(stt) == [TranscriptFinal("This is what I heard.")]
    assert len(fake.transcriptions.requests) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (rate_limited(), RateLimitError),
        (error(500, "Boom"), OverloadedError),
        (error(413, "Too large"), InvalidRequestError),
        (Reply((b"{}",)), BadAnswerError),
        (Reply((b"not json",)), BadAnswerError),
        (Reply((b"<html>",), content_type="text/html"), BadAnswerError),
        (Reply((b'{"error": {"message": "x", "type": "server_error"}}',)), OverloadedError),
        (stream(frame("{")), BadAnswerError),
        (stream(frame({"error": {"message": "x", "code": 503}})), OverloadedError),
        (stream(frame({"type": "transcript.text.delta", "delta": "x"})), ConnectionFailedError),
        (stream(frame({"type": "transcript.text.delta", "delta": "x"}), CUT), ConnectionFailedError),
        (stream(frame({"type": "transcript.text.delta", "delta": "x"}), HANG), TimedOutError),
    ],
)
async def test_failures_are_told_apart(
    fake: FakeOpenAI, stt: Stt, reply: Reply, kind: type[ProviderError]
) -> None:
    fake.transcriptions.script(reply)

    with pytest.raises(kind):
        await collect(stt)

    assert (await collect(stt))[-1] == TranscriptFinal("This is what I heard."), "the next one works"


async def test_cancelling_hangs_up(fake: FakeOpenAI, stt: Stt) -> None:
    fake.transcriptions.script(TranscriptionReply(text="x", delay_s=30))

    task = asyncio.create_task(collect(stt))
    await asyncio.wait_for(fake.transcriptions.wait_for_requests(1), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await asyncio.wait_for(fake.transcriptions.requests[0].finished.wait(), 5)
    assert fake.transcriptions.requests[0].aborted


def test_the_fakes_json_is_json() -> None:
    reply = TranscriptionReply(text="ä").render({"model": "whisper-1"})

    assert isinstance(reply.steps[0], bytes)
    assert json.loads(reply.steps[0])["text"] == "ä"
