"""One response on its way through model and voice: order, haste, patience and faults."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pipeline.commands import (
    Command,
    GenerationFailed,
    GenerationFinished,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    ToolCallGenerated,
    ToolCallOpened,
)
from pipeline.config import AudioFormat
from pipeline.effects import SpeechStyle, StartGeneration
from pipeline.generation import Generation
from providers.contracts import (
    LlmFinished,
    LlmRequest,
    LlmUsage,
    TextDelta,
    TextMark,
    ToolCallDelta,
    ToolCallStarted,
    TtsOptions,
)
from providers.errors import BadAnswerError, ConnectionFailedError, RateLimitError
from tests.pipeline.scripted import GUARD_S, Engines, Heard, ScriptedLlm, ScriptedTts

STOP = LlmFinished("stop", LlmUsage(3, 2))


class Run:
    """A generation, and what the engine would do with what it tells: each text is a clause."""

    def __init__(
        self, llm: ScriptedLlm, tts: ScriptedTts | None = None, rate: int = 24_000, **style_members: Any
    ) -> None:
        self.llm, self.tts, self.heard = llm, tts or ScriptedTts(), Heard()
        style = SpeechStyle("lab/tts", "Ann", 1.25, AudioFormat(rate=rate), **style_members)
        order = StartGeneration("resp", "lab/llm", LlmRequest(()), style if tts else None)
        engines = Engines(llm, tts_engine=self.tts)
        self.generation = Generation(order, engines, self.dispatch, self.heard.room)
        self.speaks, self._texts = tts is not None, 0

    def dispatch(self, command: Command) -> None:
        self.heard.dispatch(command)
        match command:
            case TextGenerated(_, text) if self.speaks:
                self._texts += 1
                self.generation.speak(text)
            case GenerationFinished() if self._texts:
                self.generation.finish_speaking()

    async def to_the_end(self) -> list[str]:
        async with asyncio.timeout(GUARD_S):
            await self.generation.run()
        return self.heard.names()

    def failure(self) -> str:
        """The code of the one failure told, and nothing after it."""
        failures = self.heard.of(GenerationFailed)
        assert self.heard.all[-1:] == failures
        return failures[0].code


Start = Callable[..., tuple[Run, "asyncio.Task[None]"]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a run that the test watches; whatever still runs at its end is stopped."""
    tasks: list[asyncio.Task[None]] = []

    def begin(llm: ScriptedLlm, tts: ScriptedTts | None = None) -> tuple[Run, asyncio.Task[None]]:
        run = Run(llm, tts)
        tasks.append(asyncio.create_task(run.generation.run()))
        return run, tasks[-1]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# --- the ordinary way --------------------------------------------------------------------------------


async def test_a_typed_reply_comes_as_it_is_written_and_needs_no_voice() -> None:
    run = Run(ScriptedLlm(TextDelta("One "), TextDelta("two"), STOP))

    await run.to_the_end()

    assert run.heard.all == [
        TextGenerated("resp", "One "),
        TextGenerated("resp", "two"),
        GenerationFinished("resp", "stop", LlmUsage(3, 2)),
    ]
    assert run.tts.opened == 0


async def test_calls_are_told_in_their_pieces_and_need_no_voice() -> None:
    llm = ScriptedLlm(ToolCallStarted(2, "id", "f"), ToolCallDelta(2, "{}"), LlmFinished("tool_calls"))
    run = Run(llm, ScriptedTts())

    await run.to_the_end()

    assert run.heard.all == [
        ToolCallOpened("resp", 2, "id", "f"),
        ToolCallGenerated("resp", 2, "{}"),
        GenerationFinished("resp", "tool_calls", None),
    ]
    assert run.tts.opened == 0


async def test_clauses_reach_the_voice_in_order_and_its_speech_ends_last() -> None:
    run = Run(ScriptedLlm(TextDelta("One. "), TextDelta("Two. "), TextDelta("Three."), STOP), ScriptedTts())

    names = await run.to_the_end()

    assert run.tts.segments == ["One. ", "Two. ", "Three."]
    assert run.tts.options == [TtsOptions(voice="ann", speed=1.25)]
    assert names[-1] == "SpeechFinished"
    assert len(run.heard.of(SpeechFinished)) == 1


async def test_the_voice_is_told_what_the_client_asks_of_it() -> None:
    run = Run(ScriptedLlm(TextDelta("Hallo."), STOP), ScriptedTts(), language="de", settings={"volume": 2})

    await run.to_the_end()

    assert run.tts.options == [TtsOptions("ann", 1.25, language="de", settings={"volume": 2})]


async def test_the_voice_begins_before_the_model_has_finished(start: Start) -> None:
    may_finish = asyncio.Event()
    run, task = start(ScriptedLlm(TextDelta("One. "), may_finish, STOP), ScriptedTts())

    await run.heard.wait(SpeechSynthesized)
    assert not run.heard.of(GenerationFinished)

    may_finish.set()
    async with asyncio.timeout(GUARD_S):
        await task
    assert run.heard.names()[-1] == "SpeechFinished"


async def test_speech_comes_at_the_rate_of_the_session_in_short_pieces_with_its_marks() -> None:
    run = Run(ScriptedLlm(TextDelta("x" * 50), STOP), ScriptedTts(16_000), rate=48_000)

    await run.to_the_end()

    spoken = run.heard.of(SpeechSynthesized)
    assert sum(len(piece.pcm) for piece in spoken) == 2 * 48_000 // 2  # 50 letters of 10 ms
    assert max(len(piece.pcm) for piece in spoken) <= 2 * 48_000 // 5
    assert [mark for piece in spoken for mark in piece.marks] == [TextMark(50, 24_000)]


# --- stopping ----------------------------------------------------------------------------------------


async def test_cancelling_stops_model_and_voice_at_once(start: Start) -> None:
    tts = ScriptedTts()
    run, task = start(ScriptedLlm(TextDelta("One. "), TextDelta("Two."), asyncio.Event()), tts)
    await run.heard.wait(SpeechSynthesized)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    told = len(run.heard.all)
    assert run.llm.closed.is_set()
    assert tts.closed.is_set()
    assert not run.heard.of(GenerationFailed)
    assert len(run.heard.all) == told


async def test_cancelling_stops_a_voice_that_is_silent(start: Start) -> None:
    tts = ScriptedTts()
    tts.may_speak.clear()
    run, task = start(ScriptedLlm(TextDelta("One. "), STOP), tts)
    await run.heard.wait(GenerationFinished)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not run.heard.of(SpeechSynthesized)


# --- faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RateLimitError("slow down"), "rate_limit_exceeded"),
        (ConnectionFailedError("gone"), "provider_connection_failed"),
        (ValueError("a bug"), "server_error"),
        (TimeoutError("a bug as well"), "provider_timeout"),
    ],
)
@pytest.mark.parametrize("after", [0, 1])
async def test_a_model_that_fails_ends_the_response(error: Exception, code: str, after: int) -> None:
    run = Run(ScriptedLlm(*[TextDelta("One. ")] * after, error), ScriptedTts())

    await run.to_the_end()

    assert run.failure() == code
    assert run.tts.closed.is_set() == (run.tts.opened > 0)


async def test_what_a_crash_says_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(ScriptedLlm(ValueError("secret details")))

    await run.to_the_end()

    assert "secret" not in run.heard.of(GenerationFailed)[0].message
    assert "secret details" in caplog.text


@pytest.mark.parametrize(
    ("error", "code"), [(BadAnswerError("?"), "provider_bad_answer"), (KeyError(), "server_error")]
)
async def test_a_voice_that_fails_stops_the_model(error: Exception, code: str) -> None:
    tts = ScriptedTts()
    tts.error = error
    run = Run(ScriptedLlm(TextDelta("One. "), asyncio.Event()), tts)

    await run.to_the_end()

    assert run.failure() == code
    assert run.llm.closed.is_set()


async def test_a_voice_that_fails_when_the_text_is_complete_is_told_once() -> None:
    tts = ScriptedTts()
    tts.error = BadAnswerError("?")
    run = Run(ScriptedLlm(TextDelta("One. "), STOP), tts)

    await run.to_the_end()

    assert run.failure() == "provider_bad_answer"
    run.generation.finish_speaking()  # says nothing and breaks nothing, however late


async def test_a_voice_that_gives_up_in_mid_reply_is_a_failure() -> None:
    tts = ScriptedTts()
    tts.gives_up = True
    run = Run(ScriptedLlm(TextDelta("One. "), asyncio.Event()), tts)

    await run.to_the_end()

    assert run.failure() == "provider_bad_answer"
    assert not run.heard.of(SpeechFinished)


async def test_a_model_that_ends_without_a_reason_is_a_failure() -> None:
    run = Run(ScriptedLlm(TextDelta("One. ")))

    await run.to_the_end()

    assert run.failure() == "provider_bad_answer"


@pytest.mark.parametrize("script", [(), (TextDelta("One. "),)])
async def test_a_model_that_falls_silent_is_given_up(
    script: tuple[TextDelta, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.generation._SILENCE_DEADLINE_S", 0.05)
    run = Run(ScriptedLlm(*script, asyncio.Event()), ScriptedTts())

    await run.to_the_end()

    assert run.failure() == "provider_timeout"
    assert run.llm.closed.is_set()


async def test_a_voice_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.generation._SILENCE_DEADLINE_S", 0.05)
    tts = ScriptedTts()
    tts.may_speak.clear()
    run = Run(ScriptedLlm(TextDelta("One. "), STOP), tts)

    await run.to_the_end()

    assert run.failure() == "provider_timeout"
    assert tts.closed.is_set()


# --- patience ----------------------------------------------------------------------------------------


async def test_a_model_waits_for_a_client_that_reads_slowly(start: Start) -> None:
    llm = ScriptedLlm(*[TextDelta("x")] * 100, STOP)
    run, task = start(llm)
    run.heard.may_go_on.clear()

    async with asyncio.timeout(GUARD_S):
        await run.heard.waits_for_room.wait()
    assert llm.yielded == 1

    run.heard.may_go_on.set()
    async with asyncio.timeout(GUARD_S):
        await task
    assert llm.yielded == 101


async def test_waiting_for_a_slow_client_is_not_held_against_the_model(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.generation._SILENCE_DEADLINE_S", 0.05)
    run, task = start(ScriptedLlm(TextDelta("x"), STOP))
    run.heard.may_go_on.clear()

    done, _ = await asyncio.wait([task], timeout=0.1)  # twice the deadline
    assert not done
    run.heard.may_go_on.set()
    async with asyncio.timeout(GUARD_S):
        await task

    assert run.heard.names() == ["TextGenerated", "GenerationFinished"]


async def test_a_model_that_writes_far_ahead_of_its_voice_waits(start: Start) -> None:
    tts, far = ScriptedTts(), asyncio.Event()
    tts.may_speak.clear()
    llm = ScriptedLlm(*[TextDelta("x")] * 33, far, *[TextDelta("x")] * 33, STOP)
    run, task = start(llm, tts)
    await run.heard.wait(TextGenerated, 33)
    far.set()
    await asyncio.sleep(0)
    written = llm.yielded

    tts.may_speak.set()
    async with asyncio.timeout(GUARD_S):
        await task

    assert 33 <= written <= 35
    assert len(tts.segments) == 66
    assert run.heard.names()[-1] == "SpeechFinished"
