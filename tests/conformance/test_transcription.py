"""Sessions of type transcription, and what transcripts tell beyond their text, through the real SDK."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI

from server.background import running_server
from server.settings import DefaultsSettings, ProviderTable, Settings
from tests.conformance.client import RATE, Event, SdkWire, Talk, openai_client, talk
from tests.conformance.hearing import voice, words
from tests.fakes.openai_api import FakeOpenAI, TranscriptionReply
from tests.speech import recording, silence

KIND = "conversation.item.input_audio_transcription"
COMMITTED = ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]


@asynccontextmanager
async def transcribe(server_url: str, profile: str = "parley", **query: str) -> AsyncIterator[Talk]:
    """A transcription session of the real SDK, with the oracle listening."""
    client: AsyncOpenAI = openai_client(server_url)
    extra: Any = {"intent": "transcription", "profile": profile, **query}
    async with client, client.realtime.connect(extra_query=extra) as connection:
        session = Talk(SdkWire(connection))
        created = await session.receive()
        assert created["type"] == "session.created"
        yield session
        session.oracle.finished()


def update(**input: Any) -> Event:
    return {"type": "transcription", "audio": {"input": input}}


def types(events: list[Event]) -> list[str]:
    return [event["type"] for event in events if not event["type"].endswith(".delta")]


async def test_a_session_shows_what_a_transcription_session_has(server_url: str) -> None:
    async with transcribe(server_url) as session:
        shown = session.session

    assert shown["object"] == "realtime.transcription_session"
    assert shown["audio"]["input"]["transcription"]["model"] == "local/moonshine-tiny-en"
    assert not {"model", "instructions", "tools", "output_modalities"} & shown.keys()


async def test_as_openai_has_it_nothing_is_transcribed_until_it_is_asked_for(server_url: str) -> None:
    async with transcribe(server_url, "openai") as session:
        assert session.session["audio"]["input"] == {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
            },
        }
        await session.send("session.update", session=update(turn_detection=None))
        await session.until("session.updated")
        await session.append(voice())
        await session.send("input_audio_buffer.commit")

        events = await session.until("conversation.item.done")
        assert types(events)[-3:] == COMMITTED


async def test_without_turn_detection_text_streams_before_the_commit(server_url: str) -> None:
    async with transcribe(server_url) as session:
        await session.send("session.update", session=update(turn_detection=None))
        await session.until("session.updated")
        await session.append(recording("beckett", RATE)[: 2 * RATE * 3] + silence(500, RATE))

        first = (await session.until(f"{KIND}.delta"))[-1]
        await session.send("input_audio_buffer.commit")
        events = await session.until(f"{KIND}.completed")

        committed = next(e for e in events if e["type"] == "input_audio_buffer.committed")
        assert first["item_id"] == committed["item_id"] == events[-1]["item_id"]
        assert words(first["delta"])[0] == "ever"


async def test_the_model_of_the_url_transcribes(server_url: str) -> None:
    async with transcribe(server_url, model="gpt-4o-transcribe") as session:
        assert session.session["audio"]["input"]["transcription"]["model"] == "local/moonshine-tiny-en"


async def test_probabilities_come_when_they_are_included(server_url: str) -> None:
    async with transcribe(server_url) as session:
        await session.append(voice() + silence(1500, RATE))
        without = (await session.until(f"{KIND}.completed"))[-1]
        wanted = update() | {"include": ["item.input_audio_transcription.logprobs"]}
        await session.send("session.update", session=wanted)
        await session.append(voice() + silence(1500, RATE))
        completed = (await session.until(f"{KIND}.completed"))[-1]

    assert "logprobs" not in without
    tokens = completed["logprobs"]
    assert "".join(token["token"] for token in tokens).split() == completed["transcript"].split()
    assert all(token["logprob"] <= 0 for token in tokens)
    assert bytes(byte for token in tokens for byte in token["bytes"]).decode().split() == (
        completed["transcript"].split()
    )


async def test_hints_are_shown_once_they_are_set(server_url: str) -> None:
    async with talk(server_url) as session:

        async def change(**hints: Any) -> Event:
            shown = await session.update(audio={"input": {"transcription": hints}})
            heard: Event = shown["audio"]["input"]["transcription"]
            return heard

        plain = {"model": "local/moonshine-tiny-en", "language": None, "prompt": None}
        assert await change() == plain
        assert await change(languages=["en", "fr"], keywords=["Godot"], delay="low") == (
            plain | {"languages": ["en", "fr"], "keywords": ["Godot"], "delay": "low"}
        )
        assert await change(language="en") == plain | {
            "language": "en",
            "keywords": ["Godot"],
            "delay": "low",
        }
        assert await change(languages=["fr"], keywords=None, delay=None) == plain | {"languages": ["fr"]}
        assert await change(languages=None) == plain


@pytest.mark.parametrize(
    ("hints", "code", "param"),
    [
        ({"language": "en", "languages": ["en"]}, "invalid_value", "languages"),
        ({"languages": []}, "array_below_min_length", "languages"),
        ({"languages": ["en", 3]}, "invalid_type", "languages[1]"),
        ({"keywords": ["fine", "<b>"]}, "invalid_value", "keywords[1]"),
        ({"keywords": ["two\nlines"]}, "invalid_value", "keywords[0]"),
        ({"delay": "later"}, "invalid_value", "delay"),
    ],
)
async def test_hints_that_cannot_be_are_refused(server_url: str, hints: Any, code: str, param: str) -> None:
    async with talk(server_url) as session:
        await session.send(
            "session.update", session={"type": "realtime", "audio": {"input": {"transcription": hints}}}
        )

        error = await session.error()
        assert (error["code"], error["param"]) == (code, f"session.audio.input.transcription.{param}")


@asynccontextmanager
async def lab(model: str, reply: TranscriptionReply) -> AsyncIterator[tuple[Talk, FakeOpenAI]]:
    """A transcription session whose model is a fake of OpenAI's."""
    async with FakeOpenAI(api_key="lab-key") as fake:
        fake.transcriptions.default = reply
        table = ProviderTable.model_validate(
            {"kind": "openai-compatible", "base_url": fake.base_url, "api_key": "lab-key"}
        )
        settings = Settings(providers={"lab": table}, defaults=DefaultsSettings(stt=f"lab/{model}"))
        with running_server(settings, environ={}) as url:
            async with transcribe(url) as session:
                yield session, fake


async def test_each_delta_has_its_probabilities_when_they_are_included() -> None:
    async with lab("gpt-4o-transcribe", TranscriptionReply(text="Ever tried.")) as (session, _):
        for wanted in (False, True):
            include = ["item.input_audio_transcription.logprobs"] if wanted else None
            await session.send("session.update", session=update() | {"include": include})
            await session.append(voice() + silence(1500, RATE))
            events = await session.until(f"{KIND}.completed")

            deltas = [event for event in events if event["type"] == f"{KIND}.delta"]
            tokens = [[t["token"] for t in event.get("logprobs", ())] for event in (*deltas, events[-1])]
            assert [event["delta"] for event in deltas] == ["Ever", " tried."]
            assert tokens == ([["Ever"], [" tried."], ["Ever", " tried."]] if wanted else [[], [], []])


async def test_hints_reach_the_model_that_takes_them() -> None:
    async with lab("gpt-transcribe", TranscriptionReply(text="Ever tried.")) as (session, fake):
        hints = {"languages": ["en", "fr"], "keywords": ["Godot"], "prompt": "A play."}
        await session.send("session.update", session=update(transcription=hints))
        await session.append(voice() + silence(1500, RATE))
        await session.until(f"{KIND}.completed")

    (request,) = fake.transcriptions.requests
    assert request.body == {
        "model": "gpt-transcribe",
        "stream": "true",
        "response_format": "json",
        "languages[]": ["en", "fr"],
        "keywords[]": ["Godot"],
        "prompt": "A play.",
    }


async def test_a_model_that_counts_no_tokens_is_counted_in_seconds() -> None:
    async with lab("whisper-1", TranscriptionReply(text="Ever tried.")) as (session, _):
        await session.append(voice() + silence(1500, RATE))
        usage = (await session.until(f"{KIND}.completed"))[-1]["usage"]

    assert usage["type"] == "duration"
    assert 1 < usage["seconds"] < 4.5


async def test_a_model_that_tells_speakers_apart_says_who_spoke() -> None:
    reply = TranscriptionReply(text="Ever tried. Ever failed.", speakers=("A", "B"), languages=("en",))
    async with lab("gpt-4o-transcribe-diarize", reply) as (session, _):
        await session.append(voice() + silence(1500, RATE))
        events = await session.until(f"{KIND}.completed")

    segments = [event for event in events if event["type"] == f"{KIND}.segment"]
    assert [(segment["speaker"], segment["text"].strip()) for segment in segments] == [
        ("A", "Ever tried."),
        ("B", "Ever failed."),
    ]
    assert events[-1]["usage"] == {
        "type": "tokens",
        "total_tokens": 18,
        "input_tokens": 14,
        "output_tokens": 4,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
    }
    assert events[-1]["languages"] == [{"code": "en"}]
