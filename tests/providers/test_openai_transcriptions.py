"""Transcription over HTTP: one upload per utterance, whatever the server answers with."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
import pytest

from providers.contracts import (
    Stt,
    SttEvent,
    SttOptions,
    SttUsage,
    TokenLogprob,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptSegment,
)
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


def counted(text: str) -> TranscriptFinal:
    """A final with the tokens that the fake counts."""
    return TranscriptFinal(text, usage=SttUsage(14, len(text.split()), 4, 10))


def stream(*steps: Step) -> Reply:
    return Reply(steps, content_type="text/event-stream")


async def test_deltas_come_before_the_final_text(fake: FakeOpenAI, stt: Stt) -> None:
    fake.transcriptions.script(TranscriptionReply(text="Grüße an alle.", split=1))

    events = await collect(stt)

    assert events == [
        TranscriptDelta("Grüße"),
        TranscriptDelta(" an"),
        TranscriptDelta(" alle."),
        counted("Grüße an alle."),
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


@pytest.fixture
async def lab(fake: FakeOpenAI) -> AsyncGenerator[OpenAICompatibleProvider, None]:
    provider = OpenAICompatibleProvider(ProviderSettings("lab", {"base_url": fake.base_url}, KEY))
    yield provider
    await provider.aclose()


HINTS = SttOptions("en-US", "A play.", keywords=("Godot", "Beckett"))


@pytest.mark.parametrize(
    ("model", "options", "form"),
    [
        ("ears", HINTS, {"language": "en", "prompt": "A play. Godot, Beckett"}),
        ("ears", SttOptions(languages=("de",)), {"language": "de"}),
        ("ears", SttOptions(languages=("de", "fr")), {}),
        ("ears", SttOptions(logprobs=True), {"include[]": ["logprobs"]}),
        (
            "gpt-transcribe",
            HINTS,
            {"language": "en", "prompt": "A play.", "keywords[]": ["Godot", "Beckett"]},
        ),
        ("gpt-transcribe", SttOptions(languages=("de-AT", "fr", "de")), {"languages[]": ["de", "fr"]}),
        (
            "gpt-4o-transcribe-diarize",
            HINTS,
            {"language": "en", "response_format": "diarized_json", "chunking_strategy": "auto"},
        ),
    ],
)
async def test_hints_go_where_each_model_takes_them(
    fake: FakeOpenAI, lab: OpenAICompatibleProvider, model: str, options: SttOptions, form: object
) -> None:
    await collect(lab.stt(model), options=options)

    assert len(fake.transcriptions.requests) == 1  # nothing was refused first
    assert fake.transcriptions.requests[0].body == (
        {"model": model, "stream": "true", "response_format": "json"} | form  # type: ignore[operator]
    )


async def test_probabilities_come_with_deltas_and_the_final(fake: FakeOpenAI, stt: Stt) -> None:
    fake.transcriptions.script(TranscriptionReply(text="Grüße an"))

    events = await collect(stt, options=SttOptions(logprobs=True))

    first = TokenLogprob("Grüße", -5 / 16, "Grüße".encode())
    second = TokenLogprob(" an", -3 / 16, b" an")
    assert events == [
        TranscriptDelta("Grüße", (first,)),
        TranscriptDelta(" an", (second,)),
        TranscriptFinal("Grüße an", (first, second), usage=SttUsage(14, 2, 4, 10)),
    ]


@pytest.mark.parametrize("model", ["whisper-1", "gpt-transcribe"])
async def test_a_model_without_probabilities_is_asked_again_without(
    fake: FakeOpenAI, lab: OpenAICompatibleProvider, model: str
) -> None:
    stt = lab.stt(model)

    for _ in range(2):
        final = (await collect(stt, options=SttOptions(logprobs=True)))[-1]
        assert isinstance(final, TranscriptFinal)
        assert (final.text, final.logprobs) == ("This is what I heard.", ())
    assert len(fake.transcriptions.requests) == 3


@pytest.mark.parametrize(
    ("model", "foreign", "own", "kept"),
    [
        ("ears", SttOptions("tlh"), SttOptions("no"), {"language": "no"}),
        ("gpt-transcribe", SttOptions(languages=("en", "tlh")), SttOptions("no"), {"language": "no"}),
        (
            "gpt-transcribe",
            SttOptions("tlh", keywords=("Ada",)),
            SttOptions(languages=("it", "no")),
            {"languages[]": ["it", "no"]},
        ),
    ],
)
async def test_a_language_that_a_server_does_not_know_costs_other_sessions_nothing(
    fake: FakeOpenAI,
    lab: OpenAICompatibleProvider,
    model: str,
    foreign: SttOptions,
    own: SttOptions,
    kept: dict[str, object],
) -> None:
    stt = lab.stt(model)

    heard = [(await collect(stt, options=options))[-1] for options in (foreign, own, foreign)]

    assert heard == [counted("This is what I heard.")] * 3
    refused, without, other, *again = [request.body for request in fake.transcriptions.requests]
    assert without == {name: value for name, value in refused.items() if not name.startswith("language")}
    assert other.items() >= kept.items()
    assert again == [refused, without]


async def test_detected_languages_are_passed_on(fake: FakeOpenAI, lab: OpenAICompatibleProvider) -> None:
    fake.transcriptions.script(
        TranscriptionReply(text="hi", languages=("en", "fr")), TranscriptionReply(text="hm", languages=())
    )
    model = lab.stt("gpt-transcribe")

    finals = [(await collect(model))[-1] for _ in range(2)]

    assert [final.languages for final in finals if isinstance(final, TranscriptFinal)] == [("en", "fr"), ()]


@pytest.mark.parametrize("streams", [True, False])
async def test_speakers_are_told_apart(
    fake: FakeOpenAI, lab: OpenAICompatibleProvider, streams: bool
) -> None:
    fake.unsupported = set() if streams else {"stream"}
    fake.transcriptions.script(TranscriptionReply(text="Hello. Hi there.", speakers=("A", "B")))

    events = await collect(lab.stt("gpt-4o-transcribe-diarize"))

    assert [event for event in events if isinstance(event, TranscriptSegment)] == [
        TranscriptSegment("seg_000", "Hello.", "A", 0.0, 1.0),
        TranscriptSegment("seg_001", " Hi there.", "B", 1.0, 2.0),
    ]
    assert events[-1] == counted("Hello. Hi there.")


async def test_segments_of_later_parts_are_moved_to_their_place(fake: FakeOpenAI) -> None:
    reply = TranscriptionReply(text="Hello.", speakers=("A",))
    fake.transcriptions.script(reply, reply)
    client = HttpClient("lab", fake.base_url, headers={"Authorization": f"Bearer {KEY}"})
    stt = OpenAITranscriptionStt(client, "gpt-4o-transcribe-diarize", max_pcm_bytes=32_000)

    events = await collect(stt, bytes(48_000))
    await client.aclose()

    first, second = (event for event in events if isinstance(event, TranscriptSegment))
    cut = len(fake.transcriptions.requests[0].pcm) / 32_000
    assert (first.id, first.start) == ("seg_000", 0.0)
    assert (second.id, second.start, second.end) == ("seg_000_1", cut, cut + 1)


@pytest.mark.parametrize(
    "odd",
    [
        {"logprobs": "high", "usage": 7, "languages": "en"},
        {"logprobs": [1, {}, {"token": "x"}], "usage": {"input_tokens": "9"}, "languages": [3, {}]},
        {
            "logprobs": [{"token": "x", "logprob": -1, "bytes": [700]}],
            "usage": {"type": "duration", "seconds": 3},
        },
    ],
)
async def test_odd_extras_do_not_spoil_the_text(fake: FakeOpenAI, stt: Stt, odd: object) -> None:
    value = {"type": "transcript.text.done", "text": "hi"} | odd  # type: ignore[operator]
    fake.transcriptions.script(
        stream(frame({"type": "transcript.text.segment", "id": 1}), frame(value)),
        Reply((json.dumps(value).encode(),)),
    )

    for _ in range(2):
        final = (await collect(stt))[-1]
        assert isinstance(final, TranscriptFinal)
        assert (final.text, final.usage) == ("hi", None)


async def test_silence_costs_no_request(fake: FakeOpenAI, stt: Stt) -> None:
    assert await collect(stt, b"") == [TranscriptFinal("")]
    assert fake.transcriptions.requests == []


async def test_an_empty_transcript_is_one(fake: FakeOpenAI, stt: Stt) -> None:
    fake.transcriptions.script(TranscriptionReply(text=""), Reply((b'{"text": ""}',)))

    assert await collect(stt) == [counted("")]
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
    assert events[-1] == TranscriptFinal("first part second part", usage=SttUsage(28, 4, 8, 20))
    assert b"".join(parts) == loud.tobytes()
    assert 10_000 <= len(parts[0]) // 2 <= 10_400


async def test_a_refused_option_is_left_out(fake: FakeOpenAI, stt: Stt) -> None:
    fake.unsupported = {"stream"}

    assert await collect(stt) == [counted("This is what I heard.")]
    assert await collect(stt) == [counted("This is what I heard.")]
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

    assert (await collect(stt))[-1] == counted("This is what I heard."), "the next one works"


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
