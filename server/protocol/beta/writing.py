"""Server events of the GA dialect, as the beta dialect has them."""

from collections.abc import Mapping
from typing import Any

from server.protocol.beta.sessions import MEMBERS, beta_format, beta_modalities, beta_session

__all__ = ["AUDIO_DELTA", "rename_paths", "write"]

Json = dict[str, Any]

AUDIO_DELTA = "response.audio.delta"

_RENAMED: Mapping[str, str] = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": AUDIO_DELTA,
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
_UNKNOWN = frozenset(
    {
        "conversation.item.done",
        "conversation.item.input_audio_transcription.segment",
        "input_audio_buffer.timeout_triggered",
        "mcp_list_tools.completed",
        "mcp_list_tools.failed",
        "mcp_list_tools.in_progress",
        "response.backchannel.audio.delta",
        "response.backchannel.audio.done",
        "response.backchannel.skipped",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "turn_suggestion",
        "turn_suggestion_revoked",
    }
)
# Members that the GA dialect added to an event that both have.
_ADDED: Mapping[str, str] = {
    "response.function_call_arguments.done": "name",
    "conversation.item.input_audio_transcription.completed": "languages",
}
_PART_TYPES = {"output_text": "text", "output_audio": "audio"}
_PATHS: Mapping[str, str] = {
    ".".join((root, *path)): f"{root}.{name}"
    for root in ("session", "response")
    for name, path in MEMBERS.items()
}


def write(kind: str, members: Json) -> tuple[str, Json] | None:
    """The event's type and members in their beta shape; None for an event that this dialect does not have."""
    if kind in _UNKNOWN:
        return None
    if "session" in members:
        if members["session"]["type"] == "transcription":
            kind = f"transcription_{kind}"
        return kind, {"session": beta_session(members["session"])}
    if kind == "error":
        return kind, {"error": _error(members["error"])}
    if "item" in members:
        members = members | {"item": _item(members["item"])}
    elif "response" in members:
        members = members | {"response": _response(members["response"])}
    elif kind in _ADDED:
        members = {name: value for name, value in members.items() if name != _ADDED[kind]}
    return _RENAMED.get(kind, kind), members


def rename_paths(text: str) -> str:
    """A text in which the paths of session and response members are those of the beta dialect."""
    for ga, beta in _PATHS.items():
        text = text.replace(ga, beta)
    return text


def _error(error: Json) -> Json:
    param = error["param"]
    return error | {"message": rename_paths(error["message"]), "param": param and rename_paths(param)}


def _item(item: Json) -> Json:
    item = {"id": item["id"], "object": "realtime.item"} | item
    if "content" in item:
        item["content"] = [
            part | {"type": _PART_TYPES.get(part["type"], part["type"])} for part in item["content"]
        ]
    return item


def _response(response: Json) -> Json:
    spoken = response["audio"]["output"]
    return {
        "object": response["object"],
        "id": response["id"],
        "status": response["status"],
        "status_details": response["status_details"],
        "output": [_item(item) for item in response["output"]],
        "conversation_id": response["conversation_id"],
        "modalities": beta_modalities(response["output_modalities"]),
        "voice": spoken["voice"],
        "output_audio_format": beta_format(spoken["format"]),
        "max_output_tokens": response["max_output_tokens"],
        "usage": response["usage"] and _usage(response["usage"]),
        "metadata": response["metadata"],
    }


def _usage(usage: Json) -> Json:
    """Without the counts of images, which came later."""
    read = usage["input_token_details"]
    names = ("text_tokens", "audio_tokens", "cached_tokens")
    return usage | {"input_token_details": {name: read[name] for name in names}}
