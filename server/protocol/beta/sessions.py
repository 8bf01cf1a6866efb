"""Session and response settings of the beta dialect, which are flat, to and from those of the GA dialect.

Nothing is judged here: what makes no sense is handed on, for the GA dialect to refuse. Members that the beta
dialect does not have stay where they are, so a beta client may use those of the GA dialect as well.
"""

from collections.abc import Mapping
from typing import Any

from server.protocol.audio_models import FORMAT_NAMES

__all__ = [
    "MEMBERS",
    "beta_format",
    "beta_modalities",
    "beta_session",
    "ga_session",
    "ga_transcription_session",
]

Json = dict[str, Any]

MEMBERS: Mapping[str, tuple[str, ...]] = {
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "output_audio_format": ("audio", "output", "format"),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
}
"""Members by their beta name, and where the GA dialect has them in a session or a response."""

_TOOL_CHOICES = ("auto", "none", "required")  # any other string is the name of a function
_TRANSCRIPTION = ("model", "language", "prompt")
_TURN_DETECTION = (
    "type",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
    "eagerness",
    "create_response",
    "interrupt_response",
)


def ga_session(flat: Mapping[str, Any]) -> Json:
    """The members of a session, or of `response.create`, at their GA places; nulls stay nulls.

    Where a member is given in both ways, the GA one counts. `client_secret` is left out: no session has it.
    """
    session = {name: value for name, value in flat.items() if name not in MEMBERS}
    session.pop("client_secret", None)
    if isinstance(choice := session.get("tool_choice"), str) and choice not in _TOOL_CHOICES:
        session["tool_choice"] = {"type": "function", "name": choice}
    for name, path in MEMBERS.items():
        if name in flat:
            _place(session, path, _ga_value(name, flat[name]))
    return session


def ga_transcription_session(flat: Mapping[str, Any]) -> Json:
    """Likewise; `modalities`, which the published type has, says nothing about a session that only hears."""
    session = ga_session({name: value for name, value in flat.items() if name != "modalities"})
    return session | {"type": "transcription"}


def beta_session(session: Mapping[str, Any]) -> Json:
    """The flat form of a complete GA session object, of either type."""
    if session["type"] == "transcription":
        return _beta_transcription_session(session)
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    return {
        "id": session["id"],
        "object": session["object"],
        "model": session["model"],
        "expires_at": session["expires_at"],
        "modalities": beta_modalities(session["output_modalities"]),
        "instructions": session["instructions"],
        "voice": spoken["voice"],
        "speed": spoken["speed"],
        "output_audio_format": beta_format(spoken["format"]),
        **_beta_input(heard),
        "tools": session["tools"],
        "tool_choice": _beta_tool_choice(session["tool_choice"]),
        "temperature": session.get("temperature"),
        "max_response_output_tokens": session["max_output_tokens"],
        "tracing": session["tracing"],
        "client_secret": None,
    }


def beta_modalities(modalities: list[str]) -> list[str]:
    """Speech comes with its text, which the beta dialect says aloud."""
    return ["text", "audio"] if "audio" in modalities else ["text"]


def beta_format(format: Json) -> Any:
    """The name of a format; one without a name, which only a GA object can ask for, stays an object."""
    return next((name for name, known in FORMAT_NAMES.items() if known == format), format)


def _beta_transcription_session(session: Mapping[str, Any]) -> Json:
    return {
        "id": session["id"],
        "object": session["object"],
        "expires_at": session["expires_at"],
        "modalities": ["text"],
        **_beta_input(session["audio"]["input"]),
        "include": session["include"],
        "client_secret": None,
    }


def _beta_input(heard: Mapping[str, Any]) -> Json:
    noise_reduction = heard["noise_reduction"]
    return {
        "input_audio_format": beta_format(heard["format"]),
        "input_audio_transcription": _only(heard["transcription"], _TRANSCRIPTION),
        "input_audio_noise_reduction": _only(noise_reduction, ("type",)),
        "turn_detection": _only(heard["turn_detection"], _TURN_DETECTION),
    }


def _only(members: Json | None, names: tuple[str, ...]) -> Json | None:
    return members and {name: members[name] for name in names if name in members}


def _beta_tool_choice(choice: Any) -> Any:
    return choice["name"] if isinstance(choice, dict) else choice


def _ga_value(name: str, value: Any) -> Any:
    match name, value:
        case "modalities", [_, *_] if "audio" in value and all(one in ("text", "audio") for one in value):
            return ["audio"]
        case "input_audio_format" | "output_audio_format", str():
            return FORMAT_NAMES.get(value, value)
    return value


def _place(session: Json, path: tuple[str, ...], value: Any) -> None:
    *way, last = path
    target = session
    for step in way:
        # A copy, because what came with the event is not ours to change.
        inner = target.get(step)
        if inner is not None and not isinstance(inner, dict):
            return  # GA members that make no sense will be refused as such
        target[step] = dict(inner or {})
        target = target[step]
    target.setdefault(last, value)
