"""What was heard of the assistant's replies, and what leaves the conversation because it was not."""

from pipeline.core.playback import SpokenText
from pipeline.core.state import State
from pipeline.effects import CutAudio
from pipeline.errors import InvalidRequest
from pipeline.items import MessageItem, OutputAudio

__all__ = ["HeardReplies"]


class HeardReplies:
    """The spoken messages of the conversation, by item id."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._spoken: dict[str, SpokenText] = {}
        self._cuts: dict[str, int] = {}  # truncations that arrived before the message was done

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._spoken

    def __len__(self) -> int:
        return len(self._spoken)

    def add(self, item_id: str, spoken: SpokenText) -> None:
        self._spoken[item_id] = spoken

    def forget(self, item_id: str) -> None:
        """The item was deleted."""
        self._spoken.pop(item_id, None)
        self._cuts.pop(item_id, None)

    def truncate(self, item_id: str, milliseconds: int, *, still_open: bool) -> int:
        """Remove what was not heard, at once or when the message closes; return how much there is, in ms.

        Raises `InvalidRequest` for an item that nobody spoke.
        """
        spoken = self._spoken.get(item_id)
        if spoken is None:
            raise InvalidRequest(
                "Only model output audio messages can be truncated.", code="unsupported_content_type"
            )
        milliseconds = min(milliseconds, spoken.milliseconds)
        if still_open:
            self._cuts[item_id] = milliseconds
        else:
            self._cut(item_id, milliseconds)
        return milliseconds

    def message_closed(self, item_id: str) -> None:
        """Nothing more will be added to that message."""
        if item_id in self._cuts:
            self._cut(item_id, self._cuts.pop(item_id))

    def _cut(self, item_id: str, milliseconds: int) -> None:
        conversation, spoken = self._state.conversation, self._spoken.get(item_id)
        item = conversation.get(item_id)
        if spoken is None or not isinstance(item, MessageItem) or not item.content:
            return
        part = item.content[0]
        if not isinstance(part, OutputAudio):
            return  # another item, to which a client gave the id of a deleted one
        conversation.set_transcript(item_id, 0, spoken.heard(part.transcript, milliseconds))
        spoken.cut(milliseconds)
        self._state.do(CutAudio(item_id, 0, milliseconds))
