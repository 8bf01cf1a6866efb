"""What the published protocol has and this server does not do, and why."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.conformance.matrix.places import Place, Side

__all__ = ["ABSENT", "Absence"]


@dataclass(frozen=True, slots=True)
class Absence:
    """Places that are never filled.

    Owners and members may hold `*`. "x" covers x and every word that it may be, "x*" also all that is in it.
    """

    because: str
    side: Side
    owner: str
    members: tuple[str, ...] = ("*",)

    def covers(self, place: Place) -> bool:
        """Whether this is about that place."""
        return (
            place.side == self.side
            and fnmatchcase(place.owner, self.owner)
            and any(
                fnmatchcase(name, _literal(member))
                for name in (place.member, place.name)
                for member in self.members
            )
        )


def _literal(member: str) -> str:
    """With the brackets of arrays meaning themselves."""
    return member.replace("[", "[[]")


_CONNECTORS = "there are no connectors and no tunnels; MCP servers are named by their address"
_CREDENTIALS = "credentials are shown to nobody"
_WEBRTC = "WebRTC is not served yet, and on a WebSocket the client has the buffer"
_SIP = "SIP is not served"
_BETA = "sent in the beta dialect only, as on the wire of the public service"
ABSENT: tuple[Absence, ...] = (
    Absence(_CONNECTORS, "client", "tool", ("connector_id", "tunnel_id")),
    Absence(
        "lists of tools and requests for approval are the server's own",
        "client",
        "item",
        ("tools*", "type=mcp_list_tools", "type=mcp_approval_request"),
    ),
    Absence(_WEBRTC, "client", "output_audio_buffer.clear"),
    Absence(_CONNECTORS, "server", "tool", ("connector_id", "tunnel_id")),
    Absence(_CREDENTIALS, "server", "tool", ("authorization", "headers")),
    Absence(_WEBRTC, "server", "output_audio_buffer.*"),
    Absence(_WEBRTC, "beta client", "output_audio_buffer.clear"),
    Absence(_WEBRTC, "beta server", "output_audio_buffer.*"),
    Absence(_SIP, "server", "input_audio_buffer.dtmf_event_received"),
    Absence(_BETA, "server", "conversation.created"),
    Absence(_BETA, "server", "conversation.item.created"),
    Absence(
        "no member of a request can be at fault when a transcription fails",
        "server",
        "conversation.item.input_audio_transcription.failed",
        ("error.param",),
    ),
    Absence(
        "the speech of a part is in `response.output_audio.delta` alone",
        "server",
        "response.content_part.*",
        ("part.audio",),
    ),
    Absence(
        "the details of a completed response are null, as on the wire of the public service",
        "server",
        "response",
        ("status_details.type=completed",),
    ),
    Absence("a voice is shown by its name", "server", "session", ("audio.output.voice.id",)),
)
