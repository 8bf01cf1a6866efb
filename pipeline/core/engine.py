"""The session engine: a pure state machine, `handle(command, now)` to a list of effects.

House rules of this folder: no event loop, no threads, no clock, no I/O; every input is a command, every
output an effect, and the same commands always give the same effects. An order that cannot be carried out
raises `InvalidRequest` before anything has changed, and becomes one `error` event here.

    client orders ─┐                                ┌─► Emit(event)       to every client
                   ├─► Engine ─► Listener, Responder┤
    engine facts ──┘      (over one shared State)   └─► everything else   to the session's workers
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from pipeline.catalog import Catalog, Prompts
from pipeline.commands import (
    AudioAppended,
    CancelResponse,
    ClearAudio,
    Command,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeadlinePassed,
    DeleteItem,
    EchoJudged,
    EndOfTurnHeard,
    FrameScored,
    GenerationFailed,
    GenerationFinished,
    LeaveOut,
    ListingFailed,
    PlaybackStopped,
    Refuse,
    ResponseParams,
    ResponseRouted,
    RetrieveItem,
    SpeakerHeard,
    SpeechFinished,
    SpeechSynthesized,
    StartSession,
    TextGenerated,
    ToolAnswered,
    ToolCallGenerated,
    ToolCallOpened,
    ToolsListed,
    TranscriptGrew,
    TranscriptGuessed,
    TranscriptionBroke,
    TranscriptReady,
    TruncateItem,
    TurnJudged,
    UpdateSession,
    UtteranceRouted,
)
from pipeline.config import ServerVad, SessionConfig
from pipeline.core.conversation import Conversation
from pipeline.core.editing import Editor
from pipeline.core.followups import Followups
from pipeline.core.listening import Listener
from pipeline.core.reconfiguring import Rules, check_change
from pipeline.core.responding import Responder
from pipeline.core.state import EngineLimits, State
from pipeline.core.transcripts import Transcripts
from pipeline.core.turns import SpeechBegan, SpeechEnded
from pipeline.effects import Configure, Effect, Emit, ReportRoute, SetDeadline
from pipeline.errors import InvalidRequest
from pipeline.events import (
    ErrorRaised,
    ItemTruncated,
    SessionCreated,
    SessionUpdated,
)
from pipeline.ids import NewId, new_id
from pipeline.items import Item, ItemReference, MessageItem
from pipeline.ticks import TICK_RATE
from pipeline.tools import ServerTools
from pipeline.turn_taking import TurnTaking

__all__ = ["Engine"]

_CLOCK_STEP_S = 0.005  # timers may ring a little early
# What the model reads when nobody has spoken for so long that the assistant is to say something.
_IDLE_NOTE = "[The user has been silent for a while.]"


class Engine:
    """One session. Not safe for use from several threads; nobody else may keep its state."""

    def __init__(
        self,
        config: SessionConfig,
        catalog: Catalog,
        *,
        default_stt: str,
        prompts: Prompts | None = None,
        limits: EngineLimits | None = None,
        rules: Rules | None = None,
        turn_taking: TurnTaking | None = None,
        server_tools: ServerTools | None = None,
        new_id: NewId = new_id,
    ) -> None:
        limits = limits or EngineLimits()
        self._state = State(
            config=config,
            conversation=Conversation(new_id("conv"), limits.max_items, limits.max_conversation_size),
            catalog=catalog,
            prompts=prompts,
            default_stt=default_stt,
            limits=limits,
            rules=rules or Rules(),
            turn_taking=turn_taking or TurnTaking(),
            new_id=new_id,
            server_tools=server_tools or ServerTools(),
        )
        self._transcripts = Transcripts(self._state)
        self._listener = Listener(self._state, self._transcripts)
        self._responder = Responder(self._state, self._transcripts.is_pending)
        self._listings = self._responder.listings
        self._followups = Followups(self._state, self._listings)
        self._editor = Editor(self._state, self._transcripts, self._responder, self._followups)
        self._deadline: float | None = None

    @property
    def config(self) -> SessionConfig:
        return self._state.config

    @property
    def items(self) -> Iterator[Item]:
        """The conversation, in order."""
        return iter(self._state.conversation)

    @property
    def audio_room(self) -> int:
        """How many more ticks of input audio fit into the buffer.

        With turn detection the buffer empties itself, and a turn that grows too long is committed.
        """
        if self.config.audio.input.turn_detection is not None:
            return self._state.limits.max_buffer_seconds * TICK_RATE
        return self._state.limits.max_buffer_seconds * TICK_RATE - self._listener.buffered

    def handle(self, command: Command, now: float) -> list[Effect]:
        """Take one command and return what must be done, in order. `now` is monotonic, in seconds."""
        state = self._state
        state.now = now
        try:
            self._dispatch(command)
        except InvalidRequest as error:
            # Nothing of a refused order may show: what it had wanted done is dropped with it.
            state.effects.clear()
            state.effects.append(Emit(ErrorRaised(error, getattr(command, "event_id", None))))
        self._follow_up()
        self._follow_draft()
        self._follow_silence()
        effects, state.effects = state.effects, []
        return effects

    def _dispatch(self, command: Command) -> None:
        listener, responder, transcripts = self._listener, self._responder, self._transcripts
        match command:
            # facts, the most frequent first
            case AudioAppended():
                listener.appended(command)
            case FrameScored():
                self._turn(listener.judge(command))
            case (
                SpeechSynthesized()
                | TextGenerated()
                | ToolCallGenerated()
                | ToolCallOpened()
                | ResponseRouted()
                | GenerationFinished()
                | SpeechFinished()
            ):
                responder.take(command)
            case GenerationFailed():
                responder.failed(command)
            case TurnJudged():
                self._turn(listener.turn_judged(command))
            case EchoJudged():
                self._turn(listener.echo_judged(command))
            case UtteranceRouted(item_id, route):
                self._state.do(ReportRoute("stt", item_id, route))
            case TranscriptGrew():
                transcripts.grew(command)
                self._turn(listener.reconsider())
            case TranscriptGuessed():
                transcripts.guessed(command)
                self._turn(listener.reconsider())
            case EndOfTurnHeard():
                transcripts.end_of_turn(command)
                self._turn(listener.reconsider())
            case SpeakerHeard():
                transcripts.speaker_heard(command)
            case TranscriptReady():
                text = transcripts.ready(command)
                if text is not None:
                    responder.transcript_ready((command.item_id, command.content_index), text)
                self._turn(listener.reconsider())
            case TranscriptionBroke():
                self._transcription_broke(command)
                self._turn(listener.reconsider())
            case PlaybackStopped():
                self._playback_stopped(command)
            case ToolAnswered():
                responder.tool_answered(command)
            case ToolsListed():
                self._listings.listed(command)
            case ListingFailed():
                self._listings.failed(command)
            case LeaveOut(item_ids):
                responder.leave_out(item_ids)
            case DeadlinePassed():
                self._idle_timeout()
            # orders
            case StartSession():
                self._state.do(Configure(self.config))
                self._state.emit(SessionCreated(self.config, self._state.conversation.id))
                self._listings.configure(self.config.tools)
            case Refuse():
                raise command.error
            case UpdateSession():
                self._update(command)
            case CommitAudio():
                item_id = listener.commit()
                self._state.idle_since = None
                self._settle(item_id)
            case ClearAudio():
                listener.clear()
            case CreateItem():
                self._editor.create(command)
            case RetrieveItem():
                self._editor.retrieve(command)
            case DeleteItem():
                self._editor.delete(command)
            case TruncateItem():
                self._editor.truncate(command)
            case CreateResponse():
                self._create_response(command)
            case CancelResponse():
                responder.cancel(command.response_id)
            case _:
                assert_never(command)

    # --- turns ----------------------------------------------------------------------------------------

    def _turn(self, border: SpeechBegan | SpeechEnded | None) -> None:
        """Act upon a border of speech that was found."""
        match border:
            case SpeechBegan(at):
                self._state.idle_since = None
                self._listener.speech_began(at)
                detection = self._listener.detection
                if detection is not None and detection.interrupt_response:
                    self._responder.interrupt()
            case SpeechEnded(at):
                item_id = self._listener.speech_ended(at)
                if self._answers:
                    prepared = self._responder.take_prepared(item_id)
                    response = prepared or self._responder.configure(ResponseParams(), "response")
                    context = list(self._state.conversation)
                    self._followups.outputs_read()
                    self._responder.begin(response, context, automatic=item_id)
                self._settle(item_id)

    @property
    def _answers(self) -> bool:
        """Whether a turn that ends now is answered without being asked."""
        detection = self._listener.detection
        wanted = detection is not None and detection.create_response and self.config.type == "realtime"
        return wanted and self._responder.active is None

    def _follow_up(self) -> None:
        """Let the model go on once it has been given everything that it asked for, and nothing else runs."""
        followups, turn = self._followups, self._transcripts.open
        if not followups.wanted or self._responder.active is not None:
            return
        if turn is not None and turn.announced and self._answers and not followups.has_approvals:
            return  # the user is speaking; the answer to that will know the outputs
        approved = followups.take()
        response = self._responder.configure(ResponseParams(), "response")
        self._responder.begin(response, list(self._state.conversation), approved=approved)

    def _settle(self, item_id: str) -> None:
        """What was known of a transcript while the user was still speaking is told once the item exists."""
        text = self._transcripts.settle(item_id)
        if text is not None:
            self._responder.transcript_ready((item_id, 0), text)
        broken = self._transcripts.take_broken(item_id)
        if broken is not None:
            self._transcription_broke(broken)

    def _transcription_broke(self, fact: TranscriptionBroke) -> None:
        if self._transcripts.broke(fact):
            self._responder.transcription_broke((fact.item_id, fact.content_index), fact.code, fact.message)

    def _follow_draft(self) -> None:
        """Have a reply prepared while the user has probably finished, and drop it when that was wrong."""
        draft = self._listener.draft
        if draft is None:
            self._responder.revoke("revoked")
        else:
            self._responder.prepare(*draft)

    # --- silence --------------------------------------------------------------------------------------

    def _follow_silence(self) -> None:
        """Keep the deadline where the idle timeout of the configuration puts it."""
        state, detection = self._state, self.config.audio.input.turn_detection
        limit = detection.idle_timeout_ms if isinstance(detection, ServerVad) else None
        deadline = state.idle_since + limit / 1000 if limit and state.idle_since is not None else None
        if deadline != self._deadline:
            self._deadline = deadline
            state.do(SetDeadline(deadline))

    def _idle_timeout(self) -> None:
        state = self._state
        if self._deadline is None or state.idle_since is None or state.now < self._deadline - _CLOCK_STEP_S:
            return  # something has happened since
        silent = state.now - state.idle_since
        state.idle_since = None
        self._listener.idle_timeout(silent)
        if self._answers:
            response = self._responder.configure(ResponseParams(), "response")
            self._responder.begin(response, list(state.conversation), note=_IDLE_NOTE)

    def _playback_stopped(self, fact: PlaybackStopped) -> None:
        if fact.item_id in self._state.conversation and self._responder.spoke(fact.item_id):
            end = self._responder.truncate(fact.item_id, fact.milliseconds)
            self._state.emit(ItemTruncated(fact.item_id, 0, end))

    # --- session --------------------------------------------------------------------------------------

    def _update(self, command: UpdateSession) -> None:
        old = self.config
        new = self._state.patched(command.patch, "session")
        check_change(old, new, self._state.rules, has_spoken=self._responder.has_spoken)
        if new.tools != old.tools:
            self._listings.check(new.tools, "session")
        self._state.config = new
        self._responder.revoke("outdated")  # with another configuration the reply might be another
        if new.audio.input.turn_detection != old.audio.input.turn_detection:
            self._listener.turn_detection_changed()
        self._state.do(Configure(new))
        self._state.emit(SessionUpdated(new))
        if "tools" in command.patch:
            self._listings.configure(new.tools)

    # --- responses ------------------------------------------------------------------------------------

    def _create_response(self, command: CreateResponse) -> None:
        responder, params = self._responder, command.params
        responder.check(command)
        response = responder.configure(params, "response")
        if responder.has_answered(params):
            responder.begin_nothing(response)
            return
        if "tools" in params.overrides:
            self._listings.check(response.config.tools, "response")
        if params.input is None:
            context = list(self._state.conversation)
        else:
            # Ids of our own: one that a client took from the conversation must not stand for that item.
            entries = [
                e if isinstance(e, ItemReference) else self._editor.named(replace(e, id=""))
                for e in params.input
            ]
            self._transcripts.check_clips(entries)
            responder.check_references(entries)
            context = [self._context_item(entry) for entry in entries]
        if "tools" in params.overrides:
            self._listings.configure(response.config.tools)
        if params.in_conversation:
            self._followups.outputs_read()
        responder.begin(response, context, explicit=params.input is not None)

    def _context_item(self, entry: Item | ItemReference) -> Item:
        """An item of a response's own context: one of the conversation, or one that exists only there."""
        if isinstance(entry, ItemReference):
            item = self._state.conversation.get(entry.id)
            assert item is not None
            return item
        return self._transcripts.clip_arrived(entry) if isinstance(entry, MessageItem) else entry
