"""Reads the streamed answer of a language model: events, or one piece, and an end that may come too early."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Protocol

from providers.contracts import LlmEvent
from providers.errors import BadAnswerError, ProviderError
from providers.http import Answer

__all__ = ["AnswerStream", "read_answer"]

TAIL_GAP_S = 2.0  # how long usage and the end may take once the answer itself is complete


class AnswerStream(Protocol):
    """Turns what one kind of server sends into events."""

    reason: str | None  # why the answer is complete, once it is
    done: bool  # whether the server has said that nothing more comes

    def read(self, data: str) -> Iterator[LlmEvent]:
        """Events of the data of one server-sent event; raises the error that it reports."""

    def whole(self, answer: Any) -> Iterator[LlmEvent]:
        """Events of an answer that came in one piece."""

    def finish(self) -> Iterator[LlmEvent]:
        """The end of the stream; raises where it came too early."""


async def read_answer(answer: Answer, stream: AnswerStream) -> AsyncGenerator[LlmEvent, None]:
    """All events of an answer. Raises every kind of `ProviderError`."""
    if answer.content_type == "text/html":
        raise answer.bad("answered with a web page; is its base_url right?")
    if answer.content_type == "application/json":  # a server that does not stream
        for event in stream.whole(await answer.json()):
            yield event
        for event in stream.finish():
            yield event
        return
    try:
        async with aclosing(answer.sse()) as frames:
            async for frame in frames:
                for event in stream.read(frame.data):
                    yield event
                if stream.done:
                    break
                if stream.reason is not None:
                    answer.gap = min(answer.gap, TAIL_GAP_S)
    except ProviderError as error:
        # The answer was complete; what is missing are its usage and the word that it is.
        if stream.reason is None or isinstance(error, BadAnswerError):
            raise
    for event in stream.finish():
        yield event
    if stream.done:
        await answer.drain()
