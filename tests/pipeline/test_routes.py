"""What a session makes of routers: whom it says it is for, and what it tells of their decisions."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pipeline.callers import MAX_CHARS, MAX_METADATA, caller_of
from pipeline.commands import CommitAudio, CreateResponse, ResponseParams
from pipeline.config import Patch
from pipeline.core.reconfiguring import Rules
from pipeline.effects import Effect, ReportRoute
from pipeline.events import ResponseDone, TranscriptionCompleted
from providers.contracts import (
    Attempt,
    Caller,
    LlmFinished,
    RouteTaken,
    SpeechChunk,
    SttEvent,
    SttOptions,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    TranscriptFinal,
    TtsOptions,
)
from tests.pipeline.playbook import session_config
from tests.pipeline.scripted import Engines, ScriptedLlm, ScriptedStt, ScriptedTts, replying
from tests.pipeline.sessions import opened, tone

ROUTE = RouteTaken(
    "shop",
    "premium",
    "b",
    "lab/large",
    "first in order",
    (Attempt("lab/small", "provider_timeout", 0.5), Attempt("lab/large", None, 0.25)),
)
CALLER = Caller("sess", "ann", {"tier": "premium"})
TELLING: Patch = {"provider_data": {"user_id": "ann", "metadata": {"tier": "premium"}}}


class RoutedTts(ScriptedTts):
    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        yield SpeechChunk(b"", route=ROUTE)
        async for chunk in super().speak(text, options):
            yield chunk


class RoutedStt(ScriptedStt):
    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        self.options.append(options)
        yield ROUTE
        async for _ in audio:
            pass
        yield TranscriptFinal("Hi.")


class Watcher:
    def __init__(self) -> None:
        self.routes: list[ReportRoute] = []

    def saw(self, effect: Effect) -> None:
        if isinstance(effect, ReportRoute):
            self.routes.append(effect)


async def test_engines_are_told_for_whom_they_work() -> None:
    llm, tts, stt = replying("Hello."), ScriptedTts(), RoutedStt()
    patch: Patch = {**TELLING, "audio": {"input": {"turn_detection": None, "transcription": {}}}}
    async with opened(Engines(llm, stt, tts), patch) as (session, client):
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)
        await session.append_audio(tone(200, 0))
        session.dispatch(CommitAudio())
        await client.wait(TranscriptionCompleted)

    assert llm.requests[0].caller == CALLER
    assert tts.options[0].caller == CALLER
    assert stt.options[0].caller == CALLER


async def test_the_decisions_of_routers_are_told_with_the_response() -> None:
    watcher = Watcher()
    llm = ScriptedLlm(ROUTE, TextDelta("Hello."), LlmFinished("stop"))
    async with opened(Engines(llm, RoutedStt(), RoutedTts()), TELLING) as (session, client):
        session.watch(watcher)
        session.dispatch(CreateResponse(ResponseParams(metadata={"mine": "1", "llm.model": "not replaced"})))
        done = await client.wait(ResponseDone)

    assert done.response.metadata == {
        "mine": "1",
        "llm.model": "not replaced",
        "llm.router": "shop",
        "llm.route": "premium",
        "llm.variant": "b",
        "llm.reason": "first in order",
        "llm.attempts": "lab/small: provider_timeout, lab/large: ok",
        "tts.router": "shop",
        "tts.route": "premium",
        "tts.variant": "b",
        "tts.model": "lab/large",
        "tts.reason": "first in order",
        "tts.attempts": "lab/small: provider_timeout, lab/large: ok",
    }
    assert [(report.stage, report.subject_id) for report in watcher.routes] == [
        ("llm", done.response.id),
        ("tts", done.response.id),
    ]


async def test_metadata_never_grows_beyond_what_clients_accept() -> None:
    llm = ScriptedLlm(replace(ROUTE, reason="x" * 1000), TextDelta("Hello."), LlmFinished("stop"))
    given = {f"key{n}": "value" for n in range(12)}
    async with opened(Engines(llm, tts_engine=RoutedTts())) as (session, client):
        session.dispatch(CreateResponse(ResponseParams(metadata=given)))
        done = await client.wait(ResponseDone)

    metadata = done.response.metadata or {}
    assert len(metadata) == 16
    assert max(map(len, metadata.values())) <= 512
    assert given.items() <= metadata.items()


async def test_strict_sessions_hear_nothing_of_routes() -> None:
    llm = ScriptedLlm(ROUTE, TextDelta("Hello."), LlmFinished("stop"))
    async with opened(Engines(llm), rules=Rules(route_metadata=False)) as (session, client):
        session.dispatch(CreateResponse())
        done = await client.wait(ResponseDone)

    assert done.response.metadata is None


async def test_a_call_goes_back_to_its_maker_with_its_state() -> None:
    llm = ScriptedLlm(
        ToolCallStarted(0, "call_1", "clock", "a signed thought"),
        ToolCallDelta(0, "{}"),
        LlmFinished("tool_calls"),
    )
    async with opened(Engines(llm)) as (session, client):
        for count in (1, 2):
            session.dispatch(CreateResponse())
            await client.wait(ResponseDone, count)

    (call,) = (call for message in llm.requests[1].messages for call in getattr(message, "tool_calls", ()))
    assert call.state == "a signed thought"


async def test_a_state_that_is_too_large_is_not_kept() -> None:
    llm = ScriptedLlm(
        ToolCallStarted(0, "call_1", "clock", "x" * (1 << 20)),
        ToolCallDelta(0, "{}"),
        LlmFinished("tool_calls"),
    )
    async with opened(Engines(llm)) as (session, client):
        for count in (1, 2):
            session.dispatch(CreateResponse())
            await client.wait(ResponseDone, count)

    (call,) = (call for message in llm.requests[1].messages for call in getattr(message, "tool_calls", ()))
    assert call.state == ""


class WarmLlm(ScriptedLlm):
    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(TextDelta("Hello."), LlmFinished("stop"))
        self.warmed = asyncio.Event()
        self.times = 0
        self.error = error

    async def warm(self) -> None:
        self.times += 1
        self.warmed.set()
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, RuntimeError("no network")])
async def test_engines_are_warmed_once_when_the_session_begins(error: Exception | None) -> None:
    llm = WarmLlm(error)
    async with opened(Engines(llm)) as (session, client):
        async with asyncio.timeout(10):
            await llm.warmed.wait()
        session.dispatch(CreateResponse())
        await client.wait(ResponseDone)

    assert llm.times == 1


@pytest.mark.parametrize(
    ("given", "user", "metadata"),
    [
        (None, None, {}),
        ("text", None, {}),
        ({"user_id": 7, "metadata": ["a"]}, None, {}),
        ({"user_id": "", "metadata": {"a": None, "b": [1], "c": True, "d": 2}}, None, {"c": True, "d": 2}),
        ({"user_id": "u" * 9999, "metadata": {"a": "v" * 9999}}, "u" * MAX_CHARS, {}),
    ],
)
def test_odd_shapes_of_what_clients_say_of_themselves_are_left_out(
    given: Any, user: str | None, metadata: dict[str, Any]
) -> None:
    assert caller_of("s", replace(session_config(None), provider_data=given)) == Caller("s", user, metadata)


def test_so_much_metadata_and_no_more() -> None:
    given = {"metadata": {str(number): number for number in range(1000)}}

    assert len(caller_of("s", replace(session_config(None), provider_data=given)).metadata) == MAX_METADATA
