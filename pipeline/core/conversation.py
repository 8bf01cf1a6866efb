"""The conversation: items in order, and the rules for putting them in and taking them out."""

from collections.abc import Iterator
from dataclasses import replace

from pipeline.errors import InvalidRequest
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    Item,
    MessageItem,
    OutputAudio,
    size_of,
)

__all__ = ["ROOT", "Conversation"]

ROOT = "root"  # as a previous item id: the very beginning


class Conversation:
    """Ordered items. Every method checks before it changes anything."""

    def __init__(self, id: str, max_items: int, max_size: int) -> None:
        """`max_size` is in characters of text and of images' data, of all items together."""
        self.id = id
        self._items: dict[str, Item] = {}  # by id, in order
        self._max_items = max_items
        self._max_size = max_size

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._items

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def get(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    @property
    def last_id(self) -> str | None:
        return next(reversed(self._items), None)

    def previous_id(self, item_id: str) -> str | None:
        """The id of the item before that one; None for the first."""
        previous = None
        for known in self._items:
            if known == item_id:
                return previous
            previous = known
        return None

    def check_insert(self, item: Item, previous_item_id: str | None) -> None:
        """Raise `InvalidRequest` where `insert` could not be done."""
        if item.id in self._items:
            raise InvalidRequest(
                f"An item with id '{item.id}' already exists in the conversation.",
                code="item_create_duplicate_item_id",
            )
        if previous_item_id not in (None, ROOT) and previous_item_id not in self._items:
            raise InvalidRequest(
                f"Error adding item: the previous item with id '{previous_item_id}' does not exist.",
                code="item_create_invalid_previous_item_id",
                param="previous_item_id",
            )
        if len(self._items) >= self._max_items:
            # Only what clients create is limited: turns come at the pace of speech.
            raise InvalidRequest(
                f"The conversation holds {self._max_items} items, which is the limit of this server. "
                "Delete items that are no longer needed.",
                code="conversation_item_limit_reached",
            )
        if size_of(item) + sum(map(size_of, self)) > self._max_size:
            raise InvalidRequest(
                f"With this item the conversation would hold more than {self._max_size} characters of text "
                "and images, which is the limit of this server. Delete items that are no longer needed.",
                code="conversation_size_limit_reached",
            )
        if isinstance(item, FunctionCallOutput) and self.find_call(item.call_id) is None:
            raise InvalidRequest(
                f"Error adding item: there is no function call with call_id '{item.call_id}'.",
                code="invalid_tool_call_id",
                param="item.call_id",
            )

    def insert(self, item: Item, previous_item_id: str | None = None) -> str | None:
        """Put an item behind another (None: at the end) and return the id of the one before it."""
        if previous_item_id is None:
            previous = self.last_id
            self._items[item.id] = item
            return previous
        rest = list(self._items.items())
        index = 0
        if previous_item_id != ROOT:
            index = 1 + next(i for i, (known, _) in enumerate(rest) if known == previous_item_id)
        rest.insert(index, (item.id, item))
        self._items = dict(rest)
        return rest[index - 1][0] if index else None

    def put(self, item: Item) -> None:
        """Replace an item by what has become of it."""
        assert item.id in self._items
        self._items[item.id] = item

    def remove(self, item_id: str) -> None:
        del self._items[item_id]

    def find_call(self, call_id: str) -> FunctionCall | None:
        """The function call of that call id."""
        for item in self._items.values():
            if isinstance(item, FunctionCall) and item.call_id == call_id:
                return item
        return None

    def set_transcript(self, item_id: str, content_index: int, transcript: str) -> None:
        """Fill in what was said in a spoken part."""
        item = self._items.get(item_id)
        if isinstance(item, MessageItem) and content_index < len(item.content):
            part = item.content[content_index]
            if isinstance(part, InputAudio | OutputAudio):
                self._items[item_id] = replace_part(item, content_index, replace(part, transcript=transcript))


def replace_part(item: MessageItem, index: int, part: InputAudio | OutputAudio) -> MessageItem:
    """The message with one part exchanged."""
    content = (*item.content[:index], part, *item.content[index + 1 :])
    return replace(item, content=content)
