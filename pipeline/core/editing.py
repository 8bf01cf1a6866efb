"""What clients do to the items of the conversation: create, retrieve, delete, truncate."""

from dataclasses import replace

from pipeline.commands import CreateItem, DeleteItem, RetrieveItem, TruncateItem
from pipeline.core.followups import Followups
from pipeline.core.responding import Responder
from pipeline.core.state import State
from pipeline.core.transcripts import Transcripts
from pipeline.effects import ForgetItem
from pipeline.errors import InvalidRequest
from pipeline.events import ItemAdded, ItemDeleted, ItemDone, ItemRetrieved, ItemTruncated
from pipeline.items import FunctionCall, Item, MessageItem, OutputAudio

__all__ = ["Editor"]


class Editor:
    """Every method raises `InvalidRequest` before it has changed anything."""

    def __init__(
        self, state: State, transcripts: Transcripts, responder: Responder, followups: Followups
    ) -> None:
        self._state = state
        self._transcripts = transcripts
        self._responder = responder
        self._followups = followups

    def create(self, command: CreateItem) -> None:
        state, item = self._state, self.named(command.item)
        turn = self._transcripts.open
        if turn is not None and item.id == turn.item_id:
            # The client knows that id from speech_started; the turn that is being spoken will need it.
            raise InvalidRequest(
                f"The id '{item.id}' belongs to the turn that is being spoken.",
                code="item_create_duplicate_item_id",
            )
        state.conversation.check_insert(item, command.previous_item_id)
        self._transcripts.check_clips([item])
        self._followups.check(item)
        if isinstance(item, MessageItem):
            item = self._transcripts.clip_arrived(item)
        previous = state.conversation.insert(item, command.previous_item_id)
        state.emit(ItemAdded(item, previous))
        state.emit(ItemDone(item, previous))
        self._followups.item_created(item)

    def retrieve(self, command: RetrieveItem) -> None:
        item = self._find(command.item_id, "retrieve")
        self._state.emit(ItemRetrieved(item, self._state.config.audio))

    def named(self, item: Item) -> Item:
        """The item with the ids that the client left to us."""
        if not item.id:
            item = replace(item, id=self._state.new_id("item"))
        if isinstance(item, FunctionCall) and not item.call_id:
            item = replace(item, call_id=self._state.new_id("call"))
        return item

    def _find(self, item_id: str, verb: str) -> Item:
        item = self._state.conversation.get(item_id)
        if item is None:
            raise InvalidRequest(
                f"Error with item {verb}: the item with id '{item_id}' does not exist.",
                code=f"item_{verb}_invalid_item_id",
                param="item_id",
            )
        return item

    def delete(self, command: DeleteItem) -> None:
        item = self._find(command.item_id, "delete")
        self._state.conversation.remove(item.id)
        self._transcripts.item_deleted(item.id)
        self._state.do(ForgetItem(item.id))
        self._state.emit(ItemDeleted(item.id))
        self._responder.item_deleted(item.id)

    def truncate(self, command: TruncateItem) -> None:
        item = self._find(command.item_id, "truncate")
        heard = isinstance(item, MessageItem) and item.role == "assistant"
        if heard and isinstance(item, MessageItem) and item.content:
            heard = isinstance(item.content[0], OutputAudio)
        if not heard:
            raise InvalidRequest(
                "Only model output audio messages can be truncated.", code="unsupported_content_type"
            )
        if command.content_index != 0:
            raise InvalidRequest(
                f"The item has no audio at content_index {command.content_index}; use 0.",
                param="content_index",
            )
        end = self._responder.truncate(item.id, command.audio_end_ms)
        state = self._state
        state.playback.stop(state.now)  # the client tells where its player has stopped
        if state.idle_since is not None:
            state.idle_since = min(state.idle_since, state.now)
        state.emit(ItemTruncated(item.id, 0, end))
