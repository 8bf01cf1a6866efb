"""Which items may leave a model's contexts because the memory tells what they said."""

from collections.abc import Collection, Hashable, Iterable

from pipeline.items import FunctionCall, FunctionCallOutput, Item, MessageItem

__all__ = ["to_leave_out"]

_KEPT_EXCHANGES = 2  # the latest of the user's messages, with all that follows them


def to_leave_out(items: Iterable[Item], covered: Collection[str]) -> tuple[str, ...]:
    """Ids, in order, of the items among `covered` that may leave.

    The last exchanges stay, because a reply needs their very words. A call leaves only together with its
    output, and a call that still waits for one stays.
    """
    conversation = list(items)
    groups: dict[Hashable, list[Item]] = {}
    for item in conversation:
        groups.setdefault(_group(item), []).append(item)
    old = {item.id for item in conversation[: _tail(conversation)]}
    leaving = [
        item.id
        for members in groups.values()
        if _is_complete(members) and all(item.id in old and item.id in covered for item in members)
        for item in members
    ]
    position = {item.id: index for index, item in enumerate(conversation)}
    return tuple(sorted(leaving, key=position.__getitem__))


def _tail(items: list[Item]) -> int:
    """Where the last exchanges begin; 0 where there are no more than those."""
    said = [i for i, item in enumerate(items) if isinstance(item, MessageItem) and item.role == "user"]
    return said[-_KEPT_EXCHANGES] if len(said) > _KEPT_EXCHANGES else 0


def _group(item: Item) -> Hashable:
    if isinstance(item, FunctionCall | FunctionCallOutput):
        return "call", item.call_id
    return "item", item.id


def _is_complete(members: list[Item]) -> bool:
    kinds = {type(item) for item in members}
    return FunctionCall not in kinds or FunctionCallOutput in kinds
