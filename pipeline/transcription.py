"""Runs the transcription of utterances: one task each, from audio as it comes to the final text."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

from pipeline.audio.resample import Resampler
from pipeline.commands import (
    Command,
    EndOfTurnHeard,
    SpeakerHeard,
    TranscriptGrew,
    TranscriptGuessed,
    TranscriptionBroke,
    TranscriptReady,
    UtteranceRouted,
)
from pipeline.engines import Engines, load
from pipeline.extensions import has_room
from providers.contracts import (
    Caller,
    EndOfTurn,
    RouteTaken,
    SttOptions,
    TokenLogprob,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
    TranscriptSegment,
)
from providers.errors import ProviderError

__all__ = ["Transcription"]

log = logging.getLogger(__name__)

_FINAL_DEADLINE_S = (
    60.0  # from the end of the audio to the final text; adapters have shorter ones of their own
)


class Transcription:
    """One utterance, or a segment of it, on its way through a speech-to-text engine."""

    def __init__(
        self,
        engines: Engines,
        dispatch: Callable[[Command], None],
        *,
        item_id: str,
        content_index: int = 0,
        segment: int = 0,
        model: str,
        options: SttOptions,
        caller: Caller | None = None,
    ) -> None:
        self._engines = engines
        self._dispatch = dispatch
        self._item_id = item_id
        self._content_index = content_index
        self._segment = segment
        self._model = model
        self._options = options if caller is None else replace(options, caller=caller)
        # Not bounded here: what waits is a copy of audio that the input buffer's limit already bounds.
        self._audio: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self._deadline: asyncio.Timeout | None = None  # while it runs
        self._audio_complete = False

    def push(self, pcm: bytes, rate: int) -> None:
        """More audio; its rate in Hertz may change in mid-utterance, as the session's may."""
        if pcm:
            self._audio.put_nowait((pcm, rate))

    def finish(self) -> None:
        """No more audio; the final text is awaited from now on. Once it is finished, nothing happens."""
        if self._audio_complete:
            return
        self._audio_complete = True
        self._audio.put_nowait(None)
        self._expect_final()

    async def run(self) -> None:
        """Report the transcript, or why there is none, exactly once. Cancelling it drops everything."""
        try:
            async with asyncio.timeout(None) as self._deadline:
                self._expect_final()  # a recording is complete before its transcription begins
                try:
                    await self._transcribe()
                finally:
                    self._deadline = None
        except ProviderError as error:
            log.warning("transcription by %s failed: %s", self._model, error)
            self._break(error.code, error.message)
        except TimeoutError:
            log.warning("transcription by %s took over %.0f s", self._model, _FINAL_DEADLINE_S)
            self._break(
                "provider_timeout", f"The transcription model '{self._model}' did not answer in time."
            )
        except Exception:  # a fault in an adapter ends this transcript, not the session
            log.exception("transcription by %s crashed", self._model)
            self._break("server_error", f"The transcription model '{self._model}' failed unexpectedly.")

    async def _transcribe(self) -> None:
        stt = await load(self._engines, self._engines.stt, self._model)
        async with aclosing(stt.transcribe(self._chunks(stt.sample_rate), self._options)) as events:
            async for event in events:
                match event:
                    case TranscriptDelta(text, logprobs):
                        grew = TranscriptGrew(self._item_id, text, self._wanted(logprobs), self._segment)
                        self._dispatch(grew)
                    case RouteTaken():
                        self._dispatch(UtteranceRouted(self._item_id, event))
                    case TranscriptGuess(text):
                        self._dispatch(TranscriptGuessed(self._item_id, text, self._segment))
                    case EndOfTurn(probability):
                        self._dispatch(EndOfTurnHeard(self._item_id, probability, self._segment))
                    case TranscriptSegment():
                        self._dispatch(SpeakerHeard(self._item_id, event))
                    case TranscriptFinal(text, logprobs, languages, usage, profile) if self._audio_complete:
                        ready = TranscriptReady(
                            self._item_id,
                            text.strip(),
                            self._content_index,
                            self._wanted(logprobs),
                            languages,
                            usage,
                            self._segment,
                            profile if has_room(profile) else None,
                        )
                        self._dispatch(ready)
                        return
                    case TranscriptFinal():
                        break  # of half an utterance: nobody could tell what is missing
        self._break("provider_bad_answer", f"The transcription model '{self._model}' ended without a text.")

    def _wanted(self, logprobs: tuple[TokenLogprob, ...]) -> tuple[TokenLogprob, ...]:
        """Some engines send them unasked."""
        return logprobs if self._options.logprobs else ()

    async def _chunks(self, rate: int) -> AsyncIterator[bytes]:
        resampler: Resampler | None = None
        while (piece := await self._audio.get()) is not None:
            pcm, rate_in = piece
            if resampler is None or resampler.rate_in != rate_in:
                resampler = Resampler(rate_in, rate)
            if converted := resampler.process(pcm):
                yield converted
        if resampler is not None and (rest := resampler.flush()):
            yield rest

    def _expect_final(self) -> None:
        if self._deadline is not None and self._audio_complete:
            self._deadline.reschedule(asyncio.get_running_loop().time() + _FINAL_DEADLINE_S)

    def _break(self, code: str, message: str) -> None:
        self._dispatch(TranscriptionBroke(self._item_id, code, message, self._content_index, self._segment))
