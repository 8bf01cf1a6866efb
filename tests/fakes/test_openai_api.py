"""The fake against the real `openai` package: what that client accepts and raises is the measure."""

import asyncio
import io
import wave
from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest

from tests.fakes.openai_api import (
    CUT,
    ChatReply,
    FakeCall,
    FakeOpenAI,
    SpeechReply,
    TranscriptionReply,
    error,
    rate_limited,
    sine,
)

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.fixture
async def fake() -> AsyncGenerator[FakeOpenAI, None]:
    async with FakeOpenAI(models=("small", "ears", "mouth")) as server:
        yield server


@pytest.fixture
async def client(fake: FakeOpenAI) -> AsyncGenerator[openai.AsyncOpenAI, None]:
    async with openai.AsyncOpenAI(base_url=fake.base_url, api_key=fake.api_key, max_retries=0) as sdk:
        yield sdk


def wav(pcm: bytes, rate: int = 16_000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return out.getvalue()


async def test_text_streams_to_the_sdk(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.chat.script(ChatReply(text="Grüße, Welt: 世界.", split=1))

    stream = await client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "hi you"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Grüße, Welt: 世界."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 2
    assert fake.chat.requests[0].body["messages"] == [{"role": "user", "content": "hi you"}]


async def test_the_sdks_own_assembler_reads_fragmented_calls(
    fake: FakeOpenAI, client: openai.AsyncOpenAI
) -> None:
    fake.chat.script(ChatReply(calls=(FakeCall("weather", '{"city": "Oslo"}', "call_a"), FakeCall("clock"))))

    async with client.chat.completions.stream(
        model="small",
        messages=[{"role": "user", "content": "weather"}],
        tools=TOOLS,  # type: ignore[arg-type]
    ) as stream:
        completion = await stream.get_final_completion()

    calls = completion.choices[0].message.tool_calls or []
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("weather", '{"city": "Oslo"}'),
        ("clock", "{}"),
    ]
    assert calls[0].id == "call_a"
    assert completion.choices[0].finish_reason == "tool_calls"


async def test_a_completion_may_come_whole(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": "hi"}]
    )

    assert completion.choices[0].message.content == "Hello from the fake model."


async def test_errors_are_those_that_the_sdk_knows(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.chat.script(rate_limited(7), error(500, "Boom", kind="server_error"))

    async def ask(model: str = "small", key: str = fake.api_key) -> None:
        await client.with_options(api_key=key).chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hi"}]
        )

    with pytest.raises(openai.RateLimitError) as limited:
        await ask()
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.InternalServerError):
        await ask()
    with pytest.raises(openai.NotFoundError):
        await ask(model="huge")
    with pytest.raises(openai.AuthenticationError):
        await ask(key="sk-wrong")


async def test_a_cut_connection_reaches_the_sdk_as_one(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.chat.script(ChatReply(text="one two three", break_after=3, break_with=(CUT,)))
    seen = ""

    async def read() -> None:
        nonlocal seen
        stream = await client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for chunk in stream:
            seen += chunk.choices[0].delta.content or ""

    with pytest.raises(Exception, match=r"(?i)peer|closed|reset|incomplete|error"):
        await read()
    assert seen == "one two"


async def test_transcripts_come_whole_and_as_a_stream(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.transcriptions.default = TranscriptionReply(text="hello there world")
    pcm = sine(0.1)

    whole = await client.audio.transcriptions.create(model="ears", file=("a.wav", wav(pcm)), language="en")
    stream = await client.audio.transcriptions.create(model="ears", file=("a.wav", wav(pcm)), stream=True)
    events = [event async for event in stream]

    assert whole.text == "hello there world"
    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    first = fake.transcriptions.requests[0]
    assert (first.pcm, first.sample_rate, first.filename) == (pcm, 16_000, "a.wav")
    assert first.body["language"] == "en"


async def test_transcripts_say_what_their_model_can_say(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.models = ["ears", "gpt-transcribe", "gpt-4o-transcribe-diarize", "whisper-1"]
    fake.transcriptions.default = TranscriptionReply(
        text="Hello. Hi.", speakers=("A", "B"), languages=("en",)
    )
    file = ("a.wav", wav(sine(0.1)))

    sure = await client.audio.transcriptions.create(model="ears", file=file, include=["logprobs"])
    hinted = await client.audio.transcriptions.create(
        model="gpt-transcribe", file=file, extra_body={"keywords": ["Ada"], "languages": ["en", "de"]}
    )
    diarized = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize",
        file=file,
        response_format="diarized_json",
        chunking_strategy="auto",
    )
    stream = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize",
        file=file,
        response_format="diarized_json",
        chunking_strategy="auto",
        stream=True,
    )
    events = [event.type async for event in stream]

    assert [token.token for token in sure.logprobs or ()] == ["Hello.", " Hi."]
    assert hinted.text == "Hello. Hi."
    assert fake.transcriptions.requests[1].body["keywords[]"] == ["Ada"]
    assert [segment.speaker for segment in diarized.segments] == ["A", "B"]
    assert events.count("transcript.text.segment") == 2
    for model, options in (
        ("whisper-1", {"include": ["logprobs"]}),
        ("gpt-4o-transcribe-diarize", {"prompt": "names"}),
        ("ears", {"response_format": "diarized_json"}),
        ("ears", {"extra_body": {"keywords": ["Ada"]}}),
    ):
        with pytest.raises(openai.BadRequestError):
            await client.audio.transcriptions.create(model=model, file=file, **options)


async def test_speech_streams_in_odd_chunks(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.speech.script(SpeechReply(chunk_bytes=333))

    async with client.audio.speech.with_streaming_response.create(
        model="mouth", voice="alloy", input="a" * 10, response_format="pcm"
    ) as response:
        pcm = await response.read()

    assert pcm == sine(0.1)


async def test_models_are_listed(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["small", "ears", "mouth"]


async def test_what_the_real_api_refuses_is_refused(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    bad_histories: list[Any] = [
        [{"role": "tool", "tool_call_id": "x", "content": "y"}],
        [
            {
                "role": "assistant",
                "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "user", "content": "hi"},
        ],
        [],
    ]
    for messages in bad_histories:
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="small", messages=messages)
    with pytest.raises(openai.BadRequestError, match="tools"):
        await client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "hi"}], parallel_tool_calls=True
        )
    with pytest.raises(openai.BadRequestError, match="4096"):
        await client.audio.speech.create(
            model="mouth", voice="alloy", input="a" * 4097, response_format="pcm"
        )


async def test_a_client_that_hangs_up_is_noticed(fake: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake.chat.script(ChatReply(text="one two three " * 50, pace_s=0.05))

    stream = await client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    async for _ in stream:
        break
    await stream.close()

    await asyncio.wait_for(fake.chat.requests[0].finished.wait(), 5)
    assert fake.chat.requests[0].aborted
