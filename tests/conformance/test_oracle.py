"""The oracle accepts a faultless session and catches every fault planted in it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.oracle import NonconformingError, Oracle
from tests.conformance.samples import faultless_session

Event = dict[str, Any]
Fault = Callable[[list[Event]], None]


def judge(events: list[Event]) -> None:
    oracle = Oracle()
    for event in events:
        oracle.received(event)
    oracle.finished()


def first(events: list[Event], kind: str, number: int = 0) -> Event:
    return [event for event in events if event["type"] == kind][number]


def _reach(event: Event, path: str) -> tuple[Any, Any]:
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    target: Any = event
    for step in way:
        target = target[step]
    return target, last


def put(kind: str, path: str, value: Any, number: int = 0) -> Fault:
    """Give one member another value."""

    def plant(events: list[Event]) -> None:
        target, last = _reach(first(events, kind, number), path)
        target[last] = value

    return plant


def take(kind: str, path: str, number: int = 0) -> Fault:
    """Leave one member out."""

    def plant(events: list[Event]) -> None:
        target, last = _reach(first(events, kind, number), path)
        del target[last]

    return plant


def lose(kind: str, number: int = 0) -> Fault:
    """Leave one event out."""
    return lambda events: events.remove(first(events, kind, number))


def swap(one: str, other: str, number: int = 0) -> Fault:
    """Send two events in the wrong order; `number` counts the events of the first kind."""

    def plant(events: list[Event]) -> None:
        i, j = events.index(first(events, one, number)), events.index(first(events, other))
        events[i], events[j] = events[j], events[i]

    return plant


def move_to_end(kind: str, number: int = 0) -> Fault:
    """Send one event last."""

    def plant(events: list[Event]) -> None:
        event = first(events, kind, number)
        events.remove(event)
        events.append(event)

    return plant


def repeat(kind: str, number: int = 0) -> Fault:
    """Send one event twice, the second time with an id of its own."""

    def plant(events: list[Event]) -> None:
        event = first(events, kind, number)
        events.insert(events.index(event) + 1, event | {"event_id": "event_again"})

    return plant


SHAPE_FAULTS: dict[str, Fault] = {
    "an unknown event type": put("error", "type", "errors"),
    "an unknown member": put("response.output_audio.done", "extra", 1),
    "an unknown member far inside": put("session.updated", "session.audio.input.turn_detection.speed", 1),
    "an extra member in the echoed transcription": put(
        "session.created", "session.audio.input.transcription.x", 1
    ),
    "a missing member": take("response.output_audio.delta", "content_index"),
    "a missing event id": take("error", "event_id"),
    "a missing usage of a transcription": take(
        "conversation.item.input_audio_transcription.completed", "usage"
    ),
    "a missing name of a call": take("response.function_call_arguments.done", "name"),
    "an integer as a string": put("response.output_audio.delta", "content_index", "0"),
    "a boolean as an integer": put("response.output_audio.delta", "content_index", False),
    "an integer as a fraction": put("input_audio_buffer.speech_started", "audio_start_ms", 1.5),
    "a string as null": put("response.output_item.added", "response_id", None),
    "an object as a string": put("error", "error", "broken"),
    "an array as an object": put("response.created", "response.output", {}),
    "a status that does not exist": put("response.done", "response.status", "finished"),
    "a part named as in items": put("response.content_part.added", "part.type", "output_audio"),
    "content named as in parts": put("response.output_item.done", "item.content.0.type", "audio"),
    "a role that does not exist": put("conversation.item.added", "item.role", "robot"),
    "a null in a part": put("response.content_part.added", "part.text", None),
    "a null call_id": put("response.output_item.added", "item.call_id", None, 1),
    "a user's audio without transcript": take("conversation.item.added", "item.content.0.transcript", 1),
    "a session without id": take("session.created", "session.id"),
    "a temperature in words": put("session.created", "session.temperature", "warm"),
    "padding on an event that is no delta": put("session.created", "obfuscation", "x"),
    "an error without param": take("error", "error.param"),
    "a rate out of range": put("session.created", "session.audio.input.format.rate", 4000),
    "a tool choice that does not exist": put("session.updated", "session.tool_choice", "maybe"),
    "a suggestion without probability": take("turn_suggestion", "probability"),
    "a suggestion with more than we document": put("turn_suggestion", "text", "Good"),
    "a revocation without its turn": take("turn_suggestion_revoked", "utterance_index"),
    "a timeout that does not say when": take("input_audio_buffer.timeout_triggered", "audio_end_ms"),
    "unknown turn detection": put("session.updated", "session.audio.input.turn_detection.type", "psychic"),
}

ORDER_FAULTS: dict[str, Fault] = {
    "something before session.created": swap("session.created", "session.updated"),
    "a second session.created": repeat("session.created"),
    "an event id used twice": put("session.updated", "event_id", "event_0"),
    "a session that changes its id": put("session.updated", "session.id", "sess_2"),
    "an item added twice": repeat("conversation.item.added"),
    "an item done twice": repeat("conversation.item.done"),
    "an item never done": lose("conversation.item.done"),
    "an item done before it was added": swap("conversation.item.added", "conversation.item.done"),
    "a wrong previous item": put("conversation.item.added", "previous_item_id", "item_a", 2),
    "a null previous item": put("conversation.item.added", "previous_item_id", None, 1),
    "a missing previous item": take("conversation.item.added", "previous_item_id", 1),
    "an unknown previous item": put("conversation.item.done", "previous_item_id", "item_z", 1),
    "an unknown item deleted": put("conversation.item.deleted", "item_id", "item_z"),
    "an unknown item truncated": put("conversation.item.truncated", "item_id", "item_z"),
    "speech that never started": lose("input_audio_buffer.speech_started"),
    "speech that starts twice": repeat("input_audio_buffer.speech_started"),
    "speech that ends as another item": put("input_audio_buffer.speech_stopped", "item_id", "item_z"),
    "speech that ends before it began": put("input_audio_buffer.speech_stopped", "audio_end_ms", 50),
    "a commit of another item": put("input_audio_buffer.committed", "item_id", "item_z"),
    "a commit behind the wrong item": put("input_audio_buffer.committed", "previous_item_id", None),
    "a commit after its item": swap("conversation.item.added", "input_audio_buffer.committed", 1),
    "a commit after the speech of another item began": put(
        "input_audio_buffer.speech_started", "item_id", "x"
    ),
    "a commit without an item": lose("conversation.item.added", 1),
    "a transcription of nothing": put(
        "conversation.item.input_audio_transcription.delta", "item_id", "item_z"
    ),
    "a transcription that ends twice": repeat("conversation.item.input_audio_transcription.completed"),
    "a partial after the final": move_to_end("conversation.item.input_audio_transcription.delta"),
    "transcription tokens that do not add up": put(
        "conversation.item.input_audio_transcription.completed", "usage.total_tokens", 7
    ),
    "a suggestion before the speech": swap("turn_suggestion", "input_audio_buffer.speech_started"),
    "a suggestion after the speech": swap("turn_suggestion", "input_audio_buffer.speech_stopped", 1),
    "a suggestion of another turn": put("turn_suggestion", "item_id", "item_a"),
    "a suggestion that nobody asked for": put("session.updated", "session.providerData", {}),
    "a suggestion that was never revoked, and another": lose("turn_suggestion_revoked"),
    "a revocation of nothing": lose("turn_suggestion"),
    "a turn revoked twice": repeat("turn_suggestion_revoked"),
    "a suggestion of the wrong number": put("turn_suggestion", "utterance_index", 1),
    "a probability out of range": put("turn_suggestion", "probability", 1.01),
    "more silence than turn": put("turn_suggestion", "trailing_silence_ms", 901),
    "a judgement that took less than nothing": put("turn_suggestion", "inference_ms", -1),
    "a timeout while somebody speaks": swap(
        "input_audio_buffer.speech_stopped", "input_audio_buffer.timeout_triggered"
    ),
    "a timeout of another item": put("input_audio_buffer.timeout_triggered", "item_id", "item_z"),
    "a timeout of an item that was there before": put(
        "input_audio_buffer.timeout_triggered", "item_id", "item_b"
    ),
    "a silence that ends before it began": put("input_audio_buffer.timeout_triggered", "audio_end_ms", 3999),
    "a timeout after its commit": move_to_end("input_audio_buffer.timeout_triggered"),
    "a timeout without a commit": lose("input_audio_buffer.committed", 1),
    "a timeout while a response is running": swap("response.done", "input_audio_buffer.timeout_triggered", 1),
    "a response created twice": repeat("response.created"),
    "a response never done": lose("response.done"),
    "a response done twice": repeat("response.done"),
    "a response that was never created": lose("response.created"),
    "two responses in one conversation": move_to_end("response.done"),
    "a response created with output": put("response.created", "response.usage", {"total_tokens": 1}),
    "an item outside its response": lose("response.output_item.added"),
    "an output index out of order": put("response.output_item.added", "output_index", 1),
    "an item that starts completed": put("response.output_item.added", "item.status", "completed"),
    "an item that joins the conversation late": swap(
        "conversation.item.added", "response.content_part.added", 0
    ),
    "an item that never joins the conversation": lose("conversation.item.added", 2),
    "a delta before its part": lose("response.content_part.added"),
    "a delta of another item": put("response.output_audio.delta", "item_id", "item_b"),
    "a delta of another part": put("response.output_audio.delta", "content_index", 1),
    "text in an audio part": put(
        "response.output_audio_transcript.delta", "type", "response.output_text.delta"
    ),
    "audio that is no base64": put("response.output_audio.delta", "delta", "***"),
    "half a sample": put("response.output_audio.delta", "delta", "AAAA"),
    "a delta after the end of the audio": swap("response.output_audio.delta", "response.output_audio.done"),
    "audio that never ends": lose("response.output_audio.done"),
    "audio that ends after its transcript": swap(
        "response.output_audio.done", "response.output_audio_transcript.done"
    ),
    "a transcript that is not its deltas": put("response.output_audio_transcript.done", "transcript", "You"),
    "a part that never ends": lose("response.content_part.done"),
    "a part with another text": put("response.content_part.done", "part.transcript", "You"),
    "an item with another text": put("response.output_item.done", "item.content.0.transcript", "You"),
    "the conversation's item after the response's": swap(
        "conversation.item.done", "response.output_item.done", 2
    ),
    "an output item that never ends": lose("response.output_item.done"),
    "an item that ends in progress": put("response.output_item.done", "item.status", "in_progress"),
    "an output without its item": put("response.done", "response.output", []),
    "a completed response with details": put(
        "response.done", "response.status_details", {"type": "completed"}
    ),
    "a cancelled response without details": put("response.done", "response.status", "cancelled"),
    "a response without usage": put("response.done", "response.usage", None),
    "usage that does not add up": put("response.done", "response.usage.total_tokens", 5),
    "usage details that do not add up": put(
        "response.done", "response.usage.input_token_details.text_tokens", 3
    ),
    "more cached than there was": put("response.done", "response.usage.input_token_details.cached_tokens", 5),
    "metadata that got lost": put("response.done", "response.metadata", None, 1),
    "arguments that are not their deltas": put("response.function_call_arguments.done", "arguments", "{}"),
    "arguments that never end": lose("response.function_call_arguments.done"),
    "a call under another name": put("response.function_call_arguments.done", "name", "leap"),
    "a call under another id": put("response.function_call_arguments.delta", "call_id", "call_2"),
    "a new call with arguments": put("response.output_item.added", "item.arguments", "{}", 1),
    "a call with other arguments": put("response.output_item.done", "item.arguments", "{}", 1),
    "no limits after a response": lose("rate_limits.updated"),
    "no limits after the last response": lose("rate_limits.updated", 1),
    "limits told twice": repeat("rate_limits.updated"),
    "limits before their response is done": swap("rate_limits.updated", "response.done"),
    "more left than there is": put("rate_limits.updated", "rate_limits.0.remaining", 101),
    "limits of requests alone": put("rate_limits.updated", "rate_limits", []),
    "an event after the end of its response": move_to_end("response.output_audio.done"),
}


def test_a_faultless_session_is_accepted() -> None:
    judge(faultless_session())


@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=name) for name, f in (SHAPE_FAULTS | ORDER_FAULTS).items()]
)
def test_a_planted_fault_is_caught(fault: Fault) -> None:
    events = faultless_session()
    fault(events)

    with pytest.raises(NonconformingError):
        judge(events)


@pytest.mark.parametrize("fault", [pytest.param(f, id=name) for name, f in SHAPE_FAULTS.items()])
def test_a_fault_of_shape_is_caught_where_it_is(fault: Fault) -> None:
    events = faultless_session()
    fault(events)
    broken = next(e for e, good in zip(events, faultless_session(), strict=True) if repr(e) != repr(good))
    oracle = Oracle()
    for event in events[: events.index(broken)]:
        oracle.received(event)

    with pytest.raises(NonconformingError):
        oracle.received(broken)


def test_an_item_in_front_is_right_only_where_the_client_asked_for_it() -> None:
    events = faultless_session()
    item = first(events, "conversation.item.done")["item"] | {"id": "item_front"}
    front = [
        {"type": f"conversation.item.{step}", "event_id": step, "previous_item_id": None, "item": item}
        for step in ("added", "done")
    ]

    with pytest.raises(NonconformingError, match="nobody asked"):
        judge(events + front)

    oracle = Oracle()
    for event in events:
        oracle.received(event)
    oracle.sent({"type": "conversation.item.create", "previous_item_id": "root", "item": item})
    for event in front:
        oracle.received(event)
    assert oracle.sequence.order[0] == "item_front"


def test_an_out_of_band_response_stays_out_of_the_conversation() -> None:
    def out_of_band(events: list[Event]) -> list[Event]:
        for event in events:
            if event.get("response", {}).get("id") == "resp_2":
                event["response"]["conversation_id"] = None
        return events

    with pytest.raises(NonconformingError, match="belongs to no conversation"):
        judge(out_of_band(faultless_session()))

    events = out_of_band(faultless_session())
    stays_out = [
        e
        for e in events
        if not (
            e["type"].startswith("conversation.")
            and "item_d" in (e.get("item_id"), e.get("item", {}).get("id"))
        )
    ]
    judge(stays_out)
