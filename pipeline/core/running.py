"""One response on its way: what it waits for, its rounds with tools of the server's own, what they used."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.commands import GenerationFinished
from pipeline.core.context import request_tokens
from pipeline.core.listings import Offer
from pipeline.core.response import Response
from pipeline.events import Usage
from pipeline.items import InputAudio, Item, MessageItem
from providers.contracts import LlmRequest

__all__ = ["Clip", "Running"]

Clip = tuple[str, int]  # a spoken part: item id and content index


@dataclass(slots=True)
class Running:
    response: Response
    context: list[Item]  # as it was when the response was created
    waiting: set[Clip]  # transcripts that the generation needs
    explicit: bool = False  # whether the client put the context together, item by item
    automatic: str | None = None  # the item whose turn it answers, when nobody asked for it
    note: str | None = None  # what the model is told beside the conversation
    offer: Offer | None = None  # the tools of the present round, once the generation has started
    request: LlmRequest | None = None  # likewise
    finished: GenerationFinished | None = None  # once the model has said everything
    speaking: bool = False  # the voice has yet to finish
    goes_on: bool = False  # the model is asked again once the server's own tools have answered
    rounds: int = 0  # that are over
    counted: list[Usage] = field(default_factory=list)  # what those have used
    counted_chars: int = 0  # that they have written

    @property
    def is_ready(self) -> bool:
        """Whether nothing keeps the model from being asked."""
        return self.request is None and not self.waiting and not self.response.awaits_tools

    @property
    def is_busy(self) -> bool:
        """Whether the model, the voice or a tool is at work."""
        is_writing = self.request is not None and self.finished is None
        return is_writing or self.speaking or self.response.awaits_tools

    def learn(self, clip: Clip, text: str) -> None:
        """A transcript that it waited for is there."""
        self.waiting.discard(clip)
        self.context = [_with_transcript(item, clip, text) for item in self.context]

    def drop(self, item_id: str) -> None:
        """An item was deleted whose transcript it may be waiting for."""
        kept = {clip for clip in self.waiting if clip[0] != item_id}
        if kept != self.waiting:
            self.waiting = kept
            self.context = [item for item in self.context if item.id != item_id]

    def next_round(self) -> None:
        """The tools have answered: the model is to be asked again, and reads what came of the calls."""
        self.context = [*self.context, *self.response.next_round()]
        if self.request is not None:  # else the calls were made before the model was asked at all
            self.counted.append(self._usage_of_round())
            self.rounds += 1
        self.counted_chars = self.response.chars
        self.goes_on, self.automatic = False, None
        self.request = self.finished = None

    def usage(self) -> Usage:
        """What all rounds have used."""
        rounds: Sequence[Usage] = self.counted
        if self.request is not None or not rounds:
            rounds = [*rounds, self._usage_of_round()]
        return Usage(
            sum(used.input_tokens for used in rounds),
            sum(used.output_tokens for used in rounds),
            sum(used.cached_tokens for used in rounds),
        )

    def _usage_of_round(self) -> Usage:
        """What the provider counted; an estimate where it did not, or was stopped before it could."""
        if self.finished is not None and self.finished.usage is not None:
            usage = self.finished.usage
            return Usage(usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        read = request_tokens(self.request) if self.request else 0
        return Usage(read, -(-(self.response.chars - self.counted_chars) // 4))


def _with_transcript(item: Item, clip: Clip, text: str) -> Item:
    item_id, index = clip
    if item.id != item_id or not isinstance(item, MessageItem):
        return item
    content = (*item.content[:index], InputAudio(text), *item.content[index + 1 :])
    return replace(item, content=content)
