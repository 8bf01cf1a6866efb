"""Every way in which one value within JSON can be of another kind, and what must hold nevertheless."""

from collections.abc import Iterator, Sequence
from typing import Any

from providers.contracts import LlmEvent, LlmFinished, TextDelta, ToolCallDelta, ToolCallStarted

__all__ = ["check_types", "odd_shapes"]

_ODD: tuple[Any, ...] = (None, True, -3, 1e300, "", "odd", [], [None], {}, {"odd": []})


def check_types(events: Sequence[LlmEvent]) -> None:
    """Whether events hold what they promise, whatever was in the answer that they come from."""
    texts: list[Any] = []
    counts: list[Any] = []
    for event in events:
        match event:
            case TextDelta(text):
                texts.append(text)
            case ToolCallStarted():
                texts += [event.id, event.name, event.state or "none"]
            case ToolCallDelta():
                texts.append(event.arguments)
            case LlmFinished(_, usage) if usage is not None:
                counts += [usage.input_tokens, usage.output_tokens, usage.cached_tokens]
    assert all(isinstance(text, str) and text for text in texts)
    assert all(type(count) is int and count >= 0 for count in counts)


def odd_shapes(value: Any) -> Iterator[Any]:
    """Copies of a value, each with something else in one place."""
    yield from _ODD
    if isinstance(value, dict):
        for name, entry in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            yield from ({**value, name: odd} for odd in odd_shapes(entry))
    elif isinstance(value, list):
        for at, entry in enumerate(value):
            yield from ([*value[:at], odd, *value[at + 1 :]] for odd in odd_shapes(entry))
