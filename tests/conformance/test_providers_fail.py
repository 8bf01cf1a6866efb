"""A provider fails, stalls or dies in mid-stream: that response ends as failed, and the next turn works."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from server.background import running_server
from server.settings import ProviderTable, Settings
from tests.conformance.client import RATE, Event, Talk, talk
from tests.conformance.hearing import seconds, voice, words
from tests.fakes.openai_api import (
    HANG,
    ChatReply,
    FakeCall,
    FakeOpenAI,
    Reply,
    Script,
    SpeechReply,
    TranscriptionReply,
    error,
    rate_limited,
)
from tests.speech import silence

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRANSCRIPTION = "conversation.item.input_audio_transcription"
LLM, STT, TTS = "lab/chat", "lab/transcribe", "lab/speech"


@dataclass(frozen=True)
class Lab:
    """A server whose provider `lab` is a fake of the OpenAI API, and whose provider `gone` is not there."""

    url: str
    fake: FakeOpenAI


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        gone = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        async with FakeOpenAI() as fake:
            tables: dict[str, Event] = {
                "lab": {
                    "base_url": fake.base_url,
                    "api_key_env": "LAB_KEY",
                    "first_byte_timeout": 0.6,
                    "gap_timeout": 0.4,
                },
                "gone": {"base_url": gone},
            }
            providers = {
                name: ProviderTable.model_validate({"kind": "openai-compatible", **table})
                for name, table in tables.items()
            }
            server = running_server(Settings(providers=providers), environ={"LAB_KEY": fake.api_key})
            url = await asyncio.to_thread(server.__enter__)
            try:
                yield Lab(url, fake)
            finally:
                await asyncio.to_thread(server.__exit__, None, None, None)


def failure(response: Event) -> Event:
    assert response["status"] == "failed"
    details = response["status_details"]
    assert details["type"] == "failed"
    inner: Event = details["error"]
    assert inner["message"]
    return inner


async def works(session: Talk) -> None:
    """The next turn is as if nothing had happened."""
    reply = await session.ask("[[say Still here.]]")
    assert (reply.status, bool(reply.text)) == ("completed", True)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("server_error", "provider_overloaded"),
        ("rate_limit", "rate_limit_exceeded"),
        ("timeout", "provider_timeout"),
        ("auth", "provider_authentication_failed"),
        ("drop", "provider_connection_failed"),
    ],
)
@pytest.mark.parametrize("modality", ["text", "audio"])
async def test_every_failure_of_the_model_ends_the_response_as_failed(
    lab: Lab, kind: str, code: str, modality: str
) -> None:
    async with talk(lab.url, output_modalities=[modality]) as session:
        reply = await session.ask(f"[[say One two three four five six.]] [[fail {kind}]]")

        assert failure(reply.response)["code"] == code
        assert all(item["status"] == "incomplete" for item in reply.response["output"])
        await works(session)


async def test_what_was_said_before_the_failure_is_kept(lab: Lab) -> None:
    async with talk(lab.url, text=True) as session:
        reply = await session.ask("[[words 20]] [[fail drop]]")

        assert failure(reply.response)
        assert 0 < len(reply.text.split()) < 20
        assert reply.response["output"][0]["id"] in await session.items()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param(rate_limited(2.0), "rate_limit_exceeded", id="429"),
        pytest.param(error(500, "It broke"), "provider_overloaded", id="500"),
        pytest.param(error(503, "Too busy"), "provider_overloaded", id="503"),
        pytest.param(error(401, "Wrong key"), "provider_authentication_failed", id="401"),
        pytest.param(error(400, "What is this?"), "provider_refused_request", id="400"),
        pytest.param(
            error(400, "Too long", code="context_length_exceeded"), "context_length_exceeded", id="too long"
        ),
        pytest.param(
            error(404, "No such model", code="model_not_found"), "provider_refused_request", id="404"
        ),
        pytest.param(ChatReply(text="one two three", break_after=3), "provider_connection_failed", id="cut"),
        pytest.param(
            ChatReply(text="one two three", break_after=3, break_with=(HANG,)),
            "provider_timeout",
            id="stalls",
        ),
        pytest.param(ChatReply(text="late", delay_s=5), "provider_timeout", id="never begins"),
        pytest.param(
            Reply((b"data: {oops\n\n",), content_type="text/event-stream"),
            "provider_bad_answer",
            id="garbage",
        ),
        pytest.param(Reply((b"<html>",), content_type="text/html"), "provider_bad_answer", id="a web page"),
    ],
)
async def test_a_failing_upstream_ends_the_response_as_failed(lab: Lab, script: Script, code: str) -> None:
    async with talk(lab.url, model=LLM, text=True) as session:
        lab.fake.chat.script(script)
        reply = await session.ask("Hello")

        problem = failure(reply.response)
        assert problem["code"] == code
        assert lab.fake.api_key not in json.dumps(reply.response)
        await works(session)


async def test_an_upstream_that_is_not_there_ends_the_response_as_failed(lab: Lab) -> None:
    async with talk(lab.url, model="gone/model", text=True) as session:
        problem = failure((await session.ask("Hello")).response)

        assert problem["code"] == "provider_connection_failed"
        await session.update(model=LLM)
        await works(session)


async def test_an_upstream_answers_and_calls(lab: Lab) -> None:
    tool = {"type": "function", "name": "clock", "description": "d", "parameters": {"type": "object"}}
    async with talk(lab.url, model=LLM, text=True, tools=[tool], instructions="Be kind.") as session:
        lab.fake.chat.script(
            ChatReply(text="Let me see.", calls=[FakeCall("clock", '{"zone": "UTC"}'), FakeCall("clock")])
        )
        asked = await session.ask("What time is it?")
        for call in asked.calls:
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
            await session.add(output)
        lab.fake.chat.script(ChatReply(text="It is noon."))
        answered = await session.respond()

        assert asked.text == "Let me see."
        assert [json.loads(call["arguments"]) for call in asked.calls] == [{"zone": "UTC"}, {}]
        assert answered.text == "It is noon."
        messages = lab.fake.chat.requests[-1].body["messages"]
        roles = [m["role"] for m in messages]
        assert (roles[:2], roles[-3:]) == (["system", "user"], ["assistant", "tool", "tool"])
        assert messages[0]["content"] == "Be kind."


async def test_a_cancelled_response_hangs_up_on_its_upstream(lab: Lab) -> None:
    async with talk(lab.url, model=LLM, text=True) as session:
        lab.fake.chat.script(ChatReply(text="one two three", break_after=3, break_with=(HANG,)))
        id = await session.start("Hello")
        await session.until("response.output_text.delta")
        await session.send("response.cancel")
        reply = await session.reply(id)

        assert reply.status == "cancelled"
        request = lab.fake.chat.requests[-1]
        async with asyncio.timeout(5):
            await request.finished.wait()
        assert request.aborted
        await works(session)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param(rate_limited(2.0), "rate_limit_exceeded", id="429"),
        pytest.param(error(500, "It broke"), "provider_overloaded", id="500"),
        pytest.param(SpeechReply(break_after=1), "provider_connection_failed", id="cut"),
        pytest.param(SpeechReply(break_after=1, break_with=(HANG,)), "provider_timeout", id="stalls"),
        pytest.param(SpeechReply(delay_s=5), "provider_timeout", id="never begins"),
    ],
)
async def test_a_failing_voice_ends_the_response_as_failed(lab: Lab, script: Script, code: str) -> None:
    async with talk(lab.url, audio={"output": {"model": TTS, "voice": "anything"}}) as session:
        lab.fake.speech.script(script)
        reply = await session.ask("[[say A sentence that is long enough to need more than one chunk.]]")

        assert failure(reply.response)["code"] == code
        await works(session)


async def test_speech_of_an_upstream_is_passed_on(lab: Lab) -> None:
    async with talk(lab.url, audio={"output": {"model": TTS, "voice": "anything", "speed": 1.2}}) as session:
        reply = await session.ask("[[say Twenty letters here.]]")

        assert seconds(reply.audio, RATE) == pytest.approx(0.01 * len("Twenty letters here."), abs=0.02)
        body = lab.fake.speech.requests[-1].body
        assert (body["model"], body["voice"], body["speed"]) == ("speech", "anything", 1.2)


async def test_a_transcript_of_an_upstream_is_passed_on(lab: Lab) -> None:
    async with talk(lab.url, text=True, audio={"input": {"transcription": {"model": STT}}}) as session:
        lab.fake.transcriptions.script(TranscriptionReply(text="Words from far away."))
        await session.append(voice() + silence(1_500, RATE))
        reply = await session.reply()

        completed = next(e for e in session.events if e["type"] == f"{TRANSCRIPTION}.completed")
        assert completed["transcript"] == "Words from far away."
        assert reply.text == "You said: Words from far away."


async def test_speech_in_which_nobody_hears_a_word_is_answered_with_nothing(lab: Lab) -> None:
    async with talk(lab.url, audio={"input": {"transcription": {"model": STT}}}) as session:
        lab.fake.transcriptions.script(TranscriptionReply(text=""))
        await session.append(voice() + silence(1_500, RATE))
        reply = await session.reply()

        assert (reply.status, reply.response["output"]) == ("completed", [])
        assert reply.types == ["response.created", "response.done"]
        await works(session)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(error(500, "It broke"), id="500"),
        pytest.param(rate_limited(1.0), id="429"),
        pytest.param(TranscriptionReply(text="late", delay_s=5), id="never begins"),
        pytest.param(Reply((b"{oops",)), id="garbage"),
    ],
)
async def test_a_failing_transcription_is_reported_and_the_next_turn_works(lab: Lab, script: Script) -> None:
    manual = {"input": {"transcription": {"model": STT}, "turn_detection": None}}
    async with talk(lab.url, text=True, audio=manual) as session:
        lab.fake.transcriptions.script(script)
        await session.append(voice())
        await session.send("input_audio_buffer.commit")
        failed = (await session.until(f"{TRANSCRIPTION}.failed"))[-1]

        assert failed["error"]["message"]
        assert failed["error"]["code"]
        await works(session)


async def test_a_spoken_turn_that_nobody_could_transcribe_does_not_hang(lab: Lab) -> None:
    async with talk(lab.url, text=True, audio={"input": {"transcription": {"model": STT}}}) as session:
        lab.fake.transcriptions.script(error(500, "It broke"))
        await session.append(voice() + silence(1_500, RATE))
        await session.until(f"{TRANSCRIPTION}.failed")
        await session.settle()
        while session.oracle.sequence.finished():
            await session.receive()

        await session.append(voice() + silence(1_500, RATE))
        reply = await session.reply()
        assert words(reply.text) == words("You said: This is what I heard.")
