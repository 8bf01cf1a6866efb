"""The order of events inside one response: its items, their parts, their deltas, and the end of it all."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Response"]

Event = Mapping[str, Any]

_STATUS_OF_REASON = {
    "turn_detected": "cancelled",
    "client_cancelled": "cancelled",
    "max_output_tokens": "incomplete",
    "content_filter": "incomplete",
}

_WITH_STATUS = ("message", "function_call")  # the items of MCP have none

_SAMPLE_BYTES = {"audio/pcm": 2, "audio/float32": 4}


@dataclass(slots=True)
class _Part:
    kind: str  # "text" or "audio"
    text: list[str] = field(default_factory=list)
    final_text: str | None = None
    audio_bytes: int = 0
    audio_done: bool = False
    done: bool = False


@dataclass(slots=True)
class _Item:
    id: str
    kind: str  # "message", "function_call", "mcp_call", "mcp_approval_request"
    call: Event  # the item as added
    joined: bool = False  # conversation.item.added was seen
    left: Event | None = None  # the item of conversation.item.done
    deleted: bool = False  # from the conversation, so that it is never done there
    parts: list[_Part] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    final_arguments: str | None = None
    progress: list[str] = field(default_factory=list)  # of a call that the server makes
    done: Event | None = None


@dataclass(slots=True)
class Response:
    """Follows one response from response.created to response.done."""

    id: str
    conversation_id: str | None
    metadata: Any
    codec: str
    items: list[_Item] = field(default_factory=list)
    over: bool = False

    @property
    def in_band(self) -> bool:
        return self.conversation_id is not None

    @classmethod
    def opened(cls, response: Event) -> "Response":
        output = (response.get("audio") or {}).get("output") or {}
        codec = (output.get("format") or {}).get("type") or "audio/pcm"
        return cls(str(response.get("id")), response.get("conversation_id"), response.get("metadata"), codec)

    @staticmethod
    def problems_when_opened(response: Event) -> list[str]:
        wanted: dict[str, Any] = {
            "status": "in_progress",
            "output": [],
            "usage": None,
            "status_details": None,
        }
        wanted["object"] = "realtime.response"
        problems = [
            f"response.{name} is {response.get(name)!r} when created, not {value!r}"
            for name, value in wanted.items()
            if response.get(name) != value
        ]
        members = ("conversation_id", "metadata", "audio", "output_modalities", "max_output_tokens")
        return problems + [f"response.{name} is missing" for name in members if name not in response]

    def item_joined(self, id: str) -> list[str]:
        """conversation.item.added was seen for this item."""
        if (item := self._item(id)) is None:
            return []
        if not self.in_band:
            return [f"{id} belongs to no conversation, yet it was added to one"]
        item.joined = True
        started = item.parts or item.arguments
        return [f"{id} was added to the conversation after its first part"] if started else []

    def item_left(self, id: str, finished: Event) -> list[str]:
        """conversation.item.done was seen for this item."""
        if (item := self._item(id)) is None:
            return []
        problems = [f"{id} is done with open parts"] if any(not part.done for part in item.parts) else []
        if item.done is not None:
            problems.append(
                f"conversation.item.done of {id} has to come before its response.output_item.done"
            )
        item.left = finished
        return problems

    def item_deleted(self, id: str) -> None:
        """The client deleted an item while it was being written."""
        if item := self._item(id):
            item.deleted = True

    def received(self, event: Event) -> list[str]:
        """Follow one event of this response; the rules that it breaks."""
        if self.over:
            return [f"{event['type']} of {self.id} after its response.done"]
        if event["type"] == "response.done":
            return self._done(event["response"])
        if event["type"] == "response.output_item.added":
            return self._item_added(event)
        if event["type"] == "response.output_item.done":
            return self._item_done(event)
        index = event["output_index"]
        if not 0 <= index < len(self.items) or self.items[index].id != event["item_id"]:
            return [f"output {index} is not item {event['item_id']}"]
        item = self.items[index]
        if item.done is not None:
            return [f"{event['type']} after the item's response.output_item.done"]
        if self.in_band and not item.joined:
            return [f"{event['type']} before the item's conversation.item.added"]
        if "content_index" not in event:
            return _ARGUMENTS[event["type"]](item, event)
        if event["type"] == "response.content_part.added":
            return self._part_added(item, event)
        if event["content_index"] != len(item.parts) - 1 or item.parts[-1].done:
            return [f"content part {event['content_index']} is not open"]
        return _PARTS[event["type"]](self, item.parts[-1], event)

    # --- items ----------------------------------------------------------------------------------------

    def _item_added(self, event: Event) -> list[str]:
        item, problems = event["item"], []
        if event["output_index"] != len(self.items):
            problems.append(f"output_index is {event['output_index']}, expected {len(self.items)}")
        if item["type"] in _WITH_STATUS and item.get("status") != "in_progress":
            problems.append("a new output item is in_progress")
        if item["type"] == "message" and item.get("content") != []:
            problems.append("a new message has no content yet")
        if item["type"] == "function_call":
            if item["arguments"] != "":
                problems.append("a new call has no arguments yet")
            if not item.get("call_id") or not item["name"]:
                problems.append("a new call has its call_id and name")
        if item["type"] == "mcp_call" and (
            item["arguments"] != "" or item["output"] is not None or "error" in item
        ):
            problems.append("a new call has no arguments, no output and no error yet")
        if any(other.done is None and other.kind == item["type"] == "message" for other in self.items):
            problems.append("the message before is still open")
        self.items.append(_Item(str(item.get("id")), item["type"], item))
        return problems

    def _item_done(self, event: Event) -> list[str]:
        finished, index = event["item"], event["output_index"]
        if not 0 <= index < len(self.items) or self.items[index].id != finished.get("id"):
            return [f"output {index} is not item {finished.get('id')}"]
        item, problems = self.items[index], []
        if item.done is not None:
            return [f"{item.id} is done already"]
        item.done = finished
        if item.kind in _WITH_STATUS and finished.get("status") not in ("completed", "incomplete"):
            problems.append(f"a finished item is {finished.get('status')}")
        if any(not part.done for part in item.parts):
            problems.append("a part is still open")
        if self.in_band and item.left is None and not item.deleted:
            problems.append("conversation.item.done comes before response.output_item.done")
        if item.left is not None and item.left != finished:
            problems.append(f"conversation.item.done showed another item: {item.left}")
        if item.kind == "message":
            shown = [(part["type"], part.get("text", part.get("transcript"))) for part in finished["content"]]
            spoken = [(f"output_{part.kind}", part.final_text) for part in item.parts]
            if shown != spoken:
                problems.append(f"the item holds {shown}, its parts {spoken}")
        if item.kind == "function_call":
            if item.final_arguments is None and finished.get("status") == "completed":
                problems.append("response.function_call_arguments.done is missing")
            if item.final_arguments is not None and finished["arguments"] != item.final_arguments:
                problems.append("the item's arguments are not those that were streamed")
            if any(finished.get(name) != item.call.get(name) for name in ("call_id", "name")):
                problems.append("the call changed its call_id or name")
        if item.kind == "mcp_call":
            problems += _mcp_call_done(item, finished)
        if item.kind == "mcp_approval_request" and finished != item.call:
            problems.append("a request for approval does not change")
        return problems

    def _item(self, id: str) -> _Item | None:
        return next((item for item in self.items if item.id == id), None)

    # --- parts ----------------------------------------------------------------------------------------

    def _part_added(self, item: _Item, event: Event) -> list[str]:
        part, problems = event["part"], []
        if item.kind != "message":
            problems.append("only messages have parts")
        if event["content_index"] != len(item.parts):
            problems.append(f"content_index is {event['content_index']}, expected {len(item.parts)}")
        if any(not other.done for other in item.parts):
            problems.append("the part before is still open")
        wanted = (
            {"type": "audio", "transcript": ""} if part["type"] == "audio" else {"type": "text", "text": ""}
        )
        if part != wanted:
            problems.append(f"a new part is {wanted}")
        item.parts.append(_Part(part["type"]))
        return problems

    def _text_delta(self, part: _Part, event: Event) -> list[str]:
        kind = "text" if event["type"] == "response.output_text.delta" else "audio"
        part.text.append(event["delta"])
        problems = [] if part.kind == kind else [f"{event['type']} in a part of type {part.kind}"]
        if part.final_text is not None:
            problems.append("a delta after its done event")
        return problems

    def _text_done(self, part: _Part, event: Event) -> list[str]:
        text = event.get("text", event.get("transcript"))
        kind = "text" if event["type"] == "response.output_text.done" else "audio"
        problems = [] if part.kind == kind else [f"{event['type']} in a part of type {part.kind}"]
        if part.final_text is not None:
            problems.append("a second done event")
        if kind == "audio" and not part.audio_done:
            problems.append("response.output_audio.done comes before the transcript's done")
        if text != "".join(part.text):
            problems.append(f"the text is {text!r}, its deltas {''.join(part.text)!r}")
        part.final_text = text
        return problems

    def _audio_delta(self, part: _Part, event: Event) -> list[str]:
        problems = [] if part.kind == "audio" else ["audio in a part of type text"]
        if part.audio_done:
            problems.append("a delta after its done event")
        try:
            pcm = base64.b64decode(event["delta"], validate=True)
        except binascii.Error:
            return [*problems, "the audio is not base64"]
        if not pcm:
            problems.append("an audio delta without audio")
        if len(pcm) % _SAMPLE_BYTES.get(self.codec, 1):
            problems.append("half a sample")
        part.audio_bytes += len(pcm)
        return problems

    def _audio_done(self, part: _Part, event: Event) -> list[str]:
        problems = (
            [] if part.kind == "audio" and not part.audio_done else ["a second end of audio, or none is due"]
        )
        part.audio_done = True
        return problems

    def _part_done(self, part: _Part, event: Event) -> list[str]:
        problems = [] if part.final_text is not None else ["the part's text has no done event"]
        wanted: dict[str, Any] = {"type": part.kind}
        wanted["transcript" if part.kind == "audio" else "text"] = part.final_text
        if event["part"] != wanted:
            problems.append(f"the part is {event['part']}, its events say {wanted}")
        part.done = True
        return problems

    # --- the end --------------------------------------------------------------------------------------

    def _done(self, response: Event) -> list[str]:
        self.over = True
        status, details, usage = response.get("status"), response.get("status_details"), response.get("usage")
        problems = [f"{item.id} has no response.output_item.done" for item in self.items if item.done is None]
        if response.get("output") != [item.done for item in self.items]:
            problems.append("response.output is not what response.output_item.done showed")
        told = (response.get("conversation_id"), _without_routes(response.get("metadata")))
        if told != (self.conversation_id, self.metadata):
            problems.append("conversation_id or metadata changed")
        if status not in ("completed", "cancelled", "incomplete", "failed"):
            problems.append(f"a response ended {status}")
        if status == "completed":
            if details is not None:
                problems.append("status_details of a completed response is null")
            problems += [
                f"{item.id} is unfinished"
                for item in self.items
                if item.kind in _WITH_STATUS and (item.done or {}).get("status") != "completed"
            ]
        elif not isinstance(details, dict) or details.get("type") != status:
            problems.append(f"status_details.type is not {status}")
        elif status == "failed":
            error = details.get("error") or {}
            if not error.get("message") or not error.get("type"):
                problems.append("a failed response says why in status_details.error")
        elif _STATUS_OF_REASON.get(details.get("reason", "")) != status:
            problems.append(f"status_details.reason {details.get('reason')} does not go with {status}")
        if usage is None:
            return problems + ([] if status == "failed" else ["usage is missing"])
        return problems + _usage(usage)


def _arguments_delta(item: _Item, event: Event) -> list[str]:
    item.arguments.append(event["delta"])
    problems = [] if item.final_arguments is None else ["a delta after its done event"]
    return problems + ([] if event.get("call_id") == item.call.get("call_id") else ["another call_id"])


def _progress(item: _Item, event: Event) -> list[str]:
    """The steps of a call that the server makes."""
    step = event["type"].rpartition(".")[2]
    problems = [] if item.kind == "mcp_call" else [f"{event['type']} of a {item.kind}"]
    if item.final_arguments is None:
        problems.append("the call goes on before its arguments are done")
    # One that is cut off while it is written never runs.
    if step in item.progress or (step == "in_progress" and item.progress):
        problems.append(f"{step} after {item.progress}")
    if step == "completed" and item.progress != ["in_progress"]:
        problems.append(f"{step} after {item.progress}")
    item.progress.append(step)
    return problems


def _mcp_call_done(item: _Item, finished: Event) -> list[str]:
    failed = "error" in finished
    problems = []
    if item.progress[-1:] != ["failed" if failed else "completed"]:
        problems.append(f"the call is done after {item.progress}")
    if (finished["output"] is None) != failed:
        problems.append("a call that is done has either an output or an error")
    if finished["arguments"] != item.final_arguments:
        problems.append("the item's arguments are not those that were streamed")
    same = ("name", "server_label", "approval_request_id")
    if any(finished.get(name) != item.call.get(name) for name in same):
        problems.append("the call changed its name, its server or its approval")
    return problems


def _arguments_done(item: _Item, event: Event) -> list[str]:
    problems = [] if item.final_arguments is None else ["a second done event"]
    if event["arguments"] != "".join(item.arguments):
        problems.append(f"the arguments are {event['arguments']!r}, their deltas {''.join(item.arguments)!r}")
    told = (item.call.get("call_id"), item.call.get("name"))
    if item.kind == "function_call" and (event["call_id"], event["name"]) != told:
        problems.append("another call_id or name")
    item.final_arguments = event["arguments"]
    return problems


def _usage(usage: Event) -> list[str]:
    sums = {
        "total_tokens": usage.get("input_tokens", 0) + usage.get("output_tokens", 0),
        "input_tokens": _tokens(
            usage.get("input_token_details"), "text_tokens", "audio_tokens", "image_tokens"
        ),
        "output_tokens": _tokens(usage.get("output_token_details"), "text_tokens", "audio_tokens"),
    }
    problems = [
        f"usage.{name} is {usage.get(name)}, its parts add up to {s}"
        for name, s in sums.items()
        if usage.get(name) != s
    ]
    details = usage.get("input_token_details") or {}
    cached = details.get("cached_tokens")
    if cached is None or cached > usage.get("input_tokens", 0):
        problems.append("usage.input_token_details.cached_tokens is missing or more than input_tokens")
    elif (
        _tokens(details.get("cached_tokens_details"), "text_tokens", "audio_tokens", "image_tokens") != cached
    ):
        problems.append("usage.input_token_details.cached_tokens_details do not add up to cached_tokens")
    return problems


def _tokens(details: Any, *names: str) -> int:
    return sum((details or {}).get(name) or 0 for name in names)


_ARGUMENTS: Mapping[str, Callable[[_Item, Event], list[str]]] = {
    "response.function_call_arguments.delta": _arguments_delta,
    "response.function_call_arguments.done": _arguments_done,
    "response.mcp_call_arguments.delta": _arguments_delta,
    "response.mcp_call_arguments.done": _arguments_done,
    "response.mcp_call.in_progress": _progress,
    "response.mcp_call.completed": _progress,
    "response.mcp_call.failed": _progress,
}
_PARTS: Mapping[str, Callable[[Response, _Part, Event], list[str]]] = {
    "response.output_text.delta": Response._text_delta,
    "response.output_text.done": Response._text_done,
    "response.output_audio_transcript.delta": Response._text_delta,
    "response.output_audio_transcript.done": Response._text_done,
    "response.output_audio.delta": Response._audio_delta,
    "response.output_audio.done": Response._audio_done,
    "response.content_part.done": Response._part_done,
}


# What routers add once they have decided, beside the client's own.
_ROUTED = re.compile(r"(llm|tts)\.(router|route|variant|model|reason|attempts)")


def _without_routes(metadata: Any) -> Any:
    if not isinstance(metadata, dict):
        return metadata
    own = {name: value for name, value in metadata.items() if not _ROUTED.fullmatch(name)}
    return own if own or not metadata else None
