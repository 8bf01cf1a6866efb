"""Which items may leave a model's contexts because the memory tells what they said."""

from collections.abc import Collection, Sequence

from pipeline.items import FunctionCall, FunctionCallOutput, Item, MessageItem

__all__ = ["to_leave_out"]

_KEPT_EXCHANGES = 2  # the latest of the user's messages, with all that follows them


def to_leave_out(items: Sequence[Item], covered: Collection[str]) -> set[str]:
    """Ids of the items among `covered` that may leave a conversation's contexts.

    The last exchanges stay, because a reply needs their very words. A call leaves only together with its
    output, and a call that still waits for one stays.
    """
    leaving: set[str] = set()
    calls: dict[str, list[Item]] = {}  # what belongs together, by the id of the call
    old = set()
    end = _last_exchanges(items)
    for index, item in enumerate(items):
        may_leave = index < end and item.id in covered
        if isinstance(item, FunctionCall | FunctionCallOutput):
            calls.setdefault(item.call_id, []).append(item)
            if may_leave:
                old.add(item.id)
        elif may_leave:
            leaving.add(item.id)
    for members in calls.values():
        ids = {item.id for item in members}
        if ids <= old and any(isinstance(item, FunctionCallOutput) for item in members):
            leaving |= ids
    return leaving


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
