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


_MCP = "MCP tools are not served yet"
_WEBRTC = "WebRTC is not served yet, and on a WebSocket the client has the buffer"
_SIP = "SIP is not served"
_BETA = "sent in the beta dialect only, as on the wire of the public service"
_MCP_ITEM = ("approval_request_id", "approve", "error*", "reason", "server_label", "tools*", "type=mcp_*")
_MCP_TOOL = (
    "allowed_callers*",
    "allowed_tools*",
    "authorization",
    "connector_id",
    "defer_loading",
    "headers",
    "require_approval*",
    "server_description",
    "server_label",
    "server_url",
    "tunnel_id",
    "type=mcp",
)

ABSENT: tuple[Absence, ...] = (
    Absence(_MCP, "client", "item", _MCP_ITEM),
    Absence(_MCP, "client", "tool", _MCP_TOOL),
    Absence(_MCP, "client", "tool_choice", ("server_label", "type=mcp")),
    Absence(_WEBRTC, "client", "output_audio_buffer.clear"),
    Absence(_MCP, "server", "item", _MCP_ITEM),
    Absence(_MCP, "server", "mcp_list_tools.*"),
    Absence(_MCP, "server", "response.mcp_call*"),
    Absence(_MCP, "server", "session", ("tool_choice.server_label", "tool_choice.type=mcp")),
    Absence(_MCP, "server", "tool", _MCP_TOOL),
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
