"""Runs one response: the language model, and beside it the voice that speaks clauses as they come."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from pipeline.audio.resample import Resampler
from pipeline.commands import (
    Command,
    GenerationFailed,
    GenerationFinished,
    ResponseRouted,
    SpeechFinished,
    SpeechSynthesized,
    TextGenerated,
    ToolCallGenerated,
    ToolCallOpened,
)
from pipeline.effects import SpeechStyle, StartGeneration
from pipeline.engines import Engines, load
from providers.contracts import (
    Caller,
    LlmFinished,
    RouteTaken,
    TextDelta,
    TextMark,
    ToolCallDelta,
    ToolCallStarted,
    TtsOptions,
)
from providers.errors import BadAnswerError, ProviderError, TimedOutError

__all__ = ["Generation"]

log = logging.getLogger(__name__)

_SILENCE_DEADLINE_S = (
    90.0  # without a sign of life from an engine; adapters have shorter deadlines of their own
)
_MAX_STATE = 512 * 1024  # characters that a model may want back with one call
_MAX_WAITING_CLAUSES = 32  # a model that writes faster than the voice speaks waits here
_DELTA_MS = 200  # of audio in one event: 13 kB of base64 at 24 kHz, far below what any client refuses


class Generation:
    """One response on its way through the model and the voice. `room` waits until clients can take more."""

    def __init__(
        self,
        order: StartGeneration,
        engines: Engines,
        dispatch: Callable[[Command], None],
        room: Callable[[], Awaitable[None]],
        caller: Caller | None = None,
    ) -> None:
        self._order = order
        self._engines = engines
        self._report: Callable[[Command], None] | None = dispatch
        self._room = room
        self._caller = caller or Caller()
        self._clauses: asyncio.Queue[str | None] = asyncio.Queue()
        self._has_clauses = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._caught_up.set()
        self._text_complete = False
        self._voice_deadline: asyncio.Timeout | None = None  # while the voice speaks

    def stop(self) -> None:
        """Nothing more of it is wanted, not even what its tasks report before they are cancelled."""
        self._report = None

    def _dispatch(self, command: Command) -> None:
        if self._report is not None:
            self._report(command)

    def speak(self, clause: str) -> None:
        """One more clause for the voice."""
        self._clauses.put_nowait(clause)
        self._has_clauses.set()
        if self._clauses.qsize() > _MAX_WAITING_CLAUSES:
            self._caught_up.clear()

    def finish_speaking(self) -> None:
        """No more clauses."""
        self._text_complete = True
        self._clauses.put_nowait(None)
        self._has_clauses.set()
        self._expect_voice()

    async def run(self) -> None:
        """Report everything the engines produce, or the one failure that ended it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                voice = tasks.create_task(self._run_voice(), name="voice")
                await self._run_model()
                if not self._has_clauses.is_set():
                    voice.cancel()  # nothing to say, as in a reply of calls only
        except* ProviderError as group:
            error = _first(group)
            log.warning("response %s failed: %s", self._order.response_id, error)
            self._fail(error.code, str(error))
        except* Exception as group:  # a fault in an adapter ends this response, not the session
            log.exception("response %s crashed", self._order.response_id, exc_info=group)
            self._fail("server_error", "The server had an unexpected error while it generated this response.")

    async def _run_model(self) -> None:
        order = self._order
        llm = await load(self._engines, self._engines.llm, order.model)
        try:
            async with (
                asyncio.timeout(_SILENCE_DEADLINE_S) as deadline,
                aclosing(llm.generate(replace(order.request, caller=self._caller))) as events,
            ):
                async for event in events:
                    match event:
                        case TextDelta(text):
                            self._dispatch(TextGenerated(order.response_id, text))
                        case ToolCallStarted(index, call_id, name, state):
                            self._dispatch(
                                ToolCallOpened(order.response_id, index, call_id, name, _bounded(state))
                            )
                        case ToolCallDelta(index, arguments):
                            self._dispatch(ToolCallGenerated(order.response_id, index, arguments))
                        case RouteTaken():
                            self._dispatch(ResponseRouted(order.response_id, "llm", event))
                        case LlmFinished(reason, usage):
                            self._dispatch(GenerationFinished(order.response_id, reason, usage))
                            return
                    deadline.reschedule(None)  # waiting for the listener is not the model's fault
                    await self._room()
                    await self._caught_up.wait()
                    deadline.reschedule(asyncio.get_running_loop().time() + _SILENCE_DEADLINE_S)
        except TimeoutError as error:
            raise TimedOutError(f"The model '{order.model}' stopped answering.") from error
        raise BadAnswerError(f"The model '{order.model}' ended its answer without saying why.")

    async def _run_voice(self) -> None:
        await self._has_clauses.wait()
        style = self._order.speech
        if style is None:
            return
        tts = await load(self._engines, self._engines.tts, style.model)
        voice = self._engines.resolve_voice(style.model, style.voice)
        resampler = Resampler(tts.sample_rate, style.format.rate)
        options = TtsOptions(
            voice, style.speed, language=style.language, caller=self._caller, settings=style.settings
        )
        try:
            async with (
                asyncio.timeout(None) as self._voice_deadline,
                aclosing(tts.speak(self._next_clauses(), options)) as chunks,
            ):
                self._expect_voice()  # a short reply is complete before its voice is loaded
                try:
                    async for chunk in chunks:
                        if chunk.route is not None:
                            self._dispatch(ResponseRouted(self._order.response_id, "tts", chunk.route))
                        marks = tuple(_scaled(mark, tts.sample_rate, style) for mark in chunk.marks)
                        await self._send(resampler.process(chunk.pcm), marks, style)
                        self._expect_voice()
                finally:
                    self._voice_deadline = None
        except TimeoutError as error:
            raise TimedOutError(f"The voice '{style.model}' stopped answering.") from error
        if not self._text_complete:
            raise BadAnswerError(f"The voice '{style.model}' stopped before the reply was complete.")
        await self._send(resampler.flush(), (), style)
        self._dispatch(SpeechFinished(self._order.response_id))

    async def _next_clauses(self) -> AsyncIterator[str]:
        while (clause := await self._clauses.get()) is not None:
            if self._clauses.qsize() <= _MAX_WAITING_CLAUSES // 2:
                self._caught_up.set()
            yield clause

    async def _send(self, pcm: bytes, marks: tuple[TextMark, ...], style: SpeechStyle) -> None:
        if self._voice_deadline is not None:
            self._voice_deadline.reschedule(None)  # a slow listener is not the voice's fault
        step = 2 * (style.format.rate * _DELTA_MS // 1000)
        for offset in range(0, max(1, len(pcm)), step):
            self._dispatch(SpeechSynthesized(self._order.response_id, pcm[offset : offset + step], marks))
            marks = ()
            await asyncio.sleep(0)  # a voice far faster than real time must not keep the loop to itself
            await self._room()

    def _expect_voice(self) -> None:
        """Once the text is complete, a voice that falls silent has failed; before, it may wait for text."""
        if self._voice_deadline is not None and self._text_complete:
            self._voice_deadline.reschedule(asyncio.get_running_loop().time() + _SILENCE_DEADLINE_S)

    def _fail(self, code: str, message: str) -> None:
        self._dispatch(GenerationFailed(self._order.response_id, code, message))


def _bounded(state: str) -> str:
    """A part of it would be worthless, so it is kept whole or not at all."""
    if len(state) <= _MAX_STATE:
        return state
    log.warning("a model wants %d characters back with its call, which are not kept", len(state))
    return ""


def _first(group: BaseExceptionGroup[ProviderError]) -> ProviderError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _scaled(mark: TextMark, rate: int, style: SpeechStyle) -> TextMark:
    return TextMark(mark.chars, mark.samples * style.format.rate // rate)
