"""One session: owns the engine, carries out its effects, and keeps the tasks that it starts.

Everything runs on one event loop, and the engine is synchronous, so `dispatch` needs no queue and no lock:
a command is handled, its effects are carried out, and only then does anybody else get a turn. Commands that
arise while effects are carried out wait their turn in `_inbox`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self, assert_never

from pipeline.audio.buffer import InputBuffer
from pipeline.audio.codecs import bytes_per_sample, check_whole_samples, decode
from pipeline.audio.store import AudioStore, ClipKey
from pipeline.catalog import Prompts
from pipeline.commands import (
    AudioAppended,
    ClientCommand,
    Command,
    FrameScored,
    GenerationFailed,
    Refuse,
    StartSession,
)
from pipeline.config import AudioConfig, SessionConfig
from pipeline.core.engine import Engine
from pipeline.core.reconfiguring import Rules
from pipeline.core.state import EngineLimits
from pipeline.detection import DetectorStream, SpeechDetector
from pipeline.effects import (
    CheckEcho,
    Configure,
    CutAudio,
    DropAudio,
    DropUtterance,
    Effect,
    Emit,
    EndSegment,
    EndUtterance,
    FinishSpeaking,
    ForgetItem,
    JudgeTurn,
    KeepClip,
    ReportFirstOutput,
    ReportSpeculation,
    ReportTruncation,
    ReportTurnDecision,
    SetDeadline,
    Speak,
    StartGeneration,
    StartUtterance,
    StopGeneration,
    StopPlayback,
    TranscribeClip,
)
from pipeline.engines import Engines
from pipeline.errors import InvalidRequest
from pipeline.events import (
    AudioDelta,
    ErrorRaised,
    Event,
    ItemRetrieved,
    RateLimitsUpdated,
    ResponseDone,
    Usage,
)
from pipeline.generation import Generation
from pipeline.intake import with_recordings_decoded
from pipeline.items import ContentPart, InputAudio, MessageItem, OutputAudio
from pipeline.quota import Quota, QuotaExceededError
from pipeline.ticks import TICK_RATE
from pipeline.transcription import Transcription
from pipeline.turn_taking import TurnTaking
from providers.contracts import SttOptions

__all__ = ["Observer", "Peer", "Session"]

log = logging.getLogger(__name__)

_STEP_S = 1  # a long append is taken in steps of a second, so that other sessions get their turn in between


class Peer(Protocol):
    """One client connection of a session, in its own dialect."""

    def send(self, event: Event) -> None:
        """Queue an event; never blocks, and disconnects a client that reads too slowly."""

    async def room(self) -> None:
        """Wait until the client has read enough for more speech to be worth sending."""


class Observer(Protocol):
    """Watches a session without taking part in it, for metrics and traces."""

    def saw(self, effect: Effect) -> None:
        """Something is about to be done, such as an event that goes to the clients. Never blocks."""


class Session:
    """Use as an async context manager: leaving it stops every task and waits for them."""

    def __init__(
        self,
        id: str,
        config: SessionConfig,
        engines: Engines,
        detector: SpeechDetector,
        *,
        default_stt: str,
        prompts: Prompts | None = None,
        limits: EngineLimits | None = None,
        rules: Rules | None = None,
        turn_taking: TurnTaking | None = None,
        max_kept_audio: int = 16 * 1024 * 1024,  # bytes, for `conversation.item.retrieve`
        quota: Quota | None = None,  # None: nothing is limited, and clients are told of no limits
    ) -> None:
        self.id = id
        self._limits = limits or EngineLimits()
        self._engine = Engine(
            config,
            engines,
            default_stt=default_stt,
            prompts=prompts,
            limits=self._limits,
            rules=rules,
            turn_taking=turn_taking,
        )
        self._engines = engines
        self._detector = detector
        self._quota = quota
        self._peers: list[Peer] = []
        self._observers: list[Observer] = []
        self._inbox: deque[Command] = deque()
        self._working = False
        self._tasks = asyncio.TaskGroup()
        self._config = config
        self._input = InputBuffer(config.audio.input.format.rate)
        self._detection: DetectorStream | None = None
        self._utterances: dict[ClipKey, tuple[Transcription, asyncio.Task[None]]] = {}
        self._speaking: tuple[str, int] | None = None  # the open utterance, and how far it has been fed
        self._generations: dict[str, tuple[Generation, asyncio.Task[None]]] = {}
        self._store = AudioStore(max_kept_audio)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._detection is not None:
            self._detection.close()
        for _, task in [*self._utterances.values(), *self._generations.values()]:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def config(self) -> SessionConfig:
        return self._engine.config

    def join(self, peer: Peer) -> None:
        """A client connects; the first one starts the session."""
        self._peers.append(peer)
        if len(self._peers) == 1:
            self.dispatch(StartSession())

    def watch(self, observer: Observer) -> None:
        """Show an observer everything that happens from now on, before the clients hear of it."""
        self._observers.append(observer)

    # --- commands -------------------------------------------------------------------------------------

    def dispatch(self, command: Command) -> None:
        """Handle a command and carry out what follows from it. Never blocks, never raises for bad input."""
        self._inbox.append(command)
        if self._working:
            return
        self._working = True
        try:
            while self._inbox:
                self._handle(self._inbox.popleft())
        finally:
            self._working = False

    def _handle(self, command: Command) -> None:
        try:
            for effect in self._engine.handle(command, monotonic()):
                self._perform(effect)
        except Exception:
            # Our own fault. The caller may be the detector that serves every session, so it must not learn of
            # it; the client does, and its session goes on as well as it can.
            log.exception("session %s: %s could not be handled", self.id, type(command).__name__)
            error = InvalidRequest(
                "The server had an unexpected error while it handled this event.", code=None
            )
            event_id = getattr(command, "event_id", None)
            self._perform(Emit(ErrorRaised(error, event_id, "server_error")))

    async def receive(self, order: ClientCommand) -> None:
        """Dispatch an order of a client, with the recordings inside it decoded. Never raises for bad input.

        To keep their order, a client waits for one before it hands over the next. Safe to cancel.
        """
        format = self.config.audio.input.format
        try:
            order = await with_recordings_decoded(order, format, self._limits.max_buffer_seconds)
        except InvalidRequest as error:
            order = Refuse(error, order.event_id)
        self.dispatch(order)

    async def append_audio(self, data: bytes, event_id: str | None = None) -> None:
        """Take samples in the session's input format. Waits while the detector is far behind.

        Cancelling it may lose the rest of this piece.
        """
        format = self.config.audio.input.format
        try:
            check_whole_samples(data, format.type, "audio")
            self._check_room(len(data) // bytes_per_sample(format.type))
        except InvalidRequest as error:
            self.dispatch(Refuse(error, event_id))
            return
        step = bytes_per_sample(format.type) * _STEP_S * format.rate
        if len(data) <= step:
            self._append(decode(data, format.type))
        else:
            for offset in range(0, len(data), step):
                self._append(decode(data[offset : offset + step], format.type))
                await asyncio.sleep(0)
        if self._detection is not None:
            await self._detection.room()

    def _check_room(self, samples: int) -> None:
        seconds = samples / self._input.rate
        if seconds * TICK_RATE > self._engine.audio_room:
            raise InvalidRequest(
                f"The input audio buffer holds {self._limits.max_buffer_seconds} s at most and has no room "
                f"for another {seconds:.1f} s. Commit or clear it first.",
                code="input_audio_buffer_full",
                param="audio",
            )

    def _append(self, pcm: bytes) -> None:
        self._input.append(pcm)
        if self._detection is not None:
            self._detection.push(pcm)
        self.dispatch(AudioAppended(self._input.end))
        if self._detection is None:
            self._feed_utterance(self._input.end)

    def _frame_scored(self, start: int, end: int, probability: float) -> None:
        # The utterance is fed as far as the detector has judged, so that audio sent faster than real time
        # does not run into a turn to which it does not belong.
        self._feed_utterance(end)
        self.dispatch(FrameScored(start, end, probability))

    # --- effects --------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        for observer in self._observers:
            observer.saw(effect)
        match effect:
            case Emit(event):
                self._emit(event)
            case Configure(config):
                self._configure(config)
            case StartUtterance():
                self._start_utterance(effect)
            case EndUtterance():
                self._end_utterance(effect)
            case DropUtterance(item_id):
                self._drop_utterance(item_id)
            case DropAudio(before):
                self._input.drop(before)
            case KeepClip(item_id, index, pcm):
                self._store.append((item_id, index), pcm, self._input.rate)
            case TranscribeClip():
                self._transcribe_clip(effect)
            case CutAudio(item_id, index, milliseconds):
                self._store.cut((item_id, index), milliseconds)
            case ForgetItem(item_id):
                self._store.forget(item_id)
                self._drop_utterance(item_id)
            case StartGeneration():
                self._start_generation(effect)
            case Speak(response_id, text):
                self._generations[response_id][0].speak(text)
            case FinishSpeaking(response_id):
                self._generations[response_id][0].finish_speaking()
            case StopGeneration(response_id):
                if running := self._generations.get(response_id):
                    running[1].cancel()
            case (
                EndSegment()
                | JudgeTurn()
                | CheckEcho()
                | SetDeadline()
                | StopPlayback()
                | ReportTurnDecision()
                | ReportSpeculation()
            ):
                pass
            case ReportFirstOutput(response_id, seconds):
                log.info("session %s: %s answers after %.0f ms", self.id, response_id, 1000 * seconds)
            case ReportTruncation(response_id, items, tokens):
                log.info(
                    "session %s: %s is answered without the %d oldest items; about %d tokens remain",
                    self.id,
                    response_id,
                    items,
                    tokens,
                )
            case _:
                assert_never(effect)

    def _emit(self, event: Event) -> None:
        match event:
            case AudioDelta(part, pcm, format):
                self._store.append((part.item_id, part.content_index), pcm, format.rate)
            case ItemRetrieved(item, audio) if isinstance(item, MessageItem):
                event = ItemRetrieved(self._with_audio(item, audio), audio)
        for peer in self._peers:
            peer.send(event)
        if isinstance(event, ResponseDone) and self._quota is not None:
            usage = event.response.usage or Usage(0, 0)
            self._quota.spend(usage.input_tokens + usage.output_tokens)
            self._perform(Emit(RateLimitsUpdated(self._quota.limits())))

    def _with_audio(self, item: MessageItem, audio: AudioConfig) -> MessageItem:
        rate_in, rate_out = audio.input.format.rate, audio.output.format.rate
        content: list[ContentPart] = []
        for index, part in enumerate(item.content):
            match part:
                case InputAudio():
                    part = replace(part, pcm=self._store.get((item.id, index), rate_in))
                case OutputAudio():
                    part = replace(part, pcm=self._store.get((item.id, index), rate_out))
            content.append(part)
        return replace(item, content=tuple(content))

    def _configure(self, config: SessionConfig) -> None:
        self._config = config
        rate = config.audio.input.format.rate
        changed = rate != self._input.rate
        self._input.change_rate(rate)
        wanted = config.audio.input.turn_detection is not None
        if self._detection is not None and (changed or not wanted):
            self._detection.close()
            self._detection = None
        if wanted and self._detection is None:
            self._detection = self._detector.open(rate, self._input.end, self._frame_scored)

    def _start_generation(self, order: StartGeneration) -> None:
        id = order.response_id
        try:
            if self._quota is not None:
                self._quota.admit()
        except QuotaExceededError as exceeded:
            self.dispatch(GenerationFailed(id, "rate_limit_exceeded", str(exceeded), started=False))
            return
        generation = Generation(order, self._engines, self.dispatch, self._room)
        task = self._spawn(generation.run(), f"generation {id}")
        self._generations[id] = (generation, task)
        task.add_done_callback(lambda _: self._generations.pop(id, None))

    # --- transcription --------------------------------------------------------------------------------

    def _start_utterance(self, effect: StartUtterance) -> None:
        self._transcribe(effect.item_id, 0, effect.model, effect.options)
        self._speaking = (effect.item_id, effect.start)

    def _feed_utterance(self, end: int) -> None:
        if self._speaking is None:
            return
        item_id, fed = self._speaking
        if end > fed and (item_id, 0) in self._utterances:
            self._utterances[item_id, 0][0].push(self._input.slice(fed, end), self._input.rate)
            self._speaking = (item_id, end)

    def _end_utterance(self, effect: EndUtterance) -> None:
        self._feed_utterance(effect.end)
        self._speaking = None
        end = None if effect.end >= self._input.end else effect.end  # not a sample may be lost
        audio = self._input.slice(effect.start, end)
        self._store.append((effect.item_id, 0), audio, self._input.rate)
        if running := self._utterances.get((effect.item_id, 0)):
            running[0].finish()

    def _drop_utterance(self, item_id: str) -> None:
        if self._speaking is not None and self._speaking[0] == item_id:
            self._speaking = None
        for key in [key for key in self._utterances if key[0] == item_id]:
            self._utterances.pop(key)[1].cancel()

    def _transcribe_clip(self, effect: TranscribeClip) -> None:
        transcription = self._transcribe(effect.item_id, effect.content_index, effect.model, effect.options)
        transcription.push(effect.pcm, self._input.rate)
        transcription.finish()

    def _transcribe(self, item_id: str, index: int, model: str, options: SttOptions) -> Transcription:
        transcription = Transcription(
            self._engines,
            self.dispatch,
            item_id=item_id,
            content_index=index,
            model=model,
            options=options,
        )
        key = (item_id, index)
        task = self._spawn(transcription.run(), f"transcription {item_id}[{index}]")
        self._utterances[key] = (transcription, task)
        task.add_done_callback(lambda _: self._transcribed(key, transcription))
        return transcription

    def _transcribed(self, key: ClipKey, transcription: Transcription) -> None:
        # A deleted item's id may have come back with a recording of its own.
        if key in self._utterances and self._utterances[key][0] is transcription:
            del self._utterances[key]

    # --- tasks ----------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """The only place where a session starts tasks; they end with it."""
        return self._tasks.create_task(work, name=f"{self.id} {name}")

    async def _room(self) -> None:
        """Wait until every client can take more."""
        for peer in self._peers:
            await peer.room()
