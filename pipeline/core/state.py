"""What the parts of the engine share: configuration, conversation, and the effects gathered so far."""

from dataclasses import dataclass, field

from pipeline.catalog import Catalog, Prompts
from pipeline.config import Patch, SessionConfig
from pipeline.core.conversation import Conversation
from pipeline.core.playback import PlaybackClock
from pipeline.core.reconfiguring import Rules, reconfigure
from pipeline.effects import Effect, Emit
from pipeline.events import Event
from pipeline.ids import NewId
from pipeline.tools import ServerTools
from pipeline.turn_taking import TurnTaking

__all__ = ["EngineLimits", "State"]


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds on what one client can make the engine hold."""

    max_items: int = 1000  # in the conversation
    max_conversation_size: int = 64 * 1024 * 1024  # characters of text and of images' data, in all its items
    max_buffer_seconds: int = 600  # of input audio in one turn
    max_pending_transcripts: int = 64  # of committed audio; more wait nowhere, they are refused
    max_parallel_responses: int = 8  # running at once, out-of-band ones included
    max_reply_chars: int = 200_000  # of one response; a model that never stops is stopped here
    max_output_items: int = 128  # of one response
    max_mcp_servers: int = 16  # of one session; each keeps a connection
    max_tool_rounds: int = 8  # after so many rounds of calls of the server's own, the model has to answer


@dataclass(slots=True)
class State:
    config: SessionConfig
    conversation: Conversation
    catalog: Catalog
    prompts: Prompts | None  # None: there are none
    default_stt: str  # canonical; transcribes for the model where the client wants no transcription events
    limits: EngineLimits
    rules: Rules
    turn_taking: TurnTaking
    new_id: NewId
    effects: list[Effect] = field(default_factory=list)
    now: float = 0.0  # of the command that is being handled; monotonic, in seconds
    playback: PlaybackClock = field(default_factory=PlaybackClock)
    server_tools: ServerTools = field(default_factory=ServerTools)
    idle_since: float | None = None  # the assistant was last heard then, and nothing has happened since

    def do(self, effect: Effect) -> None:
        self.effects.append(effect)

    def emit(self, event: Event) -> None:
        self.effects.append(Emit(event))

    def patched(self, patch: Patch, root: str) -> SessionConfig:
        """The configuration with `patch`, the member `root` of a client event, applied to it."""
        return reconfigure(
            self.config,
            patch,
            self.catalog,
            prompts=self.prompts,
            default_stt=self.default_stt,
            rules=self.rules,
            root=root,
        )
