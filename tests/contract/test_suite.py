"""The contract suite finds what is wrong: engines with one fault each, and the sentence that names it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from openparley.testing import (
    ContractError,
    check_failure,
    check_llm,
    check_provider,
    check_stt,
    check_tts,
)
from providers.contracts import (
    Llm,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    LlmUsage,
    ModelInfo,
    RouteTaken,
    SpeechChunk,
    Stt,
    SttEvent,
    SttOptions,
    TextDelta,
    TextMark,
    ToolCallDelta,
    ToolCallStarted,
    TranscriptDelta,
    TranscriptFinal,
    TtsOptions,
    Voice,
)
from providers.errors import AuthenticationError, OverloadedError
from providers.provider import Provider, ProviderSettings

ROUTE = RouteTaken("r", "a", "b", "lab/m", "", ())
DONE = LlmFinished("stop")
HI = TextDelta("Hi.")


class FakeLlm:
    def __init__(self, *events: LlmEvent | Exception) -> None:
        self.events = events

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        for event in self.events:
            await asyncio.sleep(0)
            if isinstance(event, Exception):
                raise event
            yield event


class LeakyLlm(FakeLlm):
    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        self.task = asyncio.create_task(asyncio.sleep(60), name="left behind")
        yield HI
        yield DONE


class FakeStt:
    sample_rate = 16_000
    streaming = True

    def __init__(self, *events: SttEvent, in_silence: str = "") -> None:
        self.events, self.in_silence = events, in_silence

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        heard = [chunk async for chunk in audio]
        if not heard:
            yield TranscriptFinal(self.in_silence)
        else:
            for event in self.events:
                yield event


class FakeTts:
    """Speaks 10 samples per letter; `fault` makes it do something wrong."""

    sample_rate = 24_000
    voices: tuple[Voice, ...] | None = (Voice("ann", "Ann"),)
    speeds = (1.0, 1.0)
    tags = ""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def knows_voice(self, voice: str) -> bool:
        return voice == "ann" or self.fault == "any"

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        if self.fault == "whole":
            whole = "".join([segment async for segment in text])
            yield SpeechChunk(bytes(20 * len(whole)), (TextMark(len(whole), 10 * len(whole)),))
            return
        chars = 0
        async for segment in text:
            chars += len(segment)
            odd = 1 if self.fault == "odd" else 0
            samples = 10 * chars + (99 if self.fault == "outside" else 0)
            marks: tuple[TextMark, ...] = () if self.fault == "no marks" else (TextMark(chars, samples),)
            if self.fault == "back":
                marks = (TextMark(chars, samples), TextMark(chars - 1, samples))
            yield SpeechChunk(bytes(20 * len(segment) + odd), marks)


def good_llm() -> FakeLlm:
    return FakeLlm(HI, LlmFinished("stop", LlmUsage(3, 2, 1)))


async def test_sound_engines_pass() -> None:
    await check_llm(good_llm())
    await check_llm(FakeLlm(ROUTE, HI, DONE))
    await check_stt(FakeStt(TranscriptDelta("Hi "), TranscriptDelta("there."), TranscriptFinal("Hi there.")))
    await check_tts(FakeTts())


@pytest.mark.parametrize(
    ("llm", "clause"),
    [
        (FakeLlm(), "at least one event"),
        (FakeLlm(DONE), "says something"),
        (FakeLlm(HI), "last event of a stream is LlmFinished"),
        (FakeLlm(HI, DONE, HI, DONE), "nothing comes after LlmFinished"),
        (FakeLlm(HI, ROUTE, DONE), "RouteTaken comes first"),
        (FakeLlm(HI, KeyError("choices")), "not as KeyError"),
        (FakeLlm(HI, LlmFinished("stop", LlmUsage(1, 1, 2))), "cached tokens are a part"),
        (FakeLlm(HI, ToolCallDelta(0, "{}"), DONE), "ToolCallStarted comes before"),
        (FakeLlm(HI, ToolCallStarted(0, "", "f"), DONE), "an id of its own"),
        (FakeLlm(HI, ToolCallStarted(0, "a", ""), DONE), "each call has a name"),
        (FakeLlm(HI, ToolCallStarted(0, "a", "f"), LlmFinished("tool_calls")), 'add up to "{}"'),
        (FakeLlm(HI, ToolCallStarted(0, "a", "f"), ToolCallDelta(0, "{}"), DONE), "the reason tool_calls"),
        (LeakyLlm(), "left behind"),
    ],
)
async def test_faults_of_a_language_model(llm: Llm, clause: str) -> None:
    with pytest.raises(ContractError, match=clause):
        await check_llm(llm)
    if isinstance(llm, LeakyLlm):
        llm.task.cancel()


async def test_a_refused_conversation_is_named() -> None:
    class Picky(FakeLlm):
        async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
            if len(request.messages) == 1:
                raise OverloadedError("no")
            yield HI
            yield DONE

    with pytest.raises(ContractError, match="a conversation with only instructions is answered"):
        await check_llm(Picky())


@pytest.mark.parametrize(
    ("stt", "clause"),
    [
        (FakeStt(), "ends with a TranscriptFinal"),
        (FakeStt(TranscriptFinal(""), in_silence="Thank you."), "there is no text"),
        (FakeStt(TranscriptFinal(" hi")), "no space around"),
        (FakeStt(TranscriptDelta(""), TranscriptFinal("")), "a delta has text"),
        (FakeStt(TranscriptDelta("Hi"), TranscriptFinal("Bye")), "never revised"),
        (FakeStt(TranscriptFinal("a"), TranscriptFinal("a")), "nothing comes after"),
    ],
)
async def test_faults_of_a_transcription(stt: Stt, clause: str) -> None:
    with pytest.raises(ContractError, match=clause):
        await check_stt(stt)


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        ("odd", "whole samples"),
        ("no marks", "where the words are"),
        ("back", "do not go back in the text"),
        ("outside", "within the audio"),
        ("any", "no voice has an empty name"),
    ],
)
async def test_faults_of_a_voice(fault: str, clause: str) -> None:
    with pytest.raises(ContractError, match=clause):
        await check_tts(FakeTts(fault))


async def test_a_voice_that_waits_for_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openparley.testing.tts.FIRST_S", 0.1)

    with pytest.raises(ContractError, match="not when the whole text is there"):
        await check_tts(FakeTts("whole"))


class FakeProvider(Provider):
    listed: tuple[ModelInfo, ...] = (ModelInfo("m", "llm"),)

    def __init__(self, make: Callable[[], Llm] | None = None) -> None:
        super().__init__(ProviderSettings("lab"))
        self._llm = good_llm()
        self._make = make

    def models(self) -> tuple[ModelInfo, ...]:
        return self.listed

    def llm(self, model: str) -> Llm:
        return self._make() if self._make else self._llm


async def test_providers() -> None:
    await check_provider(FakeProvider())
    with pytest.raises(ContractError, match="made once and shared"):
        await check_provider(FakeProvider(good_llm))
    twice = FakeProvider()
    twice.listed *= 2
    with pytest.raises(ContractError, match="listed once"):
        await check_provider(twice)


async def test_failures() -> None:
    def failing(error: Exception) -> Callable[[], AsyncGenerator[Any, None]]:
        return lambda: FakeLlm(error).generate(LlmRequest(()))

    error = await check_failure(failing(OverloadedError("full")), OverloadedError)
    assert error.message == "full"
    with pytest.raises(ContractError, match="is a AuthenticationError, not a OverloadedError"):
        await check_failure(failing(OverloadedError("full")), AuthenticationError)
    with pytest.raises(ContractError, match="no error holds a key"):
        await check_failure(failing(OverloadedError("bad key 123")), secrets=["123"])
    with pytest.raises(ContractError, match="not as ValueError"):
        await check_failure(failing(ValueError("x")))
    with pytest.raises(ContractError, match="ends the stream with a ProviderError"):
        await check_failure(lambda: good_llm().generate(LlmRequest(())))
