"""Watches the effects of an engine and says which of the rules between them was broken."""

from dataclasses import dataclass, field

from pipeline.commands import Command, EngineFact, GenerationFinished, SpeechFinished, ToolAnswered
from pipeline.core.engine import Engine
from pipeline.effects import (
    DropAudio,
    DropUtterance,
    Effect,
    Emit,
    EndSegment,
    EndUtterance,
    FinishSpeaking,
    JudgeTurn,
    ReportSpeculation,
    RunTool,
    Speak,
    StartGeneration,
    StartUtterance,
    StopGeneration,
)
from pipeline.events import (
    AudioDelta,
    AudioDone,
    BufferCommitted,
    CallArgumentsDelta,
    CallArgumentsDone,
    ErrorRaised,
    Event,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    McpArgumentsDelta,
    McpArgumentsDone,
    McpCallProgress,
    OutputItemAdded,
    OutputItemDone,
    PartAdded,
    PartDone,
    ResponseCreated,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextDone,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
    TurnSuggested,
    TurnSuggestionRevoked,
)

__all__ = ["Witness"]


@dataclass(slots=True)
class _Seen:
    """One response."""

    in_conversation: bool
    speaks: bool
    generated: bool = False
    stopped: bool = False
    last_clause: bool = False
    finished: bool = False  # the model said so
    spoken: bool = False  # the voice said so
    done: bool = False
    tools: set[str] = field(default_factory=set)  # calls that the server makes, by id
    items: dict[str, bool] = field(default_factory=dict)  # by id, whether it is closed


@dataclass(slots=True)
class _Prepared:
    """A reply that is made in advance."""

    speaks: bool
    clauses: int = 0
    finished: bool = False


@dataclass(slots=True)
class Witness:
    """Tell it every command with its effects; it raises `AssertionError`."""

    engine: Engine
    order: list[str] = field(default_factory=list)  # the conversation, as a client can know it
    responses: dict[str, _Seen] = field(default_factory=dict)
    prepared: dict[str, _Prepared] = field(default_factory=dict)  # by the id of the response to come
    listening: str | None = None  # the open utterance
    segment: int | None = None  # of it that is being transcribed
    suggested: str | None = None  # the turn that has probably ended
    speaking: str | None = None  # speech_started without its speech_stopped
    known: set[str] = field(default_factory=set)  # user items whose id a client has been told
    transcribed: set[str] = field(default_factory=set)
    dropped: int = 0  # ticks

    def saw(self, command: Command, effects: list[Effect]) -> None:
        errors = [e for e in effects if isinstance(e, Emit) and isinstance(e.event, ErrorRaised)]
        if errors:
            assert len(effects) == 1, "an error came with something else"
            assert not isinstance(command, EngineFact), "a fact was answered by an error"
        match command:
            case GenerationFinished(response_id) if response_id in self.prepared:
                self.prepared[response_id].finished = True
            case GenerationFinished(response_id) if response_id in self.responses:
                self.responses[response_id].finished |= self.responses[response_id].generated
            case SpeechFinished(response_id) if response_id in self.responses:
                seen = self.responses[response_id]
                seen.spoken |= seen.generated and seen.finished
            case ToolAnswered(response_id, call_id) if response_id in self.responses:
                self.responses[response_id].tools.discard(call_id)
        for effect in effects:
            self._effect(effect)
        assert sum(seen.in_conversation and not seen.done for seen in self.responses.values()) <= 1
        assert self.order == [item.id for item in self.engine._state.conversation]
        assert (self.engine._responder.active is not None) == any(
            seen.in_conversation and not seen.done for seen in self.responses.values()
        )

    def _effect(self, effect: Effect) -> None:
        match effect:
            case Emit(event):
                self._event(event)
            case StartGeneration(response_id, _, _, speech, speculative=True):
                assert not self.prepared, "two replies are made in advance"
                assert response_id not in self.responses
                self.prepared[response_id] = _Prepared(speech is not None)
            case ReportSpeculation(response_id, outcome):
                made = self.prepared.pop(response_id)
                if outcome == "used":
                    seen = self._running(response_id)
                    seen.generated, seen.finished = True, made.finished
            case Speak(response_id) if response_id in self.prepared:
                made = self.prepared[response_id]
                assert made.speaks
                assert made.clauses == 0, "only the first clause is spoken in advance"
                made.clauses += 1
            case StopGeneration(response_id) if response_id in self.prepared:
                pass  # told of right afterwards
            case StartGeneration(response_id, _, _, speech):
                seen = self._running(response_id)
                assert not seen.tools, "a tool is still at work"
                if seen.generated:  # another round
                    assert seen.finished
                    assert seen.spoken or not seen.last_clause, "the voice is still at work"
                assert (speech is not None) == seen.speaks
                seen.generated, seen.finished, seen.spoken, seen.last_clause = True, False, False, False
            case RunTool(response_id, call_id):
                seen = self._running(response_id)
                assert call_id not in seen.tools
                seen.tools.add(call_id)
            case Speak(response_id):
                seen = self._running(response_id)
                assert seen.generated
                assert seen.speaks
                assert not seen.stopped
                assert not seen.last_clause
            case FinishSpeaking(response_id):
                seen = self._running(response_id)
                assert seen.generated
                assert not seen.stopped
                assert not seen.last_clause
                seen.last_clause = True
            case StopGeneration(response_id):
                seen = self._running(response_id)
                assert seen.generated or seen.tools
                assert not seen.stopped
                seen.stopped = True
                seen.tools.clear()
            case StartUtterance(item_id, start, segment=segment):
                assert self.listening == (item_id if segment else None)
                assert self.segment is None
                assert start >= self.dropped
                self.listening, self.segment = item_id, segment
            case EndSegment(item_id, segment, end):
                assert (self.listening, self.segment) == (item_id, segment)
                assert end >= self.dropped
                self.segment = None
            case EndUtterance(item_id, start, end):
                assert self.listening == item_id
                assert self.dropped <= start <= end
                self.listening = self.segment = self.suggested = None
            case DropUtterance(item_id):
                assert self.listening == item_id
                self.listening = self.segment = self.speaking = self.suggested = None
            case JudgeTurn(item_id, start, end):
                assert item_id == self.listening == self.speaking
                assert self.dropped <= start < end
            case DropAudio(before):
                assert before > self.dropped
                self.dropped = before

    def _running(self, response_id: str) -> _Seen:
        seen = self.responses[response_id]
        assert not seen.done, f"{response_id} is over"
        return seen

    def _event(self, event: Event) -> None:
        match event:
            case ItemAdded(item, previous):
                assert item.id not in self.order, "this item is there already"
                self.order.insert(0 if previous is None else self.order.index(previous) + 1, item.id)
            case ItemDone(item, previous):
                place = self.order.index(item.id)
                assert previous == (self.order[place - 1] if place else None)
            case ItemDeleted(item_id):
                self.order.remove(item_id)
                self.transcribed.add(item_id)  # nothing more may be told of it
            case SpeechStarted(item_id):
                assert self.speaking is None
                self.speaking = item_id
                self.known.add(item_id)
            case SpeechStopped(item_id):
                assert self.speaking == item_id
                self.speaking = None
            case TurnSuggested(item_id):
                assert item_id == self.speaking
                assert self.suggested is None
                self.suggested = item_id
            case TurnSuggestionRevoked(item_id):
                assert item_id == self.suggested
                self.suggested = None
            case BufferCommitted(item_id, previous):
                assert previous == (self.order[-1] if self.order else None)
                self.known.add(item_id)
                if self.speaking == item_id:
                    self.speaking = None  # committed by hand in mid-speech
            case TranscriptionDelta(item_id):
                assert item_id in self.known
                assert item_id not in self.transcribed
            case TranscriptionCompleted(item_id) | TranscriptionFailed(item_id):
                assert item_id in self.known
                assert item_id not in self.transcribed
                self.transcribed.add(item_id)
            case ResponseCreated(response):
                assert response.id not in self.responses
                self.responses[response.id] = _Seen(
                    response.conversation_id is not None, "audio" in response.output_modalities
                )
            case ResponseDone(response):
                seen = self._running(response.id)
                seen.done = True
                assert all(seen.items.values()), "an item was left open"
                assert not seen.tools, "a tool is still at work"
                assert [item.id for item in response.output] == list(seen.items)
                if seen.generated and not seen.stopped:
                    assert seen.finished, "the model is still at work"
                    assert seen.spoken or not seen.last_clause, "the voice is still at work"
            case OutputItemAdded(response_id, index, item):
                seen = self._running(response_id)
                assert index == len(seen.items)
                assert item.id not in {id for other in self.responses.values() for id in other.items}
                seen.items[item.id] = False
            case OutputItemDone(response_id, index, item):
                seen = self._running(response_id)
                assert list(seen.items).index(item.id) == index
                assert seen.items[item.id] is False, "closed twice"
                seen.items[item.id] = True
            case (
                PartAdded(part)
                | PartDone(part)
                | TextDelta(part)
                | TextDone(part)
                | TranscriptDelta(part)
                | TranscriptDone(part)
                | AudioDelta(part)
                | AudioDone(part)
                | CallArgumentsDelta(part)
                | CallArgumentsDone(part)
                | McpArgumentsDelta(part)
                | McpArgumentsDone(part)
                | McpCallProgress(part)
            ):
                seen = self._running(part.response_id)
                assert seen.items[part.item_id] is False, "a delta outside its item"
                assert list(seen.items).index(part.item_id) == part.output_index
