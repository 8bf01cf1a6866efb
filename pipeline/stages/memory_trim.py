"""Which items may leave a model's contexts because the memory tells what they said."""

from collections.abc import Collection, Hashable, Sequence

from pipeline.items import (
    FunctionCallOutput,
    Item,
    McpApprovalResponse,
    McpCall,
    MessageItem,
    call_of,
)

__all__ = ["to_leave_out"]

_KEPT_EXCHANGES = 2  # the latest of the user's messages, with all that follows them


def to_leave_out(items: Sequence[Item], covered: Collection[str]) -> set[str]:
    """Ids of the items among `covered` that may leave a conversation's contexts.

    The last exchanges stay, because a reply needs their very words. A call leaves only together with its
    output, and with the question whether it may be made; one that still waits for either stays.
    """
    leaving: set[str] = set()
    calls: dict[Hashable, list[Item]] = {}  # what belongs together
    old = set()
    end = _last_exchanges(items)
    for index, item in enumerate(items):
        may_leave = index < end and item.id in covered
        if (call := call_of(item)) is not None:
            calls.setdefault(call, []).append(item)
            if may_leave:
                old.add(item.id)
        elif may_leave:
            leaving.add(item.id)
    for members in calls.values():
        ids = {item.id for item in members}
        if ids <= old and any(map(_ends, members)):
            leaving |= ids
    return leaving


def _ends(item: Item) -> bool:
    """Whether nothing more will come of a call."""
    match item:
        case FunctionCallOutput():
            return True
        case McpApprovalResponse():
            return not item.approve
        case McpCall():
            return item.output is not None or item.error is not None
    return False


def _last_exchanges(items: Sequence[Item]) -> int:
    """Where they begin; 0 where there are no more than those."""
    found = 0
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if isinstance(item, MessageItem) and item.role == "user":
            found += 1
            if found == _KEPT_EXCHANGES:
                return index
    return 0
