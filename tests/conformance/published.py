"""What each dialect may send: the event types of the `openai` package, and what we add to them, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from openai.types import realtime
from openai.types.beta import realtime as beta
from openai.types.realtime.realtime_session_create_response import RealtimeSessionCreateResponse
from openai.types.realtime.realtime_transcription_session_create_response import (
    RealtimeTranscriptionSessionCreateResponse,
)
from pydantic import BaseModel

from tests.conformance.listener_sounds import EVENTS as LISTENER_SOUNDS

__all__ = ["OURS", "PUBLISHED", "DialectName", "Published", "WebSearch", "by_type"]

DialectName = Literal["ga", "beta"]


@dataclass(frozen=True, slots=True)
class Published:
    """The events of one dialect."""

    events: Mapping[str, type[BaseModel]]  # by type
    extras: Mapping[str, tuple[type, str]]  # members beyond the types, by path: what they hold, and why
    loose: Mapping[str, type]  # paths at which a value of this type is right, whatever the types list
    nullable: frozenset[str] = frozenset()  # paths at which we have null where the types do not
    sessions: Mapping[str, type[BaseModel]] | None = None  # by the session's type, where it tells


def by_type(union: Any) -> dict[str, type[BaseModel]]:
    """The members of a union of events."""
    members = get_args(union)[0] if get_origin(union) is Annotated else union
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(members)}


class _TurnSuggestion(BaseModel):
    """The turn is probably over."""

    type: Literal["turn_suggestion"]
    event_id: str
    item_id: str
    utterance_index: int
    probability: float
    trailing_silence_ms: int
    audio_duration_ms: int
    inference_ms: float


class _TurnSuggestionRevoked(BaseModel):
    """It was not."""

    type: Literal["turn_suggestion_revoked"]
    event_id: str
    item_id: str
    utterance_index: int


class WebSearch(BaseModel):
    """Inworld's entry for searches of the web among the tools; only clients that name it see it."""

    type: Literal["web_search"]
    providerData: dict[str, Any] | None = None  # noqa: N815 - as Inworld spells it


# Events of ours that no published type has; clients get them only where they ask for them.
OURS: dict[str, type[BaseModel]] = {
    "turn_suggestion": _TurnSuggestion,
    "turn_suggestion_revoked": _TurnSuggestionRevoked,
    **LISTENER_SOUNDS,
}

_GA = Published(
    events=by_type(realtime.RealtimeServerEvent) | OURS,
    extras={
        "session.temperature": (float, "of the default profile; null leaves it to the model"),
        "session.audio.output.model": (str, "which speech model is in effect"),
        "session.parallel_tool_calls": (
            bool,
            "in the type of session requests, with which the event is declared",
        ),
        "session.audio.input.turn_detection.eagerness": (
            str,
            "requests for transcription sessions have semantic_vad, the type of the answer forgot it",
        ),
        "session.providerData": (
            dict,
            "of the default profile; kept for the client, and shown once it is set",
        ),
        "providerData": (dict, "of transcripts: how the voice sounds, for clients that have asked for it"),
        "obfuscation": (str, "on the wire of the public service, though absent from the published types"),
        "item.error": (str, "why a server's tools could not be listed, as in the items of the Responses API"),
    },
    loose={},
    nullable=frozenset({"session.temperature"}),
    # session.created is typed with the request models, which lack what the server adds.
    sessions={
        "realtime": RealtimeSessionCreateResponse,
        "transcription": RealtimeTranscriptionSessionCreateResponse,
    },
)

_ON_THE_WIRE = "on the wire of the public service, though absent from the published types"


class _TranscriptionSessionCreated(beta.TranscriptionSessionUpdatedEvent):
    """Was the first event of such a session, though newer versions of the package do not type it."""

    type: Literal["transcription_session.created"]  # type: ignore[assignment]


_BETA = Published(
    events=by_type(beta.RealtimeServerEvent)
    | {"transcription_session.created": _TranscriptionSessionCreated},
    extras={
        "session.object": (str, _ON_THE_WIRE),
        "session.expires_at": (int, _ON_THE_WIRE),
        "session.client_secret": (dict, "in the answer to REST requests, and null on a socket"),
        # of transcription sessions
        "session.id": (str, _ON_THE_WIRE),
        "session.include": (list, _ON_THE_WIRE),
        "session.input_audio_noise_reduction": (dict, _ON_THE_WIRE),
        "session.turn_detection.eagerness": (
            str,
            "requests for transcription sessions have semantic_vad, the type of the answer forgot it",
        ),
    },
    loose={"session.model": str, "session.input_audio_transcription.model": str},
    nullable=frozenset(
        {
            "session.client_secret",
            "session.include",
            "session.input_audio_noise_reduction",
        }
    ),
)

PUBLISHED: Mapping[DialectName, Published] = {"ga": _GA, "beta": _BETA}
