"""Which items leave a response's context because its model cannot hold them all.

The room for items is what the model holds, less the answer, the instructions and the tools. Beyond it the
oldest items leave: with `auto` until the rest fits, with a retention ratio until the rest takes up only that
part of the room. What has left stays out of all later contexts of the session, though not out of its
conversation: a context that begins differently with every turn could not be cached by a provider.

A call and its output leave together. The newest user message and the newest item always stay, even where they
do not fit: tokens are estimated, and a model that refuses says so better than we could.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.catalog import Catalog
from pipeline.config import RetentionRatio, SessionConfig
from pipeline.core.context import item_tokens, message_tokens, request_tokens, tools_tokens
from pipeline.core.conversation import Conversation
from pipeline.core.standing import standing_instructions
from pipeline.items import Item, MessageItem, call_of
from providers.contracts import FunctionTool, LlmRequest, SystemMessage
from providers.errors import ContextTooLongError

__all__ = ["ContextKeeper", "Fitted", "fit"]

_MAX_ANSWER = 4096  # tokens that are kept free for an answer of unlimited length, as the public service does
_ANSWER_PART = 8  # of a small context, an answer of unlimited length gets this part (one eighth)

_TELLING_TOKENS = 500  # a request of fewer is mostly overhead, and says little about how a model counts
_MIN_SCALE, _MAX_SCALE = 0.5, 3.0  # how far a provider's count may move our estimates


@dataclass(frozen=True, slots=True)
class Fitted:
    items: list[Item]  # in their old order
    left: frozenset[str]  # ids of the items that had to go just now
    tokens: int  # of `items`, about
    tokens_before: int  # with those that left


class ContextKeeper:
    """Fits the contexts of one session, and remembers which items have left them."""

    def __init__(self, catalog: Catalog, conversation: Conversation) -> None:
        self._catalog = catalog
        self._conversation = conversation
        self._gone: set[str] = set()  # ids of items in the conversation
        self._counted: dict[str, tuple[Item, int]] = {}  # tokens by id; counting them anew takes milliseconds
        self._counted_by = ""  # the model to which the scale belongs
        self._scale = 1.0  # tokens that it counts for one that we estimate

    def fit(
        self, config: SessionConfig, tools: Iterable[FunctionTool], items: Sequence[Item], *, remember: bool
    ) -> Fitted:
        """What of `items` a model is to read beside the instructions and those tools.

        Raises `ContextTooLongError` where truncation is disabled.

        `remember` is for contexts that are the conversation; one that a client put together item by item
        neither looks at what has left nor adds to it.
        """
        scale = self._scale if config.model == self._counted_by else 1.0
        room, part = self._room(config, tools, scale), 1.0
        truncation = config.truncation
        if isinstance(truncation, RetentionRatio):
            part = truncation.retention_ratio
            if truncation.post_instructions is not None:
                room = min(room, truncation.post_instructions)
        count = self._count if remember else item_tokens
        fitted = fit(
            items,
            lambda item: round(scale * count(item)),
            room,
            round(part * room),
            self._gone if remember else (),
        )
        if truncation == "disabled" and fitted.tokens_before > room:
            raise ContextTooLongError(
                f"The conversation has about {fitted.tokens_before} tokens, and only {room} fit into the "
                f"model '{config.model}' beside the instructions, the tools and the answer. Truncation is "
                "disabled: delete items, or let it be 'auto'."
            )
        if remember:
            self._gone |= {id for id in fitted.left if id in self._conversation}
        return fitted

    def learn(self, model: str, request: LlmRequest, counted: int) -> None:
        """The provider has counted the tokens of a request."""
        estimated = request_tokens(request)
        if counted > 0 and estimated >= _TELLING_TOKENS:
            self._counted_by = model
            self._scale = min(_MAX_SCALE, max(_MIN_SCALE, counted / estimated))

    def leave_out(self, item_ids: Collection[str]) -> None:
        """These items of the conversation leave all contexts to come."""
        self._gone |= {id for id in item_ids if id in self._conversation}

    def forget(self, item_id: str) -> None:
        """The item was deleted; its id may come back as another item."""
        self._gone.discard(item_id)
        self._counted.pop(item_id, None)

    def _count(self, item: Item) -> int:
        """The tokens of an item of the conversation, which may have changed since the last time."""
        counted, tokens = self._counted.get(item.id, (None, 0))
        if counted is not item:
            tokens = item_tokens(item)
            self._counted[item.id] = item, tokens
        return tokens

    def _room(self, config: SessionConfig, tools: Iterable[FunctionTool], scale: float) -> int:
        holds = self._catalog.context_tokens(config.model)
        answer = config.max_output_tokens or min(_MAX_ANSWER, holds // _ANSWER_PART)
        fixed = message_tokens(SystemMessage(standing_instructions(config))) + tools_tokens(tools)
        return max(0, holds - min(answer, holds // 2) - round(scale * fixed))


def fit(
    items: Sequence[Item],
    cost: Callable[[Item], int],
    room: int,
    target: int,
    gone: Collection[str] = (),
) -> Fitted:
    """What stays of `items`, each at its `cost` in tokens, when more than `room` have to become `target`.

    Items whose ids are in `gone` left an earlier context, and stay out.
    """
    grouped = [(item, _group(item)) for item in items]
    kept = {group for item, group in grouped if item.id not in gone}
    kept |= (safe := _newest(items))
    prices: dict[Hashable, int] = {}  # in the order of age
    for item, group in grouped:
        if group in kept:
            prices[group] = prices.get(group, 0) + cost(item)
    tokens = before = sum(prices.values())
    dropped: set[Hashable] = set()
    if tokens > room:
        for group, price in prices.items():
            if tokens <= target:
                break
            if group not in safe:
                dropped.add(group)
                tokens -= price
    kept -= dropped
    return Fitted(
        [item for item, group in grouped if group in kept],
        frozenset(item.id for item, group in grouped if group in dropped),
        tokens,
        before,
    )


def _group(item: Item) -> Hashable:
    """What leaves together has the same group."""
    call = call_of(item)
    return ("item", item.id) if call is None else call


def _newest(items: Sequence[Item]) -> set[Hashable]:
    """The groups that never leave: without them there would be nothing to answer."""
    said = [item for item in items if isinstance(item, MessageItem) and item.role == "user"]
    return {_group(item) for item in (*said[-1:], *items[-1:])}
