"""One running response: its output items as they open, fill and close, and the events of each step.

    in_progress ──► completed | incomplete | failed | cancelled        (one way, once, through `close`)

An output item opens with `output_item.added`, in the conversation also with `conversation.item.added`; it
closes with the events in the reverse order. A message has one part, and stays open until its speech is
done; calls close when the model has finished. Whatever is open when the response closes is closed first,
so that every delta lies between its item's added and done, however the response ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.config import SessionConfig
from pipeline.core.calls import Approved, Calls
from pipeline.core.clauses import cutter_for
from pipeline.core.listings import McpTarget, SearchTarget
from pipeline.core.playback import SpokenText
from pipeline.core.routes import with_route
from pipeline.core.state import State
from pipeline.effects import FinishSpeaking, ReportFirstOutput, ReportRoute, Speak
from pipeline.events import (
    AudioDelta,
    AudioDone,
    ItemAdded,
    ItemDone,
    OutputItemAdded,
    OutputItemDone,
    Part,
    PartAdded,
    PartDone,
    ResponseCreated,
    ResponseDone,
    ResponseState,
    ResponseStatus,
    StatusDetails,
    TextDelta,
    TextDone,
    TranscriptDelta,
    TranscriptDone,
    Usage,
)
from pipeline.items import Item, ItemStatus, MessageItem, OutputAudio, OutputText, ToolFailure
from providers.contracts import RouteTaken, TextMark

__all__ = ["Response"]


@dataclass(slots=True)
class _OpenMessage:
    item_id: str
    output_index: int
    text: list[str] = field(default_factory=list)


class Response:
    """Fed with what the model and the voice produce; tells `State` what the client must hear of it."""

    def __init__(
        self,
        state: State,
        id: str,
        config: SessionConfig,
        *,
        in_conversation: bool,
        metadata: Mapping[str, str] | None,
        asked_at: float,
    ) -> None:
        self._state = state
        self.id = id
        self.config = config  # the session's, with this response's overrides
        self.in_conversation = in_conversation
        self.spoken = SpokenText(config.audio.output.format.rate)
        self._metadata = metadata
        self._asked_at = asked_at
        self._message: _OpenMessage | None = None
        self._calls = Calls(state, id, self._take_index, self._open_item, self._close_item)
        self._output: dict[int, Item] = {}  # closed items by output index
        self._unread: list[int] = []  # of those, what the model has not been given back
        self._next_index = 0
        self._cutter = cutter_for(config)
        self._given = 0  # clauses that the voice has already been given
        self._chars = 0  # of text and arguments so far
        self._deleted: set[str] = set()  # items that a client deleted while they were open

    @property
    def speaks(self) -> bool:
        return "audio" in self.config.output_modalities

    @property
    def message_id(self) -> str | None:
        """The id of the message that is open, if one is."""
        return self._message.item_id if self._message else None

    @property
    def chars(self) -> int:
        return self._chars

    @property
    def items(self) -> int:
        return self._next_index

    def announce(self, asked_at: float | None = None) -> None:
        """Tell the client. `asked_at`: the moment at which its wait began, where that is not its creation."""
        if asked_at is not None:
            self._asked_at = asked_at
        self._state.emit(ResponseCreated(self._snapshot("in_progress")))

    def skip_clauses(self, count: int) -> None:
        """The voice has been given the first clauses in advance."""
        self._given = count

    def add_route(self, stage: Literal["llm", "tts"], route: RouteTaken) -> None:
        """A router decided for this response: its `metadata` tells, beside what the client put there."""
        self._state.do(ReportRoute(stage, self.id, route))
        if self._state.rules.route_metadata:
            self._metadata = with_route(self._metadata, stage, route)

    # --- what the model writes ------------------------------------------------------------------------

    def add_text(self, text: str, now: float) -> None:
        if not text:
            return
        self._chars += len(text)
        if self._message is None:
            self._open_message()
            self._state.do(ReportFirstOutput(self.id, now - self._asked_at))
        assert self._message is not None
        self._message.text.append(text)
        if self.speaks:
            self._state.emit(TranscriptDelta(self._part(self._message), text))
            for clause in self._cutter.feed(text):
                self._speak(clause)
        else:
            self._state.emit(TextDelta(self._part(self._message), text))

    def finish_calls(self, status: ItemStatus) -> Literal["nothing", "ours", "theirs"]:
        """The model has finished: its calls are closed, or run. Says with whom the response goes on."""
        return self._calls.finish(status)

    def finish_text(self, status: ItemStatus) -> bool:
        """The model has finished; close what needs no speech. True when speech is still to come."""
        if self._message is None:
            return False
        if not self.speaks:
            self._close_message(status)
            return False
        if rest := self._cutter.finish():
            self._speak(rest)
        self._state.do(FinishSpeaking(self.id))
        return True

    def open_call(
        self,
        index: int,
        call_id: str,
        name: str,
        state: str = "",
        target: McpTarget | SearchTarget | None = None,
    ) -> None:
        """A call begins: of the client's function, or of a tool that the server runs."""
        if index in self._calls:
            return
        if self._message is not None and self.speaks and (rest := self._cutter.finish()):
            # What was said before a call is said at once, not after the call has been written.
            self._speak(rest)
        self._calls.begin(index, call_id, name, state, target)

    def add_arguments(self, index: int, arguments: str) -> None:
        if index in self._calls and arguments:
            self._chars += len(arguments)
            self._calls.add_arguments(index, arguments)

    # --- tools of the server's own --------------------------------------------------------------------

    def run_approved(self, approved: Approved) -> None:
        """Make a call that the client has agreed to, before the model is asked."""
        self._calls.run_approved(approved)

    def tool_answered(self, call_id: str, output: str | None, failure: ToolFailure | None) -> None:
        self._calls.answered(call_id, output, failure)

    @property
    def awaits_tools(self) -> bool:
        """Whether a tool of the server's own has not answered yet."""
        return self._calls.running

    @property
    def ran_mcp(self) -> bool:
        """Whether tools of MCP servers were called for it."""
        return self._calls.ran_mcp

    @property
    def searches(self) -> int:
        """How often the web was searched for this response."""
        return self._calls.searches

    def next_round(self) -> list[Item]:
        """The tools have answered and the model is asked again: the items that it has not been given yet."""
        self._close_message("completed")
        self.spoken = SpokenText(self.config.audio.output.format.rate)
        self._cutter = cutter_for(self.config)
        unread, self._unread = sorted(self._unread), []
        return [*(self._output[index] for index in unread), *self._calls.take_searched()]

    # --- what the voice speaks ------------------------------------------------------------------------

    def add_speech(self, pcm: bytes, marks: tuple[TextMark, ...]) -> None:
        self.spoken.add(len(pcm) // 2, marks)
        if pcm and self._message is not None:
            format = self.config.audio.output.format
            self._state.playback.add(len(pcm) / 2 / format.rate, self._state.now)
            self._state.emit(AudioDelta(self._part(self._message), pcm, format))

    # --- the end --------------------------------------------------------------------------------------

    def item_deleted(self, item_id: str) -> None:
        """A client deleted an item that is perhaps still open here; its id may come back as another item."""
        if item_id == self.message_id or item_id in self._calls.item_ids:
            self._deleted.add(item_id)

    def close(
        self, status: ResponseStatus, usage: Usage | None, details: StatusDetails | None = None
    ) -> None:
        """End the response: the tail of everything open, then `response.done`."""
        item_status: ItemStatus = "completed" if status == "completed" else "incomplete"
        self._close_message(item_status)
        self._calls.finish(item_status)
        self._calls.cancel()
        self._state.emit(ResponseDone(self._snapshot(status, usage, details)))

    def _snapshot(
        self, status: ResponseStatus, usage: Usage | None = None, details: StatusDetails | None = None
    ) -> ResponseState:
        output = self.config.audio.output
        return ResponseState(
            id=self.id,
            status=status,
            conversation_id=self._state.conversation.id if self.in_conversation else None,
            output_modalities=self.config.output_modalities,
            voice=output.voice,
            format=output.format,
            max_output_tokens=self.config.max_output_tokens,
            output=tuple(self._output[index] for index in sorted(self._output)),
            details=details,
            usage=usage,
            metadata=self._metadata,
        )

    def _speak(self, clause: str) -> None:
        if self._given:
            self._given -= 1
        else:
            self._state.do(Speak(self.id, clause))

    def _take_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def _part(self, owner: _OpenMessage) -> Part:
        return Part(self.id, owner.item_id, owner.output_index)

    def _open_message(self) -> None:
        message = _OpenMessage(self._state.new_id("item"), self._take_index())
        self._message = message
        self._open_item(message.output_index, MessageItem(message.item_id, "assistant", (), "in_progress"))
        self._state.emit(PartAdded(self._part(message), "audio" if self.speaks else "text"))

    def _close_message(self, status: ItemStatus) -> None:
        message, self._message = self._message, None
        if message is None:
            return
        text, part = "".join(message.text), self._part(message)
        if self.speaks:
            self._state.emit(AudioDone(part))
            self._state.emit(TranscriptDone(part, text))
            self._state.emit(PartDone(part, "audio", text))
        else:
            self._state.emit(TextDone(part, text))
            self._state.emit(PartDone(part, "text", text))
        content = OutputAudio(text) if self.speaks else OutputText(text)
        self._close_item(message.output_index, MessageItem(message.item_id, "assistant", (content,), status))

    def _open_item(self, output_index: int, item: Item) -> None:
        self._state.emit(OutputItemAdded(self.id, output_index, item))
        if self.in_conversation:
            self._state.emit(ItemAdded(item, self._state.conversation.insert(item)))

    def _close_item(self, output_index: int, item: Item) -> None:
        conversation = self._state.conversation
        if self.in_conversation and item.id not in self._deleted:
            conversation.put(item)
            self._state.emit(ItemDone(item, conversation.previous_id(item.id)))
        self._output[output_index] = item
        self._unread.append(output_index)
        self._state.emit(OutputItemDone(self.id, output_index, item))
