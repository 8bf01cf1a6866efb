"""Profiles: how far a connection may go beyond OpenAI's protocol, and what its sessions start with.

parley   the default: a superset that forgives what it does not know
openai   refuses what OpenAI's service refuses, for people who test code that is meant for it
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pipeline.config import Patch, ServerVad
from pipeline.core.reconfiguring import Rules

__all__ = ["INWORLD", "PARLEY", "PROFILES", "Profile", "ProfileName", "is_strict"]

ProfileName = Literal["parley", "openai"]


@dataclass(frozen=True, slots=True)
class Profile:
    name: ProfileName
    strict: bool  # whether members and values that OpenAI does not know are refused
    rules: Rules  # what a running session may change
    defaults: Patch  # what a new session has in place of the server's own defaults


PARLEY = Profile("parley", strict=False, rules=Rules(), defaults={})

# The same, where clients of Inworld's connect: it answers in speech and says so by both names. Its samples
# cancel whenever somebody speaks, and one of them takes any error for the end of the call.
INWORLD = replace(PARLEY, rules=Rules(quiet_cancels=True), defaults={"output_modalities": ("audio", "text")})

# As session.created shows it on the wire; the published prose says 500 ms of silence.
_OPENAI_VAD = ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=200)

OPENAI = Profile(
    "openai",
    strict=True,
    rules=Rules(
        model_changes=False,
        voice_changes=False,
        tracing_changes=False,
        suggestion_events=False,
        route_metadata=False,
        server_vad=_OPENAI_VAD,
    ),
    defaults={
        "temperature": None,
        "audio": {
            "input": {"transcription": None, "turn_detection": asdict(_OPENAI_VAD)},
            "output": {"voice": "alloy"},
        },
    },
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (PARLEY, OPENAI)}


def is_strict(context: Any) -> bool:
    """Whether a validator, which is given the profile as its context, has to go by the letter."""
    return isinstance(context, Profile) and context.strict
