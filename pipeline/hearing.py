"""The ears of a session: input audio in; facts about speech, turns and transcripts out.

append ─► noise reduction ─► buffer ─► speech detector ─► FrameScored ──┐
                               │                                        ├─► engine
                               ├─► transcription ──► Transcript… ───────┤
                               ├─► judge of turns ─► TurnJudged ────────┤
                               └─► echo detector ──► EchoJudged ────────┘
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from pipeline.audio.buffer import InputBuffer
from pipeline.audio.denoise import DELAY_MS, Denoiser
from pipeline.audio.echo import ECHO, EchoDetector
from pipeline.commands import AudioAppended, Command, EchoJudged, FrameScored, TurnJudged
from pipeline.config import NoiseReduction, SessionConfig
from pipeline.detection import DetectorStream, SpeechDetector
from pipeline.effects import (
    CheckEcho,
    EndSegment,
    EndUtterance,
    JudgeTurn,
    StartUtterance,
    TranscribeClip,
)
from pipeline.engines import Engines
from pipeline.judging import TurnJudge
from pipeline.ticks import TICK_RATE, TICKS_PER_MS
from pipeline.transcription import Transcription
from providers.contracts import Caller, SttOptions

__all__ = ["Hearing"]

log = logging.getLogger(__name__)

# Frames that may wait for an answer (32 s of audio) before whoever sends them has to wait as well.
_MAX_HELD = 1000

# From 400 ms on a comparison with the assistant's voice can be relied on; in less, only a clear no counts.
_SURE_S = 0.4
_DOUBT = 0.3

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
Key = tuple[str, int, int]  # item id, content index, segment


class Hearing:
    """Belongs to one session; `close` it when that ends."""

    def __init__(
        self,
        engines: Engines,
        detector: SpeechDetector,
        judge: TurnJudge,
        dispatch: Callable[[Command], None],
        spawn: Spawn,
        rate: int,
        *,
        expects_echoes: bool = True,
    ) -> None:
        """`spawn` starts a task that ends with the session; `rate` is that of the first audio, in Hertz.

        `expects_echoes`: whether `CheckEcho` will ever be asked.
        """
        self._engines = engines
        self._detector = detector
        self._judge = judge
        self._dispatch = dispatch
        self._spawn = spawn
        self._buffer = InputBuffer(rate)
        self._denoiser: Denoiser | None = None  # once the session wants noise reduced
        self._echo = EchoDetector() if expects_echoes else None
        self._caller = Caller()
        self._detection: DetectorStream | None = None
        self._transcriptions: dict[Key, tuple[Transcription, asyncio.Task[None]]] = {}
        self._speaking: tuple[Key, int] | None = None  # the open utterance, and how far it has been fed
        self._questions = 0  # to which the engine waits for an answer
        self._held: deque[FrameScored] = deque()  # told after the answers
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def rate(self) -> int:
        """Of the audio that comes, in Hertz."""
        return self._buffer.rate

    def close(self) -> None:
        if self._detection is not None:
            self._detection.close()
        for _, task in self._transcriptions.values():
            task.cancel()

    # --- audio ----------------------------------------------------------------------------------------

    def configure(self, config: SessionConfig, caller: Caller) -> None:
        """Audio that comes from now on has this format, is judged or not, and is transcribed for `caller`."""
        self._caller = caller
        rate = config.audio.input.format.rate
        changed = rate != self._buffer.rate
        self._buffer.change_rate(rate)
        self._reduce_noise(config.audio.input.noise_reduction, rate)
        wanted = config.audio.input.turn_detection is not None
        if self._detection is not None and (changed or not wanted):
            self._detection.close()
            self._detection = None
            self._held.clear()
            self._has_room.set()
        if wanted and self._detection is None:
            self._detection = self._detector.open(rate, self._buffer.end, self._frame_scored)

    def _reduce_noise(self, reduction: NoiseReduction | None, rate: int) -> None:
        if self._denoiser is not None:
            # It stays when it is switched off: its delay must not change in mid-speech.
            self._denoiser.change_rate(rate)
            self._denoiser.reconfigure(reduction)
        elif reduction is not None:
            end = self._buffer.end
            past = self._buffer.slice(max(0, end - 2 * DELAY_MS * TICKS_PER_MS))
            self._denoiser = Denoiser(rate, reduction, past)

    def append(self, pcm: bytes) -> None:
        """More audio: PCM16 mono at the session's rate."""
        if self._denoiser is not None:
            pcm = self._denoiser.process(pcm)
        self._buffer.append(pcm)
        if self._detection is not None:
            self._detection.push(pcm)
        self._dispatch(AudioAppended(self._buffer.end))
        if self._detection is None:
            self._feed(self._buffer.end)

    async def room(self) -> None:
        """Wait until the detector has caught up enough for more audio. Safe to cancel."""
        if self._detection is not None:
            await self._detection.room()
            await self._has_room.wait()

    def drop(self, before: int) -> None:
        """The audio before that tick will not be asked for again."""
        self._buffer.drop(before)

    def _frame_scored(self, start: int, end: int, probability: float) -> None:
        frame = FrameScored(start, end, probability)
        if not self._questions:
            self._tell(frame)
            return
        self._held.append(frame)
        if len(self._held) > _MAX_HELD:
            self._has_room.clear()

    def _tell(self, frame: FrameScored) -> None:
        # The utterance is fed as far as the detector has judged, so that audio sent faster than real time
        # does not run into a turn to which it does not belong.
        self._feed(frame.end)
        self._dispatch(frame)

    # --- turns ----------------------------------------------------------------------------------------

    def judge(self, order: JudgeTurn) -> None:
        """Answer with `TurnJudged`; frames that come meanwhile wait for it."""
        self._questions += 1
        first = max(order.start, order.end - round(self._judge.window_seconds * TICK_RATE))
        audio = self._buffer.slice(first, order.end)
        self._spawn(self._judge_turn(order, audio, self._buffer.rate), f"judgement of {order.item_id}")

    async def _judge_turn(self, order: JudgeTurn, audio: bytes, rate: int) -> None:
        verdict = await self._judge.judge(audio, rate)
        self._answer(TurnJudged(order.item_id, order.end, verdict.probability, verdict.inference_ms))

    def _answer(self, answer: TurnJudged | EchoJudged) -> None:
        self._questions -= 1
        self._dispatch(answer)
        while self._held and not self._questions:
            self._tell(self._held.popleft())
        if len(self._held) <= _MAX_HELD // 2:
            self._has_room.set()

    def played(self, pcm: bytes, rate: int) -> None:
        """What the client will play, in its order: the microphone may hear it."""
        if self._echo is not None:
            self._echo.played(pcm, rate)

    def not_played(self, seconds: float) -> None:
        """The client probably drops the last `seconds` of it."""
        if self._echo is not None:
            self._echo.forget(seconds)

    def check_echo(self, order: CheckEcho) -> None:
        """Answer with `EchoJudged`; frames that come meanwhile wait for it."""
        self._questions += 1
        audio = self._buffer.slice(order.start, order.end)
        self._spawn(self._compare(order, audio, self._buffer.rate), "comparison with the assistant")

    async def _compare(self, order: CheckEcho, audio: bytes, rate: int) -> None:
        verdict: bool | None = False
        try:
            if self._echo is not None:
                similarity = await asyncio.to_thread(self._echo.similarity, audio, rate)
                sure = len(audio) >= 2 * _SURE_S * rate
                verdict = similarity >= ECHO or (None if similarity >= _DOUBT and not sure else False)
        except Exception:  # better an echo that interrupts than a user who cannot
            log.exception("an echo could not be looked for")
        self._answer(EchoJudged(order.start, order.end, verdict))

    # --- transcription --------------------------------------------------------------------------------

    def start_utterance(self, order: StartUtterance) -> None:
        key = (order.item_id, 0, order.segment)
        self._transcribe(key, order.model, order.options)
        self._speaking = (key, order.start)

    def end_segment(self, order: EndSegment) -> None:
        self._feed(order.end)
        self._speaking = None
        if running := self._transcriptions.get((order.item_id, 0, order.segment)):
            running[0].finish()

    def end_utterance(self, order: EndUtterance) -> bytes:
        """Finish the transcript; returns the audio of the whole utterance."""
        self._feed(order.end)
        if self._speaking is not None and (running := self._transcriptions.get(self._speaking[0])):
            running[0].finish()
        self._speaking = None
        end = None if order.end >= self._buffer.end else order.end  # not a sample may be lost
        return self._buffer.slice(order.start, end)

    def forget(self, item_id: str) -> None:
        """Nobody wants the transcripts of that item any more."""
        if self._speaking is not None and self._speaking[0][0] == item_id:
            self._speaking = None
        for key in [key for key in self._transcriptions if key[0] == item_id]:
            self._transcriptions.pop(key)[1].cancel()

    def transcribe_clip(self, order: TranscribeClip) -> None:
        key = (order.item_id, order.content_index, 0)
        transcription = self._transcribe(key, order.model, order.options)
        transcription.push(order.pcm, self._buffer.rate)
        transcription.finish()

    def _feed(self, end: int) -> None:
        if self._speaking is None:
            return
        key, fed = self._speaking
        if end > fed and key in self._transcriptions:
            self._transcriptions[key][0].push(self._buffer.slice(fed, end), self._buffer.rate)
            self._speaking = (key, end)

    def _transcribe(self, key: Key, model: str, options: SttOptions) -> Transcription:
        item_id, content_index, segment = key
        transcription = Transcription(
            self._engines,
            self._dispatch,
            item_id=item_id,
            content_index=content_index,
            segment=segment,
            model=model,
            options=options,
            caller=self._caller,
        )
        task = self._spawn(transcription.run(), f"transcription {item_id}[{content_index}]")
        self._transcriptions[key] = (transcription, task)
        task.add_done_callback(lambda _: self._transcribed(key, transcription))
        return transcription

    def _transcribed(self, key: Key, transcription: Transcription) -> None:
        # A deleted item's id may have come back with a recording of its own.
        if key in self._transcriptions and self._transcriptions[key][0] is transcription:
            del self._transcriptions[key]
