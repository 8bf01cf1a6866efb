"""Client events of the beta dialect, as the GA dialect has them."""

from collections.abc import Callable, Mapping
from typing import Any

from server.protocol.beta.sessions import ga_session, ga_transcription_session

__all__ = ["read"]

Json = dict[str, Any]


def read(event: Json) -> Json:
    """The event in its GA shape, not validated yet. Most events are the same in both dialects.

    The short content types `text` and `audio` stay, since the default profile takes them as they are.
    """
    kind = event.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return reader(event) if reader else event


def _session_update(event: Json) -> Json:
    session = event.get("session")
    return event | {"session": ga_session(session)} if isinstance(session, dict) else event


def _transcription_session_update(event: Json) -> Json:
    event = event | {"type": "session.update"}
    if isinstance(session := event.get("session"), dict):
        event["session"] = ga_transcription_session(session)
    return event


def _response_create(event: Json) -> Json:
    if not isinstance(response := event.get("response"), dict):
        return event
    response = ga_session(response)
    if isinstance(entries := response.get("input"), list):
        response["input"] = [entry for given in entries for entry in _input_entries(given)]
    return event | {"response": response}


def _input_entries(entry: Any) -> list[Any]:
    """A message may consist of references to items; GA has each of them as an entry of its own."""
    parts = entry.get("content") if isinstance(entry, dict) else None
    if (
        isinstance(parts, list)
        and parts
        and all(isinstance(part, dict) and part.get("type") == "item_reference" for part in parts)
    ):
        return parts
    return [entry]


_READERS: Mapping[str, Callable[[Json], Json]] = {
    "session.update": _session_update,
    "transcription_session.update": _transcription_session_update,
    "response.create": _response_create,
}
