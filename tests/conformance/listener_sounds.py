"""Listener sounds on the wire: what their events hold, and when each of them may come."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

__all__ = ["EVENTS", "ListenerSounds"]

Event = Mapping[str, Any]

_MAX_BYTES = 2 * 24_000 * 200 // 1000  # of one delta: 200 ms of PCM16 at 24 kHz
_REASONS = ("deadline_missed", "turn_ended")


class _Delta(BaseModel):
    """A piece of a sound."""

    type: Literal["response.backchannel.audio.delta"]
    event_id: str
    backchannel_id: str
    delta: str


class _Done(BaseModel):
    """A sound is complete."""

    type: Literal["response.backchannel.audio.done"]
    event_id: str
    backchannel_id: str
    phrase: str


class _Skipped(BaseModel):
    """A sound was meant and not made."""

    type: Literal["response.backchannel.skipped"]
    event_id: str
    backchannel_id: str
    reason: str


EVENTS: Mapping[str, type[BaseModel]] = {
    "response.backchannel.audio.delta": _Delta,
    "response.backchannel.audio.done": _Done,
    "response.backchannel.skipped": _Skipped,
}


@dataclass(slots=True)
class ListenerSounds:
    """Follows the well-formed events of one connection."""

    wanted: bool = False  # whether the client has asked for sounds
    made: dict[str, bytes] = field(default_factory=dict)  # PCM so far, by id
    over: dict[str, str] = field(default_factory=dict)  # the phrase, or why there was none, by id

    def session(self, session: Event) -> None:
        """Note what the client wants."""
        wishes = (session.get("providerData") or {}).get("backchannel") or {}
        self.wanted = wishes.get("enabled") is True

    def received(self, event: Event, speaking: str | None) -> list[str]:
        """The rules that an event breaks, while `speaking` is the item that the user speaks."""
        id, kind = event["backchannel_id"], event["type"]
        problems = [f"{kind} of {id}, which is over"] if id in self.over else []
        if kind == "response.backchannel.skipped":
            self.over[id] = event["reason"]
            if id in self.made:
                problems.append(f"{id} was heard and yet skipped")
            return problems + ([] if event["reason"] in _REASONS else [f"reason {event['reason']!r}"])
        if not self.wanted:
            problems.append("nobody asked for listener sounds")
        if speaking is None:
            problems.append("a listener makes itself heard while nobody speaks")
        if kind == "response.backchannel.audio.delta":
            return problems + self._delta(id, event["delta"])
        self.over[id] = event["phrase"]
        return problems + ([] if event["phrase"].strip() else ["a sound without a phrase"])

    def _delta(self, id: str, delta: str) -> list[str]:
        try:
            pcm = base64.b64decode(delta, validate=True)
        except binascii.Error:
            return ["the audio is no base64"]
        self.made[id] = self.made.get(id, b"") + pcm
        return [] if 0 < len(pcm) <= _MAX_BYTES and len(pcm) % 2 == 0 else [f"{len(pcm)} bytes in one delta"]
