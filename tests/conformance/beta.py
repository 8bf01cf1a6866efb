"""Follows a beta connection by telling it as a GA one, so that one set of rules judges the order of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Interpreter"]

Event = dict[str, Any]

_NAMES: Mapping[str, str] = {
    "transcription_session.created": "session.created",
    "transcription_session.updated": "session.updated",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
}
_PART_TYPES = {"text": "output_text", "audio": "output_audio"}
_CODECS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}


@dataclass(slots=True)
class Interpreter:
    """What is told of one connection. Every event makes none, one or two GA events."""

    session_type: str | None = None
    conversation: str | None = None
    writing: dict[str, str | None] = field(default_factory=dict)  # items of the model -> the item before
    calls: dict[str, str] = field(default_factory=dict)  # item id -> the function's name
    announced: str | None = None  # a model's item whose conversation.item.created is due now, if any

    def as_ga(self, event: Event) -> tuple[list[Event], list[str]]:
        """The event as GA events, and what this dialect forbids."""
        kind, problems = event["type"], []
        if self.session_type is None and kind == "conversation.created":
            problems.append("conversation.created comes after session.created")
        if self.session_type and self.conversation is None and kind not in ("conversation.created", "error"):
            problems.append("session.created is followed by conversation.created")
        joins = kind == "conversation.item.created"
        if joins and event["item"]["status"] == "in_progress" and event["item"]["id"] != self.announced:
            problems.append(
                "conversation.item.created of a reply comes right after response.output_item.added"
            )
        self.announced = event["item"]["id"] if kind == "response.output_item.added" else None
        event = event | {"type": _NAMES.get(kind, kind)}
        if kind in ("session.created", "transcription_session.created"):
            self.session_type = "transcription" if kind.startswith("transcription") else "realtime"
        if "session" in event:
            event["session"] = event["session"] | {"type": self.session_type}
        if "item" in event:
            event["item"] = _item(event["item"])
        if "response" in event:
            event["response"] = _response(event["response"])
        return self._tell(event), problems

    def _tell(self, event: Event) -> list[Event]:
        match event["type"]:
            case "conversation.created":
                self.conversation = event["conversation"]["id"]
                return []
            case "conversation.item.created":
                return self._created(event)
            case "conversation.item.deleted":
                self.writing.pop(event["item_id"], None)
            case "response.output_item.added" if event["item"]["type"] == "function_call":
                self.calls[event["item"]["id"]] = event["item"]["name"]
            case "response.function_call_arguments.done":
                event["name"] = self.calls.get(event["item_id"])
            case "response.output_item.done" if event["item"]["id"] in self.writing:
                previous = self.writing.pop(event["item"]["id"])
                return [_done(event, event["item"], previous), event]
        return [event]

    def _created(self, event: Event) -> list[Event]:
        """Announces a reply that begins, and any other item once and for all."""
        item, previous = event["item"], event.get("previous_item_id")
        added = event | {"type": "conversation.item.added"}
        if item["status"] == "in_progress":
            self.writing[item["id"]] = previous
            return [added]
        return [added, _done(event, item, previous)]


def _done(event: Event, item: Event, previous: str | None) -> Event:
    return {
        "type": "conversation.item.done",
        "event_id": f"{event['event_id']}, told twice",
        "item": item,
        "previous_item_id": previous,
    }


def _item(item: Event) -> Event:
    if item.get("role") != "assistant":
        return item
    parts = [part | {"type": _PART_TYPES.get(part["type"], part["type"])} for part in item["content"]]
    return item | {"content": parts}


def _response(response: Event) -> Event:
    """With what the rules look at; counts of images, which this dialect does not have, are 0."""
    response = response | {
        "output": [_item(item) for item in response["output"]],
        "output_modalities": response["modalities"],
        "audio": {"output": {"format": {"type": _CODECS[response["output_audio_format"]]}}},
    }
    if response["usage"] is not None:
        details = response["usage"]["input_token_details"]
        cached = {"text_tokens": details["cached_tokens"], "audio_tokens": 0, "image_tokens": 0}
        response["usage"] = response["usage"] | {
            "input_token_details": details | {"image_tokens": 0, "cached_tokens_details": cached}
        }
    return response
