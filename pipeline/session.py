"""One session: owns the engine, carries out its effects, and keeps the tasks that it starts.

Everything runs on one event loop, and the engine is synchronous, so `dispatch` needs no queue and no lock:
a command is handled, its effects are carried out, and only then does anybody else get a turn. Commands that
arise while effects are carried out wait their turn in `_inbox`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self, assert_never

from pipeline.audio.codecs import bytes_per_sample, check_whole_samples, decode
from pipeline.audio.store import AudioStore
from pipeline.callers import caller_of
from pipeline.catalog import Prompts
from pipeline.commands import (
    ClientCommand,
    Command,
    DeadlinePassed,
    PlaybackStopped,
    Refuse,
    StartSession,
)
from pipeline.config import SessionConfig
from pipeline.core.engine import Engine
from pipeline.core.reconfiguring import Rules
from pipeline.core.state import EngineLimits
from pipeline.detection import SpeechDetector
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
    ListTools,
    ReportDismissal,
    ReportFirstOutput,
    ReportRoute,
    ReportSpeculation,
    ReportToolCall,
    ReportTruncation,
    ReportTurnDecision,
    RunTool,
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
    BACKCHANNEL_RATE,
    AudioDelta,
    BackchannelAudio,
    ErrorRaised,
    Event,
    ItemRetrieved,
    RateLimitsUpdated,
    ResponseDone,
    Usage,
)
from pipeline.generations import Generations
from pipeline.hearing import Hearing
from pipeline.intake import with_recordings_decoded
from pipeline.items import Item, MessageItem
from pipeline.judging import TurnJudge
from pipeline.log_reports import log_report
from pipeline.quota import Quota
from pipeline.retrieving import with_audio
from pipeline.stages.contracts import Host, Stage
from pipeline.ticks import TICK_RATE
from pipeline.tool_runner import ToolRunner
from pipeline.tools import ServerTools
from pipeline.turn_taking import TurnTaking
from pipeline.warming import Warmer
from providers.contracts import Caller
from providers.tools.contracts import Toolbox

__all__ = ["Observer", "Peer", "Player", "Session"]

log = logging.getLogger(__name__)

_STEPS_PER_SECOND = 5  # in which a long append is taken, so that other sessions get their turn in between


class Peer(Protocol):
    """One client connection of a session, in its own dialect."""

    def send(self, event: Event) -> None:
        """Queue an event; never blocks, and disconnects a client that reads too slowly."""

    async def room(self) -> None:
        """Wait until the client has read enough for more speech to be worth sending."""


class Player(Protocol):
    """A loudspeaker that the server itself feeds at its own pace, so that it knows what has been heard."""

    def stop(self) -> tuple[str, int] | None:
        """Fall silent at once; the item that was being played and how much of it was heard, in ms."""


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
        judge: TurnJudge | None = None,
        *,
        default_stt: str,
        prompts: Prompts | None = None,
        limits: EngineLimits | None = None,
        rules: Rules | None = None,
        turn_taking: TurnTaking | None = None,
        max_kept_audio: int = 16 * 1024 * 1024,  # bytes, for `conversation.item.retrieve`
        quota: Quota | None = None,  # None: nothing is limited, and clients are told of no limits
        stages: Sequence[Callable[[Host], Stage]] = (),
        toolbox: Toolbox | None = None,  # None: no tools but the client's
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
            server_tools=ServerTools(toolbox.has_mcp, toolbox.search_engines) if toolbox else None,
        )
        self._engines = engines
        self._quota = quota
        self._peers: list[Peer] = []
        self._observers: list[Observer] = []
        self._inbox: deque[Command] = deque()
        self._working = False
        self._is_over = False  # what the detector still tells must not start what nobody would end
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        turn_taking = turn_taking or TurnTaking()
        self._hearing = Hearing(
            engines,
            detector,
            judge or TurnJudge(None),
            self.dispatch,
            self.spawn,
            config.audio.input.format.rate,
            expects_echoes=turn_taking.echo_guard,
        )
        self._warmer = Warmer(engines, self.spawn)
        self._tools = ToolRunner(toolbox, self.dispatch, self.spawn)
        self._caller = caller_of(id, config)
        self._players: list[Player] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._generations = Generations(engines, self.dispatch, self.spawn, self._room, quota)
        self._store = AudioStore(max_kept_audio)
        self._stages = [make(self) for make in stages]
        self._busy_stages: list[Stage] = []  # those that have something to do

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._set_alarm(None)
        self._hearing.close()
        for stage in self._stages:
            stage.close()
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def config(self) -> SessionConfig:
        return self._engine.config

    @property
    def engines(self) -> Engines:
        return self._engines

    @property
    def caller(self) -> Caller:
        return self._caller

    @property
    def quota(self) -> Quota | None:
        return self._quota

    @property
    def items(self) -> Iterator[Item]:
        """The conversation, in order."""
        return self._engine.items

    def join(self, peer: Peer, player: Player | None = None) -> None:
        """A client connects, with a player if the server plays for it; the first one starts the session."""
        self._peers.append(peer)
        if player is not None:
            self._players.append(player)
        if len(self._peers) == 1:
            self.dispatch(StartSession())

    def watch(self, observer: Observer) -> None:
        """Show an observer everything that happens from now on, before the clients hear of it."""
        self._observers.append(observer)

    # --- commands -------------------------------------------------------------------------------------

    def dispatch(self, command: Command) -> None:
        """Handle a command and carry out what follows from it. Never blocks, never raises for bad input.

        Nothing happens any more once the session is over.
        """
        if self._is_over:
            return
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
            for stage in self._busy_stages:
                stage.took(command)
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
        step = bytes_per_sample(format.type) * (format.rate // _STEPS_PER_SECOND)
        if len(data) <= step:
            self._hearing.append(decode(data, format.type))
        else:
            for offset in range(0, len(data), step):
                self._hearing.append(decode(data[offset : offset + step], format.type))
                await self._hearing.room()
                await asyncio.sleep(0)
        await self._hearing.room()

    def _check_room(self, samples: int) -> None:
        seconds = samples / self._hearing.rate
        if seconds * TICK_RATE > self._engine.audio_room:
            raise InvalidRequest(
                f"The input audio buffer holds {self._limits.max_buffer_seconds} s at most and has no room "
                f"for another {seconds:.1f} s. Commit or clear it first.",
                code="input_audio_buffer_full",
                param="audio",
            )

    # --- effects --------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        for observer in self._observers:
            observer.saw(effect)
        for stage in self._busy_stages:
            stage.saw(effect)
        match effect:
            case Emit(event):
                self._emit(event)
            case Configure(config):
                self._caller = caller_of(self.id, config)
                self._hearing.configure(config, self._caller)
                self._warmer.configure(config)
                self._busy_stages = [stage for stage in self._stages if stage.configure(config)]
            case StartUtterance():
                self._hearing.start_utterance(effect)
            case EndSegment():
                self._hearing.end_segment(effect)
            case EndUtterance(item_id):
                audio = self._hearing.end_utterance(effect)
                self._store.append((item_id, 0), audio, self._hearing.rate)
            case DropUtterance(item_id):
                self._hearing.forget(item_id)
            case DropAudio(before):
                self._hearing.drop(before)
            case KeepClip(item_id, index, pcm):
                self._store.append((item_id, index), pcm, self._hearing.rate)
            case TranscribeClip():
                self._hearing.transcribe_clip(effect)
            case JudgeTurn():
                self._hearing.judge(effect)
            case CheckEcho():
                self._hearing.check_echo(effect)
            case SetDeadline(at):
                self._set_alarm(at)
            case CutAudio(item_id, index, milliseconds):
                self._store.cut((item_id, index), milliseconds)
            case ForgetItem(item_id):
                self._store.forget(item_id)
                self._hearing.forget(item_id)
            case StartGeneration():
                self._generations.start(effect, self._caller)
            case Speak(response_id, text):
                self._generations.speak(response_id, text)
            case FinishSpeaking(response_id):
                self._generations.finish_speaking(response_id)
            case ListTools():
                self._tools.list_tools(effect)
            case RunTool():
                self._tools.run(effect)
            case StopGeneration(response_id):
                self._tools.stop(response_id)
                self._generations.stop(response_id)
            case StopPlayback(unheard):
                self._hearing.not_played(unheard)
                self._stop_playback()
            case (
                ReportTurnDecision()
                | ReportDismissal()
                | ReportSpeculation()
                | ReportRoute()
                | ReportFirstOutput()
                | ReportTruncation()
                | ReportToolCall()
            ):
                log_report(self.id, effect)
            case _:
                assert_never(effect)

    def tell(self, event: Event) -> None:
        """Tell the clients something that the engine need not know."""
        if not self._is_over:
            self._perform(Emit(event))

    def _emit(self, event: Event) -> None:
        match event:
            case AudioDelta(part, pcm, format):
                self._store.append((part.item_id, part.content_index), pcm, format.rate)
                self._hearing.played(pcm, format.rate)
            case BackchannelAudio(_, pcm):
                self._hearing.played(pcm, BACKCHANNEL_RATE)  # an echo of it is none of the user's words
            case ItemRetrieved(item, audio) if isinstance(item, MessageItem):
                event = ItemRetrieved(with_audio(item, audio, self._store), audio)
        for peer in self._peers:
            peer.send(event)
        if isinstance(event, ResponseDone) and self._quota is not None:
            usage = event.response.usage or Usage(0, 0)
            self._quota.spend(usage.input_tokens + usage.output_tokens)
            self._perform(Emit(RateLimitsUpdated(self._quota.limits())))

    def _stop_playback(self) -> None:
        for player in self._players:
            if (heard := player.stop()) is not None:
                self.dispatch(PlaybackStopped(*heard))

    def _set_alarm(self, at: float | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if at is not None:
            delay = max(0.0, at - monotonic())
            self._alarm = asyncio.get_running_loop().call_later(delay, self.dispatch, DeadlinePassed())

    # --- tasks ----------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """The only place where a session starts tasks; they end with it."""
        task = self._tasks.create_task(work, name=f"{self.id} {name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _room(self) -> None:
        """Wait until every client can take more."""
        for peer in self._peers:
            await peer.room()
